import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift import storage
from nightshift.errors import InputMissing
from nightshift.inputs.landed_days import input_fingerprint
from nightshift.inputs.landing import leads_out, partition_files, snapshot_days
from nightshift.lineage import Landed
from nightshift.settings import Settings
from nightshift.specs.model import Input


def source(path: str, **changes: Any) -> Input:
    return Input.model_validate({"path": path, "key": ("k",), "columns": {"k": {"type": "string"}}, **changes})


def touch(settings: Settings, *paths: str) -> None:
    for path in paths:
        file = Path(settings.landing, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("k\n")


def names(settings: Settings, path: str, ds: date) -> list[str]:
    return [file.uri.removeprefix(f"{settings.landing}/") for file in partition_files(settings, source(path), ds)]


def test_files_by_name_without_hidden_and_temporary_ones(settings: Settings) -> None:
    touch(
        settings, "s/ds=2024-02-03/b.csv", "s/ds=2024-02-03/a.csv", "s/ds=2024-02-03/A.csv", "s/ds=2024-02-03/a.csv.gz"
    )
    touch(
        settings,
        "s/ds=2024-02-03/.a.csv",
        "s/ds=2024-02-03/_SUCCESS.csv",
        "s/ds=2024-02-03/deep/a.csv",
        "s/ds=2024-02-04/c.csv",
    )
    assert names(settings, "s/ds={ds}/*.csv", date(2024, 2, 3)) == [
        "s/ds=2024-02-03/A.csv", "s/ds=2024-02-03/a.csv", "s/ds=2024-02-03/b.csv"
    ]  # fmt: skip
    assert names(settings, "s/ds={ds}/*.csv", date(2024, 2, 5)) == []


def test_the_day_may_be_in_the_file_name(settings: Settings) -> None:
    touch(settings, "s/all/orders-2024-02-03-1.csv", "s/all/orders-2024-02-03-2.csv", "s/all/orders-2024-02-04-1.csv")
    assert len(names(settings, "s/all/orders-{ds}-*.csv", date(2024, 2, 3))) == 2
    assert snapshot_days(settings, source("s/all/orders-{ds}-*.csv")) == [date(2024, 2, 3), date(2024, 2, 4)]


@pytest.mark.parametrize("path", ["s/as_of={ds}/*.csv", "s/{ds}/deep/x.csv", "s/x-{ds}-y/*.csv"])
def test_snapshots_are_the_days_with_files(settings: Settings, path: str) -> None:
    for day in ("2024-02-03", "2024-01-01"):
        touch(settings, path.replace("{ds}", day).replace("*", "x"))
    touch(
        settings, path.replace("{ds}", "2024-02-30").replace("*", "x"), path.replace("{ds}", "latest").replace("*", "x")
    )
    empty = Path(settings.landing, path.replace("{ds}", "2024-03-01")).parent
    empty.mkdir(parents=True)
    assert snapshot_days(settings, source(path, snapshot=True)) == [date(2024, 1, 1), date(2024, 2, 3)]


@pytest.mark.parametrize("path", ["s/*-{ds}.csv", "s/?-2020-01-01-{ds}*.csv"])
def test_wildcards_may_stand_before_the_day_of_a_snapshot(settings: Settings, path: str) -> None:
    touch(settings, path.replace("{ds}", "2024-02-03").replace("*", "x").replace("?", "y"))
    assert snapshot_days(settings, source(path, snapshot=True)) == [date(2024, 2, 3)]


def test_a_folder_whose_name_is_no_text_hides_no_snapshot(settings: Settings) -> None:
    touch(settings, "s/as_of=2024-01-01/a.csv")
    Path(os.fsdecode(os.fsencode(Path(settings.landing, "s")) + b"/\xff")).mkdir()
    assert snapshot_days(settings, source("s/as_of={ds}/*.csv", snapshot=True)) == [date(2024, 1, 1)]


def test_snapshots_that_cannot_be_listed_are_missing_input(settings: Settings) -> None:
    touch(settings, "s")
    with pytest.raises(InputMissing, match=r"s: the snapshots cannot be listed \(NotADirectoryError\)"):
        snapshot_days(settings, source("s/as_of={ds}/*.csv", snapshot=True))


def test_no_landing_at_all(settings: Settings) -> None:
    assert snapshot_days(settings, source("s/as_of={ds}/*.csv")) == []


def test_only_parquet_with_times_is_read_anew_since_int96_is_utc() -> None:
    """What was published before keeps its name: these are the fingerprints of then."""
    landed = [Landed("a", 1, 1, "0" * 64)]

    def named(path: str, kind: str, published: str) -> str:
        columns = {"name": {"type": "string"}, "at": {"type": kind}}
        source = Input.model_validate({"path": path, "key": ("name",), "columns": columns})
        return input_fingerprint(landed, source, "UTC", published)

    assert named("a/{ds}/*.csv", "timestamp", "f57a3bcd099e901e-01234567") == "f57a3bcd099e901e"
    assert named("a/{ds}/*.parquet", "date", "fc16c5d7abae5b08") == "fc16c5d7abae5b08"
    assert named("a/{ds}/*.parquet", "timestamp", "fe3586cb392ebf03") != "fe3586cb392ebf03"
    new = named("a/{ds}/*.csv", "timestamp", "")
    assert new not in ("", "f57a3bcd099e901e")
    assert named("a/{ds}/*.csv", "timestamp", new) == named("a/{ds}/*.csv", "timestamp", "f0") == new


@given(order=st.permutations(["name", "at", "count"]))
def test_the_order_of_columns_is_in_no_fingerprint_and_that_of_the_key_is(order: list[str]) -> None:
    kinds = {"name": "string", "at": "timestamp", "count": "integer"}

    def named(columns: Sequence[str], key: tuple[str, ...]) -> str:
        contract = {"path": "a/{ds}/*.csv", "key": key, "columns": {name: {"type": kinds[name]} for name in columns}}
        return input_fingerprint([Landed("a", 1, 1, "0" * 64)], Input.model_validate(contract), "UTC")

    assert named(order, ("name", "at")) == named(list(kinds), ("name", "at"))
    assert named(order, ("at", "name")) != named(order, ("name", "at"))


AWKWARD = ("100%.csv", "x#1.csv", "q?1.csv", "x[1].csv", "a b.csv", "a%20b.csv", "ü&=+,.csv")


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_names_are_what_the_files_are_called_whether_landing_is_a_path_or_a_uri(
    settings: Settings, scheme: str
) -> None:
    for name in AWKWARD:
        touch(settings, f"a (b) 5%/ds=2024-03-04/{name}")
        Path(settings.landing, "a (b) 5%/ds=2024-03-04", name).write_text(f"k\n{name}\n")
    settings = replace(settings, landing=f"{scheme}{settings.landing}")
    files = partition_files(settings, source("a (b) 5%/ds={ds}/*.csv"), date(2024, 3, 4))
    found = [storage.read_bytes(file.uri).decode() for file in files]
    assert sorted(found) == sorted(f"k\n{name}\n" for name in AWKWARD)
    one = source("a (b) 5%/ds={ds}/x[[]1].csv")
    assert len(partition_files(settings, one, date(2024, 3, 4))) == 1


def test_a_link_out_of_landing_is_told_from_one_within(settings: Settings, tmp_path: Path) -> None:
    touch(settings, "a/ds=2024-03-04/real.csv")
    folder = Path(settings.landing, "a/ds=2024-03-04")
    (tmp_path / "secret.csv").write_text("k\n")
    (folder / "within.csv").symlink_to(folder / "real.csv")
    (folder / "out.csv").symlink_to(tmp_path / "secret.csv")
    Path(settings.landing, "b").symlink_to(tmp_path)
    out = {name: leads_out(settings, str(folder / name)) for name in ("real.csv", "within.csv", "out.csv")}
    assert out == {"real.csv": False, "within.csv": False, "out.csv": True}
    assert leads_out(settings, f"file://{settings.landing}/b/secret.csv")
