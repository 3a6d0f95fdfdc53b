"""Statistics of several groupings in one pass: what is known by carrier, by route and by hour, say.

Each row is taken once for each grouping, under the grouping's name and its key as text. One aggregation then serves
all groupings, and one join brings their results back to the rows.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

GROUP = ["group", "group_key"]


def in_groups(rows: DataFrame, groups: Mapping[str, Sequence[str]]) -> DataFrame:
    """Each row once for each grouping, with ``group`` and ``group_key``; the key is null where a part of it is.

    ``groups`` maps the name of a grouping to its columns.
    """
    pairs = [
        sf.struct(sf.lit(name).alias("group"), _key(columns).alias("group_key")) for name, columns in groups.items()
    ]
    return rows.select("*", sf.inline(sf.array(*pairs)))


def with_groups(
    rows: DataFrame, found: DataFrame, groups: Mapping[str, Sequence[str]], key: Sequence[str], values: Sequence[str]
) -> DataFrame:
    """The rows with ``<group>_<value>`` for each grouping; null where a row's group has nothing.

    ``key`` identifies a row within ``ds``. ``found`` has ``ds``, ``group``, ``group_key`` and the values, at most one
    row for each group and day; it is broadcast.
    """
    others = [name for name in rows.columns if name not in ("ds", *key)]
    packed = rows.select("ds", *key, sf.struct(*others).alias("row"), *{name for by in groups.values() for name in by})
    asked = in_groups(packed, groups).select("ds", *key, "row", *GROUP)
    joined = asked.join(sf.broadcast(found), ["ds", *GROUP], "left")
    answers = sf.map_from_entries(sf.collect_list(sf.struct("group", sf.struct(*values)))).alias("answers")
    back = joined.groupBy("ds", *key).agg(sf.first("row").alias("row"), answers)
    return back.select(
        "ds",
        *key,
        "row.*",
        *[sf.col("answers")[name][value].alias(f"{name}_{value}") for name in groups for value in values],
    )


def _key(columns: Sequence[str]) -> Column:
    """The columns as one text, null where one of them is: ``concat`` does not skip nulls as ``concat_ws`` does."""
    parts = [part for name in columns for part in (sf.lit("|"), sf.col(name).cast("string"))]
    return sf.concat(*parts[1:])
