"""Speed maps: magnitude of optical flow per cell, computed once for all models.

Reads `Footage` (repaired working-size frames). Writes one compressed float16 file per video into `videos/` of the stage
1 folder, then `<name>.speed.json`, which lists them, and `flow.npz` (`Baselines`) for the training footage.

Flow is computed towards an earlier and a later reference frame (at the ends of a video, towards two frames on the same
side). The smaller of the two speeds is kept at every pixel, because false matches and disocclusions rarely occur in
both directions. The distance to the reference frames (baseline) is chosen on the training footage, per scene if there
are several: long enough to exceed sub-pixel noise, short enough to match. Test footage uses the same `Baselines`.
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
from pixelplay.flow.references import (
    MAX_STEP,
    STILL,
    flow_step,
    later_reference_frames,
    neighbouring_pairs,
    reference_frames,
)
from pixelplay.progress import tqdm
from pixelplay.scenes.cameras import recognise, scene_templates
from pixelplay.versions import ARTEFACTS

log = logging.getLogger(__name__)

CELL = 4
"""Side in pixels of the cells that speeds are averaged over."""
WANTED_SHIFT = 1.0
"""Wanted displacement between a frame and its reference, in working-size pixels: mean of moving pixels, weighted by
speed."""
TOLERANCE = 3
"""Largest step of the frame number that is not a gap."""
PROBES = 48
"""Maximum number of frame pairs from which the baseline is chosen."""
SAMPLED = 400
"""Maximum number of frames from which the mean speed is estimated."""
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
        """Speed maps at positions of the footage: (n, h / 4, w / 4) float16 copy."""
        return self.cells[self.rows[np.asarray(positions)]]


@dataclasses.dataclass(frozen=True)
class Baselines:
    """Distance to the reference frames in frames, per scene.

    Attributes:
        templates: (K, D) from `scene_templates`; K = 0 for a single scene.
        steps: (K + 1,) int64; the last one, from all training frames, applies to unknown scenes.
        key: identifies the training footage; '' if unused.
    """

    templates: np.ndarray
    steps: np.ndarray
    key: str = ""

    @classmethod
    def learn(cls, train: Footage) -> Baselines:
        """Choose the baselines on the training footage."""
        templates = scene_templates(train)
        scene = recognise(train, templates)
        parts = [train.select(scene == k) for k in range(len(templates))]
        return cls(templates, np.array([choose_baseline(part) for part in (*parts, train)]))

    def of(self, footage: Footage) -> np.ndarray:
        """(N,) int64 baseline of every frame of a footage."""
        return self.steps[recognise(footage, self.templates)]

    @property
    def digest(self) -> str:
        """Hash of everything that affects the speeds."""
        return hashlib.blake2b(self.templates.tobytes() + self.steps.tobytes(), digest_size=16).hexdigest()

    def save(self, folder: Path) -> Path:
        """Write `flow.npz`, sealed; returns its path."""
        path = Path(folder) / FILE
        write_arrays(path, compress=True, templates=self.templates, steps=self.steps, key=np.array(self.key),
                     version=np.array(VERSION))
        return path

    @classmethod
    def load(cls, folder: Path) -> Baselines:
        """Read what `save` wrote, bit for bit. Raises PixelPlayError: missing, damaged, or of another version."""
        path = Path(folder) / FILE
        hint = "fit the detector again, or copy its folder again, whole"
        stored = read_arrays(path, hint=hint)
        if set(stored) != {"templates", "steps", "key", "version"} or stored["version"].tolist() != VERSION:
            raise PixelPlayError(f"{path} does not fit this version", expected=f"baselines of version {VERSION}",
                                 hint=hint)
        return cls(stored["templates"], stored["steps"], str(stored["key"]))


def speed_maps(footage: Footage, baseline: int | np.ndarray) -> SpeedMaps:
    """The speed maps of a footage: those of stage 1 if it carries them, else computed now.

    Args:
        baseline: distance to the reference frames, from `choose_baseline` on the training footage or (N,) from
            `Baselines.of`.
    """
    if footage.speeds is not None:
        return SpeedMaps(footage.speeds, footage.rows)
    height, width = footage.size
    # on disk, so that memory does not grow with the length of the footage
    cells = scratch_array((max(1, len(footage)), *cell_size(height, width)), np.float16)
    measure(footage, baseline, cells)
    return SpeedMaps(cells, np.arange(len(footage)))


def cell_size(height: int, width: int) -> tuple[int, int]:
    """(h, w) of a frame -> (h, w) of its speed map."""
    return max(1, height // CELL), max(1, width // CELL)


def measure(footage: Footage, baseline: int | np.ndarray, out: np.ndarray, workers: int | None = None) -> None:
    """Fill `out` (N, h / 4, w / 4) with the results of `speeds`."""
    for position, found in tqdm(speeds(footage, baseline, workers), total=len(footage), desc=f"{footage.name} speed",
                                unit="frame"):
        out[position] = found


def speeds(footage: Footage, baseline: int | np.ndarray, workers: int | None = None
           ) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (position, (h / 4, w / 4) float16 speeds) in order; zeros for a frame without a reference frame.

    Args:
        baseline: distance to the reference frames; (N,) if videos differ, constant within a video.
        workers: threads; None for one per CPU.
    """
    earlier, second = both_sides(footage.videos, footage.frames, footage.reliability,
                                 np.broadcast_to(baseline, len(footage)))
    local = threading.local()  # DIS keeps its pyramids between calls: one object per thread

    @functools.lru_cache(maxsize=8 * MAX_STEP)
    def grey(position: int) -> np.ndarray:
        return matchable(footage.batch(np.array([position]))[0])

    def work(position: int) -> np.ndarray:
        if not hasattr(local, "flow"):
            local.flow = DenseFlow()
        others = [int(o) for o in (earlier[position], second[position]) if o >= 0 and o != position]
        return slower_speed(local.flow, grey(position), [
            (grey(o), int(footage.frames[o] - footage.frames[position])) for o in others])

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # parallel over frames is faster than parallel within a frame
    try:
        yield from enumerate(bounded_map(work, range(len(footage)), workers or environment.cpu_count()))
    finally:
        cv2.setNumThreads(threads)


