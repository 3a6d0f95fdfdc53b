"""What a Spark job asks of a cluster where its driver and its executors are pods."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from nightshift.specs.contract import Duration, Model
from nightshift.specs.scoring import Size, mebibytes

# Below it Java's heap is less than what Spark wants to begin at all.
_LEAST = 1024


class Spark(Model):
    """What a Spark job asks of a cluster where it runs in pods. No row depends on it, so no fingerprint does."""

    executors: Annotated[int, Field(ge=1)] = 2
    """How many executors compute."""
    cores: Annotated[float, Field(gt=0)] = 1
    """How many processors each of them asks for; so many tasks, rounded up, run in it at once."""
    memory: Size = "2Gi"
    """How much memory the pod of the driver may use, and that of each executor; `1Gi` or more."""
    start: Duration = "5m"
    """How long the driver, and then its first executor, may wait for a node and its image before the try fails."""

    @model_validator(mode="after")
    def _enough_memory(self) -> Self:
        if mebibytes(self.memory) < _LEAST:
            raise ValueError(f"memory {self.memory} is less than 1Gi, which Spark needs to begin")
        return self
