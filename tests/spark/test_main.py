"""The Spark job from its argv: what it stages, and the one line that it says when a module is wrong."""

import errno
import os
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import storage
from nightshift.commands import FeaturesCommand
from nightshift.errors import NightshiftError, SpecError
from nightshift.features.unbuilt import find_unbuilt
from nightshift.lineage import find_staged
from nightshift.settings import Settings
from nightshift.source_code import feature_code
from nightshift.spark import driver_error
from nightshift.specs.model import Pipeline
from nightshift.tables import arrow_schema
from tests.conftest import PROJECT, make_pipeline, spec_document
from tests.spark.typed import build_plan

pytestmark = pytest.mark.spark

DAYS = [date(2024, 2, 10), date(2024, 2, 11), date(2024, 2, 12)]

GOOD = """
from pyspark.sql import functions as sf
from spark_jobs.transforms.snapshots import with_newest
from spark_jobs.transforms.trailing import trailing

def build(inputs, days):
    past = inputs["deliveries"].select("ds", "depot", sf.col("hours_late").cast("long").alias("late"))
    late = trailing(past, days, by=["depot"], sums=["late"], windows=(3,), lag=1)
    rows = inputs["orders"].where(sf.col("ds").isin(days))
    rows = with_newest(rows, inputs["depots"], on=["depot"])
    rows = rows.join(sf.broadcast(late), ["ds", "depot"], "left")
    {before}return rows{after}

def label(inputs, days):
    return inputs["deliveries"].where(sf.col("ds").isin(days)).select(
        "ds", "parcel_id", sf.col("hours_late").alias("hours"))
"""

COLUMNS = '.select("ds", "parcel_id", "depot", "weight", "doors", sf.col("late_3d").cast("double"))'


@pytest.fixture
def parcels(settings: Settings) -> Pipeline:
    """The pipeline parcels, landed for two weeks; on 2024-02-11 there is no order, the depots change on the 12th."""
    landing = Path(settings.landing)
    for number in range(14):
        day = date(2024, 2, 1) + timedelta(days=number)
        orders = [f"p{n:03d},{'NS'[n % 2]},{n + 0.5}" for n in reversed(range(30))] if day != DAYS[1] else []
        _write(landing / f"parcels/orders/ds={day}/orders.csv", "parcel_id,depot,weight", orders)
        deliveries = [f"p{n:03d},{'NS'[n % 2]},{n % 3}" for n in range(20)]
        _write(landing / f"parcels/deliveries/ds={day}/all.csv", "parcel_id,depot,hours_late", deliveries)
    for as_of, doors in (("2024-01-01", 3), ("2024-02-12", 5), ("2024-02-13", 9)):
        _write(landing / f"parcels/depots/as_of={as_of}/depots.csv", "depot,doors", [f"N,{doors}", f"S,{doors + 1}"])
    return make_pipeline()


