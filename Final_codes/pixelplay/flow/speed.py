"""Speed maps: how fast every place of every frame moves, measured once for all models that judge speed.

Reads `Footage` (repaired working-size frames); writes one compressed file a video into `videos/` of the folder of stage
1 (float16) and, last, `<name>.speed.json`, which names them; and `flow.npz` (`Baselines`) for the training footage.
Dense flow towards an earlier and towards a later frame (towards two on one side at a video's ends); the slower of both
counts, pixel by pixel, because a false match or an uncovered background seldom shows towards both sides. How far these
frames lie from the judged one is chosen on the training footage, by scene where it shows several: a step long enough to
stand out of sub-pixel noise, short enough to be followed. Test footage is measured with the same `Baselines`, with or
without the training footage at hand.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from pixelplay import environment
from pixelplay.arrays import read_arrays, scratch_array, write_arrays
from pixelplay.config import config_hash
from pixelplay.data.clips import Clip, ClipArray, RowFile, make_clip
from pixelplay.data.extraction import VIDEOS
from pixelplay.data.footage import Footage
from pixelplay.data.packing import Unpack, digest_in, pack
from pixelplay.data.reading import bounded_map, runs
from pixelplay.data.subsample import spread
from pixelplay.engine import map_videos
from pixelplay.errors import PixelPlayError
from pixelplay.files import damaged, read_json, remove, write_json
from pixelplay.flow.dense import DenseFlow, matchable
from pixelplay.flow.references import later_reference_frames, reference_frames
from pixelplay.flow.step import MAX_STEP, STILL, flow_step, neighbouring_pairs
from pixelplay.progress import tqdm
from pixelplay.scenes.cameras import recognise, scene_templates
from pixelplay.versions import ARTEFACTS

log = logging.getLogger(__name__)

CELL = 4
"""Side in pixels of the cells speeds are averaged over."""
WANTED_SHIFT = 1.0
"""Working-size pixels that what moves should move between the two frames of a flow, in the mean weighted by speed."""
TOLERANCE = 3
"""Largest step of the frame number that is not a gap in time."""
PROBES = 48
FILE = "flow.npz"
VERSION = ARTEFACTS["speed"].number


@dataclasses.dataclass(frozen=True)
class SpeedMaps:
    """Speeds of N frames.

    Attributes:
        cells: (N_all, h / 4, w / 4) float16, working-size pixels per frame; index it with `rows`.
        rows: (N,) int64.
    """

    cells: np.ndarray
    rows: np.ndarray

    def batch(self, positions: np.ndarray) -> np.ndarray:
        """(n, h / 4, w / 4) float16 at positions of the footage, a copy."""
        return self.cells[self.rows[np.asarray(positions)]]


@dataclasses.dataclass(frozen=True)
class Baselines:
    """How many frames to either side a flow looks, by scene.

    Attributes:
        templates: (K, D) from `scene_templates`; K = 0 for one scene.
        steps: (K + 1,) int64; the last one, from all training frames, is for footage of none of the scenes.
        key: names the training footage they were learnt from; '' where nobody asked.
    """

    templates: np.ndarray
    steps: np.ndarray
    key: str = ""

    @classmethod
    def learn(cls, train: Footage) -> Baselines:
        """Choose them on the training footage."""
        templates = scene_templates(train)
        scene = recognise(train, templates)
        parts = [train.select(scene == k) for k in range(len(templates))]
        return cls(templates, np.array([choose_baseline(part) for part in (*parts, train)]))

    def of(self, footage: Footage) -> np.ndarray:
        """(N,) of every frame of a footage."""
        return self.steps[recognise(footage, self.templates)]

    @property
    def digest(self) -> str:
        """Hash of what decides a speed."""
        return hashlib.blake2b(self.templates.tobytes() + self.steps.tobytes(), digest_size=16).hexdigest()

    def save(self, folder: Path) -> Path:
        """Write `flow.npz`, sealed; returns its path."""
        path = Path(folder) / FILE
        write_arrays(path, compress=True, templates=self.templates, steps=self.steps, key=np.array(self.key),
                     version=np.array(VERSION))
        return path

    @classmethod
    def load(cls, folder: Path) -> Baselines:
        """Read what `save` wrote, to the bit. Raises PixelPlayError: missing, damaged, or of another version."""
        path = Path(folder) / FILE
        hint = "fit the detector again, or copy its folder again, whole"
        stored = read_arrays(path, hint=hint)
        if set(stored) != {"templates", "steps", "key", "version"} or stored["version"].tolist() != VERSION:
            raise PixelPlayError(f"{path} does not fit this version", expected=f"baselines of version {VERSION}",
                                 hint=hint)
        return cls(stored["templates"], stored["steps"], str(stored["key"]))


def speed_maps(footage: Footage, baseline: int | np.ndarray) -> SpeedMaps:
    """The footage's speed maps: those of stage 1 where it carries them, else measured now.

    Args:
        baseline: frames to either side a flow looks, from `choose_baseline` on the training footage or (N,) from
            `Baselines.of`.
    """
    if footage.speeds is not None:
        return SpeedMaps(footage.speeds, footage.rows)
    height, width = footage.size
    # on disk: the memory a run needs must not grow with the length of the footage
    cells = scratch_array((max(1, len(footage)), *cell_size(height, width)), np.float16)
    measure(footage, baseline, cells)
    return SpeedMaps(cells, np.arange(len(footage)))


def cell_size(height: int, width: int) -> tuple[int, int]:
    """(h, w) of the speed map of a frame."""
    return max(1, height // CELL), max(1, width // CELL)


def measure(footage: Footage, baseline: int | np.ndarray, out: np.ndarray, workers: int | None = None) -> None:
    """Fill `out` (N, h / 4, w / 4) with what `speeds` gives."""
    for position, found in tqdm(speeds(footage, baseline, workers), total=len(footage), desc=f"{footage.name} speed",
                                unit="frame"):
        out[position] = found


def speeds(footage: Footage, baseline: int | np.ndarray, workers: int | None = None
           ) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (position, its (h / 4, w / 4) float16 speeds) in order; 0 in a frame without any other near it in time.

    Args:
        baseline: frames to either side a flow looks; (N,) where videos differ, the same within a video.
    """
    earlier, second = both_sides(footage.videos, footage.frames, footage.reliability,
                                 np.broadcast_to(baseline, len(footage)))
    own = threading.local()  # a flow keeps pyramids of its own, so every thread has one

    @functools.lru_cache(maxsize=8 * MAX_STEP)
    def look(position: int) -> np.ndarray:
        return matchable(footage.batch(np.array([position]))[0])

    def work(position: int) -> np.ndarray:
        if not hasattr(own, "flow"):
            own.flow = DenseFlow()
        others = [int(o) for o in (earlier[position], second[position]) if o >= 0 and o != position]
        return slower_speed(own.flow, look(position), [
            (look(o), int(footage.frames[o] - footage.frames[position])) for o in others])

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a thread a frame wastes less than several threads in one
    try:
        yield from enumerate(bounded_map(work, range(len(footage)), workers or environment.cpu_count()))
    finally:
        cv2.setNumThreads(threads)


