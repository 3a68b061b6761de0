"""Plain-text tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, notes: Sequence[str] = ()) -> list[str]:
    """Lines of a table: first column left-aligned, others right-aligned, two spaces apart.

    Args:
        header: C names.
        rows: C cells each.
        notes: text after each row, one per row.
    Raises:
        ValueError: a row has another number of cells, or there are not as many notes as rows.
    """
    table = [list(header), *map(list, rows)]
    if {len(row) for row in table} != {len(header)} or (notes and len(notes) != len(rows)):
        raise ValueError("every row needs one cell per column, and one note if there are notes")
    widths = [max(len(row[k]) for row in table) for k in range(len(header))]
    lines = ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]) for row in table]
    return [f"{line}  {note}".rstrip() for line, note in zip(lines, ["", *(notes or [""] * len(rows))])]


def number(value: float | None, digits: int) -> str:
    """Format a number with fixed decimals; '-' for None."""
    return "-" if value is None else f"{value:.{digits}f}"
