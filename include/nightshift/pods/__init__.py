"""Scoring pods as plain data: how one is made, and why one ended. Nothing here talks to a cluster."""
