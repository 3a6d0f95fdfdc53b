"""Shards as processes: the argv of a pod, races, damage, interruption."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import storage
from nightshift.commands import ScoreCommand
from nightshift.errors import ModelMismatch, ModelNotFound, NightshiftError, PlanRefused
from nightshift.lineage import sha256
from nightshift.scoring import worker
from nightshift.scoring.plan import Piece, ScoringPlan, Shard, read_result, result_uri
from nightshift.scoring.score import load_model, score
from nightshift.scoring.worker import score_shard
from tests.unit.scoring.parcels import CATEGORIES, COLUMNS, features, make_plan, train, write_plan

pytestmark = pytest.mark.process


TIMEOUT = 300  # seconds; a busy machine is slow to start processes
HEAVY = {
    "airflow",
    "deltalake",
    "great_expectations",
    "kubernetes",
    "mlflow",
    "pandas",
    "pydantic",
    "pyspark",
    "sklearn",
    "sqlalchemy",
    "statsd",
    "yaml",
}
SLIM_MODULES = {
    "collector",
    "commands",
    "earlier_scheme",
    "errors",
    "lineage",
    "model_manifest",
    "parts",
    "publications",
    "scoring",
    "scoring.plan",
    "scoring.score",
    "scoring.worker",
    "storage",
    "tables",
    "tables.damage",
    "tables.publish",
    "tables.rows",
    "tables.staging",
    "tables.state",
    "tables.store",
}


def argv(plan: ScoringPlan, shard: int = 0) -> list[str]:
    return [sys.executable, "-m", ScoreCommand.module, *ScoreCommand(plan.uri, shard).argv()]


def run(plan: ScoringPlan, shard: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv(plan, shard), capture_output=True, text=True, timeout=TIMEOUT, check=False)


def silent(line: str) -> None:
    """Progress that nobody reads."""


def score_all(plan: ScoringPlan, attempt: str) -> pa.Table:
    """All shards' predictions, in order."""
    results = [score_shard(plan.uri, shard.number, attempt, silent)[0] for shard in plan.shards]
    return pa.concat_tables(pq.read_table(f"{plan.table}/{result.file.path}", partitioning=None) for result in results)


def data_files(plan: ScoringPlan) -> list[str]:
    return [file.uri for file in storage.list_files(plan.table, recursive=True) if file.uri.endswith(".parquet")]


def test_a_shard_as_a_process(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [1_500, 700])
    done = run(plan)
    assert (done.returncode, done.stderr) == (0, "")
    result = read_result(plan.uri, 0)
    assert result is not None
    assert (
        result.file.path == f"attempt={result.attempt}/ds=2024-02-10/fingerprint={plan.fingerprint}/shard-00000.parquet"
    )
    assert done.stdout == f"shard 0: 2,200 rows scored in {result.seconds:.1f} s, {result.file.path}\n"
    found = pq.read_table(f"{plan.table}/{result.file.path}", partitioning=None)
    rows = features(2_200)
    booster = load_model(train(), COLUMNS, threads=1)
    assert found.schema.names == ["parcel_id", "score", "model"]
    assert found["parcel_id"].to_pylist() == rows["parcel_id"].to_pylist()
    np.testing.assert_array_equal(found["score"], score(booster, rows.to_batches()[0], COLUMNS, CATEGORIES))
    assert set(found["model"].to_pylist()) == {plan.model_sha256[:16]}
    again = run(plan)
    assert again.stdout == f"shard 0: 2,200 rows scored already by attempt {result.attempt}, {result.file.path}\n"
    assert len(data_files(plan)) == 1


