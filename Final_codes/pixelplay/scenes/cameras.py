"""Camera positions: learn the scenes of the training videos and recognise them in other footage.

Reads working-size training frames; makes `Scene`s, their templates, and a scene index for every frame of any footage.
Videos from one camera share a scene; a dataset may hold several cameras. A scene with too few frames, or whose frames
do not match their own median (a moving camera), is kept but marked unusable. Templates are saved with everything that
is learnt per scene, so scene indices are portable between runs.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from pixelplay.data.footage import Footage
from pixelplay.data.subsample import spread
from pixelplay.scenes.description import LENGTH, edges, features, thumbnail
from pixelplay.scenes.grouping import group_videos
from pixelplay.scenes.medians import median_thumbnail, pixel_median

FEWEST = 8
"""Minimum number of training frames for a background."""
SAMPLES = 96
"""Maximum number of training frames in a background median."""
OF_VIDEO = 24
"""Maximum number of frames that are sampled to recognise a video."""
SAME_SCENE = 0.6
"""Two videos share a camera if the gradients of their backgrounds correlate at least this well."""
KNOWN = 0.35
"""A video shows a known scene if the median gradient correlation of its frames with the scene reaches this."""
STEADY = 0.45
"""The camera is fixed if the fine detail of training frames correlates with the background at least this well (median).
Fixed cameras reach 0.7 to 0.9, slow pans 0.3 to 0.4, hand-held cameras less."""
GRID = (96, 160)
"""(rows, columns) at which the fine detail of two images is compared."""
OWN = 100
"""Minimum number of training frames for statistics per scene: with fewer, a few walkers would dominate them."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """One camera position.

    Attributes:
        videos: names of the training videos that show it.
        rows: (n,) positions, among the readable training frames, of those in the median.
        picture: (h, w, 3) uint8 RGB median at working size.
        template: (D,) descriptor of the background, see `description.features`.
        reason: why frames cannot be compared with this background; '' for a usable scene.
    """

    videos: tuple[str, ...]
    rows: np.ndarray
    picture: np.ndarray
    template: np.ndarray
    reason: str

    @property
    def usable(self) -> bool:
        """Whether frames can be compared with this background."""
        return not self.reason


def find_scenes(pixels: np.ndarray, rows: np.ndarray, videos: np.ndarray) -> list[Scene]:
    """Learn the scenes of the training videos.

    Args:
        pixels: (N_all, h, w, 3) uint8 RGB working-size frames (an array or a `ClipArray`).
        rows: (N,) positions in `pixels` of the readable training frames.
        videos: (N,) their video names, equal names contiguous.
    Returns:
        All scenes, usable or not, sorted by number of frames, largest first; empty only if N is 0.
    """
    samples = _samples(videos)
    scenes = []
    for names in by_camera(pixels, rows, videos):
        picks = spread(np.concatenate([samples[v] for v in names]), SAMPLES, rounded=True)
        frames = np.stack([pixels[rows[i]] for i in picks])
        picture = pixel_median(frames, np.uint8)
        scenes.append(Scene(tuple(names), picks, picture, features(thumbnail(picture)), _reason(frames, picture)))
    return sorted(scenes, key=lambda s: -sum(int((videos == v).sum()) for v in s.videos))


def by_camera(pixels: np.ndarray, rows: np.ndarray, videos: np.ndarray) -> list[list[str]]:
    """Group videos by camera, comparing their backgrounds. Arguments as for `find_scenes`; returns names per camera."""
    def differ(one: np.ndarray, others: np.ndarray) -> np.ndarray:
        return np.array([float(edges(other[None], one)[0]) < SAME_SCENE for other in others], dtype=float)

    samples = _samples(videos)
    seen = [features(median_thumbnail((pixels[rows[i]] for i in picks), thumbnail)) for picks in samples.values()]
    return [[list(samples)[i] for i in group] for group in group_videos(np.array(seen), differ, 0.0)]


def scene_templates(train: Footage) -> np.ndarray:
    """Descriptors of the scenes that get statistics of their own.

    Returns:
        (K, D) float32, see `description.features`. K = 0 if all training frames show one scene. Unusable scenes and
        scenes recognised in fewer than `OWN` training frames are left out.
    """
    readable = np.flatnonzero(train.reliability > 0)
    seen = train.pixels, train.rows[readable], train.videos[readable]
    if len(by_camera(*seen)) <= 1:
        return np.zeros((0, LENGTH), np.float32)
    templates = np.array([s.template for s in find_scenes(*seen) if s.usable], np.float32).reshape(-1, LENGTH)
    shown = recognise(train, templates)
    return templates[[int((shown == k).sum()) >= OWN for k in range(len(templates))]]


def recognise(footage: Footage, templates: np.ndarray) -> np.ndarray:
    """Recognise the scene of each video: (N,) int64 row of `templates` for every frame, -1 for an unknown scene."""
    found = np.full(len(footage), -1, np.int64)
    for video in footage.video_names() if len(templates) else ():
        rows = np.flatnonzero(footage.videos == video)
        likeness = np.median([edges(templates, features(thumbnail(frame)))
                              for frame in footage.batch(spread(rows, OF_VIDEO, rounded=True))], axis=0)
        if likeness.max() >= KNOWN:
            found[rows] = likeness.argmax()
    return found


def recognise_picture(picture: np.ndarray, templates: np.ndarray) -> int:
    """Recognise the scene of one working-size frame: row of `templates`, -1 for an unknown scene."""
    if not len(templates):
        return -1
    likeness = edges(templates, features(thumbnail(picture)))
    return int(likeness.argmax()) if likeness.max() >= KNOWN else -1


def _samples(videos: np.ndarray) -> dict[str, np.ndarray]:
    """Video name -> positions of the frames sampled for its background."""
    return {v: spread(np.flatnonzero(videos == v), OF_VIDEO, rounded=True) for v in dict.fromkeys(videos.tolist())}


def _reason(frames: np.ndarray, picture: np.ndarray) -> str:
    """Why frames cannot be compared with the median of these frames; '' if they can."""
    if len(frames) < FEWEST:
        return f"only {len(frames)} training frames: a background needs {FEWEST}"
    if thumbnail(picture).std() < 3:
        return "the background has no contrast"
    steadiness = float(np.median(detail_likeness(frames, picture)))
    if steadiness < STEADY:
        return (f"training frames share little detail with their own median ({steadiness:.2f} < {STEADY}): "
                "the camera moves, or the footage is too varied or too plain")
    return ""


def detail_likeness(frames: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Correlation of the Laplacians of (N, h, w, 3) uint8 frames with that of an image (h, w, 3): (N,) in [-1, 1].

    Under a pan, large bright and dark areas still agree; edges do not.
    """
    def detail(image: np.ndarray) -> np.ndarray:
        grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), GRID[::-1], interpolation=cv2.INTER_AREA)
        values = cv2.Laplacian(grey.astype(np.float32), cv2.CV_32F).ravel()
        return values / max(float(np.linalg.norm(values)), 1e-6)

    wanted = detail(picture)
    return np.array([float(detail(f) @ wanted) for f in frames])
