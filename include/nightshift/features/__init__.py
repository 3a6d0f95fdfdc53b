"""Features and labels: what a day is made of, which days are stale, and their gates. Spark computes them."""
