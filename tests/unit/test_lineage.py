import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift import __version__, storage
from nightshift.lineage import (
    DataFile,
    GateSummary,
    Landed,
    Manifest,
    Upstream,
    canonical,
    code_version,
    find_published,
    find_staged,
    libraries,
    library_changes,
    published_uri,
    recipe,
    recipe_of,
    sha256,
    staged_uri,
    with_removed,
)

MANIFEST = Manifest(
    pipeline="parcels",
    dataset="features",
    ds="2024-03-04",
    fingerprint="0123456789abcdef",
    attempt="a1",
    run_id="manual",
    created_at="2024-03-04T07:00:00+00:00",
    code_version="abc",
    spec_hash="def",
    files=(DataFile("one.parquet", 10, 3), DataFile("two.parquet", 20, 4)),
    upstream={"inputs/orders": Upstream(3, {"2024-03-04": "f0"})},
    landing=(Landed("/landing/a.csv", 5, 6, "00"),),
    counts={"landed": 7},
    gate=GateSummary("/reports/a.json", "11", "passed"),
)
KEYS = st.lists(st.tuples(st.text(max_size=3), st.integers(0, 5)), unique=True, max_size=6)


def test_canonical_json_is_one_text_for_one_document() -> None:
    assert canonical({"b": [1, None], "a": date(2024, 3, 4), "ü": 1.5}) == '{"a":"2024-03-04","b":[1,null],"ü":1.5}'
    assert canonical({"b": 1, "a": 2}) == canonical({"a": 2, "b": 1})


def test_sha256_of_text_is_that_of_its_utf8() -> None:
    assert sha256("ü") == sha256("ü".encode())
    assert sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_recipe_is_of_its_parts_by_name() -> None:
    assert recipe(a=1, b=2) == recipe(b=2, a=1)
    assert len({recipe(a=1, b=2), recipe(a=2, b=1), recipe(a=1), recipe(a="1", b=2)}) == 4
    assert len(recipe(a=1)) == 16


@given(KEYS, st.randoms())
def test_removed_rows_show_whatever_their_order(keys: list[tuple[str, int]], random: "object") -> None:
    shuffled = list(keys)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found = with_removed("0123456789abcdef", keys)
    assert found == with_removed("0123456789abcdef", shuffled)
    assert recipe_of(found) == "0123456789abcdef"
    assert (found == "0123456789abcdef") == (not keys)


@given(KEYS, KEYS)
def test_other_removed_rows_are_another_fingerprint(one: list[tuple[str, int]], two: list[tuple[str, int]]) -> None:
    assert (with_removed("f", one) == with_removed("f", two)) == (set(one) == set(two))


def test_a_manifest_comes_back_from_its_document(tmp_path: Path) -> None:
    for manifest in (MANIFEST, replace(MANIFEST, gate=None, files=(), upstream={}, landing=())):
        uri = str(tmp_path / f"{manifest.rows}.json")
        storage.write_json(uri, manifest.document())
        assert Manifest.read(storage.read_json(uri)) == manifest
    assert MANIFEST.rows == 7


def _stage(table: str, manifest: Manifest) -> None:
    for file in manifest.files:
        storage.write_bytes(storage.join(table, file.path), b"x" * file.size)
    uri = staged_uri(table, manifest.ds, manifest.fingerprint, manifest.attempt)
    storage.write_json(uri, manifest.document())


def test_a_completed_attempt_is_found_by_its_fingerprint(tmp_path: Path) -> None:
    table = str(tmp_path / "features")
    assert find_staged(table, MANIFEST.ds, MANIFEST.fingerprint) is None
    _stage(table, MANIFEST)
    assert find_staged(table, MANIFEST.ds, MANIFEST.fingerprint) == MANIFEST
    assert find_staged(table, "2024-03-05", MANIFEST.fingerprint) is None
    assert find_staged(table, MANIFEST.ds, "0" * 16) is None


