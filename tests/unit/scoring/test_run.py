"""plan_scoring and gate_predictions over a real ledger, real tables and Great Expectations."""

import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from nightshift import storage, tables
from nightshift.commands import ScoreCommand
from nightshift.errors import GateFailed, InputMissing, ModelMismatch, ModelNotFound, NightshiftError, PartitionDamaged
from nightshift.features.recipes import code_of, feature_spec
from nightshift.job import Job, new_attempt
from nightshift.lineage import sha256
from nightshift.model_manifest import ModelManifest, model_uri
from nightshift.registry.ledger import Ledger, NewEntry, create_ledger
from nightshift.scoring.plan import read_plan, read_result, result_uri
from nightshift.scoring.run import gate_predictions, plan_scoring
from nightshift.scoring.worker import score_shard
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from tests.conftest import make_pipeline
from tests.postgres import WRITER, Database
from tests.unit.scoring.parcels import features, make_home, publish_features, register, train

DAY = date(2024, 2, 10)


@pytest.fixture
def job(settings: Settings, database: Database, tmp_path: Path) -> Job:
    """A job of 2,500 features in three files, divided into shards of at most 1,000 rows. No model yet."""
    create_ledger(database.owner_url, WRITER)
    home = make_home(tmp_path / "home")
    pipeline = make_pipeline(scoring={"rows_per_shard": 1_000})
    job = Job(replace(settings, home=home, database_url=database.writer_url), pipeline, DAY)
    publish_features(job, features(2_500))
    return job


def promote(job: Job, as_of: date = date(2024, 2, 8), seed: int = 0, **changes: str) -> ModelManifest:
    """A model, registered and champion from the day after ``as_of``."""
    changes = {
        "feature_code": code_of(job.settings.home, job.pipeline)["features"],
        "feature_spec": feature_spec(job.pipeline),
        **changes,
    }
    objective = job.pipeline.label.objective
    manifest = register(job.settings.models, train(objective, seed), objective, **changes)
    effective = date.fromordinal(as_of.toordinal() + 1)
    Ledger.of(job.settings).append(
        NewEntry("parcels", "promotion", "test", "test", as_of, effective, f"v{seed}", manifest.sha256)
    )
    return manifest


def again(job: Job, **changes: Any) -> Job:
    """The next try."""
    return replace(job, attempt=new_attempt(), **changes)


def score(job: Job) -> list[bool]:
    """All shards of the job's plan; whether each was scored now."""
    left = job.left("plan_scoring")
    return [score_shard(left["plan"], shard, new_attempt(), lambda _: None)[1] for shard in range(left["shards"])]


def published(job: Job) -> pa.Table:
    found = tables.state(job.table("predictions"))
    return tables.read(found.uri, found.files(job.day))


def version(job: Job) -> int:
    return tables.state(job.table("predictions")).version


def test_a_night(job: Job) -> None:
    model = promote(job)
    planned = plan_scoring(job)
    assert (planned.status, planned.message) == (
        "done", f"2500 rows in 3 shards with version v0 (model {model.sha256[:16]}, 2 days old)",
    )  # fmt: skip
    left = job.left("plan_scoring")
    assert (left["shards"], left["status"], left["replaces"]) == (3, "done", "")
    assert score(job) == [True] * 3
    outcome = gate_predictions(job)
    assert (outcome.status, outcome.message) == (
        "done", "predictions of 2024-02-10: 2500 rows published as version 1, 0 quarantined, gate passed",
    )  # fmt: skip
    rows = published(job)
    assert rows.column_names == ["parcel_id", "score", "model"]
    assert sorted(rows["parcel_id"].to_pylist()) == features(2_500)["parcel_id"].to_pylist()
    assert np.isfinite(rows["score"].to_numpy()).all()
    plan = read_plan(left["plan"])
    manifest = tables.state(job.table("predictions")).manifest(job.day)
    assert manifest is not None
    assert manifest.model_sha256 == model.sha256
    assert manifest.ledger_head == Ledger.of(job.settings).head()
    assert manifest.upstream["features"].days == {job.day: plan.features}
    assert (manifest.counts["features"], manifest.counts["rows"], manifest.counts["shards"]) == (2_500, 2_500, 3)
    assert manifest.gate is not None
    assert storage.exists(outcome.links["gate report"])


def test_a_second_night_scores_and_commits_nothing(job: Job) -> None:
    promote(job)
    plan_scoring(job)
    score(job)
    gate_predictions(job)
    before, second = version(job), again(job, run_id="second")
    planned = plan_scoring(second)
    assert (planned.status, planned.message.endswith("; already published")) == ("up_to_date", True)
    assert second.left("plan_scoring")["plan"] == job.left("plan_scoring")["plan"]
    assert score(second) == [False] * 3
    outcome = gate_predictions(second)
    assert outcome.status == "up_to_date"
    assert outcome.message.startswith("predictions of 2024-02-10 are up to date (2500 rows, ")
    assert version(job) == before


