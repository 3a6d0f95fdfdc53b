"""The platform's part of scoring, as use cases: the plan before the shards, the gate after them."""

from nightshift.scoring.gate import gate_predictions
from nightshift.scoring.planning import plan_scoring

__all__ = ["gate_predictions", "plan_scoring"]
