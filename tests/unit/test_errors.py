"""What is said of exceptions that nobody foresaw: never a word of theirs."""

import errno
import json
import linecache
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift import storage
from nightshift.errors import GateFailed, NightshiftError, foreseen, unforeseen
from nightshift.lineage import Manifest

CANARY = "canary4711"


def raised(error: BaseException) -> BaseException:
    """The exception as a frame of this module raised it."""
    try:
        raise error
    except BaseException as caught:
        return caught


def run(code: str, file: str, **scope: Any) -> None:
    """Code that says of itself that it is of this file."""
    exec(compile(code, file, "exec"), scope)  # noqa: S102


def from_a_step(document: Any) -> BaseException:
    """What a function of ours raises on a document that it did not expect."""
    try:
        Manifest.read(document)
    except Exception as error:
        return error
    raise AssertionError("it was read")


def test_kind_place_and_names_of_the_code_are_shown() -> None:
    found = str(unforeseen(from_a_step({"pipeline": CANARY}), "parcels monitor of 2024-02-05"))
    assert found.startswith("parcels monitor of 2024-02-05: KeyError was raised, with the names files (at nightshift.")
    assert "nightshift.lineage:" in found
    assert "What to do: look at the code there" in found
    assert CANARY not in found


def test_a_name_is_shown_where_the_contract_has_it_and_not_otherwise() -> None:
    error = raised(KeyError("weight"))
    assert ", with the names weight" in str(unforeseen(error, names=["weight", "depot"]))
    assert "weight" not in str(unforeseen(error))
    assert "depot" not in str(unforeseen(error, names=["depot"]))


def test_what_the_system_says_of_a_disk_is_shown_without_the_file() -> None:
    found = str(unforeseen(raised(OSError(errno.ENOSPC, "canary words", f"/landing/{CANARY}.csv"))))
    assert "OSError was raised: No space left on device" in found
    assert "canary" not in found


def test_the_systems_words_are_shown_where_a_library_has_no_number_for_them() -> None:
    found = str(unforeseen(raised(RuntimeError(f"Generic error: {CANARY}: No space left on device (os error 28)"))))
    assert found.startswith("RuntimeError was raised: No space left on device")
    assert CANARY not in found


def test_our_own_errors_pass_and_the_chain_of_others_is_dropped() -> None:
    with pytest.raises(GateFailed, match="as it was"), foreseen("here"):
        raise GateFailed("as it was")
    cause, error = raised(ValueError(CANARY)), RuntimeError(CANARY)
    error.__cause__ = cause
    with pytest.raises(NightshiftError) as caught, foreseen("here"):
        raise error
    assert str(caught.value).startswith("here: RuntimeError from ValueError was raised")
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None
    assert caught.value.retryable


def test_ctrl_c_is_no_error() -> None:
    with pytest.raises(KeyboardInterrupt), foreseen():
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "act",
    [
        lambda: int(CANARY),
        lambda: {}[CANARY],
        lambda: getattr(object(), CANARY),
        lambda: pa.array([CANARY]).cast(pa.int64()),
        lambda: pa.table({CANARY: [1]}).column(CANARY + "x"),
        lambda: json.loads(f'{{"{CANARY}": '),
        lambda: Path(f"/nowhere/{CANARY}").read_text(),
        lambda: storage.read_bytes(f"/nowhere/{CANARY}"),
        lambda: f"{CANARY}\xe9".encode("ascii"),
        lambda: __import__(CANARY),
        lambda: run(f"{CANARY}()", CANARY, __name__=CANARY),
        lambda: run(f"raise type('{CANARY}', (ValueError,), {{'__module__': '{CANARY}'}})('x')", CANARY),
    ],
)  # fmt: skip
def test_what_engines_quote_is_not_repeated(act: Any) -> None:
    with pytest.raises(NightshiftError) as caught, foreseen():
        act()
    assert CANARY not in str(caught.value)
    assert "was raised" in str(caught.value)


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).map(lambda text: f"{CANARY}{text}")
KINDS = st.sampled_from(
    [ValueError, KeyError, OSError, RuntimeError, UnicodeError, AttributeError, ImportError, NameError, StopIteration,
     MemoryError, RecursionError, AssertionError, LookupError, ArithmeticError, TypeError, SyntaxError]
)  # fmt: skip


@st.composite
def exceptions(draw: Any, depth: int = 3) -> BaseException:
    """An exception with a canary wherever one can be: words, notes, names, kinds, causes, files of its frames."""
    kind = draw(KINDS)
    if draw(st.booleans()):
        kind = type(draw(TEXTS), (kind,), {"__module__": draw(TEXTS), "__str__": lambda self: CANARY})
    words = draw(st.lists(TEXTS | st.integers() | st.binary(max_size=3), max_size=3))
    try:
        error = kind(*words)
    except TypeError:  # SyntaxError wants more of them
        error = kind(CANARY)
    if hasattr(error, "name") and not isinstance(error, OSError):
        error.name = draw(TEXTS)
    error.add_note(draw(TEXTS))
    if depth and draw(st.booleans()):
        error.__cause__ = draw(exceptions(depth - 1))
    if depth and draw(st.booleans()):
        error.__context__ = draw(exceptions(depth - 1))
    if depth and draw(st.booleans()):
        error = ExceptionGroup(draw(TEXTS), [error if isinstance(error, Exception) else ValueError(CANARY)])
    if draw(st.booleans()):
        file = f"/{draw(TEXTS)}.py".replace("\0", "")
        try:
            scope = {"error": error, "__name__": draw(TEXTS)}
            run(f"def {CANARY}():\n    raise error\n{CANARY}()", file, **scope)
        except BaseException as caught:
            return caught
    return raised(error)


@given(exceptions(), st.sets(st.sampled_from(["weight", "depot"])))
def test_no_exception_gets_a_word_through(error: BaseException, names: set[str]) -> None:
    found = unforeseen(error, "parcels", names)
    told = " ".join([str(found), repr(found), found.what, found.where, found.do])
    assert "canary" not in told.lower()
    assert "4711" not in told
    assert "was raised" in told


class Hostile(RuntimeError):
    """Answers no question about itself."""

    def __getattribute__(self, name: str) -> Any:
        raise ValueError(CANARY)


@pytest.mark.parametrize("words", [([CANARY], CANARY), ({CANARY: 1}, CANARY), ()])
def test_an_exception_that_raises_another_when_it_is_asked_gets_no_word_through(words: tuple[Any, ...]) -> None:
    with pytest.raises(NightshiftError, match="was raised") as caught, foreseen("here"):
        raise OSError(*words) if words else Hostile()
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_exception_whose_cause_is_itself_ends() -> None:
    error = raised(ValueError(CANARY))
    other = raised(KeyError(CANARY))
    error.__cause__, other.__context__ = other, error
    assert str(unforeseen(error)).startswith("ValueError from KeyError was raised")


def test_a_module_that_only_says_so_has_no_place() -> None:
    scope: dict[str, Any] = {"__name__": "nightshift.errors"}
    module = ModuleType(CANARY)
    assert module.__name__ not in linecache.cache
    try:
        run("raise ValueError('x')", f"/{CANARY}.py", **scope)
    except ValueError as error:
        found = str(unforeseen(error))
    assert "nightshift.errors" not in found
