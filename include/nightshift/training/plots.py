"""Plots of an evaluation as PNG. Aggregates only: no point of a plot is one row."""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np

from nightshift.training.evaluate import Bin, Vector

_COLUMNS = 20


def precision_recall(labels: Vector, predictions: Vector, average_precision: float) -> bytes:
    """The precision-recall curve of a binary model, with the rate of positives for comparison."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(labels, predictions)
    step = max(1, len(recall) // 200)

    def draw(axes: Any) -> None:
        axes.step(recall[::step], precision[::step], where="post", label=f"evaluated (AP {average_precision:.3f})")
        axes.axhline(float(np.mean(labels)), color="grey", linestyle="--", label="rate of positives")
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title="Precision and recall")
        axes.legend()

    return _png(draw)


def calibration(curve: tuple[Bin, ...], unit: str) -> bytes:
    """Mean label against mean prediction in parts of equal size."""
    predicted, observed = [item.predicted for item in curve], [item.observed for item in curve]

    def draw(axes: Any) -> None:
        ends = [min(predicted + observed), max(predicted + observed)]
        axes.plot(ends, ends, color="grey", linestyle="--", label="perfect")
        axes.plot(predicted, observed, marker="o", label="evaluated")
        axes.set(xlabel=f"mean prediction ({unit})", ylabel=f"mean label ({unit})", title="Calibration on the holdout")
        axes.legend()

    return _png(draw)


def importance(shares: Mapping[str, float]) -> bytes:
    """The columns with the greatest share of the gain, the greatest on top."""
    top = list(shares.items())[:_COLUMNS][::-1]

    def draw(axes: Any) -> None:
        axes.barh([name for name, _ in top], [share for _, share in top])
        axes.set(xlabel="share of total gain", title=f"Importance of {len(top)} of {len(shares)} columns")

    return _png(draw, height=2 + 0.25 * len(top))


def _png(draw: Callable[[Any], None], height: float = 5) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, height), layout="constrained")
    draw(figure.add_subplot())
    content = BytesIO()
    FigureCanvasAgg(figure).print_png(content, metadata={"Software": "nightshift"})
    return content.getvalue()
