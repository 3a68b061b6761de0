"""Thumbnails of the training crops in a memory, so that a report can show an actor's nearest training crop.

Reads full-size training frames once, after fitting; writes `crops.npz` beside the memory. A detector copied to another
machine needs no training frames to show them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from pixelplay.arrays import read_arrays, write_arrays
from pixelplay.data.footage import Footage
from pixelplay.two_stream.actors import crop

FILE = "crops.npz"
SIDE = 96
"""Pixels: enough to recognise a person, about 3 kB each."""
CONTEXT = 0.35
"""Margin around the actor, as a share of its longer side."""
QUALITY = 85


@dataclasses.dataclass(frozen=True)
class Thumbnails:
    """JPEG thumbnails, indexed by the Id of the frame and the box.

    Attributes:
        ids: (C,) str; boxes: (C, 4) float32 xyxy in original pixels.
        ends: (C,) int64 end of each JPEG in `content` (B,) uint8.
    """

    ids: np.ndarray
    boxes: np.ndarray
    ends: np.ndarray
    content: np.ndarray

    @classmethod
    def cut(cls, train: Footage, positions: np.ndarray, boxes: np.ndarray) -> Thumbnails:
        """Cut C actors out of the frames at `positions` (C,); boxes: (C, 4) xyxy."""
        order, made = np.argsort(positions, kind="stable"), [np.zeros(0, np.uint8)] * len(positions)
        wanted = np.unique(positions)
        by_frame = [*np.searchsorted(positions[order], wanted).tolist(), len(order)]
        for k, (_, frame) in enumerate(train.full_frames(wanted)):
            for row in order[by_frame[k]:by_frame[k + 1]].tolist():
                picture = cv2.cvtColor(crop(frame, boxes[row], CONTEXT, SIDE), cv2.COLOR_RGB2BGR)
                made[row] = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].ravel()
        return cls(train.ids[positions].astype(np.str_), np.asarray(boxes, np.float32),
                   np.cumsum([len(m) for m in made], dtype=np.int64), np.concatenate([np.zeros(0, np.uint8), *made]))

    def find(self, identifier: str, box: np.ndarray) -> np.ndarray | None:
        """(96, 96, 3) uint8 RGB thumbnail of the actor with this box in this frame; None if there is none."""
        rows = np.flatnonzero((self.ids == identifier) & (np.abs(self.boxes - box) < 0.5).all(axis=1))
        if not len(rows):
            return None
        start = self.ends[rows[0] - 1] if rows[0] else 0
        return cv2.cvtColor(cv2.imdecode(self.content[start:self.ends[rows[0]]], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    def save(self, folder: Path) -> None:
        """Write `crops.npz`."""
        write_arrays(Path(folder) / FILE, ids=self.ids, boxes=self.boxes, ends=self.ends, content=self.content)

    @classmethod
    def load(cls, folder: Path) -> Thumbnails | None:
        """Read `crops.npz`; None if the model keeps no thumbnails. Raises PixelPlayError for a damaged file."""
        path = Path(folder) / FILE
        if not path.exists():
            return None
        kept = read_arrays(path, hint="copy the detector again, or fit it again")
        return cls(kept["ids"], kept["boxes"], kept["ends"], kept["content"])
