"""Zones: polygons in the frame that restrict where events may occur.

Reads a scored frame; decides from the position of its anomaly whether it may belong to an event. The position is the
foot point of the highest-scoring actor or, without actors, the maximum of the error map.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from pixelplay.watch.scorer import Scored


@dataclasses.dataclass(frozen=True)
class Zone:
    """A polygon.

    Attributes:
        points: at least three (x, y), as fractions of the frame's width and height.
        use: 'watch' or 'ignore'.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    use: str = "watch"

    def holds(self, place: tuple[float, float]) -> bool:
        """Whether (x, y), as fractions of the frame's width and height, lies inside or on the border."""
        return cv2.pointPolygonTest(np.array(self.points, np.float32), place, False) >= 0


def place_of(scored: Scored) -> tuple[float, float] | None:
    """Position (x, y) of the anomaly, as fractions of the frame's width and height; None if no model localises it."""
    if scored.boxes:
        height, width = scored.frame.shape[:2]
        x0, _, x1, y1 = max(scored.boxes, key=lambda box: box.score).xyxy
        return (x0 + x1) / 2 / width, y1 / height
    if scored.heat is not None and scored.heat.max() > 0:
        row, column = np.unravel_index(int(scored.heat.argmax()), scored.heat.shape)
        return (column + 0.5) / scored.heat.shape[1], (row + 0.5) / scored.heat.shape[0]
    return None


def counts(scored: Scored, zones: Sequence[Zone]) -> bool:
    """Whether a frame may belong to an event: it is in no ignored zone and, if there are watched zones, in one of them.

    A frame without a position counts, because a missed event is worse than a false alarm.
    """
    place = place_of(scored)
    if place is None or not zones:
        return True
    watched = [z for z in zones if z.use == "watch"]
    return not any(z.holds(place) for z in zones if z.use == "ignore") and (
        not watched or any(z.holds(place) for z in watched))
