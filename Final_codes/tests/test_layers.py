"""The package's map: made from imports and docstrings, up to date, and every file it names is there."""

from __future__ import annotations

import re

import layers
import pytest


def test_the_map_is_up_to_date():
    assert layers.TARGET.read_text(encoding="utf-8") == layers.page(), "run python Final_codes/tools/layers.py"


def test_every_file_it_names_is_there():
    for folder in (layers.PACKAGE, *(layers.PACKAGE / name for name in layers.subpackages())):
        named = re.findall(r"`([\w/*]+(?:\.py|/))`", layers.parts(layers.docstring(folder))["Open"])
        assert len(named) >= 3 and all(list(folder.glob(name)) for name in named), (folder.name, named)


def test_arrows_that_follow_from_others_are_left_out():
    uses = {"a": set(), "b": {"a"}, "c": {"a", "b"}, "d": {"a"}}
    assert layers.direct(uses) == [("a", "b"), ("b", "c"), ("a", "d")]


def test_a_docstring_that_does_not_say_what_it_reads_is_refused():
    with pytest.raises(ValueError, match="Reads"):
        layers.parts("A subpackage.\n\nMakes: x.\nOpen: `y.py`.")
