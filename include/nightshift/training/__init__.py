"""From a window of published days to a registered version, a decision and a ledger entry."""
