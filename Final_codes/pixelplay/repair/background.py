"""What the fixed camera sees when nothing happens: one background for every scene of the training videos.

Reads working-size training frames; makes `Scenes`. Videos of one camera share a scene (a dataset may hold several
cameras). A scene with too few frames, or whose frames do not resemble their own median (a moving camera), is kept
and marked: nothing can be decided against it, and repair leaves its frames alone.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from pixelplay.data.footage import Stream
from pixelplay.data.subsample import spread
from pixelplay.repair import geometry
from pixelplay.repair.orientation import distinguishable, edges, features, thumbnail, turned_features

FEWEST = 8
"""Training frames a background needs."""
SAMPLES = 96
"""Training frames a background is made of, at most."""
SAME_SCENE = 0.6
"""Likeness of the gradients of two videos' backgrounds above which they share a camera."""
MEMORY = 400_000_000
"""Bytes of full-size frames held for a background, at most (but nine frames)."""
KNOWN = 0.35
"""Median likeness of the gradients of a video's frames to a scene's below which it shows another place: then nothing
is decided."""
STEADY = 0.45
"""Median correlation of the training frames' detail with their background's below which the camera moves: 0.7 to 0.9
for fixed cameras, 0.3 to 0.4 for slow pans, less when held by hand."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """One camera position.

    Attributes:
        videos: names of the training videos it was learned from.
        rows: (n,) positions among the training frames it was learned from.
        picture: (h, w, 3) uint8 RGB median at working size.
        templates: (4, D) descriptions of the background in the four orientations.
        allowed: (4,) bool, orientations that can be told apart (see `orientation.distinguishable`).
        reason: why nothing can be decided against it; '' for a usable scene.
        normal: name of a measurement -> (low, high) range over the training frames.
    """

    videos: tuple[str, ...]
    rows: np.ndarray
    picture: np.ndarray
    templates: np.ndarray
    allowed: np.ndarray
    reason: str
    normal: dict[str, tuple[float, float]]

    @property
    def usable(self) -> bool:
        """Frames can be judged against this background."""
        return not self.reason


def learn_scenes(pixels: np.ndarray, rows: np.ndarray, videos: np.ndarray) -> list[Scene]:
    """Learn the scenes of the training videos.

    Args:
        pixels: (N_all, h, w, 3) uint8 RGB working-size frames (a memory map).
        rows: (N,) positions in `pixels` of the training frames that could be read.
        videos: (N,) their video names, equal names contiguous.
    Returns:
        At least one scene unless there are no frames; usable ones and others, most frames first.
    """
    samples = _samples(videos)
    scenes = [_learn(pixels, rows, names, spread(np.concatenate([samples[v] for v in names]), SAMPLES, rounded=True))
              for names in by_camera(pixels, rows, videos)]
    return sorted(scenes, key=lambda s: -sum(int((videos == v).sum()) for v in s.videos))


def by_camera(pixels: np.ndarray, rows: np.ndarray, videos: np.ndarray) -> list[list[str]]:
    """Names of the videos of each camera, told by the backgrounds of the videos; arguments as of `learn_scenes`."""
    groups: list[tuple[np.ndarray, list[str]]] = []
    for video, picks in _samples(videos).items():
        description = features(np.median([thumbnail(pixels[rows[i]]) for i in picks], axis=0).astype(np.float32))
        for template, names in groups:
            if float(edges(template[None], description)[0]) >= SAME_SCENE:
                names.append(video)
                break
        else:
            groups.append((description, [video]))
    return [names for _, names in groups]


def _samples(videos: np.ndarray) -> dict[str, np.ndarray]:
    """Video name -> positions of the frames its background is told by."""
    return {v: spread(np.flatnonzero(videos == v), SAMPLES // 4, rounded=True) for v in dict.fromkeys(videos.tolist())}


def _learn(pixels: np.ndarray, rows: np.ndarray, names: list[str], picks: np.ndarray) -> Scene:
    frames = np.stack([pixels[rows[i]] for i in picks])
    picture = median_picture(frames)
    templates = turned_features(features(thumbnail(picture)))
    likeness = np.stack([templates @ features(thumbnail(f)) for f in frames])
    reason = ""
    if len(frames) < FEWEST:
        reason = f"only {len(frames)} training frames: a background needs {FEWEST}"
    elif thumbnail(picture).std() < 3:
        reason = "the background has no contrast"
    elif (steadiness := float(np.median(geometry.detail_likeness(frames, picture)))) < STEADY:
        reason = (f"training frames share little detail with their own median ({steadiness:.2f} < {STEADY}): "
                  "the camera moves, or the footage is too varied or too plain")
    if reason:
        return Scene(tuple(names), picks, picture, templates, np.array([True, False, False, False]), reason, {})
    allowed = distinguishable(likeness)
    reference = geometry.Reference.of(picture)
    # the range over frames the background was made from: unseen ones differ more, hence the slack in every threshold
    measured = np.array([geometry.measure(f, reference) for f in frames])
    normal = {name: (float(column.min()), float(column.max())) for name, column in zip(geometry.COLUMNS, measured.T)}
    normal["likeness"] = (float(np.quantile(likeness[:, 0], .01)), 1.0)
    return Scene(tuple(names), picks, picture, templates, allowed, reason, normal)


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
    picture = median_picture(np.stack(list(stream(rows))))
    if picture.shape[:2] != (height, width):
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return picture


def median_picture(frames: np.ndarray) -> np.ndarray:
    """Per-pixel median of (N, H, W, 3) uint8, by blocks of rows so that memory stays small."""
    out = np.empty(frames.shape[1:], np.uint8)
    for top in range(0, frames.shape[1], 32):
        out[top:top + 32] = np.median(frames[:, top:top + 32], axis=0)
    return out


