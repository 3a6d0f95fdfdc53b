"""CSV files as text, streamed and strict: every flaw is an error that names file and row, never a cell."""

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from functools import partial
from threading import Event, Lock
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from nightshift import storage
from nightshift.errors import GateFailed, InputMissing, NightshiftError
from nightshift.inputs.columns import CORRECT, Columns, Differences, as_contract, match_columns
from nightshift.inputs.limits import Measured
from nightshift.specs.model import Input

_BLOCK = 4 << 20
_HEADER = 1 << 20
_LEAVING = 0.5  # seconds in which a thread that reads ahead finds out
_LINE_ENDS = (0x0A, 0x0D)
_QUOTE = b'"'
_ROW = re.compile(r"Row #(\d+)")


def read_csv(
    uri: str, source: Input, measured: Measured, differ: Callable[[Differences], None]
) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV file (compressed by its ending: .gz, .bz2, .zst) as strings, in the contract's column order.

    ``differ`` gets the differences between its columns and the contract's.

    Raises GateFailed where the file is not what the contract says or unpacks to more than ``measured`` allows,
    InputMissing where it is cut short or damaged.
    """
    try:
        header = _header(uri, source.delimiter)
        columns = match_columns(uri, header, source)
        differ(columns.differences)
        checked = _Checked(_open(uri), source.delimiter, partial(measured.unpacked, uri))
        for batch in _batches(uri, checked, source, columns, len(header)):
            yield as_contract(batch, source, columns)
    except (OSError, EOFError) as error:
        raise damaged(uri, error) from None


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
        start = stream.read(_HEADER)
    if len(start) == _HEADER and not any(end in start for end in _LINE_ENDS):
        raise _flaw(uri, f"the header is longer than {_HEADER >> 20} MiB", 1)
    text = start.decode("utf-8-sig", errors="surrogateescape")
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
        "".join(header).encode()
    except UnicodeEncodeError:
        raise _flaw(uri, "the text is not UTF-8", 1) from None
    except csv.Error:
        raise _flaw(uri, "the quotes of the header do not match", 1) from None
    if header and header[0].startswith("\ufeff"):
        raise _flaw(uri, "there are two byte order marks", 1)
    return header


def _batches(uri: str, checked: "_Checked", source: Input, columns: Columns, cells: int) -> Iterator[pa.RecordBatch]:
    there = list(columns.names.values())
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "error"

    block = max(_BLOCK, 4 * source.limits.cell)
    options = {
        # Else rows have no numbers, and blocks may be read after the generator was left.
        "read_options": pacsv.ReadOptions(use_threads=False, block_size=block),
        "parse_options": pacsv.ParseOptions(
            delimiter=source.delimiter,
            newlines_in_values=True,
            ignore_empty_lines=cells > 1,
            invalid_row_handler=note,
        ),
        "convert_options": pacsv.ConvertOptions(
            column_types=dict.fromkeys(there, pa.string()),
            include_columns=there,
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            null_values=list(source.null_values),
        ),
    }
    try:
        with pacsv.open_csv(pa.PythonFile(checked, mode="r"), **options) as reader:
            yield from reader
    except (pa.ArrowException, _QuoteError) as error:
        if checked.bad_line:
            raise _flaw(uri, "the quotes do not match", checked.bad_line) from None
        if ragged:
            row = ragged[0]
            what = f"a row has {row.actual_columns} cells instead of {row.expected_columns}"
            raise _flaw(uri, what, row.number) from None
        raise _arrow_flaw(uri, str(error), block) from None
    finally:
        checked.stop()


def _arrow_flaw(uri: str, message: str, block: int) -> GateFailed:
    row = _ROW.search(message)
    number = int(row.group(1)) if row else None
    if "invalid UTF8" in message:
        return _flaw(uri, "the text is not UTF-8", number)
    if "straddling" in message:
        return _flaw(uri, f"a row is longer than {block >> 20} MiB", number)
    return _flaw(uri, "the file cannot be read as CSV", number)


def _flaw(uri: str, what: str, row: int | None) -> GateFailed:
    return GateFailed(what, where=f"{uri}, row {row}" if row else uri, do=CORRECT)


class _QuoteError(Exception):
    """Quotes that do not match."""


class _Checked:
    """A binary stream that checks quotes as it is read, and ends in a line end.

    The CSV reader itself takes ``"ab"c`` for ``abc`` and an open quote for the rest of the file.
    """

    def __init__(self, stream: Any, delimiter: str, measure: Callable[[int], None]) -> None:
        self._stream, self._measure = stream, measure
        self._ends = (*_LINE_ENDS, *delimiter.encode())
        self._inside = self._just_closed = self._over = self._ended = False
        self._previous, self._line = 0x0A, 1
        start = bytes(stream.read(len(BOM_UTF8)))
        self._start = b"" if start == BOM_UTF8 else start  # a quote after the mark opens the first cell
        self._reading, self._left, self._stopped = Lock(), Event(), False
        self.bad_line = 0
        self.closed = False

    def read(self, size: int) -> bytes:
        """The next bytes; fewer than asked for only at the end. Raises _QuoteError."""
        with self._reading:
            if self._stopped:
                self._left.set()
                return b""
            return self._read(size)

    def stop(self) -> None:
        """End here: the CSV reader reads ahead in a thread, which would abort a process that ends meanwhile."""
        with self._reading:
            self._stopped, over = True, self._ended
        if not over:
            self._left.wait(_LEAVING)

    def _read(self, size: int) -> bytes:
        block = b""
        while len(block) < size and not self._over:
            wanted = size - len(block)
            part, self._start = self._start[:wanted], self._start[wanted:]
            part = part or bytes(self._stream.read(wanted))
            self._over = not part
            self._measure(len(part))
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
        self.bad_line, self._ended = self._line, True
        raise _QuoteError
