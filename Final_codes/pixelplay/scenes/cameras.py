"""Camera positions: what each fixed camera of the training videos sees, and which of them other footage shows.

Reads working-size training frames; makes `Scene`s, their templates, and the scene of every frame of any footage. Videos
of one camera share a scene (a dataset may hold several cameras). A scene with too few frames, or whose frames do not
resemble their own median (a moving camera), is kept and marked. What is learnt by scene keeps the templates beside it,
so that a model recognises its scenes in the footage of another run or of a camera by itself.
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
"""Training frames a background needs."""
SAMPLES = 96
"""Training frames a background is made of, at most."""
OF_VIDEO = 24
"""Frames a video is recognised by, at most."""
SAME_SCENE = 0.6
"""Likeness of the gradients of two videos' backgrounds above which they share a camera."""
KNOWN = 0.35
"""Median likeness of the gradients of a video's frames to a scene's below which it shows another place."""
STEADY = 0.45
"""Median correlation of the training frames' detail with their background's below which the camera moves: 0.7 to 0.9
for fixed cameras, 0.3 to 0.4 for slow pans, less when held by hand."""
GRID = (96, 160)
"""Rows and columns two pictures' detail is compared at."""
OWN = 100
"""Training frames below which a scene has nothing usual of its own: a few walkers would decide."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """One camera position.

    Attributes:
        videos: names of the training videos it was learned from.
        rows: (n,) positions among the training frames it was learned from.
        picture: (h, w, 3) uint8 RGB median at working size.
        template: (D,) description of the background, see `description.features`.
        reason: why nothing can be decided against it; '' for a usable scene.
    """

    videos: tuple[str, ...]
    rows: np.ndarray
    picture: np.ndarray
    template: np.ndarray
    reason: str

    @property
    def usable(self) -> bool:
        """Frames can be judged against this background."""
        return not self.reason


def find_scenes(pixels: np.ndarray, rows: np.ndarray, videos: np.ndarray) -> list[Scene]:
    """The scenes of the training videos.

    Args:
        pixels: (N_all, h, w, 3) uint8 RGB working-size frames (an array or a `ClipArray`).
        rows: (N,) positions in `pixels` of the training frames that could be read.
        videos: (N,) their video names, equal names contiguous.
    Returns:
        At least one scene unless there are no frames; usable ones and others, most frames first.
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
    """Names of the videos of each camera, told by the backgrounds of the videos; arguments as of `find_scenes`."""
    def differ(one: np.ndarray, others: np.ndarray) -> np.ndarray:
        return np.array([float(edges(other[None], one)[0]) < SAME_SCENE for other in others], dtype=float)

    samples = _samples(videos)
    seen = [features(median_thumbnail((pixels[rows[i]] for i in picks), thumbnail)) for picks in samples.values()]
    return [[list(samples)[i] for i in group] for group in group_videos(np.array(seen), differ, 0.0)]


def scene_templates(train: Footage) -> np.ndarray:
    """Descriptions of the scenes with something usual of their own.

    Returns:
        (K, D) float32, see `description.features`; K = 0 where all training frames show one scene. Left out are scenes
        that too few training frames are recognised to show, and those nothing can be told of (a moving camera).
    """
    readable = np.flatnonzero(train.reliability > 0)
    seen = train.pixels, train.rows[readable], train.videos[readable]
    if len(by_camera(*seen)) <= 1:
        return np.zeros((0, LENGTH), np.float32)
    templates = np.array([s.template for s in find_scenes(*seen) if s.usable], np.float32).reshape(-1, LENGTH)
    shown = recognise(train, templates)
    return templates[[int((shown == k).sum()) >= OWN for k in range(len(templates))]]


def recognise(footage: Footage, templates: np.ndarray) -> np.ndarray:
    """The scene of every frame, from its video alone: (N,) int64 row of `templates`, -1 = none of them."""
    found = np.full(len(footage), -1, np.int64)
    for video in footage.video_names() if len(templates) else ():
        rows = np.flatnonzero(footage.videos == video)
        likeness = np.median([edges(templates, features(thumbnail(frame)))
                              for frame in footage.batch(spread(rows, OF_VIDEO, rounded=True))], axis=0)
        if likeness.max() >= KNOWN:
            found[rows] = likeness.argmax()
    return found


def recognise_picture(picture: np.ndarray, templates: np.ndarray) -> int:
    """The scene that one working-size picture shows: row of `templates`, -1 = none of them."""
    if not len(templates):
        return -1
    likeness = edges(templates, features(thumbnail(picture)))
    return int(likeness.argmax()) if likeness.max() >= KNOWN else -1


def _samples(videos: np.ndarray) -> dict[str, np.ndarray]:
    """Video name -> positions of the frames its background is told by."""
    return {v: spread(np.flatnonzero(videos == v), OF_VIDEO, rounded=True) for v in dict.fromkeys(videos.tolist())}


def _reason(frames: np.ndarray, picture: np.ndarray) -> str:
    """Why nothing can be decided against the median of these frames; '' where it can."""
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
    """Correlation of the fine detail of (N, h, w, 3) uint8 frames with that of a picture (h, w, 3): (N,) in [-1, 1].

    Large areas of light and dark agree even where a camera pans; edges do not.
    """
    def detail(image: np.ndarray) -> np.ndarray:
        grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), GRID[::-1], interpolation=cv2.INTER_AREA)
        values = cv2.Laplacian(grey.astype(np.float32), cv2.CV_32F).ravel()
        return values / max(float(np.linalg.norm(values)), 1e-6)

    wanted = detail(picture)
    return np.array([float(detail(f) @ wanted) for f in frames])
