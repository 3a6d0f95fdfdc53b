"""The suffix of removed rows: keyed, stable, and an earlier one kept."""

import itertools
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import NightshiftError
from nightshift.gates.removed import is_recoverable, removal_key, with_removed_rows
from nightshift.lineage import recipe_of, sha256, with_removed
from nightshift.settings import Settings

KEYS = st.lists(st.tuples(st.text(max_size=5), st.integers(0, 3)), max_size=6)
SECRET = b"a key of the environment"


@given(KEYS, KEYS, st.randoms())
def test_the_same_rows_have_one_name_and_others_another(
    one: list[tuple[str, int]], two: list[tuple[str, int]], random: "object"
) -> None:
    shuffled = list(one)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    name = with_removed_rows("f0", one, SECRET)
    assert name == with_removed_rows("f0", shuffled, SECRET)
    assert (name == with_removed_rows("f0", two, SECRET)) == (sorted(one) == sorted(two))
    assert recipe_of(name) == "f0"
    assert (name == "f0") == (not one)
    assert not is_recoverable(name)
    assert (name == with_removed_rows("f0", one, b"another")) == (not one)


def test_a_key_of_few_values_cannot_be_found_by_trying() -> None:
    name = with_removed_rows("f0", [["4711"]], SECRET)
    tried = (f"{number:04d}" for number in range(10_000))
    digits = name.rpartition("-k")[2]
    assert not [key for key in tried if sha256(f'["[\\"{key}\\"]"]').startswith(digits[:8])]
    assert [key for key in map(str, itertools.chain(range(4700, 4720))) if with_removed("f0", [[key]]) == EARLIER]


EARLIER = with_removed("f0", [["4711"]])


def test_what_is_published_under_the_earlier_name_keeps_it() -> None:
    assert is_recoverable(EARLIER)
    assert with_removed_rows("f0", [["4711"]], SECRET, published=EARLIER) == EARLIER
    assert with_removed_rows("f0", [["4712"]], SECRET, published=EARLIER).startswith("f0-k")
    assert with_removed_rows("f1", [["4711"]], SECRET, published=EARLIER).startswith("f1-k")
    assert with_removed_rows("f0", [], SECRET, published=EARLIER) == "f0"
    assert not is_recoverable("f0")


def test_a_key_is_made_once_for_its_owners_eyes(settings: Settings) -> None:
    key, file = removal_key(settings), settings.removal_key_file
    assert file == settings.var / "secrets" / "removed-rows"
    assert len(key) == 64
    assert removal_key(settings) == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_a_key_that_is_named_and_not_there_is_not_made_up(settings: Settings, tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "elsewhere"
    if text is not None:
        file.write_text(text)
    with pytest.raises(NightshiftError, match="the key for the fingerprints of removed rows cannot be read") as caught:
        removal_key(replace(settings, removal_key=file))
    assert str(caught.value).startswith(f"{file}: ")
    assert file.exists() == (text is not None)


def test_a_key_that_is_no_text_is_told_without_its_bytes(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere"
    file.write_bytes(b"\x9f\xc3key")
    with pytest.raises(NightshiftError, match="removed rows cannot be read: it is no text") as caught:
        removal_key(replace(settings, removal_key=file))
    assert "9f" not in str(caught.value).removeprefix(str(file))


def test_of_many_who_need_the_first_key_at_once_all_get_the_same(settings: Settings) -> None:
    together = Barrier(8)

    def need(_number: int) -> bytes:
        together.wait(30)
        return removal_key(settings)

    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(need, range(8)))
    assert set(keys) == {settings.removal_key_file.read_text().strip().encode()}


def test_no_key_is_made_in_a_var_that_holds_no_secrets(settings: Settings, tmp_path: Path) -> None:
    """Such as a pod's, which goes with it: each would name the same rows in its own way."""
    mounted = replace(settings, database_file=tmp_path / "mounted" / "database")
    with pytest.raises(NightshiftError, match="NIGHTSHIFT_REMOVAL_KEY_FILE"):
        removal_key(mounted)
    assert not settings.removal_key_file.exists()
