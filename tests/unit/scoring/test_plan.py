"""The plan's JSON, and where it lies."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift import storage
from nightshift.errors import NightshiftError, PlanRefused
from nightshift.scoring.plan import Piece, ScoringPlan, Shard, is_below, read_plan, result_uri, scoring_code
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


def reading(plan: ScoringPlan, *uris: str) -> ScoringPlan:
    """The plan with a file of each of these URIs, written where it belongs."""
    pieces = tuple(Piece(uri, 0, 1) for uri in uris)
    return write_plan(plan, shards=(Shard(0, pieces),))


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (lambda plan, root: write_plan(plan, table=f"{root}/secrets"), "its table is none of predictions"),
        (lambda plan, root: write_plan(plan, model=f"{root}/secrets/key"), "not named after its SHA-256"),
        (lambda plan, root: reading(plan, f"{root}/labels/a.parquet"), "1 of its files are not of the features"),
        (lambda plan, root: reading(plan, f"{root}/features/../x", "/etc/passwd"), "2 of its files are not"),
        (lambda plan, root: reading(plan, f"{root}/features-of-others/a.parquet"), "1 of its files are not"),
        (lambda plan, root: reading(plan, f"s3://elsewhere{root}/features/a.parquet"), "1 of its files are not"),
        (lambda plan, _root: write_plan(plan, fingerprint="../../../elsewhere/f0"), "no plain name"),
        (lambda plan, _root: write_plan(plan, ds="2024-02-10/../../../elsewhere"), "no plain name"),
        (lambda plan, _root: write_plan(plan, fingerprint="%2e%2e%2ff0"), "no plain name"),
    ],
    ids=[
        "table",
        "model",
        "another table",
        "way out",
        "a name that begins alike",
        "another store",
        "fingerprint",
        "day",
        "escaped",
    ],
)
def test_a_plan_that_names_what_lies_elsewhere_is_refused(
    tmp_path: Path, forge: Callable[[ScoringPlan, Path], ScoringPlan], why: str
) -> None:
    forged = forge(make_plan(tmp_path, [3]), tmp_path)
    with pytest.raises(PlanRefused, match=why) as caught:
        read_plan(forged.uri)
    assert str(caught.value).startswith(f"{forged.uri}: the scoring plan is refused: ")
    assert not caught.value.retryable


def test_a_plan_that_was_altered_or_moved_is_refused(tmp_path: Path) -> None:
    plan, other = make_plan(tmp_path / "own", [3]), make_plan(tmp_path / "other", [3])
    elsewhere = f"{tmp_path}/own/predictions/_plans/ds=2024-02-10/mine/plan.json"
    for uri, document in (
        (plan.uri, replace(plan, threads=7).document()),
        (plan.uri, other.document()),
        (elsewhere, plan.document()),
    ):
        storage.write_json(uri, document)
        with pytest.raises(PlanRefused, match="it does not lie where a plan of this content and this table does"):
            read_plan(uri)


@pytest.mark.parametrize("document", [[], {}, {"plan": 1}, "text", None, {"surprise": 1}])
def test_what_is_no_plan_is_refused_without_a_word_of_it(tmp_path: Path, document: object) -> None:
    uri = f"{tmp_path}/plan.json"
    storage.write_json(uri, document)
    with pytest.raises(PlanRefused, match="it is no scoring plan"):
        read_plan(uri)


@given(
    st.lists(st.sampled_from(["a", "..", ".", "", "ds=2024-02-10", "%2e%2e", "a%2F..%2F..", "features"]), max_size=6)
)
def test_what_lies_below_a_folder_stays_there_when_it_is_resolved(parts: list[str]) -> None:
    uri = "/".join(["s3://b/features", *parts])
    if is_below(uri, "s3://b/features"):
        assert Path(unquote(f"/{uri.partition('://')[2]}")).resolve().is_relative_to("/b/features")
    local = "/".join(["/lake/features", *parts])
    if is_below(local, "/lake/features"):
        assert Path(local).resolve().is_relative_to("/lake/features")
