"""A card in every way it can be wrong: whole, and each field at each depth lost or of another kind."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

VALUES = (None, "abc", -1, 1e300, [], {}, [None], True)


def mutations(card: dict[str, Any], depth: int = 3) -> Iterator[tuple[str, Any]]:
    """(what was done, the card after it)."""
    for value in (None, [], "text", 5, {}):
        yield f"the whole is {value!r}", value
    for path in _paths(card, depth):
        for value in (KeyError, *VALUES):
            new = copy.deepcopy(card)
            place = new
            for key in path[:-1]:
                place = place[key]
            if value is KeyError:
                del place[path[-1]]
            else:
                place[path[-1]] = value
            yield f"{path} is {'lost' if value is KeyError else repr(value)}", new


def _paths(value: Any, depth: int, path: tuple = ()) -> Iterator[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        if depth > 1:
            yield from _paths(inner, depth - 1, (*path, key))
