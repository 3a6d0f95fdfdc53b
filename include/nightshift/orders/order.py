"""An order, and the plan that it becomes: pure, apart from the question whether a model can serve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Literal

from nightshift.errors import OrderRefused
from nightshift.registry.champions import FOLLOWS, Reign, champion_as_of, reigns_from, retirement_of
from nightshift.registry.effective import next_ds
from nightshift.registry.entry import CLAIMED, Entry, NewEntry, chained
from nightshift.registry.interventions import freeze_in_force
from nightshift.registry.models import Model, champions_before, models, named, was_promoted
from nightshift.specs.model import Schedule

OrderKind = Literal["rollback", "retirement", "override", "freeze", "unfreeze"]

_FEW = 3

# Why scoring would refuse a model now; empty where it takes it.
Serves = Callable[[Model], str]


@dataclass(frozen=True)
class Order:
    """An order of a person. An empty ``version`` of a rollback is the champion before the present one.

    Where MLflow counted its versions anew, the first digits of the model's SHA-256 stand for one.

    ``effective_from`` is None for the next night that is to be scored; only a rollback and a retirement may name a day.
    ``claimed`` is whom the order is said to come from, where ``actor`` is a login that says more.
    """

    kind: OrderKind
    actor: str
    reason: str
    version: str = ""
    effective_from: date | None = None
    claimed: str = ""


@dataclass(frozen=True)
class Plan:
    """The effect of an order: the entry, who scores from its date on without it and with it, and what was found.

    ``seen`` is the hash of the pipeline's newest entry: the plan holds while no other follows that. ``withdrawn`` are
    the SHA-256 of the models that no longer score. ``found`` are sentences.
    """

    order: Order
    new: NewEntry
    seen: str
    before: tuple[Reign, ...] = ()
    after: tuple[Reign, ...] = ()
    withdrawn: frozenset[str] = frozenset()
    found: tuple[str, ...] = ()
    freeze: Entry | None = field(default=None, repr=False)


def plan(
    pipeline: str, schedule: Schedule, entries: Sequence[Entry], order: Order, now: datetime, serves: Serves
) -> Plan:
    """The plan of an order, by a pipeline's entries so far and the moment (an aware datetime). Raises OrderRefused."""
    order = _stated(order, pipeline)
    frozen = freeze_in_force(entries)
    seen = entries[-1].hash if entries else ""
    if order.kind in ("freeze", "unfreeze"):
        return Plan(order, _frozen(pipeline, order, frozen), seen, freeze=frozen)
    ds = effective_date(schedule, order, now)
    model = _target(pipeline, entries, order, ds)
    new = NewEntry(
        pipeline, order.kind, order.actor, order.reason, model.as_of, ds, model.version, model.sha256, _claim(order),
    )  # fmt: skip
    found: list[str] = []
    if order.kind == "retirement":
        follows, found = _followed(entries, model, ds, serves)
        new = NewEntry(**{**vars(new), "details": {FOLLOWS: follows, **_claim(order)}})
    else:
        _takes(pipeline, model, ds, serves)
        found.append(
            f"version {model.version} can serve: its files are whole, its feature code and spec are those of now"
        )
    if schedule.end is not None and ds > schedule.end:
        found.append(f"the spec ends on {schedule.end}: no night follows it; name an earlier day with --effective-from")
    before = tuple(reigns_from(entries, ds))
    after = tuple(reigns_from([*entries, _as_recorded(entries, new, now)], ds))
    if order.kind != "retirement" and _who(before) == _who(after):
        raise OrderRefused(
            f"version {model.version} is champion from {ds} on already, {_by(entries, before[0][1])}", where=pipeline
        )
    withdrawn = _withdrawn(order, model, before, after)
    return Plan(order, new, seen, before, after, withdrawn, tuple(found), frozen)


def effective_date(schedule: Schedule, order: Order, now: datetime) -> date:
    """The first day that an order concerns: the one that it names, else the next one to be scored."""
    return order.effective_from or max(next_ds(schedule, now), schedule.start)


