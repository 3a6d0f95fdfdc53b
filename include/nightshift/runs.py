"""What the steps of a run said, kept below the reports: ``<reports>/<pipeline>/_runs/<dag>/<run>/<step>-<try>.json``.

A step whose parts are tasks of their own (the shards of ``score``) has files for each: ``<step>.<part>-<try>.json``. No
file is written twice; of the tries of a step the last one counts. A file ends in the digest of what it says, with the
id of its run: one that was altered, or is another run's, is counted and not shown.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from nightshift import storage
from nightshift.job import Outcome, earlier_run_name, new_attempt, run_name
from nightshift.lineage import canonical, sha256
from nightshift.plan import pipeline_of
from nightshift.run_facts import LAST_STEPS, WINDOW
from nightshift.settings import Settings
from nightshift.steps import SAY_SOMETHING, STEPS, shards_line

MOST_LINKS = 10
_RETRAIN = {WINDOW, *(name for name, step in STEPS.items() if step.dag == "retrain")}
_ROWS = {"gate_predictions": "scored", "gate_features": "of features", "gate_inputs": "landed"}


@dataclass(frozen=True)
class RunPage:
    """The outcomes of the steps of a run, in their order; how many files were ``altered``, and are left out.

    ``earlier``: an earlier version kept it, under a name that runs shared whose ids differ in punctuation.
    """

    steps: list[dict[str, Any]]
    altered: int = 0
    earlier: bool = False


def run_folder(settings: Settings, dag: str, run_id: str) -> str:
    """The folder of a run."""
    return storage.join(_root(settings, dag), run_name(run_id))


def run_path(dag: str, run_id: str) -> str:
    """Path in the Airflow UI of the page that shows what the steps of a run said."""
    return f"/nightshift/runs/{quote(dag)}/{quote(run_id, safe='')}"


def pipeline_path(dag: str) -> str:
    """Path in the Airflow UI of the page of a DAG's pipeline."""
    return f"/nightshift/pipelines/{quote(pipeline_of(dag))}"


def run_address(settings: Settings, dag: str, run_id: str) -> str:
    """Address of that page."""
    return settings.airflow_address + run_path(dag, run_id)


def keep(
    settings: Settings,
    dag: str,
    run_id: str,
    outcome: Outcome,
    status: str,
    seconds: float,
    part: int | None = None,
    **more: str,
) -> None:
    """Keeps what a try of a step, or of a part of it, said; ``status`` is the Outcome's, or ``failed``.

    ``more`` are ``attempt``, and who asked for the run (``by``), why (``reason``) and for a ``rebuild``, where known.
    """
    at, attempt = datetime.now(UTC).isoformat(timespec="microseconds"), more.get("attempt") or new_attempt()
    own = {"run_id": run_id, **more, "attempt": attempt, "at": at}
    document = {**outcome.document(), "status": status, "seconds": round(seconds, 1), "part": part, **own}
    name = outcome.step if part is None else f"{outcome.step}.{part}"
    uri = storage.join(run_folder(settings, dag, run_id), f"{name}-{attempt}.json")
    storage.create_json(uri, {**document, "digest": _digest(document)})


def read_run(settings: Settings, dag: str, run_id: str) -> list[dict[str, Any]]:
    """The outcomes of the steps of a run, in the order of the steps; nothing where there is no such run."""
    return read_page(settings, dag, run_id).steps


def read_page(settings: Settings, dag: str, run_id: str) -> RunPage:
    """The page of a run; one without steps where there is no such run."""
    files = _documents(run_folder(settings, dag, run_id))
    if not files:
        folder = storage.join(_root(settings, dag), earlier_run_name(run_id))
        found = list(filter(None, (_earlier(file.uri) for file in _documents(folder))))
        return RunPage(_steps(found), earlier=bool(found))
    read = [_intact(file.uri) for file in files]
    last: dict[tuple[str, int | None], dict[str, Any]] = {}
    for document in sorted((item for item in read if item), key=lambda item: str(item["at"])):
        last[document["step"], document["part"]] = document
    return RunPage(_steps(list(last.values())), altered=read.count(None))


