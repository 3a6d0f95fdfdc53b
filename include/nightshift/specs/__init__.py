"""Specs: YAML in, frozen models out, errors with file, line and the nearest valid word."""
