"""CSV files as text, streamed and strict: every flaw is an error that names file and row, never a cell."""

import csv
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from nightshift import storage
from nightshift.errors import GateFailed, InputMissing, NightshiftError
from nightshift.specs.model import Input

_BLOCK = 4 << 20
_LINE_ENDS = (0x0A, 0x0D)
_QUOTE = b'"'
_ROW = re.compile(r"Row #(\d+)")
_COLUMN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ .-]{0,119}")
CORRECT = "have the file corrected and landed again"


def read_csv(uri: str, source: Input) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV file (compressed by its ending: .gz, .bz2, .zst) as strings, in the contract's column order.

    Raises GateFailed where the file is not what the contract says, InputMissing where it is cut short or damaged.
    """
    try:
        header = _header(uri, source.delimiter)
        check_columns(uri, header, list(source.columns))
        checked = _Checked(_open(uri), source.delimiter)
        yield from _batches(uri, checked, source)
    except (OSError, EOFError) as error:
        raise damaged(uri, error) from None


def check_columns(uri: str, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises GateFailed where a file's columns are not exactly the contract's, in any order.

    A name is shown only where it looks like one: a file without a header has cells in its first row.
    """
    missing = [name for name in wanted if name not in found]
    if len(missing) == len(wanted):
        raise GateFailed(
            "the file names none of the contract's columns: it has no header, or another delimiter",
            where=uri,
            allowed=", ".join(wanted),
            do=CORRECT,
        )
    added = [name if _COLUMN_NAME.fullmatch(name) else "(unprintable)" for name in found if name not in wanted]
    twice = sorted({name for name in wanted if list(found).count(name) > 1})
    flaws = [("missing", missing), ("not in the contract", added), ("more than once", twice)]
    if any(names for _, names in flaws):
        raise GateFailed(
            "the columns are not the contract's: "
            + "; ".join(f"{what}: {', '.join(names)}" for what, names in flaws if names),
            where=uri,
            allowed=", ".join(wanted),
            do=f"{CORRECT}, or change the contract",
        )


def damaged(uri: str, error: Exception) -> NightshiftError:
    """The error for a file that ends too early or whose bytes are not what they should be."""
    return InputMissing(
        f"the file is cut short or damaged ({type(error).__name__})",
        where=uri,
        do="wait for the whole file, or have it landed again",
    )


def _open(uri: str) -> Any:
    system, path = storage.resolve(uri)
    return system.open_input_stream(path, compression="detect", buffer_size=1 << 20)


def _header(uri: str, delimiter: str) -> list[str]:
    with _open(uri) as stream:
        start = stream.read(1 << 20)
    line = re.split(rb"\r|\n", start, maxsplit=1)[0]
    try:
        return next(csv.reader([line.decode("utf-8-sig")], delimiter=delimiter, strict=True), [])
    except UnicodeDecodeError:
        raise _flaw(uri, "the text is not UTF-8", 1) from None
    except csv.Error:
        raise _flaw(uri, "the quotes of the header do not match", 1) from None


def _batches(uri: str, checked: "_Checked", source: Input) -> Iterator[pa.RecordBatch]:
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "error"

    options = {
        # Else rows have no numbers, and blocks may be read after the generator was left.
        "read_options": pacsv.ReadOptions(use_threads=False, block_size=_BLOCK),
        "parse_options": pacsv.ParseOptions(
            delimiter=source.delimiter,
            newlines_in_values=True,
            ignore_empty_lines=len(source.columns) > 1,
            invalid_row_handler=note,
        ),
        "convert_options": pacsv.ConvertOptions(
            column_types=dict.fromkeys(source.columns, pa.string()),
            include_columns=list(source.columns),
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            null_values=list(source.null_values),
        ),
    }
    try:
        with pacsv.open_csv(pa.PythonFile(checked, mode="r"), **options) as reader:
            yield from reader
    except (pa.ArrowInvalid, _QuoteError) as error:
        if checked.bad_line:
            raise _flaw(uri, "the quotes do not match", checked.bad_line) from None
        if ragged:
            row = ragged[0]
            what = f"a row has {row.actual_columns} cells instead of {row.expected_columns}"
            raise _flaw(uri, what, row.number) from None
        raise _arrow_flaw(uri, str(error)) from None


def _arrow_flaw(uri: str, message: str) -> GateFailed:
    row = _ROW.search(message)
    number = int(row.group(1)) if row else None
    if "invalid UTF8" in message:
        return _flaw(uri, "the text is not UTF-8", number)
    if "straddling" in message:
        return _flaw(uri, f"a row is longer than {_BLOCK >> 20} MiB", number)
    return _flaw(uri, "the file cannot be read as CSV", number)


def _flaw(uri: str, what: str, row: int | None) -> GateFailed:
    return GateFailed(what, where=f"{uri}, row {row}" if row else uri, do=CORRECT)


class _QuoteError(Exception):
    """Quotes that do not match."""


class _Checked:
    """A binary stream that checks quotes as it is read, and ends in a line end.

    The CSV reader itself takes ``"ab"c`` for ``abc`` and an open quote for the rest of the file.
    """

    def __init__(self, stream: Any, delimiter: str) -> None:
        self._stream = stream
        self._ends = (*_LINE_ENDS, *delimiter.encode())
        self._inside = self._just_closed = self._over = self._ended = False
        self._previous, self._line = 0x0A, 1
        start = bytes(stream.read(len(BOM_UTF8)))
        self._start = b"" if start == BOM_UTF8 else start  # a quote after the mark opens the first cell
        self.bad_line = 0
        self.closed = False

    def read(self, size: int) -> bytes:
        """The next bytes; fewer than asked for only at the end. Raises _QuoteError."""
        block = b""
        while len(block) < size and not self._over:
            wanted = size - len(block)
            part, self._start = self._start[:wanted], self._start[wanted:]
            part = part or bytes(self._stream.read(wanted))
            self._over = not part
            self._check(part)
            block += part
        if not self._over or self._ended:
            return block
        self._ended = True
        if self._inside:
            self._fail()
        return block if self._previous in _LINE_ENDS and not self._just_closed else block + b"\n"

    def readable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Closes the stream."""
        self.closed = True
        self._stream.close()

    def _check(self, block: bytes) -> None:
        for number, part in enumerate(block.split(_QUOTE)):
            if number:
                self._quote()
            if not part:
                continue
            if self._just_closed and part[0] not in self._ends:
                self._fail()
            self._just_closed = False
            self._line += part.count(b"\n")
            if not self._inside:
                self._previous = part[-1]

    def _quote(self) -> None:
        if self._inside:
            self._inside, self._just_closed = False, True
        elif self._just_closed or self._previous in self._ends:
            self._inside, self._just_closed = True, False
        else:
            self._fail()

    def _fail(self) -> None:
        self.bad_line = self._line
        raise _QuoteError