def _steps(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    said: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        said.setdefault(document["step"], []).append(document)
    if "score" in said and "plan_scoring" in said:  # an earlier plan of the run may have had more shards
        planned = said["plan_scoring"][0]["counts"].get("shards", len(said["score"]))
        said["score"] = [shard for shard in said["score"] if (shard.get("part") or 0) < planned]
    return [_whole(said[name]) for name in SAY_SOMETHING if said.get(name)]


def _root(settings: Settings, dag: str) -> str:
    return storage.join(settings.reports, pipeline_of(dag), "_runs", dag)


def _digest(document: Mapping[str, Any]) -> str:
    return sha256(canonical({name: value for name, value in document.items() if name != "digest"}))


def _intact(uri: str) -> dict[str, Any] | None:
    """The document of a file, if it is as it was written, and of the run whose folder it is in."""
    document = _document(uri)
    own = run_name(str(document.get("run_id"))) == uri.split("/")[-2]
    return document if own and document.get("digest") == _digest(document) else None


def _earlier(uri: str) -> dict[str, Any]:
    """The document of a file of an earlier version, which had no digest; empty of others."""
    document = _document(uri)
    return {} if "digest" in document or "step" not in document else document


def _document(uri: str) -> dict[str, Any]:
    try:
        return dict(storage.read_json(uri))
    except (ValueError, TypeError):
        return {}


def summary(said: Sequence[Mapping[str, Any]]) -> str:
    """A run in one line, from what its steps said: rows, champion or decision, what it did without, warnings."""
    steps = {step["step"]: step for step in said}
    failed = [name for name, step in steps.items() if step["status"] == "failed"]
    words = [f"failed in {', '.join(failed)}"] if failed else []
    words += _trained(steps) if any(name in _RETRAIN for name in steps) else _scored(steps)
    words += [f"without {item['names']['without']}" for item in said if item.get("names", {}).get("without")]
    words.append(f"{_total(steps.values(), 'rows_quarantined', 'quarantined'):,.0f} quarantined")
    warnings = _total(steps.values(), "warnings")
    words.append(f"{warnings:,.0f} {'warning' if warnings == 1 else 'warnings'}" if warnings else "no warning")
    statuses = {step["status"] for name, step in steps.items() if name not in _ALWAYS}
    if "up_to_date" in statuses and statuses <= {"up_to_date", "nothing"}:
        words.append("everything was up to date")
    over = bool(failed) or any(name in steps for name in LAST_STEPS)
    return ("" if over else "so far: ") + ", ".join(words)


def refused_corrections(said: Sequence[Mapping[str, Any]]) -> int:
    """The number of corrected deliveries that the run's gates refused: what was published before stays."""
    return int(_total(said, "corrections_refused"))


_ALWAYS = ("inputs_landed", "training_set", "gate_training", "decide", WINDOW)
"""Steps that say ``done`` even where nothing was to be done."""


def _scored(steps: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, words in _ROWS.items():
        counts = steps[name]["counts"] if name in steps else {}
        rows = counts.get("rows", counts.get("rows_landed"))
        if rows is not None:
            yield f"{rows:,.0f} rows {words}"
            break
    champion = steps.get("plan_scoring", {}).get("names", {}).get("champion")
    yield f"champion version {champion}" if champion else "not scored"


def _trained(steps: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    counts = steps["training_set"]["counts"] if "training_set" in steps else {}
    if counts:
        yield f"{counts['rows']:,.0f} rows of {counts['days']:,.0f} days"
    # A training set that is refused is the run's decision.
    told = [step for name in ("promote", "decide", "training_set") if (step := steps.get(name))]
    decided = [step for step in told if step["step"] != "training_set" or step["status"] == "nothing"]
    yield from (str(step["message"]) for step in decided[:1] if step["status"] != "failed")


def _total(steps: Iterable[Mapping[str, Any]], *names: str) -> float:
    return float(sum(step["counts"].get(name, 0) for step in steps for name in names))


def _whole(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a step said as a whole: shards count together, and one that failed is the step's failure."""
    if len(parts) == 1:
        return parts[0]
    failed = [part for part in sorted(parts, key=lambda part: part["part"]) if part["status"] == "failed"]
    counts = {name: _total(parts, name) for name in ("rows", "shards")}
    message = shards_line(**counts)
    if failed:
        message = f"{len(failed)} of {len(parts)} shards failed, the first: {failed[0]['message']}"
    slowest = max(part["seconds"] for part in parts)
    told = failed[0] if failed else parts[0]
    return {**told, "message": message, "counts": counts, "seconds": slowest}


def link_lines(links: Mapping[str, str], others: str) -> Iterator[str]:
    """A line for each link; of very many the first ones, and how many more ``others`` (a place) has."""
    for label, address in list(links.items())[:MOST_LINKS]:
        yield f"{label}: {address}"
    if len(links) > MOST_LINKS:
        yield f"and {len(links) - MOST_LINKS} more: {others}"


def run_ids(settings: Settings, dag: str, ds: str) -> list[str]:
    """The ids of the runs of a day, the one that said something last first.

    Of a run that an earlier version kept, its folder's name: the id but for punctuation.
    """
    root = _root(settings, dag)
    found = []
    for name in storage.list_folders(root):
        files = _documents(storage.join(root, name))
        documents = (_intact(file.uri) or _earlier(file.uri) for file in files)
        first: Mapping[str, Any] = next(filter(None, documents), {})
        if first.get("ds") == ds:
            found.append((max(file.mtime_ns for file in files), str(first.get("run_id", name))))
    return [name for _, name in sorted(found, reverse=True)]


def _documents(folder: str) -> list[storage.StoredFile]:
    """What steps left; a process that was killed while it wrote may have left something else beside it."""
    return [file for file in storage.list_files(folder) if file.uri.endswith(".json")]