def test_a_retry_scores_missing_shards_alone(job: Job) -> None:
    promote(job)
    plan_scoring(job)
    plan = job.left("plan_scoring")["plan"]
    score_shard(plan, 1, "one", lambda _: None)
    with pytest.raises(NightshiftError) as caught:
        gate_predictions(job)
    assert str(caught.value) == (
        f"{plan}: 2 of 3 shards have no result: 0, 2. "
        "What to do: clear the failed score tasks of 2024-02-10; shards that are done are not scored again."
    )
    assert score(job) == [True, False, True]
    assert gate_predictions(again(job)).status == "done"


def test_other_features_are_scored_anew_and_replace_what_was_published(job: Job) -> None:
    promote(job)
    for orders, count in (("o1", 2_500), ("o2", 1_200)):
        publish_features(job, features(count), orders)
        plan_scoring(job)
        score(job)
        gate_predictions(again(job))
        assert published(job).num_rows == count


def test_each_day_keeps_the_champion_as_of_it(job: Job) -> None:
    old = promote(job)
    plan_scoring(job)
    promote(job, as_of=DAY, seed=1)  # takes effect on the day after
    later = again(job, ds=date(2024, 2, 11))
    publish_features(later, features(10))
    plan_scoring(again(job))
    plan_scoring(later)
    assert read_plan(job.left("plan_scoring")["plan"]).model_sha256 == old.sha256
    assert read_plan(later.left("plan_scoring")["plan"]).model_sha256 != old.sha256


def test_without_a_champion_the_first_day_with_one_is_named(job: Job) -> None:
    with pytest.raises(ModelNotFound, match="Allowed: the ledger names no champion at all"):
        plan_scoring(job)
    promote(job, as_of=date(2024, 2, 20))
    with pytest.raises(ModelNotFound) as caught:
        plan_scoring(job)
    assert str(caught.value) == (
        "parcels: there is no champion as of 2024-02-10. Allowed: the first ds with a champion is 2024-02-21. "
        "What to do: retrain as of an earlier day (`nightshift retrain parcels --as-of DAY`; it takes effect on the "
        "day after), or leave this day out."
    )


def test_without_features_there_is_nothing_to_plan(job: Job) -> None:
    promote(job)
    with pytest.raises(InputMissing, match="the features of 2024-02-11 are not published"):
        plan_scoring(replace(job, ds=date(2024, 2, 11)))


def test_after_the_end_there_are_no_shards(job: Job) -> None:
    late = replace(job, ds=date(2024, 4, 1))
    assert plan_scoring(late).status == "nothing"
    assert late.left("plan_scoring") == {"plan": "", "shards": 0, "status": "nothing"}
    assert gate_predictions(late).status == "nothing"


def test_a_model_file_that_is_gone_is_noticed_before_any_shard(job: Job) -> None:
    model = promote(job)
    Path(model_uri(job.settings.models, model.sha256)).unlink()
    with pytest.raises(ModelNotFound, match=f"the file of model {model.sha256[:16]} is gone"):
        plan_scoring(job)


def test_comments_in_feature_code_change_nothing_but_code_does(job: Job) -> None:
    model = promote(job)
    module = job.settings.feature_modules / "parcels.py"
    module.write_text(module.read_text().replace("    return", '    """Say more."""\n    # and more\n    return', 1))
    assert plan_scoring(job).status == "done"
    module.write_text(module.read_text().replace("parcel_id", "parcel_id, weight", 1))
    publish_features(job, features(2_500))  # as the new code builds them
    with pytest.raises(ModelMismatch) as caught:
        plan_scoring(again(job))
    now = code_of(job.settings.home, job.pipeline)["features"]
    assert str(caught.value) == (
        f"parcels, version v0 (model {model.sha256[:16]}): the model was trained with feature code "
        f"{model.feature_code}, now it is {now}. What to do: retrain as of a day before 2024-02-10, or score with the "
        "code and spec that the model was trained on."
    )


def test_features_that_were_not_built_again_after_a_change_are_refused(job: Job) -> None:
    module = job.settings.feature_modules / "parcels.py"
    module.write_text(module.read_text().replace("parcel_id", "parcel_id, weight", 1))
    promote(job)  # trained on the new code, the features of the day are still of the old one
    with pytest.raises(ModelMismatch, match="What to do: clear build_features of 2024-02-10 and what follows"):
        plan_scoring(job)


