"""A lake and models that the version before made, upgraded in place: nothing is built anew, no night is lost.

``lake.tar.xz`` was made by commit fea2b27, the last that hashed code by its text, as ``nights.py`` says.
"""

import re
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from nightshift import earlier_scheme, tables
from nightshift.earlier_scheme import library_code
from nightshift.errors import ModelMismatch
from nightshift.features.build import plan_features
from nightshift.features.serving import servable
from nightshift.freshness.nights import look
from nightshift.inputs.run import gate_inputs
from nightshift.job import Job, Outcome
from nightshift.parts import VERSIONS
from nightshift.registry.champions import champion_as_of
from nightshift.registry.detection import verify
from nightshift.registry.ledger import Ledger, create_ledger
from nightshift.scoring.worker import score_shard
from nightshift.settings import Settings
from tests.conftest import PROJECT
from tests.postgres import WRITER, Database
from tests.unit.features.lake import MODULE, home_with_module
from tests.unit.scoring.parcels import make_plan, write_plan
from tests.upgrade.nights import (
    AS_OF,
    BROKEN_OFF,
    FIRST,
    LAST,
    SCORED,
    build,
    gate,
    job_of,
    land,
    promote,
    score,
    train,
)

DATASETS = ("inputs/orders", "inputs/deliveries", "inputs/depots", "features", "labels", "predictions", "monitoring")
NIGHTS = tuple(FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1))


@pytest.fixture
def settings(settings: Settings, database: Database, tmp_path: Path) -> Settings:
    """Settings whose lake, models and landing are those of the version before, with its ledger's one entry."""
    with tarfile.open(Path(__file__).with_name("lake.tar.xz")) as archive:
        archive.extractall(tmp_path / "var", filter="data")
    create_ledger(database.owner_url, WRITER)
    settings = replace(home_with_module(settings, tmp_path / "home"), database_url=database.writer_url)
    [model] = {path.stem for path in Path(settings.models, "by-fingerprint").parent.glob("*.json")}
    promote(settings, model)
    return settings


def versions(settings: Settings) -> dict[str, int]:
    job = job_of(settings, LAST)
    return {name: tables.state(job.table(name)).version for name in DATASETS}


def statuses(outcomes: Iterable[Outcome]) -> dict[str, str]:
    return {outcome.step: outcome.status for outcome in outcomes}


def run(job: Job) -> dict[str, str]:
    """A whole night, run again."""
    built = [gate_inputs(job), plan_features(job)[0], *gate(job)]
    return statuses([*built, *(score(job) if job.ds >= SCORED else [])])


def test_nothing_is_built_scored_evaluated_or_trained_anew(settings: Settings) -> None:
    before = versions(settings)
    for ds in NIGHTS:
        found = run(job_of(settings, ds, "after"))
        assert found == dict.fromkeys(found, "up_to_date"), ds
    assert statuses(train(job_of(settings, AS_OF, "after")))["train"] == "up_to_date"
    assert versions(settings) == before
    nights = look(settings, job_of(settings, LAST).pipeline, NIGHTS)
    assert [night.features.state for night in nights] == ["up_to_date"] * len(NIGHTS)
    assert all(night.up_to_date for night in nights if date.fromisoformat(night.ds) >= SCORED)


def test_the_champion_serves_the_nights_to_come_and_the_one_that_was_under_way(settings: Settings) -> None:
    under_way = job_of(settings, BROKEN_OFF)
    [champion] = [champion_as_of(Ledger.of(settings).entries("parcels"), LAST)]
    assert champion is not None
    assert servable(settings, under_way.pipeline, champion)[1] == ""
    # The task that staged the features ended before the upgrade, the gate begins after it.
    assert statuses([*gate(under_way), *score(under_way)]) == {
        "gate_features": "done", "gate_labels": "done", "plan_scoring": "done", "gate_predictions": "done",
        "monitor": "done",
    }  # fmt: skip
    tomorrow = BROKEN_OFF + timedelta(days=1)
    land(settings, tomorrow)
    job = job_of(settings, tomorrow, "after")
    build(job)
    assert set(statuses([*gate(job), *score(job)]).values()) == {"done"}
    assert statuses(train(replace(job, ds=tomorrow)))["train"] == "done"
    # What is new has the new names, and stays.
    assert set(run(job).values()) == {"up_to_date"}
    assert set(run(under_way).values()) == {"up_to_date"}


