"""Every error that Nightshift raises on purpose.

::

    NightshiftError
    ├── SpecError          a pipeline's YAML or feature module is wrong          (never retried)
    ├── InputMissing       landing has not what the spec says it must have
    ├── GateFailed         a gate blocked its dataset                            (never retried)
    ├── SchemaChanged      a dataset's columns differ from its table's           (never retried)
    ├── PartitionDamaged   another program changed a published partition         (never retried)
    ├── PromotionRefused   a promotion that the rule does not allow was asked for (never retried)
    ├── OrderRefused       a person's order cannot be carried out, or another came first (never retried)
    ├── ModelNotFound      no champion as of the day, or its file is gone
    ├── ModelMismatch      model, columns or code differ from the plan            (never retried)
    ├── PlanRefused        a scoring plan names what is not its job's             (never retried)
    ├── ConfRefused        a run was asked for what nobody may order there        (never retried)
    ├── PublishConflict    a publication lost against another one for good
    ├── LedgerCorrupt      the ledger's hash chain is broken                      (never retried)
    └── PlatformError      a component of the local platform is not as it should be

A message says what was wrong, where, what is allowed and what to do. No message carries the value of a cell.
"""

import errno
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, ModuleType
from typing import Any, ClassVar

_OURS = ("nightshift", "spark_jobs")
_MOST = 8
# What an operator can do something about.
_TOLD = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENOMEM, errno.EMFILE, errno.ECONNREFUSED)


class NightshiftError(Exception):
    """Something that was foreseen went wrong.

    ``what`` is a sentence without its full stop; ``where``, ``allowed`` and ``do`` complete the message. ``links``
    are for people, label to URI, as an Outcome's: who raises may add the report that says more.
    """

    retryable: ClassVar[bool] = True

    def __init__(self, what: str, *, where: str = "", allowed: str = "", do: str = "") -> None:
        self.what, self.where, self.allowed, self.do = what, where, allowed, do
        self.links: dict[str, str] = {}
        parts = [f"{where}: {what}" if where else what]
        parts += [f"Allowed: {allowed}"] if allowed else []
        parts += [f"What to do: {do}"] if do else []
        super().__init__(" ".join(part if part.endswith("?") else f"{part.rstrip('.')}." for part in parts))


class SpecError(NightshiftError):
    """A pipeline's YAML or feature module is wrong; ``where`` is ``file:line``."""

    retryable = False


class InputMissing(NightshiftError):
    """Landing has not what the spec says it must have."""


class SourceUnseen(InputMissing):
    """A source could not be looked at: whether its delivery has come is not known."""


class SparkBusy(NightshiftError):
    """Another task of a backfill builds with Spark, perhaps for this day, too: nothing was tried yet."""


class GateFailed(NightshiftError):
    """A gate blocked its dataset. ``table`` shows which expectations failed, on lines after the message."""

    retryable = False

    def __init__(self, what: str, *, where: str = "", allowed: str = "", do: str = "", table: str = "") -> None:
        super().__init__(what, where=where, allowed=allowed, do=do)
        self.table = table
        self.args = (f"{self.args[0]}\n\n{table}",) if table else self.args


class SchemaChanged(NightshiftError):
    """A column of a dataset has another type than in its table, or lacks values that its contract wants."""

    retryable = False


class PartitionDamaged(NightshiftError):
    """Another program appended, removed or rewrote rows of a published partition."""

    retryable = False
    REPAIR: ClassVar[str] = (
        "run `nightshift repair PIPELINE`, which puts back what was published; the table's history names who wrote"
    )


class PromotionRefused(NightshiftError):
    """A promotion that the rule does not allow was asked for."""

    retryable = False


class OrderRefused(NightshiftError):
    """A person's order about a model cannot be carried out, or another one came first. Nothing was recorded."""

    retryable = False


class ModelNotFound(NightshiftError):
    """There is no champion as of the day, or its file is gone."""


class ModelMismatch(NightshiftError):
    """A model, its columns or its code differ from what the plan says."""

    retryable = False


class PlanRefused(NightshiftError):
    """A scoring plan lies elsewhere, or names a table, a model or rows that are not its job's."""

    retryable = False


class ConfRefused(NightshiftError):
    """A run was asked for what its conf cannot order."""

    retryable = False


class PublishConflict(NightshiftError):
    """A publication lost against another one for good."""


class LedgerCorrupt(NightshiftError):
    """The ledger's hash chain is broken; the message names the first bad entry."""

    retryable = False


class PlatformError(NightshiftError):
    """A component of the local platform is not as it should be."""


