"""What the steps of a run said, kept below the reports: ``<reports>/<pipeline>/_runs/<dag>/<run>/<step>.json``."""

from typing import Any

from nightshift import storage
from nightshift.job import Outcome, run_name
from nightshift.plan import pipeline_of
from nightshift.settings import Settings
from nightshift.steps import STEPS


def run_folder(settings: Settings, dag: str, run_id: str) -> str:
    """The folder of a run."""
    return storage.join(settings.reports, pipeline_of(dag), "_runs", dag, run_name(run_id))


def keep(settings: Settings, dag: str, run_id: str, outcome: Outcome, status: str, seconds: float) -> None:
    """Keeps what a step said last; ``status`` is the Outcome's, or ``failed``."""
    document = {**outcome.document(), "status": status, "seconds": round(seconds, 1)}
    storage.write_json(storage.join(run_folder(settings, dag, run_id), f"{outcome.step}.json"), document)


def read_run(settings: Settings, dag: str, run_id: str) -> list[dict[str, Any]]:
    """What the steps of a run said, in the order of the steps; nothing where there is no such run."""
    files = storage.list_files(run_folder(settings, dag, run_id))
    said = {document["step"]: document for document in (storage.read_json(file.uri) for file in files)}
    return [said[name] for name in STEPS if name in said]


def run_ids(settings: Settings, dag: str, ds: str) -> list[str]:
    """The folders' names of the runs of a day, the one that said something last first; run ids but for punctuation."""
    root = storage.join(settings.reports, pipeline_of(dag), "_runs", dag)
    found = []
    for name in storage.list_folders(root):
        files = storage.list_files(storage.join(root, name))
        if files and storage.read_json(files[0].uri)["ds"] == ds:
            found.append((max(file.mtime_ns for file in files), name))
    return [name for _, name in sorted(found, reverse=True)]