def slower_speed(flow: DenseFlow, now: np.ndarray, others: list[tuple[np.ndarray, int]]) -> np.ndarray:
    """Speed map of a frame: the smaller speed over its reference frames at each pixel, averaged over cells.

    Args:
        now: (h, w) uint8 from `matchable`.
        others: (reference frame from `matchable`, its frame number minus that of the frame).
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
    """Choose two reference frames per frame, one on either side in time.

    The first and last frames of a video have one side only; their second reference lies further away on that side.

    Args:
        videos, frames, reliability, baseline: (N,).
    Returns:
        Two (N,) int64 arrays of rows, -1 if there is none.
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
    """Choose the distance to the reference frames, 1 to `MAX_STEP`, from at most `PROBES` pairs of training frames."""
    flow, moving = DenseFlow(), [np.zeros(0)]
    for first in neighbouring_pairs(train, TOLERANCE, PROBES).tolist():
        before, now = (matchable(x) for x in train.batch(np.array([first, first + 1])))
        speed = np.hypot(*flow(now, before, int(train.frames[first] - train.frames[first + 1])).transpose(2, 0, 1))
        moving.append(speed[speed > STILL])
    speeds = np.concatenate(moving).astype(np.float64)
    return flow_step(float((speeds ** 2).sum() / speeds.sum()), WANTED_SHIFT) if len(speeds) else 1


