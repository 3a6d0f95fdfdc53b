"""Orders of people about models: rollback, retirement, override, freeze; each a plan first, then an entry."""
