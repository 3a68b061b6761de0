"""`Footage`: the interface of models to the frames of a split.

Offers Ids, frame numbers, reliabilities, working-size frames (decoded on access, see `clips`) and a stream of full-size
repaired frames. Models never open files.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pixelplay.data.clips import ClipArray

Stream = Callable[[np.ndarray], Iterator[np.ndarray]]
"""Sorted row numbers of the whole split -> full-size repaired frames (H, W, 3) uint8 RGB in that order."""


@dataclasses.dataclass(frozen=True)
class Footage:
    """N frames of one split, in manifest order. Immutable; `select` returns subsets that share the memory.

    Attributes:
        name: 'train' or 'test'.
        ids: (N,) object array of Id strings.
        videos: (N,) object array of video names; equal names are contiguous.
        frames: (N,) int64 frame numbers, the time axis; missing numbers are gaps in time.
        reliability: (N,) float32 quality weight in [0, 1]; 0 = the frame carries no information.
        flags: (N,) object array, '|'-separated faults of a frame; '' if there are none.
        pixels: (N_all, h, w, 3) uint8 RGB at working size, repaired, an array or a `ClipArray`; index it with `rows`.
        rows: (N,) int64 positions in `pixels`.
        full_size: (H, W) of the original frames in pixels.
        fps: frames per second.
        fingerprint: hash of the input and its processing; part of cache keys.
        open_stream: stream of full-size frames (see `Stream`).
        speeds: (N_all, h / 4, w / 4) float16 speed maps of these pixels (see `flow`), indexed like `pixels`; None if
            not computed yet.
    """

    name: str
    ids: np.ndarray
    videos: np.ndarray
    frames: np.ndarray
    reliability: np.ndarray
    flags: np.ndarray
    pixels: np.ndarray | ClipArray
    rows: np.ndarray
    full_size: tuple[int, int]
    fps: float
    fingerprint: str
    open_stream: Stream
    speeds: np.ndarray | ClipArray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the working-size frames."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def video_names(self) -> list[str]:
        """Names of the videos, in order."""
        return list(dict.fromkeys(self.videos.tolist()))

    def select(self, keep: np.ndarray) -> Footage:
        """The subset given by a (N,) bool mask or by sorted positions."""
        keep = np.flatnonzero(keep) if np.asarray(keep).dtype == bool else np.asarray(keep, dtype=np.int64)
        return dataclasses.replace(self, ids=self.ids[keep], videos=self.videos[keep], frames=self.frames[keep],
                                   reliability=self.reliability[keep], flags=self.flags[keep], rows=self.rows[keep])

    def with_pixels(self, pixels: np.ndarray, **changes: Any) -> Footage:
        """Replace the working-size pixels and drop the speed maps, which belong to the old pixels.

        Args:
            pixels: (N_all, h, w, 3) uint8 RGB.
            changes: other attributes; pass a new `fingerprint` if results of this footage are cached.
        """
        return dataclasses.replace(self, pixels=pixels, speeds=None, **changes)

    def of_videos(self, names: Sequence[str]) -> Footage:
        """The subset of some videos, in manifest order."""
        return self.select(np.isin(self.videos.astype(str), np.asarray(list(names), dtype=str)))

    def only(self, name: str) -> Footage:
        """The frames of one video without references to other videos, for pickling to another process."""
        part = self.of_videos([name])
        start, stop = int(part.rows[0]), int(part.rows[-1]) + 1
        if isinstance(self.pixels, ClipArray):
            start, stop = self.pixels.clip_around(start)

        def cut(rows: Any) -> Any:
            return rows.part(start, stop) if hasattr(rows, "part") else rows[start:stop]

        stream = self.open_stream
        return dataclasses.replace(
            part, pixels=cut(self.pixels), rows=part.rows - start,
            speeds=None if self.speeds is None else cut(self.speeds),
            open_stream=stream.part(start, stop) if hasattr(stream, "part") else _Offset(stream, start))

    def batch(self, positions: np.ndarray) -> np.ndarray:
        """Working-size frames at positions of this footage: (n, h, w, 3) uint8 copy."""
        return self.pixels[self.rows[np.asarray(positions)]]

    def full_frames(self, positions: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (position, full-size repaired frame (H, W, 3) uint8 RGB) in order, decoding ahead; constant memory.

        Args:
            positions: sorted positions of this footage; all of them when None.
        """
        positions = np.arange(len(self)) if positions is None else np.asarray(positions, dtype=np.int64)
        yield from zip(positions.tolist(), self.open_stream(self.rows[positions]))


@dataclasses.dataclass(frozen=True)
class _Offset:
    """A stream with row numbers relative to `start`."""

    stream: Stream
    start: int

    def __call__(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        return self.stream(np.asarray(rows) + self.start)


def segments(videos: np.ndarray, frames: np.ndarray, max_gap: int = 1) -> list[slice]:
    """Slices of consecutive rows of the same video without gaps in time.

    Args:
        videos, frames: (N,) video names and frame numbers in manifest order.
        max_gap: largest step of the frame number within a slice; 1 = no missing frame.
    """
    if len(videos) == 0:
        return []
    cut = np.flatnonzero((videos[1:] != videos[:-1]) | (np.diff(frames) > max_gap)) + 1
    edges = [0, *cut.tolist(), len(videos)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]



def around(wanted: np.ndarray, videos: np.ndarray, before: int, after: int) -> np.ndarray:
    """(N,) bool: rows that lie at most so many rows before or after a wanted one, in the same video.

    Args:
        wanted: (N,) bool; videos: (N,) names, equal ones contiguous.
    """
    out = np.zeros(len(wanted), bool)
    for part in segments(videos, np.zeros(len(videos), np.int64)):
        rows = np.flatnonzero(wanted[part])[:, None] + np.arange(-before, after + 1)
        out[part.start + np.clip(rows, 0, part.stop - part.start - 1)] = True
    return out
