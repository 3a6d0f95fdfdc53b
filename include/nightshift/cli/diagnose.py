"""``diagnose``: one page on a night."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from nightshift.cli.output import Json, day, emit

if TYPE_CHECKING:
    from nightshift.cli.diagnosis import Diagnosis
    from nightshift.cli.first_failure import Failure
    from nightshift.settings import Settings


def diagnose(
    pipeline: Annotated[str | None, typer.Argument(metavar="PIPELINE", help="Default: every pipeline.")] = None,
    ds: Annotated[
        date | None, typer.Option(parser=day, metavar="DAY", help="Business date. Default: the last night.")
    ] = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="The retrain as of this day.")] = False,
    as_json: Json = False,
) -> None:
    """Show the state of a night, the next command, and the reason.

    The reason is what it waits for, or which step failed first and why. The state is one of OK, OK with warnings,
    WAITING, RUNNING, FAILED, PAUSED, SKIPPED. Works while Airflow is down, from what the steps left behind. Exit code 1
    where a night is WAITING, FAILED or PAUSED, scored nothing, or was changed by another program.

    Example: nightshift diagnose flights --ds 2013-03-04

    Example: nightshift diagnose
    """
    from nightshift.cli.diagnosis import diagnose as ask
    from nightshift.settings import Settings
    from nightshift.specs.calendar import last_night
    from nightshift.specs.load import load_pipeline

    settings = Settings.from_env()
    if retrain and (pipeline is None or ds is None):
        raise typer.BadParameter("--retrain needs PIPELINE and --ds, the as-of date")
    if pipeline is None:
        _diagnose_all(settings, ds, as_json)
        return
    spec = load_pipeline(settings, pipeline)
    found = ask(settings, spec, ds or last_night(spec, datetime.now(UTC)), retrain=retrain)
    emit(as_json, found.document(), page(found))
    if not found.well:
        raise typer.Exit(1)


def _diagnose_all(settings: "Settings", ds: date | None, as_json: bool) -> None:
    """The page of each night that is not well; of the others the first line, and what waits for a person."""
    from nightshift.cli.diagnosis import diagnose as ask
    from nightshift.errors import NightshiftError, foreseen
    from nightshift.specs.calendar import cutoff, last_night
    from nightshift.specs.load import load_all

    pipelines, broken = load_all(settings)
    moment = datetime.now(UTC)
    to_come = [spec for spec in pipelines if ds is None and cutoff(spec.schedule, spec.schedule.start) > moment]
    nights: list[Diagnosis] = []
    unread: dict[str, str] = {}
    for spec in (spec for spec in pipelines if spec not in to_come):
        try:  # of one whose files cannot be read, nothing hides the others
            with foreseen(spec.name):
                nights.append(ask(settings, spec, ds or last_night(spec, moment)))
        except NightshiftError as error:
            unread[spec.name] = str(error)
    text = [f"a spec is not valid, its pipeline has no night: {error.where}; `nightshift check`" for error in broken]
    text += [f"{name}: its night cannot be looked at. {why}" for name, why in unread.items()]
    text += [_brief(night) if night.well else page(night) for night in nights]
    text += [f"{spec.name}: its first night, {spec.schedule.start}, is to come" for spec in to_come]
    document = {
        "nights": [night.document() for night in nights],
        "broken": [str(error) for error in broken],
        "unread": unread,
        "to_come": {spec.name: spec.schedule.start for spec in to_come},
    }
    emit(as_json, document, "\n\n".join(text) or "there is no pipeline")
    if broken or unread or not all(night.well for night in nights):
        raise typer.Exit(1)


def page(found: "Diagnosis") -> str:
    """The diagnosis as people read it: the state, the next command, the reason, then the rest."""
    lines = [_head(found)]
    lines += _part("Next", found.next)
    lines += _part("Why", found.reasons)
    lines += _part("Waits for a person", [found.asked] if found.asked else [])
    if found.failure:
        lines += ["", f"First to fail: {found.failure.step}", *_failure(found.failure)]
    if found.later:
        lines.append(f"  failed as well: {', '.join(found.later)}")
    lines += _part("Warnings", found.warnings)
    lines += _part("What changed", found.changes)
    lines += _part("Readers see", found.readers)
    return "\n".join([*lines, "", f"Airflow: {found.airflow}" + (f" ({found.run_id})" if found.run_id else "")])


def _brief(found: "Diagnosis") -> str:
    return "\n".join([_head(found), *([f"  {found.asked}"] if found.asked else [])])


def _head(found: "Diagnosis") -> str:
    number = len(found.warnings)
    counted = f", {number} {'warning' if number == 1 else 'warnings'}" if number else ""
    return f"{found.dag} {found.ds}: {found.state}{counted}. Owner: {found.owner}"


def _failure(failure: "Failure") -> list[str]:
    lines = [f"  {line}".rstrip() for line in failure.message.splitlines()]
    lines += [f"  {label}: {uri}" for label, uri in failure.links.items()]
    if failure.log:
        lines += ["  the end of its log:", *(f"    {line}" for entry in failure.log for line in entry.splitlines())]
    if failure.log_file:
        lines.append(f"  {failure.hidden} lines of other programs are not shown, since they may quote data: ")
        lines[-1] += failure.log_file
    return lines


def _part(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []
