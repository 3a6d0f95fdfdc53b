"""Pieces of feature modules: trailing windows, snapshots, quantiles, clock times. Pure, for many days at once."""
