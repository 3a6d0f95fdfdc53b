"""Whether a challenger becomes champion: the rule, as a pure function of the numbers."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from nightshift.specs.model import Promotion

DIRECTIONS: dict[str, Literal["lower", "higher"]] = {
    "log_loss": "lower",
    "brier": "lower",
    "rmse": "lower",
    "mae": "lower",
    "average_precision": "higher",
    "roc_auc": "higher",
}
NO_CHAMPION = "there is no champion to compare with"


@dataclass(frozen=True)
class Decision:
    """What the rule says, why (sentences without full stops), and the numbers (JSON) behind it."""

    promote: bool
    reasons: tuple[str, ...]
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """All reasons in one line."""
        return "; ".join(self.reasons)


def decide(
    rule: Promotion, *, challenger: float, champion: float | None, baseline: float, without: str = NO_CHAMPION
) -> Decision:
    """Return whether the challenger is promoted, by the values of ``rule.metric`` on one and the same holdout.

    It must be better than the baseline by more than ``rule.skill``, and better than the champion, if there is one,
    by at least ``rule.improvement``; both are relative. A value that is NaN or infinite is a refusal. ``without`` is
    the reason for which no champion counts.
    """
    values = {"challenger": challenger, "champion": champion, "baseline": baseline}
    details: dict[str, Any] = {"metric": rule.metric, **{name: _plain(value) for name, value in values.items()}}
    broken = [name for name, value in values.items() if value is not None and not math.isfinite(value)]
    if broken:
        reasons = [f"the {name}'s {rule.metric} is {values[name]}, which cannot be compared" for name in broken]
        return Decision(promote=False, reasons=tuple(reasons), details=details)

    skill = improvement(rule.metric, challenger, baseline)
    reasons = [_compared(rule.metric, challenger, "baseline", baseline, f"more than {_percent(rule.skill)}")]
    details |= {"skill": _plain(skill), "skill_needed": rule.skill}
    promote = skill > rule.skill
    if champion is None:
        reasons.append(without)
    else:
        gain = improvement(rule.metric, challenger, champion)
        needed = f"at least {_percent(rule.improvement)}"
        reasons.append(_compared(rule.metric, challenger, "champion", champion, needed))
        details |= {"improvement": _plain(gain), "improvement_needed": rule.improvement}
        promote = promote and gain >= rule.improvement
    return Decision(promote=promote, reasons=tuple(reasons), details=details)


def refused(reason: str, **details: Any) -> Decision:
    """A refusal for a reason outside the rule, such as too few days to train on."""
    return Decision(promote=False, reasons=(reason,), details=details)


def improvement(metric: str, value: float, reference: float) -> float:
    """The gain of ``value`` over ``reference``, relative to the reference: 0.01 is 1 % better, -0.01 worse.

    Against a reference of zero, anything better is infinitely better and anything worse infinitely worse.
    """
    better_by = reference - value if DIRECTIONS[metric] == "lower" else value - reference
    if better_by == 0:
        return 0.0
    return better_by / abs(reference) if reference else math.copysign(math.inf, better_by)


def _compared(metric: str, value: float, name: str, reference: float, needed: str) -> str:
    gain = improvement(metric, value, reference)
    if gain == 0:
        says = f"equals the {name}'s {reference:.4g}"
    else:
        says = f"is {_percent(abs(gain))} {'better' if gain > 0 else 'worse'} than the {name}'s {reference:.4g}"
    return f"{metric} {value:.4g} {says} (needed: {needed})"


def _percent(fraction: float) -> str:
    if math.isinf(fraction):
        return "infinitely"
    percent = 100 * fraction
    return f"{percent:.3g} %" if abs(percent) < 1000 else f"{percent:,.0f} %"


def _plain(value: float | None) -> float | str | None:
    """A number that JSON has."""
    return value if value is None or math.isfinite(value) else str(value)