def slower_speed(flow: DenseFlow, now: np.ndarray, others: list[tuple[np.ndarray, int]]) -> np.ndarray:
    """The speed map of a frame.

    Args:
        now: (h, w) uint8 from `matchable`; others: the same of its reference frames, with their frame numbers less
            that of the frame.
    Returns:
        (h / 4, w / 4) float16, pixels per frame; zeros without a reference frame.
    """
    cells = cell_size(*now.shape)
    if not others:
        return np.zeros(cells, np.float16)
    velocities = [flow(now, other, step) for other, step in others]
    slower = np.minimum.reduce([np.hypot(v[..., 0], v[..., 1]) for v in velocities])
    return cv2.resize(slower, cells[::-1], interpolation=cv2.INTER_AREA).astype(np.float16)


def both_sides(videos: np.ndarray, frames: np.ndarray, reliability: np.ndarray, baseline: np.ndarray
               ) -> tuple[np.ndarray, np.ndarray]:
    """(N,) rows of the two reference frames of every frame, -1 where there is none; (N,) arguments.

    One lies on either side in time. The first and last frames of a video have one side only: a second look further
    away stands in.
    """
    found = np.full((2, len(frames)), -1, np.int64)
    for step in np.unique(baseline).tolist():
        rows = np.flatnonzero(baseline == step)
        times = videos[rows], frames[rows], reliability[rows]
        earlier = reference_frames(*times, step, TOLERANCE)
        for side, other in zip(found, (earlier, later_reference_frames(*times, earlier, step, TOLERANCE))):
            side[rows] = np.where(other >= 0, rows[other], -1)
    earlier, later = found
    onward = np.where(earlier > np.arange(len(earlier)), later[earlier], earlier[earlier])
    return earlier, np.where(later >= 0, later, np.where(earlier >= 0, onward, -1))


