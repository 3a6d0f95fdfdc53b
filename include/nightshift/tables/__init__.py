"""Delta tables partitioned by ``ds``: write aside, publish atomically, read one pinned version.

A reader sees a whole partition or the one before it. Nothing here needs a JVM.
"""

from nightshift.tables.damage import Repair, damage_of, damaged, published_as, refuse_damaged, repair
from nightshift.tables.publish import Confirm, Publication, StillWanted, outcomes, publish, refuse_overtaken
from nightshift.tables.rows import arrow_schema, read, read_batches
from nightshift.tables.staging import folder, leave_staged, staged_files, write_partition
from nightshift.tables.state import Partition, TableState, state
from nightshift.tables.store import StoreUntried, try_store, was_tried

__all__ = [
    "Confirm",
    "Partition",
    "Publication",
    "Repair",
    "StillWanted",
    "StoreUntried",
    "TableState",
    "arrow_schema",
    "damage_of",
    "damaged",
    "folder",
    "leave_staged",
    "outcomes",
    "publish",
    "published_as",
    "read",
    "read_batches",
    "refuse_damaged",
    "refuse_overtaken",
    "repair",
    "staged_files",
    "state",
    "try_store",
    "was_tried",
    "write_partition",
]