def test_another_feature_spec_is_refused_and_its_columns_are_named(job: Job) -> None:
    promote(job)
    columns = {
        "depot": {"type": "category"},
        "weight": {"type": "integer"},
        "late_3d": {"type": "number", "nulls": 1.0},
        "wet": {"type": "boolean"},
        "doors": {"type": "integer", "nulls": 1.0},
    }
    changed = make_pipeline(features={"spine": "orders", "key": ["parcel_id"], "columns": columns})
    with pytest.raises(ModelMismatch, match=r"another feature spec \(columns weight, wet\)"):
        plan_scoring(replace(job, pipeline=changed))
    moved = make_pipeline(schedule={"cutoff": "02:00", "timezone": "Europe/Zurich", "start": "2024-02-01"})
    with pytest.raises(ModelMismatch, match=r"another feature spec \(key, inputs, lags or timezone\)"):
        plan_scoring(replace(job, pipeline=moved))


def altered(job: Job, shard: int, change: Callable[[pa.Table], pa.Table]) -> None:
    """A shard's result with other rows in it, as a faulty pod would leave it."""
    plan = read_plan(job.left("plan_scoring")["plan"])
    result = read_result(plan.uri, shard)
    assert result is not None
    path = Path(plan.table, result.file.path)
    rows = change(pq.read_table(path, partitioning=None))
    pq.write_table(rows, path)
    file = replace(result.file, size=path.stat().st_size, rows=rows.num_rows)
    digest = sha256(path.read_bytes())
    storage.write_json(result_uri(plan.uri, shard), replace(result, file=file, sha256=digest).document())


def with_score(rows: pa.Table, value: float) -> pa.Table:
    scores = rows["score"].to_numpy().copy()
    scores[0] = value
    return rows.set_column(1, "score", pa.array(scores))


