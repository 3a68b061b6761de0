"""Tables for the terminal: cells in words, columns as wide as they need.

Reads a header and rows of strings; makes lines.
"""

from __future__ import annotations

from collections.abc import Sequence


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, notes: Sequence[str] = ()) -> list[str]:
    """Header and one line a row; the first column is left-aligned, the others right-aligned, two spaces apart.

    Args:
        header: of C columns; rows: each of C cells.
        notes: one a row, written behind it.
    Raises:
        ValueError: rows or notes of another length.
    """
    table = [list(header), *map(list, rows)]
    if {len(row) for row in table} != {len(header)} or (notes and len(notes) != len(rows)):
        raise ValueError("every row needs a cell for each column, and notes are one a row")
    widths = [max(len(row[k]) for row in table) for k in range(len(header))]
    lines = ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]) for row in table]
    return [f"{line}  {note}".rstrip() for line, note in zip(lines, ["", *(notes or [""] * len(rows))])]


def number(value: float | None, digits: int) -> str:
    """A number with so many decimals; a dash where it is not known."""
    return "-" if value is None else f"{value:.{digits}f}"