def test_what_the_version_before_made_is_no_alarm_and_what_is_published_now_is_covered(settings: Settings) -> None:
    before = verify(settings)
    # The fixture's lake comes without its ledger: predictions name a head that the one of now never had.
    assert {finding.kind for finding in before.findings} <= {"unknown"}
    assert all(table.since is None and table.before for table in before.tables)
    under_way = job_of(settings, BROKEN_OFF)
    gate(under_way)
    found = verify(settings)
    assert found.findings == before.findings
    covered = {Path(table.table).name: table for table in found.tables if table.since is not None}
    assert covered.keys() >= {"features", "labels"}
    # To take all digests out of a table's log does not make it one of before.
    for file in Path(covered["features"].table, "_delta_log").glob("*.json"):
        file.write_text(re.sub(r', \\"sha256\\": \\"[0-9a-f]{64}\\"', "", file.read_text()))
    [finding] = set(verify(settings).findings) - set(before.findings)
    assert (finding.kind, "was taken out" in finding.what) == ("commit", True)


def test_a_model_of_now_scores_days_of_before(settings: Settings) -> None:
    """A backfill of an old day with a new champion: the day keeps its name, and its features fit."""
    job = job_of(settings, BROKEN_OFF, "after")
    build(job)
    gate(job)
    retrain = job_of(settings, BROKEN_OFF - timedelta(days=1), "retrain", generation=1)
    assert statuses(train(retrain))["train"] == "done"
    promote(settings, retrain.left("train")["sha256"])
    planned, gated, _ = score(job_of(settings, LAST, "again"))
    assert (planned.status, gated.status) == ("done", "done")


def test_once_its_recipe_changes_a_day_is_stale_as_it_was_before(settings: Settings) -> None:
    module = settings.feature_modules / "parcels.py"
    module.write_text(MODULE.replace("return inputs, days", "return days, inputs"))
    [night] = look(settings, job_of(settings, LAST).pipeline, [LAST])
    assert (night.features.state, night.labels.state) == ("stale", "up_to_date")
    champion = champion_as_of(Ledger.of(settings).entries("parcels"), LAST)
    assert champion is not None
    pipeline = job_of(settings, LAST).pipeline
    assert "the model was trained with feature code" in servable(settings, pipeline, champion)[1]
    # What the old hash counted and the new one does not is a change still, for what the old one named.
    module.write_text(MODULE + "\n\ndef unused():\n    pass\n")
    [night] = look(settings, pipeline, [LAST])
    assert night.features.state == "stale"


@pytest.mark.parametrize(("part", "stale"), [("building", ("features", "labels")), ("csv", ("inputs",))])
def test_a_part_that_gives_other_rows_ends_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, part: str, stale: tuple[str, ...]
) -> None:
    monkeypatch.setitem(VERSIONS, part, VERSIONS[part] + 1)
    [night] = look(settings, job_of(settings, LAST).pipeline, [LAST])
    found = {name: getattr(night, name).state for name in ("inputs", "features", "labels")}
    assert all(found[name] == "stale" for name in stale)


def test_a_shard_of_a_plan_from_before_is_scored(tmp_path: Path) -> None:
    made = make_plan(tmp_path, [10])
    [code] = library_code("scoring")
    plan = write_plan(made, scoring_code=code)
    assert score_shard(plan.uri, 0, "a", lambda _: None)[1]
    other = write_plan(made, scoring_code="f0")
    with pytest.raises(ModelMismatch, match="the scoring code is"):
        score_shard(other.uri, 0, "a", lambda _: None)


@pytest.mark.parametrize("module", ["flights", "departures"])
def test_transforms_of_the_library_that_give_the_same_rows_keep_their_hash_of_then(module: str, tmp_path: Path) -> None:
    """Of each file whose text of then is kept, and of no other: a mend of its mend must be looked at, too."""
    shutil.copytree(PROJECT / "spark_jobs", tmp_path / "spark_jobs", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "spark_jobs" / "transforms" / "internal.py").unlink()
    for text in Path(earlier_scheme.__file__).with_name("earlier_transforms").iterdir():
        file = tmp_path / "spark_jobs" / "transforms" / text.name.removesuffix(".txt")
        assert file.read_text() != text.read_text()
        shutil.copy(text, file)
    for entry in ("build", "label"):
        then, now = (earlier_scheme.feature_code(home, module, entry) for home in (tmp_path, PROJECT))
        assert then == now
