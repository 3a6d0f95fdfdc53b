"""``champions``, ``history``, ``ledger``: what was decided and what is published."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightshift.cli.output import Ds, Json, PipelineName, day, emit, moment, table
from nightshift.cli.verify import restored, verify

if TYPE_CHECKING:
    from nightshift.registry.champions import Champion
    from nightshift.registry.entry import Entry
    from nightshift.settings import Settings
    from nightshift.specs.model import Pipeline

AsOf = Annotated[
    date | None, typer.Option("--as-of", parser=day, metavar="DAY", help="The champion that scores this day.")
]
At = Annotated[
    datetime | None,
    typer.Option("--at", parser=moment, metavar="TIME", help="By what was known then; its day, unless --as-of."),
]


def champions(pipeline: PipelineName, as_of: AsOf = None, at: At = None, as_json: Json = False) -> None:
    """Who scores from which day on, what people ordered, whether promotions are frozen, and MLflow's alias.

    With --as-of or --at: who scores then. A time without an offset is in the pipeline's timezone. With both: what
    was believed at TIME about DAY.

    Example: nightshift champions flights --as-of 2013-03-04
    """
    from nightshift.orders.order import told
    from nightshift.orders.said import ordered
    from nightshift.registry.champions import champion_as_of, champion_at
    from nightshift.registry.ledger import Ledger
    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline

    settings = Settings.from_env()
    spec = load_pipeline(settings, pipeline)
    entries = Ledger.of(settings).entries(spec.name)
    if at is not None:
        at = at if at.tzinfo else at.replace(tzinfo=spec.schedule.zone)
    if as_of is None and at is None:
        _show_timeline(settings, spec, entries, as_json)
        return
    if as_of is not None:
        found = champion_as_of(entries, as_of, known_at=at)
    elif at is not None:
        found = champion_at(entries, spec.schedule, at)
    asked = " ".join([*([f"as of {as_of}"] if as_of else []), *([f"at {at.isoformat()}"] if at else [])])
    text = f"{spec.name} {asked}: " + (_sentence(found) if found else "no champion")
    order = ordered(entries, found)
    text += f"\n{told(order)}" if order else ""
    document = {"pipeline": spec.name, "as_of": as_of, "at": at, "champion": _document(found)}
    emit(as_json, {**document, "order": order.document() if order else None}, text)
    if found is None:
        raise typer.Exit(1)


def _show_timeline(settings: "Settings", spec: "Pipeline", entries: Sequence["Entry"], as_json: bool) -> None:
    from nightshift.orders.order import told
    from nightshift.orders.said import ORDERED, freeze_lines
    from nightshift.registry.champions import timeline
    from nightshift.registry.interventions import freeze_in_force

    changes = timeline(entries)
    orders, frozen = [entry for entry in entries if entry.kind in ORDERED], freeze_in_force(entries)
    document = [{"from": first, "champion": _document(found)} for first, found in changes]
    rows = [
        (first, found.version, found.sha256[:16], found.as_of, found.seq)
        if found
        else (first, "none", None, None, None)
        for first, found in changes
    ]
    text = table(("from", "version", "model", "trained as of", "entry"), rows)
    alias = _alias_line(settings, spec)
    lines = [text if rows else f"{spec.name} has no champion", *map(told, orders), *freeze_lines(entries)]
    lines += [alias] * bool(alias)
    more = {"orders": [entry.document() for entry in orders], "frozen": frozen and frozen.document(), "alias": alias}
    emit(as_json, {"pipeline": spec.name, "champions": document, **more}, "\n".join(lines))
    if not rows:
        raise typer.Exit(1)


def _alias_line(settings: "Settings", spec: "Pipeline") -> str:
    """What is wrong with MLflow's alias; empty where nothing is."""
    from nightshift.errors import NightshiftError
    from nightshift.registry.alias import misplaced

    try:
        return next((words for _, words in misplaced(settings, [spec])), "")
    except NightshiftError as error:
        return f"where MLflow's alias points is not known: {error.what}"


def _sentence(champion: "Champion") -> str:
    trained = f", trained as of {champion.as_of}" if champion.as_of else ""
    since = f"since {champion.effective_from}, entry {champion.seq}"
    return f"version {champion.version} (model {champion.sha256[:16]}{trained}; {since})"


def _document(champion: "Champion | None") -> dict[str, Any] | None:
    return vars(champion) if champion else None


