"""Ids of the form `"{video}_{frame}"`, kept as strings throughout.

Reads folder and file names; makes Ids and sort keys. Numeric video names lose their zero padding (`01` -> `1`), other
names are kept (`01_0014`, `vtest`). Frame numbers come from the files and are never renumbered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Ids: TypeAlias = Sequence[str] | np.ndarray
"""(N,) Ids; an array of them has dtype object."""
MOST_NUMBER = 2 ** 62
"""Upper bound of frame numbers, so that sums and differences of two fit 64 bits."""

_PLAIN_DIGITS = 18
"""Numbers with at most this many digits are below MOST_NUMBER."""
_IDS_AT_ONCE = 1 << 16


def is_number(text: str) -> bool:
    """Whether a text consists of ASCII digits; `isdigit` and `isdecimal` also accept '²' or '٣'."""
    return text.isascii() and text.isdigit()


def video_name(name: str) -> str:
    """Canonical video name: '01' -> '1', '01_0014' and 'vtest' unchanged."""
    return str(int(name)) if is_number(name) else name


def frame_id(video: str, frame: int) -> str:
    """The Id of a frame, e.g. ('01', 939) -> '1_939'."""
    return f"{video_name(video)}_{int(frame)}"


def split_id(identifier: str) -> tuple[str, int]:
    """Split an Id: '01_0014_7' -> ('01_0014', 7). Raises ValueError if the last part is no frame number."""
    video, _, frame = str(identifier).rpartition("_")
    if not video or not is_number(frame):
        raise ValueError(f"{identifier!r} is not an Id of the form video_frame, e.g. 1_939")
    number = int(frame)
    if number >= MOST_NUMBER:
        raise ValueError(f"the frame number of {identifier!r} is too large")
    return video_name(video), number


def split_ids(identifiers: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Split many Ids.

    Args:
        identifiers: (N,) strings.
    Returns:
        V video names in order of appearance; (N,) int32 indices into them; (N,) int64 frame numbers.
    Raises:
        ValueError: see `split_id`.
    """
    videos: dict[str, int] = {}
    which, frames = np.empty(len(identifiers), np.int32), np.empty(len(identifiers), np.int64)
    for start in range(0, len(identifiers), _IDS_AT_ONCE):
        some = identifiers[start:start + _IDS_AT_ONCE].tolist()
        parts = [i.rpartition("_") for i in some]
        numbers = [number for _, _, number in parts]
        # one test for the whole block; if it fails, Ids are split one by one
        if is_number("".join(numbers)) and all(numbers) and max(map(len, numbers)) <= _PLAIN_DIGITS:
            names = [name for name, _, _ in parts]
            plain = {name: video_name(name) for name in dict.fromkeys(names)}
        else:
            names, numbers = zip(*map(split_id, some))
            plain = {name: name for name in names}
        if not all(plain):
            split_id(next(i for i, name in zip(some, names) if not name))
        place = {name: videos.setdefault(known, len(videos)) for name, known in plain.items()}
        end = start + len(some)
        which[start:end] = [place[name] for name in names]
        frames[start:end] = [int(number) for number in numbers]
    return list(videos), which, frames


def canonical_id(identifier: str) -> str:
    """Remove zero padding: '01_00939' -> '1_939'. Raises ValueError like `split_id`."""
    return frame_id(*split_id(identifier))


def natural_key(name: str) -> tuple:
    """Sort key that puts '2' before '10' and numbers before words."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((0, int(p), p) if p[0] in "0123456789" else (1, 0, p) for p in parts)


def frame_number(stem: str) -> int | None:
    """The last group of digits in a file stem ('frame_00939' -> 939); None if there is none."""
    found = re.findall(r"[0-9]+", stem)
    return int(found[-1]) if found else None
