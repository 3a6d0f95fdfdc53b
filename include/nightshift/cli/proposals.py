"""``proposals``, ``approve``, ``reject``: what the rule would promote and a person decides."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightshift.cli.output import Json, PipelineName, emit, progress, table

if TYPE_CHECKING:
    from nightshift.registry.entry import Entry
    from nightshift.registry.proposals import Fate, Proposal
    from nightshift.settings import Settings
    from nightshift.specs.model import Pipeline

Number = Annotated[
    int | None, typer.Option("--proposal", metavar="N", help="Its number in the ledger. Default: the one that waits.")
]
Why = Annotated[str, typer.Option("--reason", help="Why; kept in the ledger with who answered.")]
Login = Annotated[
    str,
    typer.Option("--login", metavar="NAME", help="Your login of Airflow. Default: NIGHTSHIFT_AIRFLOW_USER, or admin."),
]

# What the run needs to record an answer: two tasks of Airflow, one after the other.
_PATIENCE, _PAUSE = 90.0, 1.0


def proposals(
    pipeline: Annotated[str | None, typer.Argument(metavar="PIPELINE", help="Default: all, what waits alone.")] = None,
    as_json: Json = False,
) -> None:
    """Show what waits for a person's approval; of one pipeline also what became of earlier proposals.

    Example: nightshift proposals flights
    """
    from nightshift.registry.ledger import Ledger
    from nightshift.registry.proposals import fate
    from nightshift.registry.proposals import proposals as all_of
    from nightshift.settings import Settings
    from nightshift.specs.load import load_all, load_pipeline

    settings, now = Settings.from_env(), datetime.now(UTC)
    specs = [load_pipeline(settings, pipeline)] if pipeline else load_all(settings)[0]
    entries = Ledger.of(settings).entries(pipeline)
    found: list[tuple[Proposal, Fate]] = []
    for spec in specs:
        own = [entry for entry in entries if entry.pipeline == spec.name]
        found += [(item, fate(own, spec.schedule, item, now)) for item in all_of(own)]
    shown = found if pipeline else [(item, what) for item, what in found if what.state in ("open", "held")]
    header = ("proposal", "pipeline", "version", "as of", "ordered by", "until (UTC)", "state", "why")
    rows = [
        (item.seq, item.entry.pipeline, item.entry.version, item.as_of, item.ordered_by or "the schedule",
         f"{item.expires_at:%Y-%m-%d %H:%M}", what.state, what.why or item.entry.reason)
        for item, what in shown
    ]  # fmt: skip
    text = table(header, rows) if rows else "no proposal waits" if not pipeline else "there never was a proposal"
    emit(as_json, {"proposals": [_document(item, what) for item, what in shown]}, text)


def approve(
    pipeline: PipelineName, reason: Why, proposal: Number = None, login: Login = "", as_json: Json = False
) -> None:
    """Approve what the rule would promote; it scores from the next night on.

    What a person ordered, another one approves. You sign in to Airflow, whose record of you the ledger keeps. Exit code
    1 where the answer was recorded as a refusal, since the champion has changed meanwhile, for one.

    Example: nightshift approve flights --reason "the holdout is a usual week, ticket 4711"
    """
    from nightshift.registry.window import APPROVE

    _answered(pipeline, APPROVE, reason, proposal, login, as_json)


def reject(
    pipeline: PipelineName, reason: Why, proposal: Number = None, login: Login = "", as_json: Json = False
) -> None:
    """Reject what the rule would promote; the champion stays.

    Example: nightshift reject flights --reason "the holdout had a strike, ticket 4711"
    """
    from nightshift.registry.window import REJECT

    _answered(pipeline, REJECT, reason, proposal, login, as_json)


def _answered(name: str, choice: str, reason: str, number: int | None, login: str, as_json: bool) -> None:
    from nightshift.plan import RETRAIN_SUFFIX
    from nightshift.registry.ledger import Ledger
    from nightshift.registry.window import APPROVE, PROPOSAL, REASON, stated
    from nightshift.run_facts import WINDOW
    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline

    progress()
    try:
        reason = stated(reason)
    except ValueError as error:
        raise typer.BadParameter(f"--reason: {error}") from None
    settings = Settings.from_env()
    spec = load_pipeline(settings, name)
    item = _waiting(spec, Ledger.of(settings).entries(name), number, approves=choice == APPROVE)
    with _signed_in(settings, login) as client:
        if choice == APPROVE:
            _may(item, client.user)
        given = {REASON: reason, PROPOSAL: item.seq}
        by = client.answer(name + RETRAIN_SUFFIX, item.run_id, WINDOW, choice, given)
    entry = _ended(settings, name, item.seq)
    if entry is None:
        said = f"{by} answered proposal {item.seq} ({choice}); its run will record it: nightshift proposals {name}"
    else:
        said = f"entry {entry.seq}, {entry.kind} of version {entry.version}: {entry.reason}"
    emit(as_json, {"proposal": item.seq, "by": by, "choice": choice, "entry": entry and entry.document()}, said)
    if entry is not None and (entry.kind == "approval") != (choice == APPROVE):
        raise typer.Exit(1)


def _waiting(spec: "Pipeline", entries: "Sequence[Entry]", number: int | None, *, approves: bool) -> "Proposal":
    """The proposal that is meant. Raises OrderRefused where it does not wait."""
    from nightshift.errors import OrderRefused
    from nightshift.registry.proposals import fate, find_proposal, open_proposal

    now = datetime.now(UTC)
    item = open_proposal(entries, spec.schedule, now) if number is None else find_proposal(entries, number)
    if item is None:
        raise OrderRefused(
            "no proposal waits for an answer", where=spec.name, do=f"see `nightshift proposals {spec.name}`"
        )
    what = fate(entries, spec.schedule, item, now)
    if what.state in ("approved", "refused", "expired") or (approves and what.state != "open"):
        after = "`nightshift unfreeze` first" if what.state == "held" else "the next retrain decides anew"
        raise OrderRefused(f"proposal {item.seq} is {what.state}: {what.why}", where=spec.name, do=after)
    return item


def _may(item: "Proposal", user: str) -> None:
    from nightshift.errors import OrderRefused
    from nightshift.registry.proposals import why_not_by

    if why := why_not_by(item, user):
        raise OrderRefused(
            why, where=f"proposal {item.seq} of {item.entry.pipeline}", do="let another person approve it, by --login"
        )


def _signed_in(settings: "Settings", name: str) -> Any:
    """A client of Airflow with a person's login, as orders have it; ``name`` stands for the one of settings."""
    from dataclasses import replace

    from nightshift.platform.airflow_client import AirflowClient
    from nightshift.platform.signed_in import credentials

    other = name and name != settings.airflow_user
    settings = replace(settings, airflow_user=name, airflow_password_file=None) if other else settings
    return AirflowClient(settings, *credentials(settings))


def _ended(settings: "Settings", name: str, seq: int) -> "Entry | None":
    """The entry that ended the proposal, once its run has recorded it; None where that takes too long."""
    from nightshift.registry.ledger import Ledger
    from nightshift.registry.proposals import ended

    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if entry := ended(Ledger.of(settings).entries(name), seq):
            return entry
        time.sleep(_PAUSE)
    return None


def _document(item: "Proposal", what: "Fate") -> dict[str, Any]:
    entry = item.entry
    return {
        "proposal": item.seq,
        "pipeline": entry.pipeline,
        "version": entry.version,
        "model_sha256": entry.model_sha256,
        "champion_sha256": item.champion_sha256,
        "as_of": item.as_of,
        "proposed_at": entry.recorded_at,
        "ordered_by": item.ordered_by,
        "expires_at": item.expires_at,
        "supersedes": item.supersedes,
        "state": what.state,
        "why": what.why,
        "rule": entry.reason,
        "run_id": item.run_id,
        "entry": what.entry and what.entry.seq,
    }
