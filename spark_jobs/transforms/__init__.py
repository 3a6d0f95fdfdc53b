"""Pieces of feature modules: trailing windows, snapshots, quantiles, clock times. Pure, additive, for many days at once."""
