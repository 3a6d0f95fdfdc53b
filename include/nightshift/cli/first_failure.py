"""The step of a run that failed first: what it said, and the end of its log."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightshift.cli.night_run import NightRun
from nightshift.job import earlier_run_name
from nightshift.platform.layout import Layout
from nightshift.settings import Settings

LOG_LINES = 12


@dataclass(frozen=True)
class Failure:
    """The step that failed first: what it said (a gate's table with it), its links, and the end of its log.

    ``hidden`` lines of the log are not Nightshift's own: they may quote cells. ``at`` is when, in ISO format.
    """

    step: str
    message: str
    links: dict[str, str] = field(default_factory=dict)
    log: tuple[str, ...] = ()
    hidden: int = 0
    log_file: str = ""
    at: str = ""


def failed_steps(said: Sequence[Mapping[str, Any]], airflow: NightRun) -> dict[str, str]:
    """The steps that failed, the first one first, and when each did, where that is known.

    What a step said last may be of an earlier try: where Airflow lists failed tasks, its word counts. A person who
    marked something hides no cause: what the steps themselves said counts as well then.
    """
    own = {str(item["step"]): str(item.get("at", "")) for item in said if item["status"] == "failed"}
    if not airflow.failed:
        return own
    found: dict[str, str] = {}
    for task in sorted(airflow.failed, key=lambda item: item.ended):
        found.setdefault(task.task, task.ended)
    if airflow.marks:
        found |= own
    return dict(sorted(found.items(), key=lambda item: item[1]))


def first_failure(
    settings: Settings, dag: str, run_id: str, failed: Mapping[str, str], said: Sequence[Mapping[str, Any]]
) -> Failure | None:
    """The failure of the first of the failed steps; None where there is none."""
    if not failed:
        return None
    step, at = next(iter(failed.items()))
    own = next((item for item in said if item["step"] == step and item["status"] == "failed"), None)
    file = _log_file(settings, dag, run_id, step)
    log, hidden = own_lines(file.read_text(errors="replace").splitlines()) if file else ((), 0)
    message = own["message"] if own else next(iter(reversed(log)), "it ended without a word")
    # What the step said stands above the log already.
    log = tuple(line for line in log if line.splitlines()[0] not in message)[-LOG_LINES:]
    return Failure(step, message, own["links"] if own else {}, log, hidden, str(file or ""), at)


def _log_file(settings: Settings, dag: str, run_id: str, step: str) -> Path | None:
    """The newest log of a task on this machine; a run id known from a folder's name alone has other punctuation."""
    root = Layout(settings.var).airflow / "logs" / f"dag_id={dag}"
    ids = {folder.name.removeprefix("run_id="): folder for folder in root.glob("run_id=*")}
    alike = [folder for name, folder in ids.items() if earlier_run_name(name) == run_id]
    folders = [ids[run_id]] if run_id in ids else alike
    files = [file for folder in folders for file in (folder / f"task_id={step}").rglob("attempt=*.log")]
    return max(files, key=lambda file: file.stat().st_mtime, default=None)


def own_lines(lines: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Return what Nightshift's own loggers wrote, none of which carries a cell, and the number of all other lines."""
    own, hidden = [], 0
    for line in lines:
        try:
            record = json.loads(line)
            if not str(record["logger"]).startswith("nightshift"):
                raise KeyError  # another one's
            own.append(f"{record['timestamp'][11:19]} {record['level']}: {record['event']}")
        except (ValueError, KeyError, TypeError):
            hidden += 1
    return tuple(own), hidden