def said(line: str) -> NightshiftError:
    """The error that another process told in one line, ``Type: message``; a plain NightshiftError for other lines."""
    name, _, message = line.partition(": ")
    known: list[type[NightshiftError]] = [NightshiftError]
    for kind in known:  # it grows by each one's own
        known += kind.__subclasses__()
    kinds = {kind.__name__: kind for kind in known}
    return kinds[name](message) if message and name in kinds else NightshiftError(line or "it ended without a word")


@contextmanager
def foreseen(where: str = "", names: Iterable[str] = ()) -> Iterator[None]:
    """Let Nightshift's own errors pass; of any other exception raise what may be said of it (see ``unforeseen``)."""
    try:
        yield
    except NightshiftError:
        raise
    except Exception as error:
        raise unforeseen(error, where, names) from None


def unforeseen(error: BaseException, where: str = "", names: Iterable[str] = ()) -> NightshiftError:
    """The error of an exception that nobody foresaw: its kinds, where it was raised, and ``names`` that it has.

    Never its own words, nor those of its causes: an engine quotes the cell that it stumbled over. A kind or a place is
    one that a module which was imported from a file really has; what the system says of a file or a disk is its own.
    Raises nothing: an exception may answer a question with another one.
    """
    try:
        what = _said_of(error, names)
    except Exception:
        what = "an exception was raised of which nothing can be said"
    return NightshiftError(
        what, where=where, do="look at the code there; its own words are not shown, they may hold cells"
    )


def _said_of(error: BaseException, names: Iterable[str]) -> str:
    chain = list(_chain(error))
    kinds = list(dict.fromkeys(map(_kind, chain)))
    what = f"{' from '.join(kinds[:_MOST])} was raised"
    what += next((f": {os.strerror(number)}" for item in chain for number in _system(item)), "")
    found = sorted(_words(chain) & {*names, *_constants(chain)})
    what += f", with the names {', '.join(found[:_MOST])}" if found else ""
    places = list(dict.fromkeys(place for item in reversed(chain) for place in _places(item)))
    return what + (f" (at {', '.join(places[-_MOST:])})" if places else "")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, the members of a group, and what each was raised from or while; few, and each once."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MOST:
        item = waiting.pop(0)
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        waiting += item.exceptions if isinstance(item, BaseExceptionGroup) else ()
        cause = item.__cause__ or (None if item.__suppress_context__ else item.__context__)
        waiting += [cause] if cause is not None else []


def _system(error: BaseException) -> Iterator[int]:
    """The system's error number; libraries that are not Python's have its words alone."""
    if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno in errno.errorcode:
        yield error.errno
    texts = [text for text in error.args if isinstance(text, str)]
    yield from (number for number in _TOLD if any(os.strerror(number) in text for text in texts))


def _kind(error: BaseException) -> str:
    """The name of the nearest class that stands in a module under this name: one made of data does not."""
    for kind in type(error).__mro__:
        inner: Any = sys.modules.get(kind.__module__) if isinstance(kind.__module__, str) else None
        parts = kind.__qualname__.split(".")
        for part in parts:
            inner = vars(inner).get(part) if isinstance(inner, ModuleType | type) else None
        if inner is kind and isinstance(inner, type):
            return parts[-1]
    return "Exception"


def _frames(error: BaseException) -> Iterator[tuple[str, CodeType, int]]:
    """Module, code and line of each frame whose module was imported from the very file that its code names."""
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = frame.f_globals.get("__name__")
        module = sys.modules.get(name) if isinstance(name, str) else None
        if isinstance(module, ModuleType) and vars(module).get("__file__") == frame.f_code.co_filename:
            yield str(name), frame.f_code, line


def _places(error: BaseException) -> list[str]:
    """The lines of ours that it came through, and the one that raised it."""
    frames = list(_frames(error))
    ours = [frame for frame in frames if frame[0].partition(".")[0] in _OURS]
    return [f"{name}:{line}" for name, _, line in dict.fromkeys([*ours, *frames[-1:]])]


def _constants(chain: Sequence[BaseException]) -> set[str]:
    """The texts and names that stand in the code of ours which the exceptions came through."""
    codes = [code for item in chain for name, code, _ in _frames(item) if name.partition(".")[0] in _OURS]
    return {text for code in codes for text in (*code.co_names, *code.co_consts) if isinstance(text, str)}


def _words(chain: Sequence[BaseException]) -> set[str]:
    """The names that exceptions carry beside their text. Nothing of the text itself, where a cell may look like one."""
    found: set[str] = set()
    for item in chain:
        name = item.args[0] if isinstance(item, KeyError) and item.args else None
        name = item.name if isinstance(item, NameError | AttributeError | ImportError) else name
        found |= {name} if isinstance(name, str) and name.isidentifier() else set()
    return found
