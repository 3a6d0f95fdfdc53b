"""Which of two waiting tasks goes first: one of tonight before one of a backfill.

A pool of their own would not do: a task's pool is fixed in its DAG, whatever run it belongs to. A weight is asked for
each task of each run.
"""

import os
from typing import TYPE_CHECKING

from airflow.task.priority_strategy import PriorityWeightStrategy

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

# More than the weights of any two tasks of a DAG differ.
TONIGHT = 1000
_BACKFILL = "backfill__"
_NICE = 10
# Airflow takes a rule of a plugin by its name: it does not recognise an instance.
NAME = f"{__name__}.TonightFirst"


class TonightFirst(PriorityWeightStrategy):
    """The task's own weight, and more for every run that no backfill made.

    A scheduled run that a backfill runs again keeps its run id, and with it its weight.
    """

    def get_weight(self, ti: "TaskInstance") -> int:
        """The weight; Airflow's scheduler takes the greatest first."""
        task = ti.task
        assert task is not None  # noqa: S101
        weight: int = task.priority_weight
        return weight if ti.run_id.startswith(_BACKFILL) else weight + TONIGHT


def give_way() -> None:
    """Leaves the processor to tonight: for this task, and for what it starts, Spark and scoring among it."""
    os.nice(_NICE)
