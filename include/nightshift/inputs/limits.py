"""How much a day of a source may be: asked of sizes and footers before anything is read, then of each batch."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightshift.errors import GateFailed
from nightshift.inputs.parquet_pages import Page
from nightshift.specs.sources import Limits
from nightshift.storage import StoredFile

BATCH_BYTES = 64 << 20
"""How much of a file is unpacked at a time, where it can be known before."""

_PAGE_OVERHEAD = 1 << 10  # of a page that holds one text: its lengths and levels
_TEXTS_A_PAGE = 128


@dataclass
class Measured:
    """What a day's files have come to so far; each method raises GateFailed above a limit, ``uri`` its place."""

    limits: Limits
    rows: int = 0
    bytes: int = 0
    raw: int = 0

    def files(self, files: Sequence[StoredFile]) -> None:
        """Ask the files as they lie there."""
        if files:
            folder = files[0].uri.rpartition("/")[0]
            self._ask("files", len(files), folder)
            self._ask("bytes", sum(file.size for file in files), folder)

    def unpacked(self, uri: str, size: int) -> None:
        """Ask so many more bytes of a CSV file as it unpacks: what no column of the contract holds counts as well."""
        self.raw += size
        self._ask("bytes", self.raw, uri)

    def footer(self, uri: str, metadata: pq.FileMetaData, places: Sequence[int]) -> None:
        """Ask a Parquet file's footer: its rows, and its columns unpacked."""
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        unpacked = sum(group.column(place).total_uncompressed_size for group in groups for place in places)
        self._ask("rows", self.rows + metadata.num_rows, uri)
        self._ask("bytes", self.bytes + unpacked, uri)

    def pages(self, uri: str, name: str, pages: Iterable[Page]) -> int:
        """Ask the pages of a column; returns how many bytes a value of it may take at most once it is read."""
        most, where = 0, f"{uri}, column {name}"
        for page in pages:
            self._ask("cell", page.size // max(1, page.values) - _PAGE_OVERHEAD, where)
            self._ask("cell", page.size, where, texts=_TEXTS_A_PAGE)
            if not page.dictionary:
                most = max(most, page.size if page.repeats else page.size // max(1, page.values) + 1)
        return most

    def batches(self, uri: str, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """The batch, its dictionaries unpacked, in parts that fit into memory whatever its texts repeat."""
        self.rows += batch.num_rows
        self._ask("rows", self.rows, uri)
        longest = max((self._cell(uri, name, batch.column(name)) for name in batch.schema.names), default=0)
        step = max(1, BATCH_BYTES // max(1, longest))
        for start in range(0, batch.num_rows, step):
            part = _unpacked(batch.slice(start, step))
            self.bytes += part.nbytes
            self._ask("bytes", self.bytes, uri)
            yield part

    def _cell(self, uri: str, name: str, values: pa.Array) -> int:
        """The bytes of a column's longest text; of a dictionary each word is measured once."""
        words = values.dictionary if pa.types.is_dictionary(values.type) else values
        if not (pa.types.is_string(words.type) or pa.types.is_large_string(words.type)):
            return 0
        longest = int(pc.max(pc.binary_length(words)).as_py() or 0)
        self._ask("cell", longest, f"{uri}, column {name}")
        return longest

    def _ask(self, name: str, found: int, where: str, texts: int = 1) -> None:
        """Raises GateFailed above a limit, of a Parquet page above that of so many ``texts``."""
        allowed = int(getattr(self.limits, name))
        if found > allowed * texts:
            noun = _NOUNS[name] if texts == 1 else "a page of {} bytes"
            raise GateFailed(
                f"the delivery is too large: {noun.format(f'{found:,}')}",
                where=where,
                allowed=f"limits.{name}: {allowed:,}" + (f", and {texts} times that in a page" if texts > 1 else ""),
                do=f"have it corrected and landed again, or raise limits.{name} of the source in the spec",
            )


_NOUNS = {"files": "{} files", "bytes": "{} bytes", "rows": "{} rows", "cell": "a text of {} bytes"}


def _unpacked(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = {
        name: column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }
    return pa.RecordBatch.from_pydict(columns)
