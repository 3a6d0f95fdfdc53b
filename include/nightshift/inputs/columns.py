"""How the columns of a landing file and those of its contract go together. Pure."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from nightshift.errors import GateFailed
from nightshift.specs.model import Input

CORRECT = "have the file corrected and landed again"

Differences = Mapping[str, Sequence[str]]
"""In what files differ from their contract: columns by kind of difference, as messages show them."""

_COLUMN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ .-]{0,119}")
_UNSEEN = "\ufeff\u200b"
_MOST_NAMES = 100
_FEW = 5
_WORDS = {
    "ignored": "has columns that its spec does not name, which are ignored",
    "missing": "lacks columns that may be null, and are null",
    "renamed": "writes columns otherwise than its spec, as which they are read",
}


@dataclass(frozen=True)
class Columns:
    """The names that a file has for the contract's columns, without those that it lacks, and what differs."""

    names: Mapping[str, str]
    differences: Differences


def match_columns(uri: str, found: Sequence[str], source: Input) -> Columns:
    """Find the contract's columns in those of a file, in any order. Raises GateFailed by the source's policy.

    A name that differs by case or by spaces around it is the same name; two of them that do not differ otherwise
    are an error, as is a name that is there twice, or a column that is missing and may not be null. A column that the
    contract does not have is shown by its place, from 1: a file without a header has cells in its first row.
    """
    wanted, strict = list(source.columns), source.columns_policy == "strict"
    by_form: dict[str, list[str]] = {}
    for name in dict.fromkeys(found):
        by_form.setdefault(_form(name), []).append(name)
    forms = {_form(name): name for name in wanted}
    same = {name: by_form.get(form, []) for form, name in forms.items()}
    names = {name: name if name in there else there[0] for name, there in same.items() if there}
    if not names:
        raise GateFailed(
            "the file names none of the contract's columns: it has no header, or another delimiter",
            where=uri,
            allowed=", ".join(wanted),
            do=CORRECT,
        )
    missing = [name for name in wanted if name not in names]
    added = [name for form, there in by_form.items() if form not in forms for name in there]
    places = {name: f"column {place}" for place, name in reversed(list(enumerate(found, 1)))}
    twice = [forms.get(_form(name), places[name]) for name, times in Counter(found).items() if name and times > 1]
    renamed = [f"{_shown(there)} as {name}" for name, there in names.items() if there != name]
    needed = [name for name in missing if strict or not source.columns[name].nulls]
    flaws = [
        ("missing", needed),
        ("not in the contract", [places[name] for name in added] if strict or needed else []),
        ("written otherwise", renamed if strict else []),
        ("more than once", twice),
        (
            "differ by case or spaces alone",
            [_shown(name) for there in same.values() if len(there) > 1 for name in there],
        ),
    ]
    if any(bad for _, bad in flaws):
        raise GateFailed(
            "the columns are not the contract's: "
            + "; ".join(f"{what}: {', '.join(bad)}" for what, bad in flaws if bad),
            where=uri,
            allowed=", ".join(wanted),
            do=f"{CORRECT}, or change the contract",
        )
    differences = {"ignored": [places[name] for name in added], "missing": missing, "renamed": renamed}
    return Columns(names, {kind: tuple(some[:_MOST_NAMES]) for kind, some in differences.items() if some})


def as_contract(batch: pa.RecordBatch, source: Input, columns: Columns) -> pa.RecordBatch:
    """A file's batch with the contract's columns in their order; one that the file lacks is null."""
    empty = pa.nulls(batch.num_rows)
    found = [batch.column(columns.names[name]) if name in columns.names else empty for name in source.columns]
    return pa.RecordBatch.from_arrays(found, names=list(source.columns))


def merged(one: Differences, other: Differences) -> Differences:
    """The differences of two files of a day."""
    kinds = dict.fromkeys([*one, *other])
    return {kind: tuple(sorted({*one.get(kind, ()), *other.get(kind, ())})) for kind in kinds}


def sentences(source: str, days: Mapping[str, Differences]) -> Iterator[str]:
    """A sentence for each kind of difference, with its names and the days that have it."""
    for kind, words in _WORDS.items():
        having = sorted(day for day, found in days.items() if found.get(kind))
        names = sorted({name for day in having for name in days[day][kind]})
        if names:
            more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
            span = having[0] if len(having) == 1 else f"{len(having)} days, the first is {having[0]}"
            yield f"{source} {words}: {', '.join(names[:_FEW])}{more} ({span})"


def news(found: Differences, known: Differences) -> Differences:
    """The differences that are not known already."""
    fresh = {kind: tuple(name for name in names if name not in known.get(kind, ())) for kind, names in found.items()}
    return {kind: names for kind, names in fresh.items() if names}


def _form(name: str) -> str:
    """What is the same of names that differ by case, spaces or the writing of accents alone: ``m²`` is not ``m2``."""
    return unicodedata.normalize("NFC", name).strip(_UNSEEN).strip().lower()


def _shown(name: str) -> str:
    """The form in which a file writes a name of the contract, where it can be printed."""
    return name if _COLUMN_NAME.fullmatch(name) else "(unprintable)"
