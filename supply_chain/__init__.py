"""Known vulnerabilities of what the locks name."""
