"""Whether a challenger becomes champion: the rule, as a pure function, and how its decision is recorded."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from nightshift.lineage import recipe
from nightshift.registry.effective import effective_from
from nightshift.registry.entry import Entry, Kind, NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.specs.model import Pipeline, Promotion

DIRECTIONS: dict[str, Literal["lower", "higher"]] = {
    "log_loss": "lower",
    "brier": "lower",
    "rmse": "lower",
    "mae": "lower",
    "average_precision": "higher",
    "roc_auc": "higher",
}
_DECIDES = ("promotion", "approval", "refusal")


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


def decide(rule: Promotion, *, challenger: float, champion: float | None, baseline: float) -> Decision:
    """Whether the challenger is promoted, by the values of ``rule.metric`` on one and the same holdout.

    It must be better than the baseline by more than ``rule.skill``, and better than the champion, if there is one,
    by at least ``rule.improvement``; both are relative. A value that is NaN or infinite is a refusal.
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
        reasons.append("there is no champion to compare with")
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
    """How much better ``value`` is than ``reference``, relative to the reference: 0.01 is 1 % better, -0.01 worse.

    Against a reference of zero, anything better is infinitely better and anything worse infinitely worse.
    """
    better_by = reference - value if DIRECTIONS[metric] == "lower" else value - reference
    if better_by == 0:
        return 0.0
    return better_by / abs(reference) if reference else math.copysign(math.inf, better_by)


def record_decision(  # noqa: PLR0913
    ledger: Ledger,
    pipeline: Pipeline,
    as_of: date,
    decision: Decision,
    *,
    version: str,
    model_sha256: str,
    run_id: str,
    actor: str,
    history: bool,
    approved: bool = False,
    details: Mapping[str, Any] | None = None,
) -> Entry:
    """Records what was decided about the challenger of ``as_of`` and returns the entry; the alias is not its business.

    ``version`` and ``model_sha256`` are empty where there is no challenger (too few days). ``history`` says that the
    past is rebuilt (``Job.history``), ``approved`` that ``actor`` is a person who allowed the promotion. ``details``
    are added to the decision's. An as-of date that has a live decision keeps it: the entry is a ``rerun`` then.
    A retry (the same decision of the same run) returns the entry that is there.
    """
    numbers = {**decision.details, **(details or {}), "history": history, "run_id": run_id}
    once = f"{run_id}/{as_of}/{recipe(version=version, model=model_sha256, decision=vars(decision))}"

    def compose(past: list[Entry], now: datetime) -> NewEntry:
        kind: Kind = "refusal"
        effective, reason = None, decision.reason
        standing = live_decision(past, as_of)
        if standing is not None:
            kind = "rerun"
            verdict = "promoted" if decision.promote else "refused"
            reason = f"{as_of} keeps its live decision, entry {standing.seq}; this rerun would be {verdict}: {reason}"
        elif decision.promote:
            kind = "approval" if approved else "promotion"
            effective = effective_from(pipeline.schedule, as_of, now, history=history)
        return NewEntry(
            pipeline=pipeline.name,
            kind=kind,
            actor=actor,
            reason=reason,
            as_of=as_of,
            effective_from=effective,
            version=version,
            model_sha256=model_sha256,
            details=numbers,
            once=once,
        )

    return ledger.append_seeing(pipeline.name, compose)


def live_decision(entries: Iterable[Entry], as_of: date) -> Entry | None:
    """The decision about an as-of date that was made live, not while history was rebuilt."""
    live = (entry for entry in entries if entry.as_of == as_of and entry.kind in _DECIDES)
    return next((entry for entry in live if entry.details.get("history") is False), None)


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
