"""``diagnose``: one page on a night."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nightshift.cli.output import Ds, Json, PipelineName, emit

if TYPE_CHECKING:
    from nightshift.cli.diagnosis import Diagnosis, Failure


def diagnose(
    pipeline: PipelineName,
    ds: Ds,
    retrain: Annotated[bool, typer.Option("--retrain", help="The retrain as of this day.")] = False,
    as_json: Json = False,
) -> None:
    """Which step of a night failed first, why, and what to do.

    Works while Airflow is down, from what the steps left behind. Exit code 1 where the night is not well.

    Example: nightshift diagnose flights --ds 2013-03-04
    """
    from nightshift.cli.diagnosis import diagnose as ask
    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline

    settings = Settings.from_env()
    found = ask(settings, load_pipeline(settings, pipeline), ds, retrain=retrain)
    emit(as_json, found.document(), page(found))
    if not found.well:
        raise typer.Exit(1)


def page(found: "Diagnosis") -> str:
    """The diagnosis as people read it."""
    head = f"{found.dag} {found.ds}: {'well' if found.well else 'not well'}. Owner: {found.owner}"
    lines = [head, f"Airflow: {found.airflow}" + (f" ({found.run_id})" if found.run_id else "")]
    if found.failure:
        lines += ["", f"First to fail: {found.failure.step}", *_failure(found.failure)]
    if found.later:
        lines.append(f"  failed as well: {', '.join(found.later)}")
    lines += _part("What changed", found.changes)
    lines += _part("Readers see", found.readers)
    lines += _part("Next", found.next)
    return "\n".join(lines)


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
