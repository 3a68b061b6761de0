"""Choice of the reference frames that flow is measured against, and a stream that yields frames with them.

Reads video names, frame numbers and reliabilities as in `Footage`; returns rows. A reference frame never lies in
another video or across a gap. Its distance (baseline) is long enough to exceed sub-pixel noise and short enough to
match: speed maps (`speed.choose_baseline`) aim at a displacement of one pixel, as a mean weighted by speed over
working-size frames; actors (`two_stream.actor_table.probe_scene`) at three pixels for the median foreground pixel at
analysis size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from pixelplay.data.footage import Footage, segments
from pixelplay.data.subsample import spread

STILL = 0.1
"""Speed in pixels per frame below which a pixel counts as still."""
MAX_STEP = 5


def reference_frames(videos: np.ndarray, frames: np.ndarray, reliability: np.ndarray, baseline: int, tolerance: int
                     ) -> np.ndarray:
    """Choose a reference frame for every frame.

    Prefers the earlier frame that lies `baseline` frame numbers away; at the start of a segment, a later one. Among
    frames at similar distances it prefers the more reliable, because noise in either frame reads as motion.

    Args:
        videos, frames, reliability: (N,) as in `Footage`.
        baseline: wanted distance in frames.
        tolerance: largest step of the frame number that is not a gap.
    Returns:
        (N,) int64 row of the reference frame, in the same segment and within 2 * baseline rows; -1 if there is none.
    """
    found = np.full(len(frames), -1, np.int64)
    for part in segments(videos, frames, tolerance):
        for row in range(part.start, part.stop):
            before = np.arange(max(part.start, row - 2 * baseline), row)
            after = np.arange(row + 1, min(part.stop, row + 2 * baseline + 1))
            full = len(before) and frames[row] - frames[before[0]] >= baseline
            rows = before if full or not len(after) else np.concatenate([before, after])
            if not len(rows):
                continue
            distance = np.abs(frames[rows] - frames[row])
            # reliability 0 costs as much as missing the baseline by its full length
            cost = np.abs(distance - baseline) / baseline + (1.0 - reliability[rows]) + 0.01 * (rows > row)
            # beyond twice the baseline, people have turned or left
            cost = np.where(distance > 2 * baseline + tolerance, np.inf, cost)
            if np.isfinite(cost).any():
                found[row] = rows[int(cost.argmin())]
    return found


def later_reference_frames(videos: np.ndarray, frames: np.ndarray, reliability: np.ndarray, earlier: np.ndarray,
                           baseline: int, tolerance: int) -> np.ndarray:
    """Choose a second reference frame, on the other side in time.

    Arguments and result as for `reference_frames`; `earlier` is its result.
    """
    # the same rule on reversed time finds later frames
    n = len(frames)
    back = reference_frames(videos[::-1], -frames[::-1], reliability[::-1], baseline, tolerance)[::-1]
    later = np.where(back >= 0, n - 1 - back, -1)
    return np.where((later > np.arange(n)) & (later != earlier), later, -1)


def with_references(stream: Iterable[tuple[int, np.ndarray, np.ndarray]], reference: Sequence[np.ndarray]
                    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, list[tuple[int, np.ndarray]]]]:
    """Yield every frame of a stream with its reference frames, buffering only the frames that are still needed.

    Args:
        stream: (row, full-size frame, analysis frame), rows 0, 1, 2, ... in order.
        reference: one or more (N,) arrays from `reference_frames`.
    Yields:
        (row, full-size frame, analysis frame, [(reference frame's row, its analysis frame), ...]), in order.
    """
    count = len(reference[0])
    # needed: last row that uses a row as reference; ready: last row that must have arrived before a row can leave
    needed = np.arange(count)
    ready = np.arange(count)
    for others in reference:
        for row, other in enumerate(others):
            if other >= 0:
                needed[other] = max(needed[other], row)
                ready[row] = max(ready[row], other)
    small: dict[int, np.ndarray] = {}
    waiting: deque[tuple[int, np.ndarray]] = deque()
    for row, frame, image in stream:
        small[row] = image
        waiting.append((row, frame))
        while waiting and ready[waiting[0][0]] <= row:
            done, full = waiting.popleft()
            yield done, full, small[done], [(int(o[done]), small[int(o[done])]) for o in reference if o[done] >= 0]
            for old in [r for r in small if needed[r] <= done]:
                del small[old]


def neighbouring_pairs(footage: Footage, tolerance: int, most: int) -> np.ndarray:
    """Positions (n,), at most `most`, of frames that are followed by a frame of the same video without a gap.

    Args:
        tolerance: largest step of the frame number that is not a gap.
    """
    follows = (footage.videos[1:] == footage.videos[:-1]) & (np.diff(footage.frames) <= tolerance)
    return spread(np.flatnonzero(follows), most)


def flow_step(typical: float, wanted: float) -> int:
    """Number of frames, 1 to `MAX_STEP`, in which a speed of `typical` pixels per frame covers `wanted` pixels."""
    return int(np.clip(round(wanted / typical), 1, MAX_STEP))
