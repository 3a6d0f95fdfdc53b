"""The plan's JSON, and where it lies."""

from dataclasses import replace
from pathlib import Path

import pytest

from nightshift import storage
from nightshift.errors import NightshiftError
from nightshift.scoring.plan import ScoringPlan, read_plan, result_uri, scoring_code
from tests.unit.scoring.parcels import make_plan, write_plan


def test_a_plan_survives_its_json(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [30, 12], rows_per_shard=10)
    assert read_plan(plan.uri) == plan
    assert plan.rows == 42
    assert [shard.rows for shard in plan.shards] == [8, 8, 9, 8, 9]


def test_the_same_plan_has_the_same_place_and_another_one_has_another(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [30])
    assert plan.uri.startswith(f"{tmp_path}/predictions/_plans/ds=2024-02-10/0123456789abcdef-")
    assert replace(plan).uri == plan.uri
    assert write_plan(plan, threads=2).uri != plan.uri
    assert result_uri(plan.uri, 3) == plan.uri.replace("plan.json", "shard-3.json")


def test_a_missing_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(NightshiftError) as caught:
        read_plan(f"{tmp_path}/plan.json")
    assert str(caught.value) == f"{tmp_path}/plan.json: there is no scoring plan. What to do: clear plan_scoring."


def test_an_unknown_key_is_not_read_over(tmp_path: Path) -> None:
    document = make_plan(tmp_path, [3]).document()
    with pytest.raises(TypeError, match="surprise"):
        ScoringPlan.read({**document, "surprise": 1})
    assert storage.json_bytes(document) == storage.json_bytes(ScoringPlan.read(document).document())


def test_the_scoring_code_has_one_hash() -> None:
    assert scoring_code() == scoring_code()
    assert len(scoring_code()) == 16