def history(pipeline: PipelineName, ds: Ds, as_json: Json = False) -> None:
    """Show the state of a day's newest run, the published partitions of the day, and the runs that made them.

    Landing files of the day that are not what is published, since their gate refused them, are named as well, what
    predictions lack of what landed, deliveries that they were made without, partitions that another program changed,
    and orders of people about its model.

    Example: nightshift history flights --ds 2013-03-04
    """
    from nightshift.cli.night_run import ask_airflow
    from nightshift.cli.published import kept_aside, published
    from nightshift.features.unlabelled import record_of
    from nightshift.freshness.scored import ScoredDays
    from nightshift.inputs.lacks import lack_lines
    from nightshift.runs import read_run, run_ids
    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline

    settings = Settings.from_env()
    spec = load_pipeline(settings, pipeline)
    found = published(settings, spec, ds)
    aside = list(kept_aside(settings, spec, ds, found))
    if all(item.ds != ds.isoformat() for item in found):  # the newest snapshots alone are of another day
        found = []
    header = ("dataset", "ds", "rows", "quarantined", "gate", "model", "run", "attempt", "made at", "fingerprint")
    rows = [
        (
            item.dataset,
            item.ds,
            item.rows,
            item.quarantined,
            item.gate.status if item.gate else None,
            item.model_sha256[:16],
            item.run_id,
            item.attempt,
            item.created_at[:19],
            item.fingerprint,
        )
        for item in found
    ]
    reports = [f"  {item.dataset}: {item.gate.page}" for item in found if item.gate]
    lines = [table(header, rows), *(["gate reports:", *reports] if reports else [])]
    damaged = [
        f"{item.dataset} of {item.ds} was changed by another program: {item.damage}; `nightshift repair {spec.name}`"
        for item in found
        if item.damage
    ]
    airflow, scored = ask_airflow(settings, spec.name, ds), ScoredDays(settings, spec)[ds]
    newest = airflow.run.run_id if airflow.run else next(iter(run_ids(settings, spec.name, ds.isoformat())), "")
    said = read_run(settings, spec.name, newest) if newest else []
    state = scored.facts(said, **airflow.known).state
    lacking = [f"{item.dataset} of {item.ds}: {item.shortfall}" for item in found if item.shortfall]
    lacking += [f"predictions of {ds}: scored {line}" for line in lack_lines(scored.without)]
    lacking += [
        f"{item.dataset} of {item.ds}: made of files that came after the cutoff"
        for item in found
        if item.known == "later"
    ]
    lacking += _orders(
        settings, spec, ds, next((item.model_sha256 for item in found if item.dataset == "predictions"), "")
    )
    never = record_of(settings, spec, ds)
    if never and all(item.dataset != "labels" for item in found):
        lacking.append(f"labels of {ds}: {never.words}")
    lines = lines if found else [f"nothing of {spec.name} is published for {ds}"]
    lines = [f"{spec.name} {ds}: {state}", *lines, *lacking, *damaged, *aside]
    document = {"pipeline": spec.name, "ds": ds, "state": state, "published": [item.document() for item in found]}
    document |= {"without": [lack.words for lack in scored.without], "aside": aside}
    emit(as_json, document, "\n".join(lines))
    if not found:
        raise typer.Exit(1)


def _orders(settings: "Settings", spec: "Pipeline", ds: date, scored_by: str) -> list[str]:
    """The orders of people that concern a day, the freeze in force included."""
    from nightshift.errors import NightshiftError
    from nightshift.orders.said import day_lines, freeze_lines
    from nightshift.registry.ledger import Ledger

    try:
        entries = Ledger.of(settings).entries(spec.name)
    except NightshiftError as error:
        return [f"what people ordered is not known: {error.what}"]
    return [*day_lines(entries, spec.name, ds, scored_by), *freeze_lines(entries)]


def ledger(
    words: Annotated[list[str], typer.Argument(metavar="PIPELINE|verify|restored", show_default=False)],
    reason: Annotated[
        str | None, typer.Option(help="With restored: which backup, and why; kept in the ledger.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The ledger's entries of a pipeline, its check, or the record of a restore that was made by hand.

    The check compares the ledger with all that knows of it: heads beside the lake and in MLflow, manifests, commits.
    Exit code 1 where something does not agree. `restored` explains what a ledger lacks that was put back by other
    means than `nightshift restore`: whatever is known of it elsewhere and missing is named in one entry.

    Example: nightshift ledger flights

    Example: nightshift ledger verify
    """
    if (words == ["restored"]) != (reason is not None):
        raise typer.BadParameter("`nightshift ledger restored` has a --reason, and nothing else has")
    match words:
        case ["verify"]:
            verify(as_json)
        case ["restored"]:
            restored(reason or "", as_json)
        case [name] | ["show", name]:
            _show_entries(name, as_json)
        case _:
            raise typer.BadParameter("write `nightshift ledger PIPELINE` or `nightshift ledger verify`")


def _show_entries(name: str, as_json: bool) -> None:
    from nightshift.registry.ledger import Ledger
    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline

    settings = Settings.from_env()
    entries = Ledger.of(settings).entries(name)
    if not entries:  # a pipeline whose spec is gone keeps its entries
        load_pipeline(settings, name)
    header = ("entry", "recorded at", "kind", "as of", "effective", "version", "model", "actor", "reason")
    rows = [
        (
            item.seq,
            item.recorded_at.astimezone(UTC),
            item.kind,
            item.as_of,
            item.effective_from,
            item.version,
            item.model_sha256[:16],
            item.by,
            item.reason,
        )
        for item in entries
    ]
    text = table(header, rows) if rows else f"the ledger of {settings.env} has no entry of {name}"
    emit(as_json, {"pipeline": name, "entries": [item.document() for item in entries]}, text)
