"""Which model scores, and why: the ledger, what follows from it, and MLflow, which mirrors it."""