FAULTS: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "a row is lost": (lambda rows: rows.slice(1), "every key of the features has one prediction"),
    "a row is twice": (lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]), "predictions = features"),
    "a key is wrong": (
        lambda rows: rows.set_column(0, "parcel_id", pa.array(["x", *rows["parcel_id"].to_pylist()[1:]])),
        "every key of the features has one prediction",
    ),
    "a score is infinite": (lambda rows: with_score(rows, float("inf")), "scores are finite"),
    "a score is not a number": (lambda rows: with_score(rows, float("nan")), "scores are finite"),
    "another model": (
        lambda rows: rows.set_column(2, "model", pa.array(["0" * 16] * rows.num_rows)),
        "expect_column_values_to_be_in_set",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_predictions_are_blocked(job: Job, fault: str) -> None:
    change, expectation = FAULTS[fault]
    promote(job)
    plan_scoring(job)
    score(job)
    altered(job, 1, change)
    with pytest.raises(GateFailed) as caught:
        gate_predictions(job)
    assert expectation in str(caught.value)
    assert published(job).num_rows == 0


def test_rows_in_another_order_are_the_same_keys(job: Job) -> None:
    promote(job)
    plan_scoring(job)
    score(job)
    altered(job, 1, lambda rows: rows.take(list(reversed(range(rows.num_rows)))))
    assert gate_predictions(job).status == "done"


def test_distribution_bounds_of_the_spec_block(job: Job) -> None:
    expect = {"expect_column_mean_to_be_between": {"column": "score", "min_value": 1_000}}
    pipeline = make_pipeline(scoring={"rows_per_shard": 1_000, "gate": {"expect": [expect]}})
    bounded = replace(job, pipeline=pipeline)
    promote(bounded)
    plan_scoring(bounded)
    score(bounded)
    with pytest.raises(GateFailed, match="expect_column_mean_to_be_between"):
        gate_predictions(bounded)


def test_scores_of_a_binary_model_are_probabilities(job: Job) -> None:
    label = {"column": "late", "objective": "binary", "lag": 1, "inputs": ["deliveries"]}
    binary = replace(job, pipeline=make_pipeline(label=label, promotion={"metric": "log_loss"}))
    promote(binary)
    plan_scoring(binary)
    score(binary)
    altered(binary, 0, lambda rows: with_score(rows, 1.5))
    with pytest.raises(GateFailed, match="expect_column_values_to_be_between"):
        gate_predictions(binary)
    altered(binary, 0, lambda rows: with_score(rows, 1.0))
    assert gate_predictions(again(binary)).status == "done"


def test_an_older_attempt_does_not_replace_newer_predictions(job: Job) -> None:
    promote(job)
    plan_scoring(job)
    score(job)
    publish_features(job, features(1_200), "o2")
    newer = again(job, run_id="newer")
    plan_scoring(newer)
    score(newer)
    gate_predictions(newer)
    outcome = gate_predictions(job)
    assert outcome.message == (
        "predictions of 2024-02-10: a newer attempt was published meanwhile, this one is discarded"
    )
    assert published(job).num_rows == 1_200


def test_nothing_is_scored_from_rows_that_another_program_wrote(job: Job) -> None:
    promote(job)
    ghost = pa.table({"parcel_id": ["ghost"], "ds": [job.day]})
    write_deltalake(job.table("features"), ghost, mode="append", schema_mode="merge")
    with pytest.raises(PartitionDamaged, match="nightshift repair"):
        plan_scoring(job)
    tables.repair(job.table("features"))
    plan_scoring(job)
    score(job)
    gate_predictions(job)
    DeltaTable(job.table("predictions")).delete("parcel_id = 'p00000'")
    DeltaTable(job.table("predictions")).optimize.compact()
    with pytest.raises(PartitionDamaged, match="another program changed the partition 2024-02-10"):
        plan_scoring(again(job))


def test_features_that_change_while_a_day_is_scored_are_named(job: Job) -> None:
    promote(job)
    plan_scoring(job)
    score(job)
    publish_features(job, features(1_200), "o2")
    outcome = gate_predictions(job)
    assert outcome.message.endswith("; the features were republished meanwhile: clear plan_scoring to score them")
    assert published(job).num_rows == 2_500


def test_a_day_without_rows_is_published_without_rows(job: Job, pipeline: Pipeline) -> None:
    promote(job)
    publish_features(job, features(0), "none")
    assert plan_scoring(job).counts["shards"] == 1
    score(job)
    assert gate_predictions(job).status == "done"
    assert tables.state(job.table("predictions")).partitions[job.day].rows == 0


def test_many_processes_at_once_publish_each_row_once(job: Job) -> None:
    promote(job)
    plan_scoring(job)
    left = job.left("plan_scoring")
    commands = [ScoreCommand(left["plan"], shard) for shard in range(left["shards"]) for _ in range(2)]
    processes = [subprocess.Popen([sys.executable, "-m", command.module, *command.argv()]) for command in commands]
    assert [process.wait(timeout=300) for process in processes] == [0] * 6
    assert gate_predictions(job).status == "done"
    found = tables.state(job.table("predictions")).partitions[job.day]
    assert (len(found.files), found.rows) == (3, 2_500)
    # Files sorted by path are in the order of the features.
    assert published(job)["parcel_id"].to_pylist() == features(2_500)["parcel_id"].to_pylist()


def test_what_is_sent_about_a_night(job: Job) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        settings = replace(job.settings, statsd_host="127.0.0.1", statsd_port=server.getsockname()[1])
        night = replace(job, settings=settings)
        promote(night)
        plan_scoring(night)
        assert server.recv(4096) == b"nightshift.model_age,pipeline=parcels:2|g"
        score(night)
        plan = read_plan(night.left("plan_scoring")["plan"])
        Path(result_uri(plan.uri, 1)).unlink()  # as if the first attempt at it had died
        score(night)
        gate_predictions(night)
        lines: list[str] = []
        while sum("shard_seconds" in line for line in lines) < 3:
            lines.append(server.recv(4096).decode())
    sent = {line for line in lines if "shard_seconds" not in line}
    assert {
        "nightshift.rows_in,pipeline=parcels,dataset=predictions:2500|c",
        "nightshift.partitions_published,pipeline=parcels,dataset=predictions:1|c",
        "nightshift.scored_rows,pipeline=parcels:2500|c",
        "nightshift.shards,pipeline=parcels:3|c",
        "nightshift.shard_retries,pipeline=parcels:1|c",
    } <= sent


def test_a_day_without_a_row_after_days_with_some_is_published_and_warned_of(job: Job) -> None:
    promote(job)
    plan_scoring(job)
    score(job)
    gate_predictions(job)
    later = again(job, ds=date(2024, 2, 11), run_id="later")
    publish_features(later, features(0))
    plan_scoring(later)
    score(later)
    found = gate_predictions(later)
    assert found.message == "predictions of 2024-02-11: 0 rows published as version 2, 0 quarantined, gate warned"
    assert found.warnings == (
        "predictions of 2024-02-11: something is scored, as before failed: rows 0, rows of 2024-02-10 2,500",
    )
    assert found.counts["warnings"] == 1
    once_more = gate_predictions(again(later))
    assert (once_more.status, once_more.counts["warnings"]) == ("up_to_date", 1)
    assert once_more.warnings == ("predictions of 2024-02-11 are up to date; 1 expectations failed that only warn",)