def _write(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("\n".join([header, *rows]) + "\n")


def _run(settings: Settings, pipeline: Pipeline, days: Sequence[date] = DAYS, **changes: Any) -> int:
    from spark_jobs.main import main

    plan = build_plan(settings, pipeline, days, DAYS[:2], **changes)
    uri = storage.join(settings.lake, "plan.json")
    storage.write_json(uri, plan.document())
    return main(FeaturesCommand(pipeline.name, days[0], days[-1], uri).argv())


def _table(settings: Settings, dataset: str) -> str:
    return f"{settings.lake}/parcels/{dataset}"


def _read(settings: Settings, dataset: str, day: date) -> pa.Table:
    manifest = find_staged(_table(settings, dataset), day.isoformat(), f"f{day:%m%d}")
    assert manifest is not None
    parts = [pq.read_table(Path(_table(settings, dataset), file.path), partitioning=None) for file in manifest.files]
    assert [len(part) for part in parts] == [file.rows for file in manifest.files]
    return pa.concat_tables(parts)


@pytest.mark.usefixtures("spark")
class TestStaging:
    @pytest.fixture(autouse=True)
    def _module(self, feature_module: Any) -> None:
        feature_module("parcels", GOOD.format(before="", after=COLUMNS))

    def test_each_day_is_sorted_typed_and_has_its_manifest(self, settings: Settings, parcels: Pipeline) -> None:
        assert _run(settings, parcels) == 0

        rows = _read(settings, "features", DAYS[0])
        contract = {name: column.type for name, column in parcels.feature_contract.items()}
        assert {field.name: field.type for field in rows.schema} == {
            field.name: field.type for field in arrow_schema(contract)
        }
        assert rows.column_names[0] == "parcel_id"
        assert rows["parcel_id"].to_pylist() == [f"p{n:03d}" for n in range(30)]
        assert rows["late_3d"].to_pylist()[:2] == [27.0, 30.0]
        labels = _read(settings, "labels", DAYS[1])
        assert labels.column_names == ["parcel_id", "hours"]
        assert labels.num_rows == 20
        assert find_staged(_table(settings, "labels"), DAYS[2].isoformat(), f"f{DAYS[2]:%m%d}") is None

    def test_a_day_without_rows_is_one_file_without_rows(self, settings: Settings, parcels: Pipeline) -> None:
        assert _run(settings, parcels) == 0

        manifest = find_staged(_table(settings, "features"), DAYS[1].isoformat(), f"f{DAYS[1]:%m%d}")
        assert manifest is not None
        assert [file.rows for file in manifest.files] == [0]
        assert (
            _read(settings, "features", DAYS[1]).schema.remove_metadata()
            == _read(settings, "features", DAYS[0]).schema.remove_metadata()
        )

    def test_a_snapshot_counts_from_its_own_day_on(self, settings: Settings, parcels: Pipeline) -> None:
        assert _run(settings, parcels) == 0

        assert set(_read(settings, "features", DAYS[0])["doors"].to_pylist()) == {3, 4}
        assert set(_read(settings, "features", DAYS[2])["doors"].to_pylist()) == {5, 6}

    def test_files_are_cut_at_rows_per_file_and_stay_sorted(self, settings: Settings, parcels: Pipeline) -> None:
        assert _run(settings, parcels, rows_per_file=8) == 0

        manifest = find_staged(_table(settings, "features"), DAYS[0].isoformat(), f"f{DAYS[0]:%m%d}")
        assert manifest is not None
        assert [file.rows for file in manifest.files] == [8, 8, 8, 6]
        assert _read(settings, "features", DAYS[0])["parcel_id"].to_pylist() == [f"p{n:03d}" for n in range(30)]

    def test_an_attempt_never_writes_twice(self, settings: Settings, parcels: Pipeline, capfd: Any) -> None:
        assert _run(settings, parcels) == 0
        assert _run(settings, parcels) == 3

        error = driver_error(capfd.readouterr().err, 3)
        assert "attempt a1 has written features before" in str(error)


OURS = ("attempt", "Fingerprint", "until", "as_of", "model")

NAMED_AS_OURS = """
from pyspark.sql import functions as sf

def build(inputs, days):
    rows = inputs["orders"].where(sf.col("ds").isin(days))
    return rows.select("ds", "parcel_id", "attempt", sf.concat_ws("/", {names}).alias("all"))

def label(inputs, days):
    return inputs["orders"].where(sf.lit(False)).select("ds", "parcel_id", sf.lit(1.0).alias("hours"))
"""


@pytest.mark.usefixtures("spark")
def test_columns_named_as_the_lakes_folders_keep_their_own_values(settings: Settings, feature_module: Any) -> None:
    feature_module("parcels", NAMED_AS_OURS.format(names=", ".join(f'"{name}"' for name in OURS)))
    for day in DAYS:
        row = ",".join(["p1", *(f"{name}-{day}" for name in OURS)])
        _write(Path(settings.landing, f"parcels/orders/ds={day}/a.csv"), ",".join(["parcel_id", *OURS]), [row])
    document = spec_document()
    orders = {name: {"type": "string"} for name in ("parcel_id", *OURS)}
    document["inputs"] = {"orders": {"path": "parcels/orders/ds={ds}/*.csv", "key": ["parcel_id"], "columns": orders}}
    document["features"]["columns"] = {"attempt": {"type": "category"}, "all": {"type": "category"}}
    document["label"] |= {"inputs": ["orders"]}
    document["promotion"] |= {"baseline": []}

    assert _run(settings, make_pipeline(**document)) == 0

    for day in DAYS:
        [row] = _read(settings, "features", day).to_pylist()
        wanted = "/".join(f"{name}-{day}" for name in OURS)
        assert row == {"parcel_id": "p1", "attempt": f"attempt-{day}", "all": wanted}


@pytest.mark.usefixtures("spark")
def test_code_that_is_not_the_plans_builds_nothing(settings: Settings, parcels: Pipeline, capfd: Any) -> None:
    """As in an image that is older than the plan; a session is made before, as always."""
    code = {"features": feature_code(PROJECT, "flights", "build"), "labels": "of another time"}
    flights = parcels.model_copy(update={"features": parcels.features.model_copy(update={"module": "flights"})})
    assert _run(settings, flights, code=code) == 3
    error = driver_error(capfd.readouterr().err, 3)
    assert type(error) is SpecError
    assert str(error) == (
        "spark_jobs/features/flights.py label: the code here is not that of the plan. "
        "What to do: build the image of Spark's pods anew, and give it to the nodes; "
        "if code has just changed, clear the task."
    )
    assert not Path(_table(settings, "features")).exists()


WRONG = {
    "raises": (
        GOOD.format(before='raise ValueError("p001")\n    ', after=""),
        SpecError,
        "line 12: ValueError was raised",
    ),
    "unknown column": (
        GOOD.format(before='rows = rows.select("nothing")\n    ', after=""),
        SpecError,
        "line 12: [UNRESOLVED_COLUMN.WITH_SUGGESTION]",
    ),
    "unknown column of a pivot": (
        GOOD.format(
            before='rows = rows.groupBy("ds").pivot("parcel_id").agg(sf.sum("weight").alias("x"))\n    '
            'rows = rows.select("nothing", "weight")\n    ',
            after="",
        ),
        SpecError,
        "line 13: [UNRESOLVED_COLUMN.WITH_SUGGESTION] nothing, ",
    ),
    "columns of a pivot": (
        GOOD.format(before="", after='.groupBy("ds").pivot("parcel_id").agg(sf.first("weight"))'),
        SpecError,
        "missing: parcel_id, depot, weight, doors, late_3d; not in the contract: 30 that neither the contract nor the "
        "code has",
    ),
    "fields of a pivot": (
        GOOD.format(
            before='cell = rows.orderBy("parcel_id").first()["parcel_id"][:3] + "1"\n    ',
            after=COLUMNS + '.withColumn("doors", sf.struct(sf.lit(1).alias(cell)))',
        ),
        SpecError,
        "column doors of features must be integer, and is struct",
    ),
    "unknown source": (
        GOOD.replace('"depots"', '"depot"').format(before="", after=""),
        SpecError,
        "there is no source depot here",
    ),
    "missing column": (
        GOOD.format(before="", after='.select("ds", "parcel_id", "depot", "weight", "doors")'),
        SpecError,
        "the columns are not those of features: missing: late_3d. Allowed: parcel_id, ",
    ),
    "other column": (
        GOOD.format(before="", after=COLUMNS + '.withColumn("more", sf.lit(1))'),
        SpecError,
        "the columns are not those of features: not in the contract: more",
    ),
    "wrong type": (
        GOOD.format(before="", after=COLUMNS + '.withColumn("doors", sf.col("doors").cast("string"))'),
        SpecError,
        "column doors of features must be integer, and is string",
    ),
    "not a frame": (GOOD.format(before="", after=".count()"), SpecError, "returned int. Allowed: a Spark DataFrame."),
    "other days": (
        GOOD.format(before="", after=COLUMNS + '.withColumn("ds", sf.lit("2024-02-29"))'),
        SpecError,
        "a row was returned for a day that was not asked for",
    ),
    "fails on a cell": (
        GOOD.format(before="", after=COLUMNS + '.withColumn("doors", sf.substring("parcel_id", 1, 4).cast("long"))'),
        SpecError,
        "Spark failed: CAST_INVALID_INPUT",
    ),
    "fails on a cell in a filter": (
        GOOD.format(before="", after=COLUMNS + '.where(sf.substring("parcel_id", 1, 4).cast("long") > 0)'),
        SpecError,
        " (at spark_jobs/features/parcels.py:",
    ),
    "Python fails on a cell": (
        GOOD.format(
            before="", after=COLUMNS + '.withColumn("doors", sf.udf(lambda key: int(key), "long")("parcel_id"))'
        ),
        SpecError,
        " (ValueError was raised at spark_jobs/features/parcels.py:12)",
    ),
    "unknown name": (
        GOOD.format(before="rows = nothing\n    ", after=""),
        SpecError,
        "line 12: NameError was raised: nothing.",
    ),
    "unknown attribute": (
        GOOD.format(before="sf.nothing()\n    ", after=""),
        SpecError,
        "line 12: AttributeError was raised: nothing.",
    ),
    "unknown method": (
        GOOD.format(before="rows.nothing()\n    ", after=""),
        SpecError,
        "line 12: PySparkAttributeError ATTRIBUTE_NOT_SUPPORTED was raised: nothing.",
    ),
    "unknown key of the code": (
        GOOD.format(before='{}["depots"]\n    ', after=""),
        SpecError,
        "line 12: KeyError was raised: depots.",
    ),
    "unknown key that is a cell": (
        GOOD.format(before='{}[rows.orderBy("parcel_id").first()["parcel_id"][:3] + "1"]\n    ', after=""),
        SpecError,
        "line 12: KeyError was raised",
    ),
    "a transform that raises": (
        GOOD.replace("windows=(3,)", "windows=3").format(before="", after=""),
        SpecError,
        "line 8 (spark_jobs/transforms/trailing.py:",
    ),
    "no module": ("\nimport nothing_like_this", SpecError, "line 2: imports nothing_like_this, which is not installed"),
    "no name": (
        "from spark_jobs.transforms.trailing import nothing",
        SpecError,
        "cannot be imported: line 1: ImportError: cannot import nothing from spark_jobs.transforms.trailing.",
    ),
    "no function": ("build = None", SpecError, "there is no function build"),
    "not python": ("def build(", SpecError, "cannot be imported: line 1: SyntaxError: '(' was never closed."),
}


WEEK = [date(2024, 2, 5) + timedelta(days=number) for number in range(8)]

# Each fails on 6 and 9 February alone: as the plan is made, in a cell of that day, in a cell that other days read, too.
FAILS_ON_SOME_DAYS = {
    "raises": (
        GOOD.format(
            before='if {"2024-02-06", "2024-02-09"} & set(days):\n        raise ValueError("p001")\n    ', after=COLUMNS
        ),
        SpecError,
        "line 13: ValueError was raised",
    ),
    "fails on a cell": (
        GOOD.format(
            before="",
            after=COLUMNS + '.withColumn("doors", sf.when(sf.col("ds").isin("2024-02-06", "2024-02-09"), '
            'sf.col("parcel_id").cast("long")).otherwise(sf.col("doors")))',
        ),
        SpecError,
        "Spark failed: CAST_INVALID_INPUT",
    ),
    "fails on a cell of a source": (
        GOOD.replace(
            'inputs["orders"].where',
            'inputs["orders"].withColumn("weight", sf.when(sf.col("ds").isin("2024-02-06", "2024-02-09"), '
            'sf.col("parcel_id").cast("long")).otherwise(sf.col("weight"))).where',
        ).format(before="", after=COLUMNS),
        SpecError,
        "Spark failed: CAST_INVALID_INPUT",
    ),
}


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("name", FAILS_ON_SOME_DAYS)
def test_days_on_which_a_module_fails_are_found_and_the_others_are_staged(
    name: str, settings: Settings, parcels: Pipeline, feature_module: Any, capfd: Any
) -> None:
    source, kind, words = FAILS_ON_SOME_DAYS[name]
    feature_module("parcels", source)

    assert _run(settings, parcels, WEEK) == 3

    output = capfd.readouterr()
    (line,) = [line for line in output.err.splitlines() if line.startswith("nightshift error: ")]
    error = driver_error(line, 3)
    assert type(error) is kind
    assert "2 of 8 days of features (2024-02-06, 2024-02-09) cannot be built: " in str(error)
    assert words in str(error)
    assert "spark_jobs/features/parcels.py" in str(error)
    assert "p001" not in output.out + output.err
    bad = [date(2024, 2, 6), date(2024, 2, 9)]
    for day in (day for day in WEEK if day not in bad):
        assert _read(settings, "features", day)["parcel_id"].to_pylist() == (
            [f"p{n:03d}" for n in range(30)] if day != DAYS[1] else []
        )
    assert _read(settings, "labels", DAYS[1]).num_rows == 20
    for day in bad:
        assert find_staged(_table(settings, "features"), day.isoformat(), f"f{day:%m%d}") is None
        left = find_unbuilt(_table(settings, "features"), day.isoformat(), f"f{day:%m%d}")
        assert left is not None
        assert (left.kind, left.attempt) == (kind.__name__, "a1")
        assert words in left.what


@pytest.mark.usefixtures("spark")
def test_where_all_days_fail_the_last_are_not_tried_and_named(
    settings: Settings, parcels: Pipeline, feature_module: Any, capfd: Any
) -> None:
    feature_module("parcels", GOOD.format(before='raise ValueError("p001")\n    ', after=COLUMNS))

    assert _run(settings, parcels, WEEK) == 3

    error = driver_error(capfd.readouterr().err, 3)
    assert type(error) is SpecError
    assert "6 of 8 days of features (" in str(error)
    assert "2 of 8 days of features (" in str(error)
    assert "not tried, since 6 other days failed alone, the last with: line 12: ValueError was raised" in str(error)
    left = [find_unbuilt(_table(settings, "features"), f"{day}", f"f{day:%m%d}") for day in WEEK]
    assert sum(item is not None and item.what.startswith("not tried") for item in left) == 2
    assert all(item is not None and "line 12" in item.what for item in left)


@pytest.mark.usefixtures("spark")
def test_labels_without_a_function_cost_no_features(
    settings: Settings, parcels: Pipeline, feature_module: Any, capfd: Any
) -> None:
    feature_module("parcels", GOOD.format(before="", after=COLUMNS).replace("def label(", "def labels("))

    assert _run(settings, parcels, DAYS[:1]) == 3

    assert "there is no function label" in str(driver_error(capfd.readouterr().err, 3))
    assert _read(settings, "features", DAYS[0]).num_rows == 30


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize(("error", "wanted"), [(errno.EIO, [8, 4, 2, 1, 1]), (errno.ENOSPC, [8])])
def test_a_broken_disk_is_no_ones_day(
    settings: Settings,
    parcels: Pipeline,
    feature_module: Any,
    capfd: Any,
    monkeypatch: pytest.MonkeyPatch,
    error: int,
    wanted: list[int],
) -> None:
    tries: list[int] = []

    def failing(_frame: Any, target: Any, *_: Any) -> None:
        tries.append(len(target.days))
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("spark_jobs.building.stage", failing)
    feature_module("parcels", GOOD.format(before="", after=COLUMNS))

    assert _run(settings, parcels, WEEK) == 3

    assert type(found := driver_error(capfd.readouterr().err, 3)) is NightshiftError
    assert "OSError was raised" in str(found)
    assert tries == wanted, "two days alone, and none built: it is not the days"
    assert not storage.list_files(_table(settings, "features/_unbuilt"), recursive=True)


@pytest.mark.usefixtures("spark")
def test_a_disk_that_fills_while_days_are_built_is_no_ones_day(
    settings: Settings, parcels: Pipeline, feature_module: Any, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the days find room: the others are not to blame, and the job is tried again for them."""
    from spark_jobs.writing import stage

    def filling(frame: Any, target: Any, *arguments: Any) -> Any:
        if "2024-02-12" in target.days:
            raise OSError(errno.ENOSPC if staged else errno.EIO, "No space left on device" if staged else "")
        staged.append(len(target.days))
        return stage(frame, target, *arguments)

    staged: list[int] = []
    monkeypatch.setattr("spark_jobs.building.stage", filling)
    feature_module("parcels", GOOD.format(before="", after=COLUMNS))

    assert _run(settings, parcels, WEEK) == 3

    assert type(driver_error(capfd.readouterr().err, 3)) is NightshiftError
    assert staged == [4]
    assert find_staged(_table(settings, "features"), "2024-02-05", "f0205") is not None
    assert not storage.list_files(_table(settings, "features/_unbuilt"), recursive=True)


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_module_becomes_one_line_without_cells(
    name: str, settings: Settings, parcels: Pipeline, feature_module: Any, capfd: Any
) -> None:
    source, kind, words = WRONG[name]
    feature_module("parcels", source)

    assert _run(settings, parcels) == 3

    output = capfd.readouterr()
    (line,) = [line for line in output.err.splitlines() if line.startswith("nightshift error: ")]
    error = driver_error(line, 3)
    assert type(error) is kind
    assert words in str(error)
    assert "spark_jobs/features/parcels.py" in str(error)
    assert "p001" not in output.out + output.err
    staged = storage.list_files(_table(settings, "features/_staged"), recursive=True)
    assert {Path(file.uri).parent.name for file in staged} <= {f"ds={DAYS[1]}"}, "a day without rows may be built"
