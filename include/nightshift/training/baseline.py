"""What a model must beat: the label's rate, or mean, by a few columns over the training window."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

PRIOR_ROWS = 10.0


@dataclass(frozen=True)
class Baseline:
    """The shrunk mean of the label of each combination of ``columns`` (null is a value), and the overall mean.

    A combination with n rows whose labels sum to s has the m-estimate ``(s + m * overall) / (n + m)`` with m = 10
    (B. Cestnik, "Estimating probabilities: a crucial task in machine learning", ECAI 1990, for the rate of a binary
    label; D. Micci-Barreca, SIGKDD Explorations 3(1), 2001, for the mean of any label). n = 0 gives the overall mean.
    """

    columns: tuple[str, ...]
    overall: float
    groups: dict[tuple[Any, ...], float]

    def predict(self, rows: pa.Table) -> npt.NDArray[np.float64]:
        """The baseline's predictions, shape (rows,). Every column of the baseline is in ``rows``."""
        if not self.columns:
            return np.full(rows.num_rows, self.overall)
        combinations = zip(*(rows[name].to_pylist() for name in self.columns), strict=True)
        return np.array([self.groups.get(item, self.overall) for item in combinations], dtype=np.float64)


def learn(days: Iterable[pa.Table], columns: Sequence[str], label: str) -> Baseline:
    """The baseline over the rows of some days, all of which have a label. Raises ValueError without rows."""
    sums: dict[tuple[Any, ...], tuple[float, int]] = {}
    for rows in days:
        found = rows.group_by(list(columns), use_threads=False).aggregate([(label, "sum"), (label, "count")])
        keys = zip(*(found[name].to_pylist() for name in columns), strict=True) if columns else [()] * found.num_rows
        added = zip(found[f"{label}_sum"].to_pylist(), found[f"{label}_count"].to_pylist(), strict=True)
        for combination, (total, number) in zip(keys, added, strict=True):
            before = sums.get(combination, (0.0, 0))
            sums[combination] = (before[0] + float(total or 0), before[1] + number)
    count = sum(number for _, number in sums.values())
    if not count:
        raise ValueError("there is no row to learn a baseline from")
    overall = sum(total for total, _ in sums.values()) / count
    means = {
        combination: (total + PRIOR_ROWS * overall) / (number + PRIOR_ROWS)
        for combination, (total, number) in sums.items()
    }
    return Baseline(tuple(columns), overall, means)
