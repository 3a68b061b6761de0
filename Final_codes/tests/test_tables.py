"""Tables for the terminal: aligned, whole, and dashes where nothing is known."""

from __future__ import annotations

import pytest

from pixelplay.tables import number, text_table


def test_columns_are_aligned_and_as_wide_as_they_need():
    lines = text_table(["", "AP", "seconds"], [["stae", "1.50", "9"], ["a_long_name", "-", "120.25"]],
                       notes=["", "FAILED"])
    assert lines == ["               AP  seconds",
                     "stae         1.50        9",
                     "a_long_name     -   120.25  FAILED"]


def test_no_rows_and_bad_rows():
    assert text_table(["a", "b"], []) == ["a  b"]
    with pytest.raises(ValueError, match="per column"):
        text_table(["a", "b"], [["1"]])
    with pytest.raises(ValueError, match="one note"):
        text_table(["a"], [["1"]], notes=["x", "y"])


def test_what_is_not_known_is_a_dash():
    assert (number(None, 2), number(1 / 3, 2), number(0.0, 1)) == ("-", "0.33", "0.0")
