"""Shape of actors: how unusual are the height and width of a box in its image row?

Reads places and boxes of actors; makes a `ShapeModel` of the training actors. A bicycle or a cart is wider than people
are, somebody who jumps, bends or falls changes outline, a group that stands where nobody stands is too large for its
row. The score is the mean distance to the nearest training actors, so that several usual sizes in one row (children,
adults, groups) need no model of their own. It needs boxes alone, no picture and no flow.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import cKDTree

from pixelplay.two_stream.memory import folds
from pixelplay.two_stream.usual import MAX_ACTORS, Places

NEIGHBOURS = 5
ROW = 4.0
"""What one image height of distance counts in natural logarithms of a side: a quarter of the image like a factor e."""


@dataclasses.dataclass(frozen=True)
class ShapeModel:
    """Training actors as points.

    Attributes:
        vectors: (M, 3) float32, see `shape_vectors`; M may be 0.
    """

    vectors: np.ndarray

    def score(self, boxes: np.ndarray, places: Places) -> np.ndarray:
        """(n, 4) xyxy boxes in pixels of the original frame and their places -> (n,) float64 >= 0; 0 for no model."""
        if len(boxes) == 0 or len(self.vectors) == 0:
            return np.zeros(len(boxes))
        count = min(NEIGHBOURS, len(self.vectors))
        return cKDTree(self.vectors).query(shape_vectors(boxes, places), k=[*range(1, count + 1)])[0].mean(1)


def shape_vectors(boxes: np.ndarray, places: Places) -> np.ndarray:
    """(n, 3) float32: natural logarithms of a box's width and height in pixels, and its row."""
    sides = np.maximum(np.asarray(boxes[:, 2:], np.float64) - boxes[:, :2], 1.0)
    return np.column_stack([np.log(sides), ROW * places.row]).astype(np.float32)


def fit_shapes(boxes: np.ndarray, places: Places, videos: np.ndarray) -> tuple[ShapeModel, np.ndarray]:
    """Fit the training actors.

    Args:
        boxes: (n, 4) xyxy in pixels of the original frame; places: theirs; videos: (n,) video of each.
    Returns:
        the model, and the (n,) score of each actor by a model without its video (without its fold, where there are
        more than 16 videos); 0 where nothing else is left.
    """
    vectors, fold, held_out = shape_vectors(boxes, places), folds(videos), np.zeros(len(boxes))
    some = np.unique(np.linspace(0, max(len(boxes) - 1, 0), min(len(boxes), MAX_ACTORS)).astype(int))
    for f in np.unique(fold):
        mine = np.flatnonzero(fold == f)
        held_out[mine] = ShapeModel(vectors[some[fold[some] != f]]).score(boxes[mine], places.take(mine))
    return ShapeModel(vectors[some]), held_out
