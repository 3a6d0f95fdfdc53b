"""What the steps of a run said, kept below the reports: ``<reports>/<pipeline>/_runs/<dag>/<run>/<step>.json``.

A step whose parts are tasks of their own (the shards of ``score``) has a file for each: ``<step>.<part>.json``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nightshift import storage
from nightshift.job import Outcome, run_name
from nightshift.plan import pipeline_of
from nightshift.settings import Settings
from nightshift.steps import STEPS, shards_line

LAST_STEPS = ("monitor", "promote")
_ROWS = {"gate_predictions": "scored", "gate_features": "of features", "gate_inputs": "landed"}


def run_folder(settings: Settings, dag: str, run_id: str) -> str:
    """The folder of a run."""
    return storage.join(settings.reports, pipeline_of(dag), "_runs", dag, run_name(run_id))


def keep(
    settings: Settings, dag: str, run_id: str, outcome: Outcome, status: str, seconds: float, part: int | None = None
) -> None:
    """Keeps what a step, or a part of it, said last; ``status`` is the Outcome's, or ``failed``."""
    document = {**outcome.document(), "status": status, "seconds": round(seconds, 1), "part": part}
    name = outcome.step if part is None else f"{outcome.step}.{part}"
    storage.write_json(storage.join(run_folder(settings, dag, run_id), f"{name}.json"), document)


def read_run(settings: Settings, dag: str, run_id: str) -> list[dict[str, Any]]:
    """What the steps of a run said, in the order of the steps; nothing where there is no such run."""
    said: dict[str, list[dict[str, Any]]] = {}
    for file in _documents(run_folder(settings, dag, run_id)):
        document = storage.read_json(file.uri)
        said.setdefault(document["step"], []).append(document)
    if "score" in said and "plan_scoring" in said:  # an earlier plan of the run may have had more shards
        planned = said["plan_scoring"][0]["counts"].get("shards", len(said["score"]))
        said["score"] = [shard for shard in said["score"] if (shard.get("part") or 0) < planned]
    return [_whole(said[name]) for name in STEPS if said.get(name)]


def summary(said: Sequence[Mapping[str, Any]]) -> str:
    """A run in one line, from what its steps said: rows, quarantined, champion or decision, gate warnings."""
    steps = {step["step"]: step for step in said}
    failed = [name for name, step in steps.items() if step["status"] == "failed"]
    words = [f"failed in {', '.join(failed)}"] if failed else []
    words += _trained(steps) if any(STEPS[name].dag == "retrain" for name in steps) else _scored(steps)
    words.append(f"{_total(steps.values(), 'rows_quarantined', 'quarantined'):,.0f} quarantined")
    warnings = _total(steps.values(), "warnings")
    words.append(
        f"{warnings:,.0f} gate {'warning' if warnings == 1 else 'warnings'}" if warnings else "no gate warning"
    )
    statuses = {step["status"] for name, step in steps.items() if name not in _ALWAYS}
    if "up_to_date" in statuses and statuses <= {"up_to_date", "nothing"}:
        words.append("everything was up to date")
    over = bool(failed) or any(name in steps for name in LAST_STEPS)
    return ("" if over else "so far: ") + ", ".join(words)


_ALWAYS = ("inputs_landed", "training_set", "gate_training", "decide")
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


def run_ids(settings: Settings, dag: str, ds: str) -> list[str]:
    """The folders' names of the runs of a day, the one that said something last first; run ids but for punctuation."""
    root = storage.join(settings.reports, pipeline_of(dag), "_runs", dag)
    found = []
    for name in storage.list_folders(root):
        files = _documents(storage.join(root, name))
        if files and storage.read_json(files[0].uri)["ds"] == ds:
            found.append((max(file.mtime_ns for file in files), name))
    return [name for _, name in sorted(found, reverse=True)]


def _documents(folder: str) -> list[storage.StoredFile]:
    """What steps left; a process that was killed while it wrote may have left something else beside it."""
    return [file for file in storage.list_files(folder) if file.uri.endswith(".json")]
