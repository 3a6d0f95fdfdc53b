"""Days that were published under an earlier contract, and cannot be published again under the present one."""

from collections.abc import Sequence

import pyarrow.parquet as pq

from nightshift import storage
from nightshift.errors import SchemaChanged
from nightshift.lineage import DataFile
from nightshift.specs.model import Input


def refuse_earlier_contract(
    source: str, contract: Input, table: str, ds: str, files: Sequence[DataFile], why: str
) -> None:
    """Raises SchemaChanged where the published ``files`` of a day lack a column that the contract wants values in.

    A reader would find nulls there, and nobody would be told. ``why`` says what keeps the day as it is.
    """
    system, path = storage.resolve(storage.join(table, files[0].path))
    there = set(pq.read_schema(path, filesystem=system).names)
    otherwise = {name.lower() for name in there}  # Spark would find its values, and no other reader
    lacking = [
        name
        for name, column in contract.columns.items()
        if name not in there and (column.nulls < 1 or name.lower() in otherwise)
    ]
    if lacking:
        raise SchemaChanged(
            f"source {source} of {ds} was published under an earlier contract, without {', '.join(lacking)}; {why}",
            where=table,
            allowed="a new column that may be null throughout (nulls: 1.0)",
            do="correct the contract, have the day landed again with the column, or raise `generation` in the spec "
            "for a new set of tables",
        )
