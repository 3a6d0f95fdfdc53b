"""How a day's rows are divided among shards. Pure."""

from collections.abc import Sequence

from nightshift.scoring.plan import Piece, Shard

# Every shard is a task: a scheduler is well with tens of mapped tasks, not with thousands.
MOST_SHARDS = 64


def divide(files: Sequence[tuple[str, int]], rows_per_shard: int, most: int = MOST_SHARDS) -> tuple[Shard, ...]:
    """Divide files, given as (URI, rows), into shards of equal size, at most ``rows_per_shard`` rows each.

    Rows keep their order, and large files are cut. No rows are one shard without pieces; more than ``most`` shards
    are never made: they become larger instead.
    """
    total = sum(rows for _, rows in files)
    number = min(most, max(1, -(-total // rows_per_shard)))
    shards = []
    for index in range(number):
        first, last = total * index // number, total * (index + 1) // number
        shards.append(Shard(index, _pieces(files, first, last)))
    return tuple(shards)


def _pieces(files: Sequence[tuple[str, int]], first: int, last: int) -> tuple[Piece, ...]:
    """The rows ``[first, last)`` of all files in a row."""
    pieces, start = [], 0
    for uri, rows in files:
        begin, end = max(first, start), min(last, start + rows)
        if begin < end:
            pieces.append(Piece(uri, begin - start, end - begin))
        start += rows
    return tuple(pieces)