def still_holds(plan: Plan, schedule: Schedule, entries: Sequence[Entry], now: datetime) -> None:
    """Returns where a plan may be recorded. Raises OrderRefused naming what came first."""
    where = plan.new.pipeline
    again = "look at it with --dry-run, and order again if it is still wanted"
    if plan.seen and not entries:
        raise OrderRefused("the ledger was emptied meanwhile; nothing was recorded", where=where, do=again)
    if entries and entries[-1].hash != plan.seen:
        raise OrderRefused(f"another came first: {told(entries[-1])}; nothing was recorded", where=where, do=again)
    if plan.new.effective_from is not None and plan.new.effective_from != effective_date(schedule, plan.order, now):
        raise OrderRefused(
            f"the night of {plan.new.effective_from} has begun meanwhile; nothing was recorded", where=where, do=again
        )


def told(entry: Entry) -> str:
    """An entry in words: which, what, from when, by whom and why."""
    return f"entry {entry.seq}, {named_effect(entry)} by {entry.by} ({entry.reason})"


def named_effect(entry: Entry | NewEntry) -> str:
    """The effect of an entry in words: its kind, the version, and from when."""
    of = "to" if entry.kind == "rollback" else "of"
    version = f" {of} version {entry.version}" if entry.version else ""
    since = f" from {entry.effective_from} on" if entry.effective_from else ""
    return f"{entry.kind}{version}{since}"


def _stated(order: Order, pipeline: str) -> Order:
    reason = " ".join(order.reason.split())
    if not reason:
        raise OrderRefused("an order has a reason", where=pipeline, do="say why, for whoever reads the ledger later")
    if not reason.isprintable():
        raise OrderRefused("the reason has control characters", where=pipeline, allowed="text that a terminal shows")
    if not order.version and order.kind in ("retirement", "override"):
        article = "a" if order.kind == "retirement" else "an"
        raise OrderRefused(f"{article} {order.kind} names a version", where=pipeline)
    if order.effective_from is not None and order.kind not in ("rollback", "retirement"):
        raise OrderRefused(f"only a rollback and a retirement may name a day, {order.kind} may not", where=pipeline)
    return replace(order, reason=reason)


def _claim(order: Order) -> dict[str, str]:
    return {CLAIMED: order.claimed} if order.claimed else {}


def _frozen(pipeline: str, order: Order, frozen: Entry | None) -> NewEntry:
    if order.kind == "freeze" and frozen is not None:
        raise OrderRefused(f"promotions are frozen already: {told(frozen)}", where=pipeline)
    if order.kind == "unfreeze" and frozen is None:
        raise OrderRefused("promotions are not frozen", where=pipeline)
    return NewEntry(pipeline, order.kind, order.actor, order.reason, details=_claim(order))


def _target(pipeline: str, entries: Sequence[Entry], order: Order, ds: date) -> Model:
    """The model that an order is about. Raises OrderRefused where there is none, or it may not be ordered."""
    model = _named(pipeline, entries, order.version) if order.version else _before(pipeline, entries, ds)
    retired = retirement_of(entries, model.sha256)
    if order.kind == "retirement":
        if retired and retired.effective_from and retired.effective_from <= ds:
            raise OrderRefused(f"version {model.version} is retired already: {told(retired)}", where=pipeline)
        return model
    if retired:
        raise OrderRefused(f"version {model.version} is retired for good: {told(retired)}", where=pipeline)
    if order.kind == "rollback" and not was_promoted(entries, model):
        raise OrderRefused(
            f"version {model.version} never was champion",
            where=pipeline,
            do=f"`nightshift override {pipeline} {model.version}` promotes it against the rule, marked so",
        )
    if model.as_of is not None and ds <= model.as_of:
        raise OrderRefused(
            f"version {model.version} was trained as of {model.as_of}: it scores days after that, not {ds}",
            where=pipeline,
        )
    return model


