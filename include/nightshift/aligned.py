"""Rows of text in aligned columns, the first row being the header."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], right: Sequence[bool] = (), *, rule: bool = False) -> str:
    """The rows as lines; columns that are ``right`` end together, a ``rule`` of dashes stands below the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [*right, *[False] * (len(widths) - len(right))]
    ruled = [rows[0], ["-" * width for width in widths], *rows[1:]] if rule else rows
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, sides, strict=True)
        ).rstrip()
        for row in ruled
    )
