"""An upgrade in place: what an earlier version published and trained, and the version of now."""
