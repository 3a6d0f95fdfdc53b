"""What a day reads, and what its fingerprint depends on."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import InputMissing, SpecError
from nightshift.features.rebuilds import new_rebuild
from nightshift.features.recipes import Recipes, code_of
from nightshift.lineage import DataFile
from nightshift.parts import VERSIONS
from nightshift.specs.model import Pipeline
from nightshift.specs.spark import Spark
from nightshift.tables import Partition, TableState
from tests.conftest import make_pipeline
from tests.unit.features.lake import MODULE

DS = date(2024, 2, 10)
CODE = {"features": "code-f", "labels": "code-l"}


def sources(
    absent: dict[str, set[date]] | None = None, changed: dict[str, set[date]] | None = None
) -> dict[str, TableState]:
    """Published sources of January to March, without some days and with other content on some."""
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(91)]

    def table(name: str, known: list[date]) -> TableState:
        out, other = (absent or {}).get(name, set()), (changed or {}).get(name, set())
        partitions = {
            day.isoformat(): Partition(
                day.isoformat(), "new" if day in other else "old", (DataFile(f"{name}/{day}.parquet", 1, 1),)
            )
            for day in known
            if day not in out
        }
        return TableState(name, 7, partitions)

    return {
        "orders": table("orders", days),
        "deliveries": table("deliveries", days),
        "depots": table("depots", [date(2024, 1, 1), date(2024, 2, 5), date(2024, 2, 20)]),
    }


def recipes(pipeline: Pipeline | None = None, **tables: dict[str, set[date]]) -> Recipes:
    return Recipes(pipeline or make_pipeline(), sources(**tables), CODE)


def test_features_read_what_lags_and_lookbacks_make_known() -> None:
    reads = recipes().reads("features", DS)
    assert {name: list(upstream.days) for name, upstream in reads.items()} == {
        "orders": ["2024-02-10"],
        "deliveries": ["2024-02-07", "2024-02-08", "2024-02-09"],
        "depots": ["2024-02-05"],
    }
    assert {upstream.version for upstream in reads.values()} == {7}


def test_labels_read_the_days_up_to_their_lag() -> None:
    assert list(recipes().reads("labels", DS)["deliveries"].days) == ["2024-02-10"]
    label = {"column": "hours", "objective": "regression", "lag": 4, "inputs": ["deliveries"]}
    later = recipes(make_pipeline(label=label)).reads("labels", DS)
    assert list(later["deliveries"].days) == ["2024-02-10", "2024-02-11", "2024-02-12", "2024-02-13"]


def test_as_many_days_may_be_absent_as_the_spec_allows() -> None:
    one = {"deliveries": {date(2024, 2, 8)}}
    assert list(recipes(absent=one).reads("features", DS)["deliveries"].days) == ["2024-02-07", "2024-02-09"]
    two = {"deliveries": {date(2024, 2, 8), date(2024, 2, 9)}}
    with pytest.raises(InputMissing) as caught:
        recipes(absent=two).reads("features", DS)
    assert str(caught.value) == (
        "parcels: features of 2024-02-10 need 3 days of source deliveries, and 2 are not published: "
        "2024-02-08, 2024-02-09. Allowed: 1 absent. "
        "What to do: land the files at parcels/deliveries/ds={ds}/*.csv, then clear gate_inputs."
    )


def test_a_label_needs_every_day_it_reads() -> None:
    with pytest.raises(InputMissing, match=r"labels of 2024-02-10 need 1 days of source deliveries"):
        recipes(absent={"deliveries": {DS}}).reads("labels", DS)


def test_a_snapshot_after_the_day_is_not_known() -> None:
    first = make_pipeline(schedule={**make_pipeline().schedule.model_dump(mode="json"), "start": "2023-12-01"})
    with pytest.raises(InputMissing, match=r"source depots has no snapshot with as_of <= 2023-12-31"):
        recipes(first)._read("features", "depots", first.inputs["depots"], date(2023, 12, 31))


@given(ds=st.dates(date(2024, 2, 1), date(2024, 3, 20)), day=st.dates(date(2024, 1, 1), date(2024, 3, 31)))
def test_a_changed_day_changes_exactly_what_reads_it(ds: date, day: date) -> None:
    before, after = recipes(), recipes(changed={"deliveries": {day}})
    assert (before.wanted("features", ds) != after.wanted("features", ds)) == (1 <= (ds - day).days <= 3)
    assert (before.wanted("labels", ds) != after.wanted("labels", ds)) == (day == ds)


def test_ranges_and_gates_are_not_part_of_a_fingerprint_but_columns_are() -> None:
    spec = make_pipeline().model_dump(mode="json")
    looser = make_pipeline(features={**spec["features"], "gate": {"policy": "warn"}})
    assert recipes(looser).wanted("features", DS) == recipes().wanted("features", DS)
    fewer = {name: column for name, column in spec["features"]["columns"].items() if name != "doors"}
    assert recipes(make_pipeline(features={**spec["features"], "columns": fewer})).wanted(
        "features", DS
    ) != recipes().wanted("features", DS)


@given(order=st.permutations(["depot", "weight", "doors", "late_3d"]))
def test_the_order_of_columns_is_in_no_fingerprint_and_that_of_the_key_is(order: list[str]) -> None:
    features = make_pipeline().model_dump(mode="json")["features"]

    def wanted(columns: list[str], key: list[str]) -> tuple[str, str]:
        pipeline = make_pipeline(
            features={**features, "key": key, "columns": {name: features["columns"][name] for name in columns}}
        )
        return recipes(pipeline).wanted("features", DS), recipes(pipeline).wanted("labels", DS)

    columns = list(features["columns"])
    key = ["parcel_id", "depot"]
    assert wanted(order, key) == wanted(columns, key)
    turned = wanted(columns, key[::-1])
    assert all(one != other for one, other in zip(turned, wanted(columns, key), strict=True))


def test_a_part_of_the_library_that_gives_other_rows_makes_days_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [recipes().wanted(dataset, DS) for dataset in ("features", "labels")]
    monkeypatch.setitem(VERSIONS, "building", VERSIONS["building"] + 1)
    after = [recipes().wanted(dataset, DS) for dataset in ("features", "labels")]
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_code_of_features_and_labels_are_told_apart(tmp_path: Path) -> None:
    module = tmp_path / "spark_jobs" / "features" / "parcels.py"
    module.parent.mkdir(parents=True)
    module.write_text(MODULE)
    before = code_of(tmp_path, make_pipeline())
    module.write_text(MODULE.replace("return days, inputs", "return inputs"))
    after = code_of(tmp_path, make_pipeline())
    assert before["features"] == after["features"]
    assert before["labels"] != after["labels"]


def test_a_file_that_the_module_reads_is_part_of_the_code(tmp_path: Path) -> None:
    module, file = tmp_path / "spark_jobs" / "features" / "parcels.py", tmp_path / "spark_jobs" / "holidays.csv"
    module.parent.mkdir(parents=True)
    module.write_text(MODULE)
    features = make_pipeline().model_dump(mode="json")["features"]
    reading = make_pipeline(features={**features, "reads": ["spark_jobs/holidays.csv"]})
    with pytest.raises(SpecError, match=r"holidays\.csv: there is no such file"):
        code_of(tmp_path, reading)
    file.write_text("2024-01-01\n")
    before = code_of(tmp_path, reading)
    assert before != code_of(tmp_path, make_pipeline())
    file.write_text("2024-01-06\n")
    after = code_of(tmp_path, reading)
    assert all(after[dataset] != before[dataset] for dataset in before)


def test_what_spark_is_given_on_a_cluster_changes_no_fingerprint() -> None:
    """No row depends on it: a pipeline that gets more memory is not built anew."""
    plain = make_pipeline()
    asked = Spark(executors=7, cores=3, memory="9Gi", start="1h")
    more = plain.model_copy(update={"features": plain.features.model_copy(update={"spark": asked})})
    assert more.features.spark != plain.features.spark
    for dataset in ("features", "labels"):
        assert recipes(more).wanted(dataset, DS) == recipes(plain).wanted(dataset, DS) != ""


def test_the_newest_order_for_a_run_is_in_the_recipe_of_what_that_run_builds() -> None:
    plain, ds, after = recipes(), DS, DS + timedelta(days=1)
    order = new_rebuild(ds, ds, "ada", "a faulty library")
    ordered = replace(plain, rebuilds=(order,))
    assert ordered.wanted("features", ds) not in ("", plain.wanted("features", ds))
    assert ordered.wanted("features", after) == plain.wanted("features", after)
    # The labels of the day before mature with the run of ds.
    before = ds - timedelta(days=plain.pipeline.label.lag)
    assert before != ds
    assert ordered.wanted("labels", before) not in ("", plain.wanted("labels", before))
    assert ordered.wanted("labels", ds) == plain.wanted("labels", ds)

    again = new_rebuild(ds, after, "ada", "")
    for orders in ((order, again), (again, order)):
        twice = replace(plain, rebuilds=orders)
        assert twice.rebuild("features", ds) == again
        assert twice.wanted("features", ds) != ordered.wanted("features", ds)
        assert twice.wanted("features", after) != plain.wanted("features", after)


def with_depots(**changes: object) -> Pipeline:
    inputs = make_pipeline().model_dump(mode="json")["inputs"]
    for source in inputs.values():
        source.pop("format")
    return make_pipeline(inputs={**inputs, "depots": {**inputs["depots"], **changes}})


@given(lag=st.integers(0, 20), ds=st.dates(date(2024, 2, 1), date(2024, 3, 31)))
def test_a_snapshot_with_a_lag_is_read_from_so_many_days_later_on(lag: int, ds: date) -> None:
    found = recipes(with_depots(lag=lag)).reads("features", ds)["depots"].days
    known = [day for day in (date(2024, 1, 1), date(2024, 2, 5), date(2024, 2, 20)) if day + timedelta(days=lag) <= ds]
    assert list(found) == [known[-1].isoformat()]


@pytest.mark.parametrize("max_age", [4, 5])
def test_a_snapshot_that_is_too_old_counts_as_missing(max_age: int) -> None:
    aged = recipes(with_depots(max_age=max_age))
    if max_age == 5:
        assert list(aged.reads("features", DS)["depots"].days) == ["2024-02-05"]
        assert aged.wanted("features", DS) == recipes().wanted("features", DS), "it decides no row"
        return
    with pytest.raises(InputMissing) as caught:
        aged.reads("features", DS)
    assert str(caught.value) == (
        "parcels: source depots has no snapshot with as_of <= 2024-02-10 that is at most 4 days old at 2024-02-10, the "
        "newest is of 2024-02-05. What to do: land one at parcels/depots/as_of={ds}/*.csv, then clear gate_inputs."
    )


def test_a_correction_that_came_late_is_seen_and_one_of_what_is_not_known_yet_is_not() -> None:
    """The fingerprint names what may be read: the rows follow it, whenever they are computed."""
    plain = recipes(with_depots(lag=3))
    read = {name: list(upstream.days) for name, upstream in plain.reads("features", DS).items()}
    for name, days in sources().items():
        for day in map(date.fromisoformat, days.partitions):
            after = recipes(with_depots(lag=3), changed={name: {day}})
            changed = after.wanted("features", DS) != plain.wanted("features", DS)
            assert changed == (day.isoformat() in read[name]), (name, day)