def _named(pipeline: str, entries: Sequence[Entry], version: str) -> Model:
    found = named(entries, version)
    if not found:
        known = dict.fromkeys(model.version for model in models(entries))
        raise OrderRefused(
            f"the ledger knows no version {version}", where=pipeline, allowed=", ".join(known) or "it knows none at all"
        )
    if len(found) > 1:
        digits = ", ".join(f"{model.sha256[:16]} (as of {model.as_of})" for model in found)
        raise OrderRefused(
            f"version {version} is the name of {len(found)} models, since MLflow counted anew",
            where=pipeline,
            allowed=f"the first digits of a model's SHA-256 instead: {digits}",
        )
    return found[0]


def _before(pipeline: str, entries: Sequence[Entry], ds: date) -> Model:
    present = champion_as_of(entries, ds)
    if present is None:
        raise OrderRefused(f"there is no champion as of {ds}", where=pipeline, do="name a version with --to")
    found = champions_before(entries, present.sha256, ds)
    if not found:
        raise OrderRefused(
            f"before version {present.version} there was no champion that was neither retired nor rolled back",
            where=pipeline,
            do="name a version with --to",
        )
    return found[0]


def _takes(pipeline: str, model: Model, ds: date, serves: Serves) -> None:
    if why := serves(model):
        raise OrderRefused(
            f"version {model.version} cannot serve: {why}",
            where=pipeline,
            do=f"name another version, restore its code, spec or files, or `nightshift retrain {pipeline}`; "
            f"nothing was recorded, {ds} is scored as before",
        )


def _followed(
    entries: Sequence[Entry], model: Model, ds: date, serves: Serves
) -> tuple[dict[str, Any] | None, list[str]]:
    """The model that scores instead of a retired one, and how that was found."""
    if not any(champion and champion.sha256 == model.sha256 for _, champion in reigns_from(entries, ds)):
        return None, [f"version {model.version} is champion of no day from {ds} on"]
    found: list[str] = []
    for candidate in champions_before(entries, model.sha256, ds):
        if not (why := serves(candidate)):
            as_of = candidate.as_of.isoformat() if candidate.as_of else None
            follows = {"version": candidate.version, "sha256": candidate.sha256, "as_of": as_of}
            return follows, [*_few(found), f"version {candidate.version} follows: it can serve"]
        found.append(f"version {candidate.version} cannot serve: {why}")
    return None, [*_few(found), "nobody follows: these days have no champion until another is promoted"]


def _few(lines: Sequence[str]) -> list[str]:
    """The first of many: whatever refuses one champion, such as changed code, refuses those before it."""
    return [*lines[:_FEW], *([f"and {len(lines) - _FEW} earlier ones cannot serve either"] if lines[_FEW:] else [])]


def _as_recorded(entries: Sequence[Entry], new: NewEntry, now: datetime) -> Entry:
    last = entries[-1] if entries else None
    return chained(new, last.env if last else "", max(now, last.recorded_at) if last else now, last)


def _who(reigns: Sequence[Reign]) -> list[tuple[date, str]]:
    who: list[tuple[date, str]] = []
    for day, champion in reigns:
        digest = champion.sha256 if champion else ""
        if not who or who[-1][1] != digest:
            who.append((day, digest))
    return who


def _by(entries: Sequence[Entry], champion: Any) -> str:
    return "by " + told(next(entry for entry in entries if entry.seq == champion.seq))


def _withdrawn(order: Order, model: Model, before: Sequence[Reign], after: Sequence[Reign]) -> frozenset[str]:
    """An override withdraws nobody: who scored before was no mistake."""
    if order.kind == "retirement":
        return frozenset({model.sha256})
    if order.kind == "override":
        return frozenset()
    gone = {champion.sha256 for _, champion in before if champion}
    return frozenset(gone - {champion.sha256 for _, champion in after if champion})
