"""Actors as boxes: what the local memory found in each test frame.

Reads the actors that a model found (`pixelplay.two_stream.actor_files`); makes boxes by row, with their reasons and the
training actor each was compared with. Crops are embedded every few frames only: between them an actor keeps the
appearance of the box it overlaps in the frame before, so that colours do not blink.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pixelplay.box_ops import box_iou
from pixelplay.visual.annotate import Box

OVERLAP = 0.4
"""Least intersection over union of the same actor in two neighbouring frames."""
REACH = 12
"""Frame numbers over which an appearance is carried on."""


class People:
    """Actors of the test frames.

    Args:
        found: what `actor_arrays` describes.
        ids, videos, frames: (N,) of the test frames, in manifest order.
    """

    def __init__(self, found: Mapping[str, np.ndarray], ids: Sequence[str], videos: np.ndarray, frames: np.ndarray):
        row_of = {i: r for r, i in enumerate(ids)}
        known = np.array([row_of.get(str(i), -1) for i in found["Id"]], dtype=np.int64)
        keep = known >= 0
        order = np.argsort(known[keep], kind="stable")
        self.rows = known[keep][order]
        self.boxes_xyxy = np.asarray(found["boxes"], dtype=np.float64)[keep][order]
        appearance = np.asarray(found["appearance_z"], dtype=np.float64)[keep][order]
        motion = np.asarray(found["motion_z"], dtype=np.float64)[keep][order]
        self.words = [str(w) for w in np.asarray(found["reason"])[keep][order]]
        self._nearest = np.asarray(found["nearest"], dtype=np.int64)[keep][order]
        self.starts = np.searchsorted(self.rows, np.arange(len(ids) + 1))
        appearance = self._carry(appearance, np.asarray(videos), np.asarray(frames))
        self.scores = np.nan_to_num(np.fmax(appearance, motion), nan=0.0)
        self._train_ids = [str(i) for i in found["train_Id"]]
        self._train_boxes = np.asarray(found["train_boxes"], dtype=np.float64)

    def boxes(self, row: int) -> list[Box]:
        """Boxes of a test frame."""
        return [Box(tuple(self.boxes_xyxy[a].tolist()), float(self.scores[a]), self.words[a]) for a in self._of(row)]

    def nearest(self, row: int, box: int) -> tuple[str, np.ndarray] | None:
        """(Id of its frame, (4,) xyxy) of the training actor most like a box of a frame; None where none is known."""
        entry = self._nearest[self._of(row)[box]]
        return (self._train_ids[entry], self._train_boxes[entry]) if entry >= 0 else None

    def loudest(self) -> int | None:
        """Row of the frame with the highest actor that has a reason and a training actor beside it."""
        told = np.array([bool(w) for w in self.words], dtype=bool) & (self._nearest >= 0)
        best = np.where(told, self.scores, -np.inf) if told.any() else self.scores
        return int(self.rows[np.argmax(best)]) if len(best) else None

    def words_near(self, row: int, reach: int = 5) -> str:
        """Reason of the highest actor within `reach` rows; '' where none has one."""
        actors = [a for a in range(self.starts[max(0, row - reach)], self.starts[min(row + reach + 1,
                  len(self.starts) - 1)]) if self.words[a]]
        return self.words[max(actors, key=lambda a: self.scores[a])] if actors else ""

    def _of(self, row: int) -> range:
        return range(self.starts[row], self.starts[row + 1])

    def _carry(self, appearance: np.ndarray, videos: np.ndarray, frames: np.ndarray) -> np.ndarray:
        out, age = appearance.copy(), np.zeros(len(appearance), dtype=np.int64)
        for row in range(1, len(self.starts) - 1):
            step = int(frames[row] - frames[row - 1])
            before = [a for a in self._of(row - 1) if np.isfinite(out[a]) and age[a] + step <= REACH]
            if videos[row] != videos[row - 1] or not before:
                continue
            for a in self._of(row):
                if not np.isfinite(out[a]):
                    shared = box_iou(self.boxes_xyxy[a:a + 1], self.boxes_xyxy[before])[0]
                    b = before[int(np.argmax(shared))]
                    if shared.max() >= OVERLAP:
                        out[a], age[a] = out[b], age[b] + step
                        self._nearest[a] = self._nearest[b] if self._nearest[a] < 0 else self._nearest[a]
        return out
