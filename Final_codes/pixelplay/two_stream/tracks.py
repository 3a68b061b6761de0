"""Short tracks: the same actor in neighbouring frames, and scores made steady along them.

Reads an actor table; makes links to the next and the previous frame, never across a gap or a video's border. A flow
is wrong now and then, and hardly new from one frame to the next: its two frames lie several apart. An actor that is
fast stays fast.
"""

from __future__ import annotations

import numpy as np

from pixelplay.box_ops import box_iou
from pixelplay.data.footage import Footage
from pixelplay.two_stream.actor_table import ActorTable

LEAST_IOU = 0.3
TRACK = 2
"""Steps of the flow (its baseline) to either side over which an actor's scores are the mean along its track."""


def link_actors(table: ActorTable, footage: Footage, tolerance: int) -> tuple[np.ndarray, np.ndarray]:
    """The same actor one frame earlier and one frame later.

    A box, moved on by its own velocity, and the box it overlaps most are linked where each is the other's best.

    Args:
        table: M actors of `footage`; tolerance: largest step of the frame number that is not a gap.
    Returns:
        earlier, later: (M,) int64 rows of the table, -1 where there is none.
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
    """Mean of each actor's score over up to `reach` frames to either side of its track.

    Args:
        values: (M,) scores, NaN = not measured; earlier, later: from `link_actors`.
    Returns:
        (M,) float64; NaN only where no actor of the stretch was measured.
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