def mean_speed(maps: SpeedMaps) -> float:
    """Mean speed of moving cells over at most `SAMPLED` frames, in pixels per frame; 1 if nothing moves."""
    speeds = maps.batch(spread(len(maps.rows), SAMPLED)).astype(np.float64)
    moving = speeds[speeds > STILL]
    return float(moving.mean()) if len(moving) else 1.0


# ---- stage 1 --------------------------------------------------------------------------------------------------

def learn_baselines(folder: Path, train: Footage) -> Baselines:
    """The baselines of the training footage: loaded from the folder if they belong to it, else learnt and saved."""
    path, key = Path(folder) / FILE, config_hash(VERSION, train.fingerprint)
    if path.exists() and not damaged([path]):
        try:
            kept = Baselines.load(folder)
        except PixelPlayError as error:
            log.warning("%s; learning it again", error.problem)
        else:
            if kept.key == key:
                return kept
    found = dataclasses.replace(Baselines.learn(train), key=key)
    found.save(folder)
    return found


def measure_speeds(folder: Path, footage: Footage, baselines: Baselines) -> None:
    """Write the speed maps of a footage of stage 1, video by video; existing valid files are kept."""
    folder = Path(folder)
    about = folder / f"{footage.name}.speed.json"
    key = config_hash(VERSION, footage.fingerprint, baselines.digest)
    steps, jobs = baselines.of(footage), []
    for part in runs(footage.videos):
        video = footage.only(footage.videos[part.start])
        step = int(steps[part.start])
        jobs.append(_Job(video, step, folder / VIDEOS / f"{_key(video, step)}.npz"))
    missing = [job for job in jobs if damaged([job.path]) or not job.path.exists()]
    if not missing and not damaged([about]) and about.exists() and read_json(about)["key"] == key:
        return
    remove(about)
    map_videos(_measure_video, missing, what=f"{footage.name} speed", frames=sum(len(job.video) for job in missing),
               here=not isinstance(footage.pixels, ClipArray))
    write_json(about, {"key": key, "footage": footage.fingerprint, "size": cell_size(*footage.size), "videos": [
        (job.path.stem, digest_in(job.path), len(job.video)) for job in jobs]}, seal=True)


def with_speeds(footage: Footage, folder: Path) -> Footage:
    """The footage with the speed maps of stage 1 attached; unchanged if stage 1 has none for it."""
    about = Path(folder) / f"{footage.name}.speed.json"
    kept = read_json(about) if about.exists() else {}
    if kept.get("footage") != footage.fingerprint:
        return footage
    clips = [Clip(key, count, Unpack(Path(folder) / VIDEOS / f"{key}.npz"), digest, f"{footage.name} speed maps")
             for key, digest, count in kept["videos"]]
    return dataclasses.replace(footage, speeds=ClipArray(clips, tuple(kept["size"]), np.float16))


@dataclasses.dataclass(frozen=True)
class _Job:
    """Measure the speeds of one video."""

    video: Footage
    baseline: int
    path: Path


def _key(video: Footage, baseline: int) -> str:
    """Cache key of the speed maps of a video: its pixels, frame numbers, reliabilities and baseline."""
    shown = ([video.pixels.clips[0].key, video.pixels.clips[0].digest] if isinstance(video.pixels, ClipArray)
             else [video.fingerprint, video.videos[0]])
    return config_hash("speed", VERSION, shown, video.rows.tolist(), video.frames.tolist(), video.reliability.tolist(),
                       baseline)


def _measure_video(job: _Job) -> None:
    """Measure one video and write its maps, through a file because they may exceed the memory."""
    shape = cell_size(*job.video.size)

    def make(file: RowFile) -> None:
        for position, cells in speeds(job.video, job.baseline):
            file.write(position, cells)

    clip = Clip(job.path.stem, len(job.video), make, name=f"{job.video.name} video {job.video.videos[0]}")
    digest = make_clip(clip, shape, np.float16)
    pack(job.path, ClipArray([dataclasses.replace(clip, digest=digest)], shape, np.float16), digest)
