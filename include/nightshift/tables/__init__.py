"""Delta tables partitioned by ``ds``: write aside, publish atomically, read one pinned version.

A reader sees a whole partition or the one before it. Nothing here needs a JVM.
"""

from nightshift.tables.damage import Repair, damaged, refuse_damaged, repair
from nightshift.tables.publish import Publication, StillWanted, outcomes, publish, refuse_overtaken
from nightshift.tables.rows import arrow_schema, read, read_batches
from nightshift.tables.staging import folder, leave_staged, staged_files, write_partition
from nightshift.tables.state import Partition, TableState, state

__all__ = [
    "Partition",
    "Publication",
    "Repair",
    "StillWanted",
    "TableState",
    "arrow_schema",
    "damaged",
    "folder",
    "leave_staged",
    "outcomes",
    "publish",
    "read",
    "read_batches",
    "refuse_damaged",
    "refuse_overtaken",
    "repair",
    "staged_files",
    "state",
    "write_partition",
]
