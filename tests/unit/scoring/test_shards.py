"""How rows are divided among shards."""

from hypothesis import given
from hypothesis import strategies as st

from nightshift.scoring.plan import Piece, Shard
from nightshift.scoring.shards import divide


def test_large_files_are_cut_and_small_ones_put_together() -> None:
    assert divide([("a", 5), ("b", 1), ("c", 2)], rows_per_shard=4) == (
        Shard(0, (Piece("a", 0, 4),)),
        Shard(1, (Piece("a", 4, 1), Piece("b", 0, 1), Piece("c", 0, 2))),
    )


def test_no_rows_are_one_shard_without_pieces() -> None:
    assert divide([("a", 0)], rows_per_shard=10) == (Shard(0, ()),)
    assert divide([], rows_per_shard=10) == (Shard(0, ()),)


def test_shards_grow_where_there_would_be_too_many() -> None:
    shards = divide([("a", 100)], rows_per_shard=1, most=8)
    assert [shard.rows for shard in shards] == [12, 13, 12, 13, 12, 13, 12, 13]


@given(
    sizes=st.lists(st.integers(0, 50), max_size=12),
    rows_per_shard=st.integers(1, 60),
    most=st.integers(1, 20),
)
def test_every_row_is_in_exactly_one_shard_and_in_order(sizes: list[int], rows_per_shard: int, most: int) -> None:
    files = [(f"file-{number}", rows) for number, rows in enumerate(sizes)]
    shards = divide(files, rows_per_shard, most)
    rows = [(uri, row) for uri, count in files for row in range(count)]
    divided = [
        (piece.uri, row)
        for shard in shards
        for piece in shard.pieces
        for row in range(piece.first, piece.first + piece.rows)
    ]
    assert divided == rows
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert len(shards) <= most
    if len(shards) < most:
        assert all(shard.rows <= rows_per_shard for shard in shards)
    assert max(shard.rows for shard in shards) - min(shard.rows for shard in shards) <= 1
