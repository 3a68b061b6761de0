"""Typed configuration: frozen dataclasses, checked overrides, a stable hash.

Reads `key=value` strings; makes new dataclass instances. Unknown keys and values of the wrong type are errors: ignoring
a misspelt setting can waste a night of training.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any, ClassVar, Protocol, TypeVar

from pixelplay.errors import PixelPlayError, did_you_mean

PROFILES = ("smoke", "lite", "full")
"""smoke: seconds, tests the wiring; lite: two CPU cores; full: a GPU."""
ENGINES = ("loky", "dask", "ray")
"""Backends for parallel work on videos (see `pixelplay.engine`)."""


class Dataclass(Protocol):
    """Any instance of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


C = TypeVar("C", bound=Dataclass)


def override(config: C, changes: dict[str, Any]) -> C:
    """Return a copy of a dataclass with some fields replaced.

    Args:
        config: a dataclass instance.
        changes: field name -> new value; strings are parsed to the type of the current value.
    Raises:
        PixelPlayError: unknown field, or a value that does not parse.
    """
    known = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    new = {}
    for key, value in changes.items():
        if key not in known:
            raise PixelPlayError(f"{type(config).__name__} has no setting '{key}'",
                                 expected="one of " + ", ".join(sorted(known)),
                                 hint=did_you_mean(key, known) or "check the spelling")
        new[key] = _as_type_of(known[key], value, f"{type(config).__name__}.{key}")
    return dataclasses.replace(config, **new)


def _as_type_of(present: Any, value: Any, name: str) -> Any:
    try:
        if isinstance(present, bool):
            if isinstance(value, bool):
                return value
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[str(value).lower()]
        if isinstance(present, tuple):
            items = [v for v in value.split(",") if v] if isinstance(value, str) else list(value)
            kind = type(present[0]) if present else str
            return tuple(kind(v) for v in items)
        if isinstance(present, int) and isinstance(value, float) and value != int(value):
            raise ValueError(value)
        return value if present is None or value is None else type(present)(value)
    except (KeyError, ValueError, TypeError) as cause:
        raise PixelPlayError(f"{name} cannot be {value!r}",
                             expected=f"a {type(present).__name__} like {present!r}") from cause


def config_hash(*parts: Any) -> str:
    """First 16 hex digits of the sha256 of dataclasses, dicts and plain values; independent of key order."""
    def plain(x: Any) -> Any:
        if dataclasses.is_dataclass(x) and not isinstance(x, type):
            return {"__class__": type(x).__name__, **{k: plain(v) for k, v in dataclasses.asdict(x).items()}}
        if isinstance(x, dict):
            return {str(k): plain(v) for k, v in x.items()}
        if isinstance(x, list | tuple):
            return [plain(v) for v in x]
        return x if isinstance(x, str | int | float | bool | None) else str(x)

    text = json.dumps([plain(p) for p in parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
