"""Landing files become typed, audited tables."""
