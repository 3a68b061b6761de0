"""Actor table: boxes and motion of every actor, computed once per video.

Reads `Footage` (repaired frames at full size); writes `<split>-actors-<key>/<number>.npz`, one file per video, each
written atomically. An interrupted run continues with the missing videos, videos are distributed over processes
(`engine`, or `distributed` under torchrun), and memory does not grow with the number of videos.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from pixelplay import distributed, environment
from pixelplay.arrays import read_arrays, write_arrays
from pixelplay.config import config_hash
from pixelplay.data.clips import ClipArray
from pixelplay.data.footage import Footage, segments
from pixelplay.data.reading import bounded_map
from pixelplay.engine import map_videos
from pixelplay.files import damaged
from pixelplay.flow.dense import DenseFlow, matchable
from pixelplay.flow.references import (
    STILL,
    flow_step,
    later_reference_frames,
    neighbouring_pairs,
    reference_frames,
    with_references,
)
from pixelplay.two_stream.actors import ActorRules, join_actors
from pixelplay.two_stream.channels import Actors
from pixelplay.two_stream.detectors import Detections, Detector
from pixelplay.two_stream.foreground import BUSY, Background, shrink
from pixelplay.two_stream.motion import Motion, actor_motion
from pixelplay.versions import ARTEFACTS

log = logging.getLogger(__name__)

UNKNOWN_SCENE = 25.0
"""Median difference to the nearest background, in grey levels, above which only motion counts as foreground."""
WANTED_SHIFT = 3.0
"""Displacement of a typical actor between the two frames of a flow, in pixels: well above sub-pixel noise, and small
enough to match."""
PROBE_PAIRS = 24
"""Pairs of training frames from which the flow baseline and the dead zone are estimated."""
VERSION = ARTEFACTS["actors"].number


@dataclasses.dataclass(frozen=True)
class Scene:
    """What actor measurement needs from the training footage.

    Attributes:
        background: see `foreground.py`.
        baseline: frames between the two frames of a flow.
        dead_zone: 99th percentile of the flow in the empty scene, analysis pixels per frame.
        tolerance: largest step of the frame number within a segment.
        directions: 1 = flow to a past frame, 2 = also to a future frame.
    """

    background: Background
    baseline: int
    dead_zone: float
    tolerance: int
    directions: int


@dataclasses.dataclass(frozen=True)
class ActorTable:
    """M actors of a split, in frame order.

    Attributes:
        position: (M,) int64 row of the actor's frame in the `Footage`.
        boxes: (M, 4) float32 xyxy, pixels of the original frame.
        scores: (M,) float32 detector confidence, 0 for foreground.
        classes: (M,) int16 COCO class, -1 for foreground.
        speed, upper_speed, velocity, articulation: (M,), (M,), (M, 2), (M,) float32, see `motion.Motion`.
        measured: (M,) bool, False where the frame has no reference frame for optical flow.
    """

    position: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    speed: np.ndarray
    upper_speed: np.ndarray
    velocity: np.ndarray
    articulation: np.ndarray
    measured: np.ndarray

    def __len__(self) -> int:
        return len(self.position)

    def actors(self, full_size: tuple[int, int]) -> Actors:
        """The actors in units of the image height, for the channels; full_size: (H, W) of the original frames."""
        high = float(full_size[0])
        top, bottom = self.boxes[:, 1].astype(np.float64), self.boxes[:, 3].astype(np.float64)
        return Actors(bottom / high, np.maximum(bottom - top, 1.0) / high, self.velocity.astype(np.float64) / high,
                      self.upper_speed.astype(np.float64) / high, self.articulation.astype(np.float64) / high)


FIELDS = tuple(f.name for f in dataclasses.fields(ActorTable))


def probe_scene(train: Footage, background: Background, *, tolerance: int, directions: int) -> Scene:
    """Choose the flow baseline and measure the flow of the empty scene on a few pairs of training frames."""
    rows = neighbouring_pairs(train, tolerance, PROBE_PAIRS)
    if not len(rows):
        return Scene(background, 1, 0.1, tolerance, directions)
    wanted = np.unique(np.concatenate([rows, rows + 1]))
    greys: dict[int, np.ndarray] = {}
    flow, actors, empty = DenseFlow(), [], []
    for position, frame in train.full_frames(wanted):
        image = shrink(frame, background.size)
        greys[position] = matchable(image)
        before = position - 1
        if before in greys and before in rows:
            speed = np.hypot(*flow(greys[position], greys[before],
                                   int(train.frames[before] - train.frames[position])).transpose(2, 0, 1))
            mask = background.mask(image, background.mode_of(image)[0])
            actors.append(speed[mask])
            empty.append(speed[~mask][::7])
        greys = {p: g for p, g in greys.items() if p >= position}
    moving = np.concatenate(actors)
    moving = moving[moving > STILL]
    typical = float(np.median(moving)) if len(moving) >= 50 else WANTED_SHIFT
    resting = np.concatenate(empty)
    baseline = flow_step(typical, WANTED_SHIFT)
    # the matching error in pixels does not depend on the baseline, so its error in speed shrinks with it
    dead_zone = float(np.percentile(resting, 99)) / baseline if len(resting) else 0.1
    return Scene(background, baseline, float(np.clip(dead_zone, 0.05, 2.0)), tolerance, directions)


def actor_table(footage: Footage, folder: Path, scene: Scene, detectors: Sequence[Detector], use_foreground: bool,
                rules: ActorRules) -> ActorTable:
    """Find and measure every actor of a `Footage`; results are cached on disk (see the module)."""
    key = config_hash(VERSION, footage.fingerprint, footage.name, footage.full_size, scene.baseline, scene.dead_zone,
                      scene.tolerance, scene.directions, rules, use_foreground, [d.about() for d in detectors],
                      [hashlib.sha256(np.ascontiguousarray(a).data).hexdigest()
                       for a in (footage.rows, scene.background.medians, scene.background.thresholds)])
    home = Path(folder) / f"{footage.name}-actors-{key}"
    names = footage.video_names()
    mine = [i for i in distributed.share(len(names))
            if damaged([home / f"{i}.npz"]) or not (home / f"{i}.npz").exists()]
    jobs = [(footage.only(names[i]), home / f"{i}.npz") for i in mine]
    # detectors cannot be pickled, in-memory frames should not be, and torchrun has already shared out the videos
    here = bool(detectors) or not isinstance(footage.pixels, ClipArray) or distributed.world()[1] > 1
    measure = functools.partial(_keep_video, scene=scene, detectors=detectors, use_foreground=use_foreground,
                                rules=rules)
    map_videos(measure, jobs, what=f"{footage.name} actors", frames=sum(len(video) for video, _ in jobs),
               here=here)
    distributed.barrier()
    pieces = []
    for i, name in enumerate(names):
        kept = read_arrays(home / f"{i}.npz")
        piece = {field: kept[field] for field in FIELDS}
        piece["position"] = piece["position"] + int(np.argmax(footage.videos == name))
        pieces.append(piece)
    if not pieces:
        pieces = [columns([], [], [], [])]
    return ActorTable(**{field: np.concatenate([p[field] for p in pieces]) for field in FIELDS})


def _keep_video(job: tuple[Footage, Path], **rules: Any) -> None:
    """Measure one video and write its table."""
    video, path = job
    write_arrays(path, **_one_video(video, **rules))


class View(NamedTuple):
    """A frame at analysis size, and the image its optical flow is computed on."""

    image: np.ndarray
    grey: np.ndarray


def _one_video(footage: Footage, scene: Scene, detectors: Sequence[Detector], use_foreground: bool,
               rules: ActorRules) -> dict[str, np.ndarray]:
    size = scene.background.size
    reference = reference_frames(footage.videos, footage.frames, footage.reliability, scene.baseline, scene.tolerance)
    later = (later_reference_frames(footage.videos, footage.frames, footage.reliability, reference, scene.baseline,
                            scene.tolerance) if scene.directions > 1 else np.full(len(reference), -1, np.int64))
    own = threading.local()  # a flow object caches its pyramids, so each thread needs one

    def work(item: tuple) -> tuple:
        position, found, view, others = item
        if not hasattr(own, "flow"):
            own.flow = DenseFlow()
        steps = [(other, int(footage.frames[row] - footage.frames[position])) for row, other in others]
        actors = measure_frame(scene, own.flow, found, view, steps, footage.full_size, use_foreground, rules)
        return (np.full(len(actors[0]), position, np.int64), *actors)

    def seen() -> Iterator[tuple]:
        images = ((p, frame, shrink(frame, size)) for p, frame in footage.full_frames())
        views = ((p, frame, View(image, matchable(image))) for p, frame, image in images)
        for position, frame, view, others in with_references(views, [reference, later]):
            yield position, detect(detectors, frame), view, others  # here, because not every detector is thread-safe

    with _one_thread_inside(), contextlib.closing(bounded_map(work, seen(), environment.cpu_count())) as results:
        found = list(zip(*results)) or [()] * 4
    return columns(*found)


def measure_frame(scene: Scene, flow: DenseFlow, found: Detections, view: View, others: Sequence[tuple[View, int]],
                  full_size: tuple[int, int], use_foreground: bool, rules: ActorRules
                  ) -> tuple[Detections, Motion, np.ndarray]:
    """Measure the n actors of one frame.

    Args:
        found: output of the detectors.
        others: reference frames, each with its frame number relative to this frame.
    Returns:
        The actors, their motion, and (n,) bool: whether motion was measured.
    """
    velocities = [flow(view.grey, other.grey, step) for other, step in others]
    mode, distance = scene.background.mode_of(view.image)
    mask = _foreground(scene, view.image, mode, distance, velocities)
    found = join_actors(found, mask if use_foreground else np.zeros_like(mask), full_size, rules)
    motion = Motion.none(len(found))
    if velocities:
        scale = np.array([full_size[1] / mask.shape[1], full_size[0] / mask.shape[0]], np.float32)
        motion = actor_motion(velocities, mask, found.boxes / np.tile(scale, 2), scale)
    return found, motion, np.full(len(found), bool(velocities))


@contextlib.contextmanager
def _one_thread_inside() -> Iterator[None]:
    """Turn off OpenCV's own threads: frames are already processed in parallel, one thread each."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _foreground(scene: Scene, image: np.ndarray, mode: int, distance: float, velocities: list[np.ndarray]
                ) -> np.ndarray:
    """(h, w) bool foreground. In busy places and unknown scenes the background is no evidence: motion decides."""
    unknown = distance > UNKNOWN_SCENE
    doubtful = np.ones(image.shape[:2], bool) if unknown else scene.background.thresholds[mode] >= BUSY
    moving = np.zeros(image.shape[:2], bool)
    if velocities and doubtful.any():
        moving = np.logical_and.reduce([doubtful, *(_faster(v, 3.0 * scene.dead_zone) for v in velocities)])
    return moving if unknown else scene.background.mask(image, mode) | moving


