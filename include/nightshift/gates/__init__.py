"""Gates: what Great Expectations says of a dataset, what leaves it, and what is published."""
