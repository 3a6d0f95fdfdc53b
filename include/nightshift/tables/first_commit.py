"""A program of its own, for ``nightshift.tables.store``: makes the first commit of a table and prints the table's id.

It is another process because the one that tries the store is in the middle of a call of the library, whose few threads
may all be waiting for this commit.
"""

import sys

import pyarrow as pa
from deltalake import DeltaTable

COLUMNS = pa.schema([pa.field("nothing", pa.string())])


def main(place: str) -> None:
    """Make the table at ``place``, which must not be there yet."""
    sys.stdout.write(str(DeltaTable.create(place, COLUMNS, mode="error").metadata().id))


if __name__ == "__main__":
    main(*sys.argv[1:])
