"""Who pruned and who stopped the platform is kept."""

import json
from pathlib import Path

from nightshift import storage, upkeep_record
from nightshift.actor import system_account
from nightshift.settings import Settings


def test_a_stop_is_kept_and_shown(settings: Settings) -> None:
    upkeep_record.stopped(settings)
    assert not settings.var.exists(), "who deleted everything wants nothing back"
    settings.var.mkdir()
    assert upkeep_record.last_stop(settings) == ""
    upkeep_record.stopped(settings)
    upkeep_record.stopped(settings)
    files = storage.list_files(str(settings.var / "_upkeep"))
    assert len(files) == 2
    newest = storage.read_json(files[-1].uri)
    assert upkeep_record.last_stop(settings) == f"stopped last at {newest['at']} by {system_account()}"


def test_a_record_that_was_altered_is_not_believed(settings: Settings) -> None:
    settings.var.mkdir()
    upkeep_record.stopped(settings)
    [file] = storage.list_files(str(settings.var / "_upkeep"))
    document = storage.read_json(file.uri)
    for text in (json.dumps({**document, "actor": "eve"}), "[", "{}"):
        Path(file.uri).write_text(text)
        assert "not as it was written" in upkeep_record.last_stop(settings)


def test_a_prune_is_kept_beside_the_lake(settings: Settings) -> None:
    upkeep_record.pruned(settings, table="flights/features", files=3)
    [file] = storage.list_files(storage.join(settings.lake, "_upkeep"))
    found = storage.read_json(file.uri)
    assert (found["what"], found["actor"], found["table"], found["files"]) == (
        "prune", system_account(), "flights/features", 3,
    )  # fmt: skip