def choose_baseline(train: Footage) -> int:
    """Frames to either side that the flow should look, 1 to 5, from a few pairs of training frames."""
    flow, moving = DenseFlow(), [np.zeros(0)]
    for first in neighbouring_pairs(train, TOLERANCE, PROBES).tolist():
        before, now = (matchable(x) for x in train.batch(np.array([first, first + 1])))
        speed = np.hypot(*flow(now, before, int(train.frames[first] - train.frames[first + 1])).transpose(2, 0, 1))
        moving.append(speed[speed > STILL])
    speeds = np.concatenate(moving).astype(np.float64)
    return flow_step(float((speeds ** 2).sum() / speeds.sum()), WANTED_SHIFT) if len(speeds) else 1


def usual_speed(maps: SpeedMaps, most: int = 400) -> float:
    """Mean speed of what moves at all in at most `most` frames, in pixels per frame: the models' unit; 1 where nothing
    moves."""
    speeds = maps.batch(spread(len(maps.rows), most)).astype(np.float64)
    moving = speeds[speeds > STILL]
    return float(moving.mean()) if len(moving) else 1.0


# ---- stage 1 --------------------------------------------------------------------------------------------------

def learn_baselines(folder: Path, train: Footage) -> Baselines:
    """The training footage's baselines: those in the folder where they are its, else learnt and kept there."""
    path, key = Path(folder) / FILE, config_hash(VERSION, train.fingerprint)
    if path.exists() and not damaged([path]):
        try:
            kept = Baselines.load(folder)
        except PixelPlayError as mistake:
            log.warning("%s; it is made again", mistake.problem)
        else:
            if kept.key == key:
                return kept
    found = dataclasses.replace(Baselines.learn(train), key=key)
    found.save(folder)
    return found


def measure_speeds(folder: Path, footage: Footage, baselines: Baselines, workers: int | None = None) -> None:
    """Write the speed maps of a footage of stage 1, video by video; what is there already is kept."""
    folder = Path(folder)
    about = folder / f"{footage.name}.speed.json"
    key = config_hash(VERSION, footage.fingerprint, baselines.digest)
    steps, jobs = baselines.of(footage), []
    for part in runs(footage.videos):
        video = footage.apart(footage.videos[part.start])
        jobs.append(_Job(video, int(steps[part.start]), folder / VIDEOS / f"{_key(video, int(steps[part.start]))}.npz",
                         workers))
    missing = [job for job in jobs if damaged([job.path]) or not job.path.exists()]
    if not missing and not damaged([about]) and about.exists() and read_json(about)["key"] == key:
        return
    remove(about)
    map_videos(_measure_video, missing, what=f"{footage.name} speed", frames=sum(len(job.video) for job in missing),
               here=not isinstance(footage.pixels, ClipArray))
    write_json(about, {"key": key, "footage": footage.fingerprint, "size": cell_size(*footage.size), "videos": [
        (job.path.stem, digest_in(job.path), len(job.video)) for job in jobs]}, seal=True)


def with_speeds(footage: Footage, folder: Path) -> Footage:
    """The footage with the speed maps of its stage 1; without, where that has none of this footage."""
    about = Path(folder) / f"{footage.name}.speed.json"
    kept = read_json(about) if about.exists() else {}
    if kept.get("footage") != footage.fingerprint:
        return footage
    clips = [Clip(key, count, Unpack(Path(folder) / VIDEOS / f"{key}.npz"), digest, f"{footage.name} speed maps")
             for key, digest, count in kept["videos"]]
    return dataclasses.replace(footage, speeds=ClipArray(clips, tuple(kept["size"]), np.float16))


@dataclasses.dataclass(frozen=True)
class _Job:
    """One video whose speeds are to be measured."""

    video: Footage
    baseline: int
    path: Path
    workers: int | None


def _key(video: Footage, baseline: int) -> str:
    """Names the speed maps of a video: its pixels, its times, and how they are measured."""
    shown = ([video.pixels.clips[0].key, video.pixels.clips[0].digest] if isinstance(video.pixels, ClipArray)
             else [video.fingerprint, video.videos[0]])
    return config_hash("speed", VERSION, shown, video.rows.tolist(), video.frames.tolist(), video.reliability.tolist(),
                       baseline)


def _measure_video(job: _Job) -> None:
    """Measure one video and write its maps: through a file, because they may be more than memory holds."""
    shape = cell_size(*job.video.size)

    def make(file: RowFile) -> None:
        for position, cells in speeds(job.video, job.baseline, job.workers):
            file.write(position, cells)

    clip = Clip(job.path.stem, len(job.video), make, name=f"{job.video.name} video {job.video.videos[0]}")
    digest = make_clip(clip, shape, np.float16)
    pack(job.path, ClipArray([dataclasses.replace(clip, digest=digest)], shape, np.float16), digest)