def test_the_process_imports_nothing_heavy_though_it_is_there(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [10])
    command = [sys.executable, "-X", "importtime", *argv(plan)[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    # A module that was looked for and not found is listed, too; one that was imported has parts.
    imported = {name.partition(".")[0] for name in modules if "." in name}
    assert {"numpy", "pyarrow", "scipy", "xgboost", "nightshift"} <= imported
    assert imported & HEAVY == set()
    assert {name.removeprefix("nightshift.") for name in modules if name.startswith("nightshift.")} == SLIM_MODULES


@pytest.mark.parametrize("rows_per_shard", [2_200, 1_000, 333])
def test_however_the_rows_are_divided_the_predictions_are_the_same(tmp_path: Path, rows_per_shard: int) -> None:
    whole = score_all(make_plan(tmp_path / "whole", [1_500, 0, 700]), "a")
    found = score_all(make_plan(tmp_path / "parts", [1_500, 0, 700], rows_per_shard), "a")
    assert found.equals(whole)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    digests = {
        score_shard(make_plan(tmp_path / name, [70_000]).uri, 0, name, silent)[0].sha256 for name in ("one", "two")
    }
    assert len(digests) == 1


def test_a_category_can_be_part_of_the_key(tmp_path: Path) -> None:
    plan = write_plan(make_plan(tmp_path, [1_500]), key={"depot": "string", "parcel_id": "string"})
    found = score_all(plan, "a")
    assert found.schema.names == ["depot", "parcel_id", "score", "model"]
    assert found["depot"].to_pylist() == features(1_500)["depot"].to_pylist()
    plain = score_all(make_plan(tmp_path / "plain", [1_500]), "a")
    assert found["score"].equals(plain["score"])


def test_a_day_without_rows_is_one_file_without_rows(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [0])
    result, own = score_shard(plan.uri, 0, "a", silent)
    found = pq.read_table(f"{plan.table}/{result.file.path}", partitioning=None)
    assert (own, result.file.rows, found.num_rows, found.schema.names) == (True, 0, 0, ["parcel_id", "score", "model"])


def test_several_at_once_leave_one_result_and_one_file(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [50_000])
    processes = [subprocess.Popen(argv(plan), stdout=subprocess.PIPE, text=True) for _ in range(4)]
    lines = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    result = read_result(plan.uri, 0)
    assert result is not None
    assert [result.file.path in line for line in lines] == [True] * 4
    assert sum("scored in" in line for line in lines) == 1
    assert data_files(plan) == [f"{plan.table}/{result.file.path}"]


def test_the_first_result_stays_and_the_loser_takes_its_file_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(tmp_path, [20])
    first, _ = score_shard(plan.uri, 0, "first", silent)
    looks = iter([None])  # the second attempt looked before the first had finished
    monkeypatch.setattr(worker, "read_result", lambda uri, shard: next(looks, read_result(uri, shard)))
    found, own = score_shard(plan.uri, 0, "second", silent)
    assert (found, own) == (first, False)
    assert data_files(plan) == [f"{plan.table}/{first.file.path}"]
    assert storage.list_folders(plan.table) == ["_plans", "attempt=first"]


@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_a_result_whose_file_is_damaged_is_made_again(tmp_path: Path, damage: str) -> None:
    plan = make_plan(tmp_path, [20])
    assert not worker.scored_already(plan.uri, 0)
    first, _ = score_shard(plan.uri, 0, "first", silent)
    assert worker.scored_already(plan.uri, 0)
    path = Path(plan.table, first.file.path)
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    assert not worker.scored_already(plan.uri, 0)
    second, own = score_shard(plan.uri, 0, "second", silent)
    assert (own, second.attempt, second.sha256) == (True, "second", first.sha256)
    assert read_result(plan.uri, 0) == second


def test_a_model_altered_by_one_byte_is_refused(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [20])
    content = bytearray(Path(plan.model).read_bytes())
    content[len(content) // 2] ^= 1
    Path(plan.model).write_bytes(content)
    altered = sha256(bytes(content))[:16]
    done = run(plan)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"ModelMismatch: {plan.model}: the file's SHA-256 begins with {altered}, the plan's with "
        f"{plan.model_sha256[:16]}. What to do: restore the file from the MLflow run.\n"
    )
    assert data_files(plan) == []


def test_a_model_whose_file_is_gone_is_named(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [20])
    Path(plan.model).unlink()
    with pytest.raises(ModelNotFound, match=f"the file of model {plan.model_digits} is gone"):
        score_shard(plan.uri, 0, "a", silent)


def test_other_scoring_code_is_refused(tmp_path: Path) -> None:
    plan = write_plan(make_plan(tmp_path, [20]), scoring_code="0" * 16)
    with pytest.raises(ModelMismatch) as caught:
        score_shard(plan.uri, 0, "a", silent)
    assert f"the plan was made for {'0' * 16}" in str(caught.value)


def test_a_file_of_features_that_is_gone_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [20, 20])
    gone = Path(plan.shards[0].pieces[1].uri)
    gone.unlink()
    with pytest.raises(NightshiftError, match=f"{gone}: a file of the features is gone"):
        score_shard(plan.uri, 0, "a", silent)
    assert data_files(plan) == []
    assert storage.list_folders(plan.table) == ["_plans"]


def test_what_nobody_foresaw_is_one_line_that_quotes_nothing(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [20])
    text = features(20).set_column(2, "weight", pa.array(["canary4711"] * 20))
    pq.write_table(text, plan.shards[0].pieces[0].uri)
    done = run(plan)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("NightshiftError: ArrowInvalid was raised (at ")
    assert "nightshift.scoring.worker:" in line
    assert "4711" not in line
    assert data_files(plan) == []


def test_a_file_with_fewer_rows_than_planned_is_noticed(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [20])
    piece = plan.shards[0].pieces[0]
    pq.write_table(features(19), piece.uri)
    with pytest.raises(NightshiftError, match="shard 0 has 19 rows, the plan says 20"):
        score_shard(plan.uri, 0, "a", silent)


def test_a_shard_that_is_not_in_the_plan(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [20])
    done = run(plan, shard=1)
    assert done.returncode == 3
    assert done.stderr == (
        f"NightshiftError: {plan.uri}: the plan has no shard 1. Allowed: 0 to 0. What to do: correct --shard.\n"
    )


def test_a_plan_of_other_files_and_another_table_reads_and_writes_nothing(tmp_path: Path) -> None:
    plan = make_plan(tmp_path / "own", [20])
    secret = tmp_path / "payroll.parquet"
    pq.write_table(features(20), secret)
    forged = write_plan(plan, shards=(Shard(0, (Piece(str(secret), 0, 20),)),))
    done = run(forged)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"PlanRefused: {forged.uri}: the scoring plan is refused: 1 of its files are not of")
    assert data_files(plan) == []
    # A plan elsewhere that names this table: nothing is written there.
    copy = tmp_path / "drop" / "plan.json"
    storage.write_json(str(copy), plan.document())
    with pytest.raises(PlanRefused, match="it does not lie where"):
        score_shard(str(copy), 0, "a", silent)
    with pytest.raises(PlanRefused, match="it does not lie where"):
        score_shard(str(copy), 0, "a", silent)
    assert [path.name for path in copy.parent.iterdir()] == ["plan.json"]


def test_wrong_arguments_leave_with_status_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nightshift.scoring", "score"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 2
    assert "--plan, --shard" in done.stderr


def test_progress_is_spoken_every_few_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightshift.scoring.worker._SECONDS_BETWEEN_LINES", 0.0)
    lines: list[str] = []
    score_shard(make_plan(tmp_path, [70_000]).uri, 0, "a", lines.append)
    # A batch also ends with its row group, and those of the features here have 1,000 rows.
    ends = sorted({*range(1_000, 71_000, 1_000), 65_536})
    assert [line.split(" rows")[0] for line in lines] == [f"{rows:,} of 70,000" for rows in ends]


def test_sigterm_leaves_nothing_behind(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [100_000])
    document = plan.document()
    document["shards"][0]["pieces"] *= 500  # minutes of work
    slow = write_plan(ScoringPlan.read(document))
    process = subprocess.Popen(argv(slow), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + TIMEOUT
    while not data_files(slow) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert data_files(slow)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out, err) == (143, "", "")
    assert data_files(slow) == []
    assert not storage.exists(result_uri(slow.uri, 0))
    assert json.loads(storage.read_bytes(storage.list_files(f"{slow.uri.rpartition('/')[0]}/started")[0].uri))["pid"]
