"""Boxes in CSV files: scored detections, and ground-truth regions with tracks.

Reads a CSV with one row per box; makes a `BoxTable`. The header names the columns, in any order:

    Id,x0,y0,x1,y1,score               detections; higher = more anomalous
    video,frame,x0,y0,x1,y1,track      ground truth; a track is one anomaly over its frames

Both forms accept `Id` or `video,frame`; other columns are ignored. Corners are pixels of the original frame, x to the
right, y down; a box of one pixel is 3,5,4,6. Frame numbers are those of the Ids.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pixelplay.data.ids import split_id, video_name
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.formats import LARGEST, parse_numbers, read_strings

CORNERS = ("x0", "y0", "x1", "y1")
HEADERS = {"score": "Id,x0,y0,x1,y1,score or video,frame,x0,y0,x1,y1,score",
           "track": "Id,x0,y0,x1,y1,track or video,frame,x0,y0,x1,y1,track"}


@dataclasses.dataclass(frozen=True)
class BoxTable:
    """B boxes of a test set.

    Attributes:
        videos: (B,) object, unpadded names.
        frames: (B,) int64 frame numbers.
        xyxy: (B, 4) float64 corners in pixels of the original frame.
        values: (B,) float64 scores, or int64 track numbers (unique within a video).
        source: origin, for error messages.
    """

    videos: np.ndarray
    frames: np.ndarray
    xyxy: np.ndarray
    values: np.ndarray
    source: str

    def __len__(self) -> int:
        return len(self.videos)

    def select(self, keep: np.ndarray) -> BoxTable:
        """The boxes of a (B,) bool mask."""
        return dataclasses.replace(self, videos=self.videos[keep], frames=self.frames[keep], xyxy=self.xyxy[keep],
                                   values=self.values[keep])


def read_boxes(path: Path, value: str = "score") -> BoxTable:
    """Read a CSV of boxes (see the module).

    Args:
        value: 'score' or 'track', the column to read besides the corners.
    Raises:
        PixelPlayError: a missing column, or a malformed row; names the line.
    """
    table = read_strings(path)
    table.columns = [str(c).strip().lower() for c in table.columns]
    absent = [c for c in (*CORNERS, value) if c not in table] or ([] if {"id"} <= set(table) or {"video", "frame"}
                                                                  <= set(table) else ["Id"])
    if absent:
        raise PixelPlayError(f"{path} has no column {', '.join(absent)}", expected=f"the header {HEADERS[value]}")
    names = table["id"] if "id" in table else table["video"] + "_" + table["frame"]
    videos, frames = _places(names, path)
    xyxy = np.stack([_numbers(table[c], c, path) for c in CORNERS], axis=1)
    empty = (xyxy[:, 2:] <= xyxy[:, :2]).any(axis=1)
    if empty.any():
        raise PixelPlayError(f"{path}, line {int(np.argmax(empty)) + 2}: an empty box {xyxy[empty][0].tolist()}",
                             expected="x0 < x1 and y0 < y1")
    if value == "score":
        values = _numbers(table["score"], "score", path)
    else:
        values = pd.factorize(pd.Series(videos, dtype=object) + "\n" + table["track"])[0].astype(np.int64)
    return BoxTable(videos, frames, xyxy, values, str(path))


def _places(names: pd.Series, path: Path) -> tuple[np.ndarray, np.ndarray]:
    pairs = []
    for line, name in enumerate(names, start=2):
        try:
            pairs.append(split_id(name))
        except ValueError as cause:
            raise PixelPlayError(f"{path}, line {line}: {cause}", expected="Ids like 1_939, or video,frame") from cause
    return (np.array([video_name(v) for v, _ in pairs], dtype=object),
            np.array([f for _, f in pairs], dtype=np.int64))


def _numbers(column: pd.Series, name: str, path: Path) -> np.ndarray:
    texts = column.to_numpy(object)
    values = parse_numbers(texts)
    if values is None or not (np.abs(values) <= LARGEST).all():
        ones = (parse_numbers(texts[i:i + 1]) for i in range(len(texts)))
        at = next(i for i, one in enumerate(ones) if one is None or not abs(one[0]) <= LARGEST)
        raise PixelPlayError(f"{path}, line {at + 2}: {name} is {texts[at][:80]!r}",
                             expected=f"a finite number of magnitude up to {LARGEST:g}")
    return values


def rasterise(box: Sequence[float], frame: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """(h, w) bool: map cells that a box covers by at least half; if there are none, those it covers most.

    Args:
        box: corners xyxy in pixels of the frame.
        frame: (H, W) of the frame in pixels.
        size: (h, w) of the map, which spans the whole frame.
    Raises:
        ValueError: the box lies outside the frame.
    """
    sides = []
    for low, high, length, cells in ((box[1], box[3], frame[0], size[0]), (box[0], box[2], frame[1], size[1])):
        at = np.arange(cells)
        sides.append(np.clip(np.minimum(high * cells / length, at + 1) - np.maximum(low * cells / length, at), 0, 1))
    share = np.outer(*sides)
    if not share.any():
        raise ValueError(f"box {[float(v) for v in box]} lies outside a frame of {frame[1]} x {frame[0]} pixels")
    return share >= min(0.5, float(share.max()))


def bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Corners xyxy of the bounding box of a non-empty mask (H, W)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
