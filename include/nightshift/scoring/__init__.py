"""Scoring: a plan made once, shards that any number of processes may try, a gate.

``python -m nightshift.scoring`` is what a pod runs. It and what it imports need numpy, pyarrow and xgboost alone.
"""
