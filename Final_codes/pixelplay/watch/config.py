"""The configuration file cameras.toml. Errors name the file, the table, the key and the expected value.

    output = "watched"                    # a folder for each camera in it

    [defaults]                            # keys of a camera, for all of them
    detector = "door_detector"

    [cameras.door]
    address = "rtsp://user:password@192.0.2.7/live"
    models = ["unet", "joint"]
    quiet = ["22:00-06:00"]               # no alarms
    every = 60                            # seconds between two alarms, at least

    [cameras.door.clips]
    before = 3                            # seconds

    [cameras.door.keep]
    days = 14
    gigabytes = 20

    [[cameras.door.zones]]
    name = "street"
    use = "ignore"                        # or "watch"
    points = [[0, 0], [1, 0], [1, 0.3], [0, 0.3]]

    [[cameras.door.alarms]]
    webhook = "https://example.org/hook"  # or mqtt = "mqtt://host/prefix", or command = "notify-send event"
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import math
import re
import shlex
import shutil
import sys
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pixelplay.errors import PixelPlayError
from pixelplay.watch.alarms import Alarm, Quiet, default_when
from pixelplay.watch.source import masked
from pixelplay.watch.zones import Zone

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Clips:
    """Durations of events and their clips, in seconds.

    Attributes:
        before, after: footage in the clip before and after the event.
        join: an event ends after this time below the lower threshold.
        shortest: shorter events are ignored.
    """

    before: float = 3.0
    after: float = 3.0
    join: float = 0.5
    shortest: float = 0.2


@dataclasses.dataclass(frozen=True)
class Keep:
    """Limits on the age (`days`) and total size (`gigabytes`) of the clips of a camera; the oldest are deleted."""

    days: float = 14.0
    gigabytes: float = 20.0


@dataclasses.dataclass(frozen=True)
class Camera:
    """Settings of a camera.

    Attributes:
        name: table name in the file, and name of the output folder.
        address: camera number, address with ://, or video file.
        detector: folder of a detector; None for that of the last run.
        models: names of the models to use; () for all.
        timeout: seconds without a frame after which a stream is connected again.
        give_up: seconds without a frame after which the camera is given up.
        every: least time between two alarms, in seconds.
        quiet: hours without alarms.
        clips, keep, zones, alarms: tables of the same names.
    """

    name: str
    address: str
    detector: Path | None = None
    models: tuple[str, ...] = ()
    timeout: float = 10.0
    give_up: float = 300.0
    every: float = 0.0
    quiet: tuple[Quiet, ...] = ()
    clips: Clips = Clips()
    keep: Keep = Keep()
    zones: tuple[Zone, ...] = ()
    alarms: tuple[Alarm, ...] = ()


@dataclasses.dataclass(frozen=True)
class Config:
    """A configuration file: its path, the output folder, and the cameras by name."""

    file: Path
    output: Path
    cameras: Mapping[str, Camera]


# ---- checks: each returns the value, or raises ValueError with what was expected -------------------------------------


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("text in quotes")
    return value


def _number(low: float, high: float = math.inf, *, above: bool = False) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not good or value < low or (above and value == low) or value > high:
            raise ValueError(f"a number {'above' if above else 'from'} {low:g}" +
                             (f" to {high:g}" if high < math.inf else "" if above else " up"))
        return float(value)
    return check


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        raise ValueError('a list of texts: ["...", "..."]')
    return tuple(value)


def _hours(value: Any) -> tuple[Quiet, ...]:
    found = []
    for text in _texts(value):
        try:
            begin, end = (datetime.datetime.strptime(t.strip(), "%H:%M").time() for t in text.split("-"))
        except ValueError:
            raise ValueError('times of the day: ["22:00-06:00"]') from None
        found.append(Quiet(begin, end))
    return tuple(found)


def _points(value: Any) -> tuple[tuple[float, float], ...]:
    corner = _number(0, 1)
    try:
        points = tuple((corner(x), corner(y)) for x, y in value)
    except (TypeError, ValueError):
        points = ()
    if len(points) < 3:
        raise ValueError("three points or more, [x, y] in parts of the picture from 0 (left, top) to 1")
    return points


def _use(value: Any) -> str:
    if value not in ("watch", "ignore"):
        raise ValueError('"watch" or "ignore"')
    return value


def _when(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(v in ("begin", "end") for v in value):
        raise ValueError('["begin"], ["end"] or ["begin", "end"]')
    return tuple(value)


def _address_of(*schemes: str, example: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        try:
            parts = urllib.parse.urlsplit(_text(value))
            good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise ValueError(f"an address such as {example}")
        return value
    return check


def command_line(value: Any) -> str:
    """Return a command line. Raises ValueError if it cannot be split or its program is not found."""
    try:
        words = shlex.split(_text(value))
    except ValueError:
        words = []
    if not words:
        raise ValueError("a command line with its quotes closed")
    if shutil.which(words[0]) is None:
        raise ValueError(f"a program that is there; {words[0]} is not found")
    return value


RECEIVERS: dict[str, Callable[[Any], str]] = {
    "webhook": _address_of("http", "https", example="https://host/path"),
    "mqtt": _address_of("mqtt", "mqtts", example="mqtt://user:password@host:1883/prefix"),
    "command": command_line,
}
"""Kind of alarm -> check of its target."""

CLIPS = {"before": _number(0, 60), "after": _number(0, 60), "join": _number(0, 600), "shortest": _number(0, 60)}
KEEP = {"days": _number(0, above=True), "gigabytes": _number(0, above=True)}
ZONE = {"name": _text, "points": _points, "use": _use}
ALARM = {**RECEIVERS, "when": _when, "timeout": _number(0, above=True)}


# ---- tables ----------------------------------------------------------------------------------------------------------


def load(file: Path) -> Config:
    """Read and check a configuration. Relative paths in it start at its folder.

    Raises:
        PixelPlayError: the file is missing or not valid TOML, or a value is invalid.
    """
    file = Path(file)
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as cause:
        raise PixelPlayError(f"{file} cannot be read: {cause.strerror}", expected="a configuration such as "
                             "cameras.toml") from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise PixelPlayError(f"{file} is no TOML: {masked(cause)}", expected='lines such as key = "value" below a line '
                             "such as [cameras.door]") from cause
    top = _Table(file, "", values)
    top.only("output", "defaults", "cameras")
    here = file.absolute().parent
    output = here / top.get("output", _text, "watched")
    defaults, cameras = top.table("defaults"), top.table("cameras")
    if not cameras.values:
        raise PixelPlayError(f"{file} names no camera", expected="a table [cameras.NAME] for each")
    found = {}
    for name in cameras.values:
        table = cameras.table(name)
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
            raise table.wrong("", f"the name {name!r} cannot be a folder and a topic", "letters, digits, _ and -")
        defaults.only(*_CAMERA)
        table.only(*_CAMERA)
        found[name] = _camera(name, _Table(file, table.name, {**defaults.values, **table.values}), here)
    return Config(file, output, found)


_CAMERA = [f.name for f in dataclasses.fields(Camera) if f.name != "name"]


def _camera(name: str, table: _Table, here: Path) -> Camera:
    address = table.need("address", lambda v: str(v) if isinstance(v, int) and not isinstance(v, bool) and v >= 0
                         else _text(v))
    if not address.isdecimal() and "://" not in address:
        address = str(here / address)
    return Camera(
        name, address, here / table.need("detector", _text), table.get("models", _texts, ()),
        table.get("timeout", _number(0, above=True), 10.0), table.get("give_up", _number(0, above=True), 300.0),
        table.get("every", _number(0), 0.0), table.get("quiet", _hours, ()),
        table.table("clips").fill(Clips, CLIPS), table.table("keep").fill(Keep, KEEP),
        tuple(t.fill(Zone, ZONE) for t in table.tables("zones")), tuple(map(_alarm, table.tables("alarms"))))


def _alarm(table: _Table) -> Alarm:
    table.only(*ALARM)
    kinds = [k for k in RECEIVERS if k in table.values]
    if len(kinds) != 1:
        raise table.wrong("", f"names {' and '.join(kinds) or 'no receiver'}", "one of " + ", ".join(RECEIVERS))
    return Alarm(kinds[0], table.need(kinds[0], RECEIVERS[kinds[0]]), table.get("when", _when, default_when(kinds[0])),
                 table.get("timeout", ALARM["timeout"], 10.0))


class _Table:
    """A table of the file, with its name for error messages."""

    def __init__(self, file: Path, name: str, values: Mapping[str, Any]):
        self.file, self.name, self.values = file, name, values

    def wrong(self, key: str, problem: str, expected: str, hint: str = "") -> PixelPlayError:
        """An error about a key of this table, or about the whole table if `key` is empty."""
        where = " ".join(p for p in (f"[{self.name}]" if self.name else "", key) if p)
        return PixelPlayError(f"{self.file}: {where}: {problem}", expected=expected, hint=hint)

    def only(self, *keys: str) -> None:
        """Raise PixelPlayError for an unknown key."""
        for key in self.values:
            if key not in keys:
                near = difflib.get_close_matches(key, keys, 1)
                raise self.wrong(key, "there is no such key", "one of " + ", ".join(keys),
                                 f"did you mean {near[0]}?" if near else "")

    def need(self, key: str, check: Callable[[Any], T]) -> T:
        """A checked value; raises PixelPlayError if it is missing."""
        if key not in self.values:
            try:
                check(None)
            except ValueError as cause:
                raise self.wrong(key, "is missing", str(cause)) from None
        return self.get(key, check, None)

    def get(self, key: str, check: Callable[[Any], T], default: T) -> T:
        """A checked value, or the default."""
        if key not in self.values:
            return default
        try:
            return check(self.values[key])
        except ValueError as cause:
            raise self.wrong(key, masked(repr(self.values[key])), str(cause)) from None

    def table(self, key: str) -> _Table:
        """A table within this one; empty if it is missing."""
        found = self.values.get(key, {})
        name = f"{self.name}.{key}".strip(".")
        if not isinstance(found, dict):
            raise self.wrong(key, masked(repr(found)), f"a table [{name}]")
        return _Table(self.file, name, found)

    def tables(self, key: str) -> list[_Table]:
        """The tables of an array of tables."""
        found, name = self.values.get(key, []), f"{self.name}.{key}"
        if not isinstance(found, list) or not all(isinstance(v, dict) for v in found):
            raise self.wrong(key, masked(repr(found)), f"tables [[{name}]]")
        return [_Table(self.file, f"{name} {i}", v) for i, v in enumerate(found, 1)]

    def fill(self, cls: Callable[..., T], checks: Mapping[str, Callable[[Any], Any]]) -> T:
        """An object of a dataclass whose fields are the keys of this table."""
        self.only(*checks)
        needed = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING]  # type: ignore[arg-type]
        for key in needed:
            self.need(key, checks[key])
        return cls(**{key: self.get(key, checks[key], None) for key in self.values})
