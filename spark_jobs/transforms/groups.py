"""Statistics of several groupings in one pass: what is known by carrier, by route and by hour, say.

Each row is taken once for each grouping, under the grouping's name and its key as text. One aggregation then serves
all groupings, and one join brings their results back to the rows.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from nightshift.errors import SpecError
from spark_jobs.transforms.internal import internal

GROUP = ["group", "group_key"]
_GROUP = [internal(name) for name in GROUP]
_ROW, _FOUND, _ANSWERS = internal("row"), internal("found"), internal("answers")


def in_groups(rows: DataFrame, groups: Mapping[str, Sequence[str]]) -> DataFrame:
    """Each row once for each grouping, with ``group`` and ``group_key``; the key is null where a part of it is.

    ``groups`` maps the name of a grouping to its columns. Raises SpecError where ``rows`` has one of the two names.
    """
    taken = [name for name in rows.columns if name.lower() in GROUP]
    if taken:
        raise SpecError(
            f"in_groups adds {' and '.join(GROUP)}, and the rows have a column {taken[0]}",
            do="rename it, or leave it out of the rows",
        )
    return rows.select("*", _each(groups, GROUP))


def with_groups(
    rows: DataFrame, found: DataFrame, groups: Mapping[str, Sequence[str]], key: Sequence[str], values: Sequence[str]
) -> DataFrame:
    """The rows with ``<group>_<value>`` for each grouping; null where a row's group has nothing.

    ``key`` identifies a row within ``ds``. ``found`` has ``ds``, ``group``, ``group_key`` and the values, at most one
    row for each group and day; it is broadcast.
    """
    others = [name for name in rows.columns if name not in ("ds", *key)]
    asked = rows.select("ds", *key, sf.struct(*others).alias(_ROW), _each(groups, _GROUP))
    named = [sf.col(name).alias(own) for name, own in zip(GROUP, _GROUP, strict=True)]
    known = found.select("ds", *named, sf.struct(*values).alias(_FOUND))
    joined = asked.join(sf.broadcast(known), ["ds", *_GROUP], "left")
    answers = sf.map_from_entries(sf.collect_list(sf.struct(_GROUP[0], _FOUND))).alias(_ANSWERS)
    back = joined.groupBy("ds", *key).agg(sf.first(_ROW).alias(_ROW), answers)
    return back.select(
        "ds",
        *key,
        f"`{_ROW}`.*",
        *[sf.col(_ANSWERS)[name][value].alias(f"{name}_{value}") for name in groups for value in values],
    )


def _each(groups: Mapping[str, Sequence[str]], names: Sequence[str]) -> Column:
    """The name and the key of each grouping in two columns of these names: a row becomes one for each grouping."""
    pairs = [sf.struct(sf.lit(name).alias(names[0]), _key(by).alias(names[1])) for name, by in groups.items()]
    return sf.inline(sf.array(*pairs))


def _key(columns: Sequence[str]) -> Column:
    """The columns as one text, null where one of them is: ``concat`` does not skip nulls as ``concat_ws`` does.

    Each of several stands behind its length: ``a|b`` and ``c`` are another key than ``a`` and ``b|c``.
    """
    texts = [sf.col(name).cast("string") for name in columns]
    if len(texts) == 1:
        return texts[0]
    return sf.concat(*[part for text in texts for part in (sf.length(text).cast("string"), sf.lit("|"), text)])