def _faster(velocity: np.ndarray, limit: float) -> np.ndarray:
    """(h, w) bool: hypot(x, y) > limit. Tests |x| and |y| first, because hypot is slow."""
    sides = np.abs(velocity)
    x, y = sides[..., 0], sides[..., 1]
    above = np.maximum(x, y) > limit
    unclear = (x + y > 0.999 * limit) & ~above
    above[unclear] = np.hypot(x[unclear], y[unclear]) > limit
    return above


def detect(detectors: Sequence[Detector], frame: np.ndarray) -> Detections:
    found = [d([frame])[0] for d in detectors]
    if not found:
        return Detections.none()
    return Detections(*(np.concatenate([getattr(f, name) for f in found]) for name in ("boxes", "scores", "classes")))


def columns(positions: Sequence, objects: Sequence[Detections], motions: Sequence[Motion], measured: Sequence
            ) -> dict[str, np.ndarray]:
    def join(pieces: Iterable, empty: np.ndarray) -> np.ndarray:
        return np.concatenate([empty, *pieces]).astype(empty.dtype)

    return {"position": join(positions, np.zeros(0, np.int64)),
            "boxes": join([o.boxes for o in objects], np.zeros((0, 4), np.float32)),
            "scores": join([o.scores for o in objects], np.zeros(0, np.float32)),
            "classes": join([o.classes for o in objects], np.zeros(0, np.int16)),
            **{k: join([getattr(m, k) for m in motions], empty) for k, empty in Motion.none(0)._asdict().items()},
            "measured": join(measured, np.zeros(0, bool))}


def embedded_frames(footage: Footage, stride: int, tolerance: int) -> np.ndarray:
    """(N,) bool: frames whose crops are embedded, one in every `stride` frames and the last of each segment.

    Of each `stride` frames the most reliable is taken, the first on a tie: appearance changes slowly, while denoising
    changes the features of a crop.
    """
    keep = np.zeros(len(footage), bool)
    for part in segments(footage.videos, footage.frames, tolerance):
        for start in range(part.start, part.stop, stride):
            trust = footage.reliability[start:min(start + stride, part.stop)]
            keep[start + int(np.argmax(trust))] = True
        keep[part.stop - 1] |= trust[-1] == trust.max()
    return keep
