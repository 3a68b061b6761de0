"""Short tracks: links between the boxes of an actor in neighbouring frames, and score averages along them.

Reads an actor table; makes links to the next and the previous frame, within a segment. Flow errors are intermittent
and correlated between neighbouring frames, while a fast actor stays fast: the mean along the track keeps the latter.
"""

from __future__ import annotations

import numpy as np

from pixelplay.box_ops import box_iou
from pixelplay.data.footage import Footage
from pixelplay.two_stream.actor_table import ActorTable

LEAST_IOU = 0.3
TRACK = 2
"""Half length of a track for averaging, in flow baselines."""


def link_actors(table: ActorTable, footage: Footage, tolerance: int) -> tuple[np.ndarray, np.ndarray]:
    """Link each actor to itself one frame earlier and one frame later.

    A box shifted by its velocity is linked to the box it overlaps most, if each is the other's best match.

    Args:
        table: M actors of `footage`; tolerance: largest step of the frame number within a segment.
    Returns:
        earlier, later: (M,) int64 rows of the table, -1 = no link.
    """
    earlier, later = np.full(len(table), -1, np.int64), np.full(len(table), -1, np.int64)
    start = np.searchsorted(table.position, np.arange(len(footage) + 1))
    step = np.diff(footage.frames)
    joined = (footage.videos[1:] == footage.videos[:-1]) & (step <= tolerance)
    for frame in np.flatnonzero(joined):
        now, then = np.arange(start[frame], start[frame + 1]), np.arange(start[frame + 1], start[frame + 2])
        if len(now) == 0 or len(then) == 0:
            continue
        moved = table.boxes[now] + np.tile(table.velocity[now], 2) * step[frame]
        iou = box_iou(moved, table.boxes[then])
        best, back = iou.argmax(1), iou.argmax(0)
        own = np.arange(len(now))
        same = (back[best] == own) & (iou[own, best] >= LEAST_IOU)
        later[now[same]], earlier[then[best[same]]] = then[best[same]], now[same]
    return earlier, later


def track_mean(values: np.ndarray, earlier: np.ndarray, later: np.ndarray, reach: int) -> np.ndarray:
    """Mean score of each actor over up to `reach` frames to either side along its track.

    Args:
        values: (M,) scores, NaN = not measured; earlier, later: from `link_actors`.
    Returns:
        (M,) float64; NaN if no actor on the track was measured.
    """
    known = np.isfinite(values)
    total, count = np.where(known, values, 0.0), known.astype(np.int64)
    for links in (earlier, later):
        row = np.arange(len(values))
        for _ in range(reach):
            row = np.where(row >= 0, links[row], -1)
            there = (row >= 0) & known[row]
            total[there] += values[row[there]]
            count += there
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
