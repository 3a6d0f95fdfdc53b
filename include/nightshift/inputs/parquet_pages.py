"""What the headers of Parquet pages say: read before any page is unpacked, since a small page may unpack to gigabytes.

No library shows them. They are structs of Thrift's compact protocol; see parquet.thrift for the numbers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_DICTIONARY_PAGE = 2
_DELTA_BYTE_ARRAY = 7
_HEADERS = {5: 2, 7: 2, 8: 4}  # of a data page, a dictionary page, a data page v2: the field with its encoding
_FIRST_READ, _LONGEST_HEADER = 1 << 10, 64 << 20
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12


@dataclass(frozen=True)
class Page:
    """A page: bytes once unpacked, values, and whether its texts repeat the beginnings of those before them."""

    size: int
    values: int
    repeats: bool
    dictionary: bool


def pages(opened: Any, start: int, length: int) -> Iterator[Page]:
    """The pages of a column chunk of an opened file. Raises ValueError where their headers cannot be read."""
    place = start
    while place < start + length:
        header, size = _header(opened, place)
        kind = next((number for number in _HEADERS if number in header), None)
        if kind is not None:
            found = header[kind]
            repeats = found.get(_HEADERS[kind]) == _DELTA_BYTE_ARRAY
            yield Page(header[2], found.get(1, 0), repeats, header[1] == _DICTIONARY_PAGE)
        place += size + header[3]


def _header(opened: Any, place: int) -> tuple[Mapping[int, Any], int]:
    """The header at a place, and its bytes: the statistics in it may be long."""
    wanted = _FIRST_READ
    while wanted <= _LONGEST_HEADER:
        opened.seek(place)
        reader = _Compact(bytes(opened.read(wanted)))
        try:
            found = reader.struct(0)
        except IndexError:
            wanted *= 16
            continue
        if not all(isinstance(found.get(number), int) and found[number] >= 0 for number in (1, 2, 3)):
            break
        return found, reader.place
    raise ValueError("no header of a page")


class _Compact:
    """Reads Thrift's compact protocol; of structs the integers and structs, by field. Raises IndexError at the end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def struct(self, depth: int) -> dict[int, Any]:
        if depth > 8:
            raise ValueError("nested too deeply")
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            found[number] = self._value(head & 15, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_BYTE, _DOUBLE, _BINARY):
            self._skip(self._varint() if kind == _BINARY else 1 if kind == _BYTE else 8)
            return None
        if kind in (_LIST, _SET, _MAP):
            raise ValueError("a header of a page holds no collection")
        return self._integer()

    def _skip(self, size: int) -> None:
        self.place += size
        if self.place > len(self.content):
            raise IndexError

    def _byte(self) -> int:
        self._skip(1)
        return self.content[self.place - 1]

    def _varint(self) -> int:
        found, shift = 0, 0
        while shift < 70:
            byte = self._byte()
            found |= (byte & 127) << shift
            if byte < 128:
                return found
            shift += 7
        raise ValueError("an integer that is too long")

    def _integer(self) -> int:
        found = self._varint()
        return (found >> 1) ^ -(found & 1)
