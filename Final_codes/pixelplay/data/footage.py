"""Footage: what every model sees of a split.

Reads the manifest and what stage 1 wrote; gives rows, times, reliabilities, working-size frames (decoded where they are
asked for, see `clips`) and a stream of full-size repaired frames. No model ever opens a file.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pixelplay.data.clips import ClipArray

Stream = Callable[[np.ndarray], Iterator[np.ndarray]]
"""Row numbers of the whole split (sorted) -> their full-size repaired frames, uint8 RGB (H, W, 3), in that order."""


@dataclasses.dataclass(frozen=True)
class Footage:
    """N frames of one split, in manifest order. Immutable; `select` makes smaller ones that share the memory.

    Attributes:
        name: 'train' or 'test'.
        ids: (N,) object array of Id strings.
        videos: (N,) object array of video names; equal names are contiguous.
        frames: (N,) int64 frame numbers: the time axis. Gaps in it are gaps in time.
        reliability: (N,) float32 in [0, 1]; 0 = this picture tells nothing.
        flags: (N,) object array, '|'-separated names of what was wrong with a frame; '' where it is fine.
        pixels: (N_all, h, w, 3) uint8 RGB at working size, repaired, an array or a `ClipArray`; index it with `rows`.
        rows: (N,) int64 positions in `pixels`.
        full_size: (H, W) of the original frames in pixels.
        fps: frames a second.
        fingerprint: hash of the input and of what was done to it; caches key on it.
        open_stream: the stream of full-size frames (see `Stream`).
        speeds: (N_all, h / 4, w / 4) float16 speed maps (see `flow`), indexed like `pixels`; None where they
            were not measured beforehand. They belong to these pixels (see `with_pixels`).
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
        """The footage of a (N,) bool mask or of sorted positions."""
        keep = np.flatnonzero(keep) if np.asarray(keep).dtype == bool else np.asarray(keep, dtype=np.int64)
        return dataclasses.replace(self, ids=self.ids[keep], videos=self.videos[keep], frames=self.frames[keep],
                                   reliability=self.reliability[keep], flags=self.flags[keep], rows=self.rows[keep])

    def with_pixels(self, pixels: np.ndarray, **changes: Any) -> Footage:
        """The same frames with other working-size pixels, and without the speed maps, which belong to the old ones.

        Args:
            pixels: (N_all, h, w, 3) uint8 RGB.
            changes: other attributes; a footage that caches may meet needs another `fingerprint`.
        """
        return dataclasses.replace(self, pixels=pixels, speeds=None, **changes)

    def of_videos(self, names: Sequence[str]) -> Footage:
        """The footage of some videos, in manifest order."""
        return self.select(np.isin(self.videos.astype(str), np.asarray(list(names), dtype=str)))

    def apart(self, name: str) -> Footage:
        """The frames of one video as a footage that holds nothing of the others: it can be sent to another process."""
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
            open_stream=stream.part(start, stop) if hasattr(stream, "part") else _Later(stream, start))

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
class _Later:
    """A stream whose rows are counted from `start`."""

    stream: Stream
    start: int

    def __call__(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        return self.stream(np.asarray(rows) + self.start)


def segments(videos: np.ndarray, frames: np.ndarray, max_gap: int = 1) -> list[slice]:
    """Slices of consecutive rows that belong together: same video, frame numbers at most `max_gap` apart.

    Args:
        videos, frames: (N,) video names and frame numbers in manifest order.
        max_gap: largest allowed step of the frame number; 1 = no missing frame inside a slice.
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
