"""High quantiles over windows from counts below fixed edges.

An exact quantile of a window needs all of its rows at once; ``percentile_approx`` is slow and differs with the
order of rows. Counts of values at or below fixed edges add up over days, cost the same for any number of rows, and
give the quantile exact to the edge: **the smallest edge that at least ``percent`` % of the values do not exceed**,
``above`` where no edge does, null without values.
"""

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as sf


def below_names(edges: Sequence[int]) -> list[str]:
    """The names of the counts: ``below_0`` is the one of the first edge."""
    return [f"below_{number}" for number in range(len(edges))]


def counts_below(value: Column, edges: Sequence[int]) -> list[Column]:
    """For each edge, how many of a group's values are at or below it; nulls count nowhere."""
    return [
        sf.count(sf.when(value <= edge, True)).alias(name) for edge, name in zip(edges, below_names(edges), strict=True)
    ]


def quantile(percent: int, count: Column, below: Sequence[Column], edges: Sequence[int], above: int) -> Column:
    """The quantile of ``count`` values of which ``below`` are at or below the ascending ``edges``, as a double."""
    found = sf.when(count == 0, sf.lit(None))
    for edge, number in zip(edges, below, strict=True):
        # In whole numbers: 0.9 * count is not exact.
        found = found.when(number * 100 >= count * percent, sf.lit(float(edge)))
    return found.otherwise(sf.lit(float(above))).cast("double")
