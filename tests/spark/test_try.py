"""``nightshift try``: a day in a lake of its own, without Airflow and without a database."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import psutil
import pytest
import xgboost as xgb

from nightshift import storage
from nightshift.demo import LANDERS
from nightshift.features.recipes import code_of, feature_spec
from nightshift.inputs.run import gate_inputs
from nightshift.job import Job
from nightshift.model_manifest import FeatureColumn, manifest_uri
from nightshift.registry.ledger import Ledger, NewEntry, create_ledger
from nightshift.settings import Settings
from nightshift.specs.load import load_pipeline
from nightshift.specs.model import Pipeline
from nightshift.specs.skeleton import write_skeleton
from tests.live import copied_project
from tests.postgres import WRITER, Database
from tests.unit.cli.conftest import cli_environment
from tests.unit.scoring.parcels import register
from tests.waiting import until

pytestmark = pytest.mark.spark

DS = "2024-02-02"


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A project with the pipeline ``practice``; one of its items of ``DS`` is too large."""
    folder = tmp_path_factory.mktemp("try")
    home, var = copied_project(folder / "home"), folder / "var"
    settings = Settings.from_env({"NIGHTSHIFT_HOME": str(home), "NIGHTSHIFT_VAR": str(var)})
    write_skeleton(settings, "practice")
    LANDERS["practice"](settings, date(2024, 1, 4), date(2024, 2, 2), lambda line: None)
    items = Path(settings.landing, "practice", "items", f"ds={DS}", "items.csv")
    lines = items.read_text().splitlines()
    lines[1] = ",".join([*lines[1].split(",")[:2], "5000"])
    items.write_text("\n".join([*lines, ""]))
    return settings


def tried(settings: Settings, *options: str, **more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "nightshift.cli", "try", "practice", "--ds", DS, *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=500, check=False, cwd=settings.home,
        env={**cli_environment(settings, **more), "TMPDIR": str(settings.home)},
    )  # fmt: skip


