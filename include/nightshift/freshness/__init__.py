"""What of a night is up to date, what is stale, and what changed since it was published."""
