"""Zones: the parts of a picture in which an event counts, and those in which it does not.

Reads a scored frame; says whether what stands out in it lies where it matters. The place is the foot point of the
highest actor, or the hottest spot of the error map where there is no actor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from pixelplay.watch.scorer import Scored


@dataclasses.dataclass(frozen=True)
class Zone:
    """A polygon; `points` are (x, y) in parts of the picture's width and height, `use` is 'watch' or 'ignore'."""

    name: str
    points: tuple[tuple[float, float], ...]
    use: str = "watch"

    def holds(self, place: tuple[float, float]) -> bool:
        """Whether (x, y) lies in it or on its border."""
        return cv2.pointPolygonTest(np.array(self.points, np.float32), place, False) >= 0


def place_of(scored: Scored) -> tuple[float, float] | None:
    """(x, y) in parts of the picture where the frame stands out most; None where no model says."""
    if scored.boxes:
        height, width = scored.frame.shape[:2]
        x0, _, x1, y1 = max(scored.boxes, key=lambda box: box.score).xyxy
        return (x0 + x1) / 2 / width, y1 / height
    if scored.heat is not None and scored.heat.max() > 0:
        row, column = np.unravel_index(int(scored.heat.argmax()), scored.heat.shape)
        return (column + 0.5) / scored.heat.shape[1], (row + 0.5) / scored.heat.shape[0]
    return None


def counts(scored: Scored, zones: Sequence[Zone]) -> bool:
    """Whether the frame may belong to an event: in no ignored zone, and in a watched one where there are any.

    A frame without a place counts: a missed event is worse than one too many.
    """
    place = place_of(scored)
    if place is None or not zones:
        return True
    watched = [z for z in zones if z.use == "watch"]
    return not any(z.holds(place) for z in zones if z.use == "ignore") and (
        not watched or any(z.holds(place) for z in watched))
