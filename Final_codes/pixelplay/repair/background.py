"""Normal ranges of each scene, and its background at full size.

Reads working-size training frames and their scenes (see `pixelplay.scenes.cameras`); makes `SceneNorms`. Frames of an
unusable scene are not repaired.
"""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

from pixelplay.data.footage import Stream
from pixelplay.data.subsample import spread
from pixelplay.repair import geometry
from pixelplay.repair.orientation import distinguishable, turned_features
from pixelplay.scenes.cameras import Scene, find_scenes
from pixelplay.scenes.description import features, thumbnail
from pixelplay.scenes.medians import pixel_median

MEMORY = 400_000_000
"""Budget in bytes for the full-size frames of a background; never fewer than nine frames."""


@dataclasses.dataclass(frozen=True)
class SceneNorms(Scene):
    """A scene with the ranges of its measurements over normal frames.

    Attributes:
        allowed: (4,) bool, orientations that can be distinguished (see `orientation.distinguishable`).
        normal: measurement -> (low, high) over the training frames; empty for an unusable scene.
    """

    allowed: np.ndarray
    normal: dict[str, tuple[float, float]]

    @functools.cached_property
    def templates(self) -> np.ndarray:
        """(4, D) descriptors of the background in the four orientations."""
        return turned_features(self.template)


def learn_scenes(pixels: np.ndarray, rows: np.ndarray, videos: np.ndarray) -> list[SceneNorms]:
    """Learn the scenes of the training videos and their normal ranges; arguments and order as for `find_scenes`."""
    return [_learn(scene, np.stack([pixels[rows[i]] for i in scene.rows])) for scene in
            find_scenes(pixels, rows, videos)]


def _learn(scene: Scene, frames: np.ndarray) -> SceneNorms:
    if not scene.usable:
        return SceneNorms(**vars(scene), allowed=np.array([True, False, False, False]), normal={})
    templates = turned_features(scene.template)
    likeness = np.stack([templates @ features(thumbnail(f)) for f in frames])
    reference = geometry.Reference.of(scene.picture)
    # these frames are part of the background median; unseen frames differ more, so every threshold adds slack
    measured = np.array([geometry.measure(f, reference) for f in frames])
    normal = {name: (float(column.min()), float(column.max())) for name, column in zip(geometry.COLUMNS, measured.T)}
    normal["likeness"] = (float(np.quantile(likeness[:, 0], .01)), 1.0)
    return SceneNorms(**vars(scene), allowed=distinguishable(likeness), normal=normal)


def full_picture(scene: Scene, readable: np.ndarray, stream: Stream, size: tuple[int, int], most: int) -> np.ndarray:
    """The background of a scene at full size.

    Args:
        readable: (N,) positions of the training frames passed to `learn_scenes`.
        stream: full-size training frames.
        size: (H, W) of the result; the median is resized if training frames have another size.
        most: maximum number of frames in the median; `MEMORY` limits it further for large frames.
    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = size
    rows = spread(readable[scene.rows], min(most, max(9, MEMORY // (height * width * 3))), rounded=True)
    picture = pixel_median(np.stack(list(stream(rows))), np.uint8)
    if picture.shape[:2] != (height, width):
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return picture