def test_an_attempt_whose_files_are_gone_is_not_complete(tmp_path: Path) -> None:
    table = str(tmp_path / "features")
    _stage(table, MANIFEST)
    (tmp_path / "features" / "two.parquet").unlink()
    assert find_staged(table, MANIFEST.ds, MANIFEST.fingerprint) is None
    _stage(table, replace(MANIFEST, attempt="a2", files=MANIFEST.files[:1]))
    found = find_staged(table, MANIFEST.ds, MANIFEST.fingerprint)
    assert found is not None
    assert found.attempt == "a2"


def test_the_partition_without_removed_rows_is_not_the_one_with(tmp_path: Path) -> None:
    table = str(tmp_path / "features")
    _stage(table, replace(MANIFEST, fingerprint=f"{MANIFEST.fingerprint}-01234567"))
    assert find_staged(table, MANIFEST.ds, MANIFEST.fingerprint) is None


def test_the_manifest_of_the_active_files_counts_and_no_newer_one_of_an_attempt_that_was_beaten(
    tmp_path: Path,
) -> None:
    table = str(tmp_path / "features")
    newest = replace(MANIFEST, attempt="a0", created_at="2024-03-05T07:00:00+00:00")
    beaten = replace(newest, attempt="a7", created_at="2024-03-06T07:00:00+00:00", files=MANIFEST.files[:1])
    other = replace(MANIFEST, attempt="a9", fingerprint=f"{MANIFEST.fingerprint}-01234567")
    for manifest in (MANIFEST, newest, beaten, other):
        uri = published_uri(table, manifest.ds, manifest.fingerprint, manifest.attempt)
        storage.write_json(uri, manifest.document())
    assert find_published(table, MANIFEST.ds, MANIFEST.fingerprint, MANIFEST.files) == newest
    assert find_published(table, MANIFEST.ds, MANIFEST.fingerprint, (DataFile("one.parquet", 10, 3),)) == beaten
    assert find_published(table, MANIFEST.ds, MANIFEST.fingerprint, (DataFile("one.parquet", 10, 4),)) is None
    assert find_published(table, MANIFEST.ds, "0" * 16, MANIFEST.files) is None


# What a process remembers for its life.
asked_again = code_version.__wrapped__


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for argv in (["init", "-q"], ["config", "user.email", "t@example.org"], ["config", "user.name", "t"]):
        subprocess.run(["git", "-C", str(tmp_path), *argv], check=True)
    (tmp_path / "file").write_text("one")
    subprocess.run(["git", "-C", str(tmp_path), "add", "file"], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "commit", "-qm", "one"], check=True)
    return tmp_path


@pytest.mark.process
def test_the_code_version_is_the_commit(repository: Path) -> None:
    argv = ["git", "-C", str(repository), "rev-parse", "--short=12", "HEAD"]
    head = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    assert asked_again(repository) == head
    (repository / "file").write_text("two")
    assert asked_again(repository) == f"{head}-dirty"


def test_without_a_repository_it_is_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_again(tmp_path / "none") == __version__
    monkeypatch.setenv("PATH", str(tmp_path))
    assert asked_again(tmp_path) == __version__
    (tmp_path / "COMMIT").write_text("0123456789ab\n")
    assert asked_again(tmp_path) == "0123456789ab", "what an image was made of"


def test_no_fingerprint_and_no_attempt_looks_like_a_number() -> None:
    # Spark infers a number from fingerprint=12e3456789012345 and needs all memory and hours to write it out.
    from nightshift.job import new_attempt
    from nightshift.scoring.__main__ import new_attempt as new_shard_attempt

    tokens = [recipe(n=n) for n in range(20_000)] + [new_attempt() for _ in range(5_000)]
    for token in [*tokens, *(new_shard_attempt(n) for n in range(5_000))]:
        with pytest.raises(ValueError, match="could not convert"):
            float(token)


def test_versions_of_libraries_stand_in_a_manifest_and_older_ones_have_none() -> None:
    assert {"python", "pyspark", "pyarrow", "numpy"} <= set(libraries())
    now = {"python": "3.12.1", "pyspark": "4.2.1", "numpy": "2.0"}
    assert library_changes({"python": "3.11.7", "pyspark": "4.2.1", "gone": "1"}, now) == [
        "python 3.12.1 (then 3.11.7)"
    ]
    assert library_changes({}, now) == library_changes(now, now) == []
