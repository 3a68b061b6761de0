"""What is normal of frames of each scene, and its background at full size.

Reads working-size training frames and their scenes (see `pixelplay.scenes.cameras`); makes `SceneNorms`. Nothing can be
decided against a scene that is not usable: repair leaves its frames alone.
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
    """A scene, and what is normal of frames in it.

    Attributes:
        allowed: (4,) bool, orientations that can be told apart (see `orientation.distinguishable`).
        normal: name of a measurement -> (low, high) range over the training frames; empty where it is not usable.
    """

    allowed: np.ndarray
    normal: dict[str, tuple[float, float]]

    @functools.cached_property
    def templates(self) -> np.ndarray:
        """(4, D) descriptions of the background in the four orientations."""
        return turned_features(self.template)


def learn_scenes(pixels: np.ndarray, rows: np.ndarray, videos: np.ndarray) -> list[SceneNorms]:
    """Learn what is normal in each scene of the training videos; arguments and order as of `find_scenes`."""
    return [_learn(scene, np.stack([pixels[rows[i]] for i in scene.rows])) for scene in
            find_scenes(pixels, rows, videos)]


def _learn(scene: Scene, frames: np.ndarray) -> SceneNorms:
    if not scene.usable:
        return SceneNorms(**vars(scene), allowed=np.array([True, False, False, False]), normal={})
    templates = turned_features(scene.template)
    likeness = np.stack([templates @ features(thumbnail(f)) for f in frames])
    reference = geometry.Reference.of(scene.picture)
    # the range over frames the background was made from: unseen ones differ more, hence the slack in every threshold
    measured = np.array([geometry.measure(f, reference) for f in frames])
    normal = {name: (float(column.min()), float(column.max())) for name, column in zip(geometry.COLUMNS, measured.T)}
    normal["likeness"] = (float(np.quantile(likeness[:, 0], .01)), 1.0)
    return SceneNorms(**vars(scene), allowed=distinguishable(likeness), normal=normal)


def full_picture(scene: Scene, readable: np.ndarray, stream: Stream, size: tuple[int, int], most: int) -> np.ndarray:
    """The background of a scene at full size.

    Args:
        readable: (N,) positions of the training frames that `learn_scenes` was given.
        stream: of the full-size training frames.
        size: (H, W) wanted; training frames of another size are resized.
        most: training frames it is the median of; fewer of very large ones, so that memory does not grow with the
            camera.
    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = size
    rows = spread(readable[scene.rows], min(most, max(9, MEMORY // (height * width * 3))), rounded=True)
    picture = pixel_median(np.stack(list(stream(rows))), np.uint8)
    if picture.shape[:2] != (height, width):
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return picture