def test_a_day_is_shown_and_nothing_is_published(practice: Settings) -> None:
    done = tried(practice, "--rows", "2", "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["rows"], found["blocked"]) == (39, "")
    assert found["failures"] == [
        {
            "dataset": "inputs/items", "ds": DS, "gate": "quarantined", "column": "size", "rows": 1, "of": 40,
            "expectation": "expect_column_values_to_be_between",
        }
    ]  # fmt: skip
    columns = {item["column"]: item for item in found["columns"]}
    assert columns["item_id"]["first"] == ["0202-01", "0202-02"]
    assert columns["day_of_week"] == {"column": "day_of_week", "type": "integer", "nulls": 0.0, "first": [5, 5]}
    assert found["unscored"].startswith("the Nightshift database is unknown: ")
    assert found["scores"] is None
    assert not os.path.lexists(practice.lake)
    assert not os.path.lexists(practice.reports)
    assert list(practice.home.glob("nightshift-try-*")) == []


def test_a_try_that_watches_tries_again_with_what_has_changed(practice: Settings) -> None:
    spec, module = practice.pipelines / "practice.yaml", practice.feature_modules / "practice.py"
    written, code = spec.read_text(), module.read_text()
    with watching(practice) as (process, shown, told):
        until(lambda: times_tried(told) == 1)
        first = column(shown, "size")
        assert "29 days of sources gated" in shown.read_text()

        # A function of Python's own, which a process beside the JVM runs, is read anew, too.
        module.write_text(f"{code}{TIMES_TEN}")
        until(lambda: times_tried(told) == 2)
        assert column(shown, "size") == pytest.approx([10 * number for number in first])
        module.write_text(f"{code}{LEAVES_SOMETHING}{TIMES_TEN.replace('10', '100')}")
        until(lambda: times_tried(told) == 3)
        assert column(shown, "size") == pytest.approx([100 * number for number in first])
        assert shown.read_text().count("0 days of sources gated (0 rows, 0 quarantined), 29 taken as published") == 2

        module.write_text(f"{code}{USES_WHAT_IS_LEFT}")
        until(lambda: times_tried(told) == 4)
        assert "TABLE_OR_VIEW_NOT_FOUND" in told.read_text()

        spec.write_text(written.replace("spine: items", "spine: itms"))
        until(lambda: times_tried(told) == 5)
        assert "SpecError: " in told.read_text()
        os.kill(spark_of(process), signal.SIGKILL)
        spec.write_text(written)
        until(lambda: times_tried(told) == 6)
        assert "NightshiftError: the Spark job was killed by signal 9" in told.read_text()
        module.write_text(code)
        until(lambda: times_tried(told) == 7)
        assert column(shown, "size") == first

        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, told.read_text()
    assert "Traceback" not in told.read_text()
    assert list(practice.home.glob("nightshift-try-*")) == []
    assert not os.path.lexists(practice.lake)


LEAVES_SOMETHING = """

_plain = build


def build(inputs, days):
    print("a line that does not end", end="")
    inputs["items"].createOrReplaceTempView("left")
    return _plain(inputs, days)
"""

USES_WHAT_IS_LEFT = """

def build(inputs, days):
    return inputs["items"].sparkSession.table("left")
"""

TIMES_TEN = """

from pyspark.sql import functions, types

_times = functions.udf(lambda number: number and 10.0 * number, types.DoubleType())
_build = build


def build(inputs, days):
    return _build(inputs, days).withColumn("size", _times(functions.col("size").cast("double")))
"""


# What runs in the background of a shell has Ctrl-C ignored, and a run of tests may be there.
IN_A_TERMINAL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from nightshift.cli import main
main()
"""


@contextmanager
def watching(settings: Settings) -> Iterator[tuple["subprocess.Popen[bytes]", Path, Path]]:
    """``nightshift try --watch`` as a person has it in a terminal; what it shows and tells are files."""
    shown, told = settings.home / "shown.txt", settings.home / "told.txt"
    script = (
        settings.home / "in_a_terminal.py"
    )  # not given by -c: pyspark takes a main module without a file for doctest
    script.write_text(IN_A_TERMINAL)
    command = [sys.executable, str(script), "try", "practice", "--ds", DS, "--watch"]
    environment = {**cli_environment(settings), "TMPDIR": str(settings.home)}
    with shown.open("wb") as out, told.open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=settings.home, env=environment)
        try:
            yield process, shown, told
        finally:
            process.kill()
            process.wait()


def times_tried(told: Path) -> int:
    return told.read_text().count("tried in ")


def column(shown: Path, name: str) -> list[float]:
    """The first values of a column, as they were shown last."""
    [*_, line] = [line.split() for line in shown.read_text().splitlines() if line.startswith(f"{name} ")]
    return [float(cell.replace(",", "")) for cell in line[3:]]


def spark_of(process: "subprocess.Popen[bytes]") -> int:
    [java] = [child for child in psutil.Process(process.pid).children() if child.name() == "java"]
    return java.pid


def test_what_is_published_is_not_gated_again_and_the_score_stands_beside_the_first_rows(
    practice: Settings, database: Database
) -> None:
    pipeline = load_pipeline(practice, "practice")
    gate_inputs(Job(replace(practice, private=True), pipeline, date.fromisoformat(DS)))
    outcomes = Path(practice.landing, "practice", "outcomes", "ds=2024-02-01", "outcomes.csv")
    outcomes.write_text(outcomes.read_text().replace("0201-00", "0201-99"))
    lake = {path: path.stat().st_mtime_ns for path in Path(practice.lake).rglob("*")}
    promote(practice, pipeline, database)
    done = tried(practice, "--rows", "2", NIGHTSHIFT_DATABASE=database.writer_url)

    assert done.returncode == 0, done.stderr
    steps, _, rows = done.stdout.partition("\n\n")
    assert steps.splitlines() == [
        "inputs: 1 days of sources gated (40 rows, 0 quarantined), 28 taken as published",
        "features: 39 rows, 8 columns",
        "gate of the features: 39 rows pass, 0 would be quarantined",
    ]
    [score] = [line.split() for line in rows.splitlines() if line.startswith("score ")]
    assert score[:2] == ["score", "number"]
    assert len([float(cell) for cell in score[3:]]) == 2
    assert rows.splitlines()[-1].startswith("scores of version 7: least ")
    assert lake == {path: path.stat().st_mtime_ns for path in Path(practice.lake).rglob("*")}


def promote(settings: Settings, pipeline: Pipeline, database: Database) -> None:
    """A small model of the pipeline's features is champion from its first day on."""
    columns = tuple(FeatureColumn(name, column.type) for name, column in pipeline.features.columns.items())
    names = [column.name for column in columns]
    data = np.random.default_rng(0).random((200, len(names)))
    matrix = xgb.DMatrix(data, label=100 * data[:, 1], feature_names=names)
    content = bytes(xgb.train({"objective": "reg:squarederror"}, matrix, 5).save_raw("ubj"))
    manifest = replace(
        register(settings.models, content, feature_code=code_of(settings.home, pipeline)["features"]),
        columns=columns,
        categories={"kind": ("a", "b")},
        feature_spec=feature_spec(pipeline),
        pipeline=pipeline.name,
    )
    storage.write_json(manifest_uri(settings.models, manifest.sha256), manifest.document())
    create_ledger(database.owner_url, WRITER)
    start = pipeline.schedule.start
    Ledger(database.writer_url, "local").append(
        NewEntry(pipeline.name, "promotion", "tests", "better", start, start, "7", manifest.sha256)
    )


def test_a_gate_that_blocks_says_why_and_leaves_with_1(practice: Settings) -> None:
    spec = practice.pipelines / "practice.yaml"
    spec.write_text(spec.read_text().replace("{type: integer, min: 1, max: 7}", "{type: integer, min: 1, max: 4}"))
    done = tried(practice)

    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert f"features {DS} blocked expect_column_values_to_be_between day_of_week 39 39" in lines
    assert lines[-1].startswith("blocked: the gate blocked 39 rows: ")


def test_a_day_outside_the_range_is_refused(practice: Settings) -> None:
    command = [sys.executable, "-m", "nightshift.cli", "try", "practice", "--ds", "2023-12-31"]
    done = subprocess.run(command, capture_output=True, text=True, env=cli_environment(practice), check=False)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "NightshiftError: 2023-12-31 is outside the range of practice. Allowed: days from 2024-01-29 to 2024-12-31.\n"
    )
