"""The repair plan of a test video: measure, decide, record.

Reads raw working-size frames, the noise measurements taken while decoding, and the norms of the training footage; makes
a table with one row per test frame and the columns of `SCHEMA`, saved as `repair.csv`. Each video is planned on its
own, in one pass with one frame in memory.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from pixelplay.data.manifest import FLAGS
from pixelplay.errors import PixelPlayError
from pixelplay.files import check
from pixelplay.repair import geometry
from pixelplay.repair.background import SceneNorms
from pixelplay.repair.camera_path import camera_shifts
from pixelplay.repair.noise import COLUMNS as NOISE_COLUMNS
from pixelplay.repair.norms import TrainingNorms
from pixelplay.repair.orientation import (
    IDENTITY_BONUS,
    ORIENTATIONS,
    decide,
    turn,
    turned_features,
)
from pixelplay.repair.reliability import reliability
from pixelplay.repair.timeline import LARGEST_STEP, change, judge, repetitions, shift_limit
from pixelplay.scenes.cameras import KNOWN
from pixelplay.scenes.description import edges, features, thumbnail

SCHEMA: dict[str, int | float | bool | str] = {
    "scene": -1, "orientation": 0, "sigma": 0.0, "impulse": False, "noise": False, "gain": 1.0, "offset": 0.0,
    "dx": 0.0, "dy": 0.0, "flags": "", "reliability": 1.0}
"""Columns of a plan and their values for a frame that needs no repair. `scene` indexes the scenes of the norms, -1 if
unknown (nothing is repaired); `orientation` indexes `ORIENTATIONS`; `sigma` is the noise in excess of training in grey
levels; `gain` and `offset` (grey levels) describe the exposure; `dx` and `dy` the shift in pixels of the working-size
frame."""
NO_CONTRAST = 2.0
"""Standard deviation of the grey thumbnail below which a frame is blank."""


@dataclasses.dataclass(frozen=True)
class Measurements:
    """Measurements of N test frames against S scenes.

    Attributes:
        likeness: (N, S, 4) similarity to every scene in the four orientations.
        edges: (N, S) correlation of the gradients alone, in the best orientation.
        contrast: (N,) standard deviation of the grey thumbnail.
        relative: (N, 4) similarity to the frame before in the four orientations, zeros if there is none.
        change: (N,) mean absolute difference to the frame before in grey levels, NaN if there is none.
        geometry: (N, 6) `geometry.COLUMNS` for the best scene and orientation of each frame by itself.
        guess: (N, 2) that scene and orientation.
    """

    likeness: np.ndarray
    edges: np.ndarray
    contrast: np.ndarray
    relative: np.ndarray
    change: np.ndarray
    geometry: np.ndarray
    guess: np.ndarray


def references(scenes: list[SceneNorms]) -> list[geometry.Reference | None]:
    """The reference of each scene for `geometry.measure`; None for unusable scenes."""
    return [geometry.Reference.of(s.picture, 0.6 * s.normal["sharpness"][0]) if s.usable else None for s in scenes]


def measure_frames(pixels: np.ndarray, videos: np.ndarray, frames: np.ndarray, scenes: list[SceneNorms]
                   ) -> Measurements:
    """Measure every test frame once, in order.

    Args:
        pixels: (N, h, w, 3) raw working-size test frames.
        videos, frames: (N,) video names and frame numbers.
        scenes: at least one scene.
    """
    n, refs = len(videos), references(scenes)
    templates = np.concatenate([s.templates for s in scenes])
    measurements = Measurements(
        likeness=np.zeros((n, len(scenes), 4), np.float32), edges=np.zeros((n, len(scenes)), np.float32),
        contrast=np.zeros(n, np.float32), relative=np.zeros((n, 4), np.float32), change=np.full(n, np.nan),
        geometry=np.zeros((n, len(geometry.COLUMNS)), np.float32), guess=np.zeros((n, 2), np.int64))
    before, turned = None, None
    for i in range(n):
        frame = np.asarray(pixels[i])
        thumb = thumbnail(frame)
        description, measurements.contrast[i] = features(thumb), thumb.std()
        measurements.likeness[i] = (templates @ description).reshape(-1, 4)
        measurements.edges[i] = edges(templates, description).reshape(-1, 4).max(axis=1)
        connected = i > 0 and videos[i] == videos[i - 1] and frames[i] - frames[i - 1] <= LARGEST_STEP
        if connected:
            measurements.relative[i] = turned @ description
            measurements.change[i] = change(frame, before)
        scene, orientation = np.unravel_index(
            int(np.argmax(measurements.likeness[i] + IDENTITY_BONUS * (np.arange(4) == 0))), (len(scenes), 4))
        measurements.guess[i] = scene, orientation
        if refs[scene] is not None:
            measurements.geometry[i] = geometry.measure(turn(frame, orientation), refs[scene])
        before, turned = frame, turned_features(description)
    return measurements


def make_plan(measurements: Measurements, pixels: np.ndarray, observed: np.ndarray, unreadable: np.ndarray,
              videos: np.ndarray, frames: np.ndarray, norms: TrainingNorms) -> pd.DataFrame:
    """Decide what to do with every test frame.

    Args:
        measurements: from `measure_frames`.
        pixels: the same frames; those whose scene or orientation changes from the first guess are measured again.
        observed: (N, 4) `noise.COLUMNS`.
        unreadable: (N,) bool.
        videos, frames: (N,) video names and frame numbers.
        norms: of the training footage.
    Returns:
        DataFrame of N rows, see `SCHEMA`.
    """
    scene, orientation = assign_scenes(measurements, unreadable, videos, norms.scenes)
    measured = _measure_again(measurements, pixels, scene, orientation, norms.scenes)
    found = flag_frames(measurements, measured, observed, unreadable, scene, orientation, videos, frames, norms)
    # a blank frame has no measurable orientation
    orientation[found["unreadable"] | found["blank"]] = 0
    smooth_shifts(measured, found, pixels, scene, orientation, videos, frames, norms.scenes)
    return to_table(found, measured, observed, scene, orientation, norms)


def assign_scenes(measurements: Measurements, unreadable: np.ndarray, videos: np.ndarray, scenes: list[SceneNorms]
                  ) -> tuple[np.ndarray, np.ndarray]:
    """The scene of each video, -1 if unknown or unusable, and the orientation of its frames.

    Returns:
        scene, orientation: (N,) int64.
    """
    scene, orientation = np.full(len(videos), -1), np.zeros(len(videos), np.int64)
    for video in dict.fromkeys(videos.tolist()):
        rows = np.flatnonzero(videos == video)
        informative = rows[~unreadable[rows] & (measurements.contrast[rows] >= NO_CONTRAST)]
        if len(informative) == 0:
            continue
        pick = int(np.argmax(np.median(measurements.edges[informative], axis=0)))
        if scenes[pick].usable and float(np.median(measurements.edges[informative, pick])) >= KNOWN:
            scene[rows] = pick
            orientation[rows] = decide(measurements.likeness[rows, pick], measurements.relative[rows],
                                       scenes[pick].allowed)
    return scene, orientation


def flag_frames(measurements: Measurements, measured: np.ndarray, observed: np.ndarray, unreadable: np.ndarray,
                scene: np.ndarray, orientation: np.ndarray, videos: np.ndarray, frames: np.ndarray,
                norms: TrainingNorms) -> dict[str, np.ndarray]:
    """Detect the faults of every frame: flag -> (N,) bool. Unreadable and blank frames get no other flag.

    Args:
        measured: (N, 6) `geometry.COLUMNS`; observed: (N, 4) `noise.COLUMNS`; unreadable: (N,) bool.
        scene, orientation: from `assign_scenes`.
    """
    found = {name: np.zeros(len(scene), bool) for name in FLAGS}
    normal_contrast = min(float(thumbnail(s.picture).std()) for s in norms.scenes)
    found["unreadable"] = unreadable.copy()
    found["blank"] = measurements.contrast < min(NO_CONTRAST, 0.5 * normal_contrast)
    # index -1 selects the last models, those of all training frames
    parts = [(int(k), scene == k) for k in np.unique(scene)]
    for k, rows in parts:
        found["noise"][rows] = norms.noise[k].noisy(observed[rows])
        found["impulse"][rows] = norms.noise[k].impulsive(observed[rows])
        if k >= 0:
            for name, flags in judge(dict(zip(geometry.COLUMNS, measured[rows].T)), norms.scenes[k].normal).items():
                found[name][rows] |= flags
    for k in range(1, len(ORIENTATIONS)):
        found[ORIENTATIONS[k]] = orientation == k
    hidden = found["unreadable"] | found["blank"]
    damaged = found["noise"] | found["impulse"] | (orientation > 0)
    for k, rows in parts:
        found["duplicate"][rows], found["frozen"][rows] = repetitions(
            measurements.change[rows], videos[rows], frames[rows], hidden[rows], damaged[rows], norms.repeats[k])
    return {name: flags if name in ("unreadable", "blank") else flags & ~hidden for name, flags in found.items()}


def smooth_shifts(measured: np.ndarray, found: dict[str, np.ndarray], pixels: np.ndarray, scene: np.ndarray,
                  orientation: np.ndarray, videos: np.ndarray, frames: np.ndarray, scenes: list[SceneNorms]) -> None:
    """Replace per-frame shifts by the camera path (see `camera_path`); changes `measured` and `found` in place."""
    refs, shifts = references(scenes), slice(geometry.COLUMNS.index("dx"), geometry.COLUMNS.index("dy") + 1)
    hidden = found["unreadable"] | found["blank"]
    for k in np.unique(scene[found["shift"]]).tolist():
        rows = np.flatnonzero((scene == k) & ~hidden)

        def shift_of(i: int, rows: np.ndarray = rows, k: int = k) -> tuple[float, float]:
            return geometry.best_shift(turn(np.asarray(pixels[rows[i]]), int(orientation[rows[i]])), refs[k])

        path = camera_shifts(measured[rows, shifts], found["shift"][rows], shift_of, videos[rows], frames[rows],
                             shift_limit(scenes[k].normal))
        measured[rows, shifts], found["shift"][rows] = path, path.any(axis=1)


def to_table(found: dict[str, np.ndarray], measured: np.ndarray, observed: np.ndarray, scene: np.ndarray,
             orientation: np.ndarray, norms: TrainingNorms) -> pd.DataFrame:
    """Build the plan: flags, the repair parameters of flagged frames, and reliabilities."""
    sigma = np.zeros(len(scene), np.float32)
    for k in np.unique(scene).tolist():
        sigma[scene == k] = norms.noise[k].sigma(observed[scene == k])
    most = max(m.saturated for m in norms.noise)
    saturated = np.maximum(observed[:, NOISE_COLUMNS.index("saturated")] - most, 0)
    flags = [[f for f in FLAGS if found[f][i]] for i in range(len(scene))]
    noted = found["noise"] | found["impulse"]
    reliabilities = [reliability(f, float(s), float(b), k >= 0) for f, s, b, k in zip(flags, sigma, saturated, scene)]
    gain, offset, _, dx, dy, _ = measured.T
    return pd.DataFrame({
        "scene": scene, "orientation": orientation, "sigma": np.where(noted, sigma, 0).round(2),
        "impulse": found["impulse"], "noise": found["noise"],
        "gain": np.where(found["exposure"], gain, 1.0), "offset": np.where(found["exposure"], offset, 0.0),
        "dx": np.where(found["shift"], dx, 0.0), "dy": np.where(found["shift"], dy, 0.0),
        "flags": ["|".join(f) for f in flags], "reliability": reliabilities}, columns=list(SCHEMA))


def empty_plan(unreadable: np.ndarray) -> pd.DataFrame:
    """The plan that repairs nothing; only unreadable frames, (N,) bool, are flagged."""
    plan = pd.DataFrame({name: np.full(len(unreadable), neutral) for name, neutral in SCHEMA.items()})
    return plan.assign(flags=np.where(unreadable, "unreadable", "").astype(object),
                       reliability=np.where(unreadable, 0.0, 1.0))


def read_plan(path: Path) -> pd.DataFrame:
    """Read the CSV of a plan.

    Raises:
        PixelPlayError: it is damaged, or has other columns than `SCHEMA`.
    """
    hint = f"delete {path.with_suffix('.json')} and run stage 01_frame_extraction again"
    check(path)
    try:
        plan = pd.read_csv(path, keep_default_na=False, dtype={"flags": str})
    except (OSError, ValueError) as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause}", hint=hint) from cause
    if list(plan.columns) != list(SCHEMA):
        raise PixelPlayError(f"{path} has the columns {', '.join(plan.columns)}", expected=", ".join(SCHEMA), hint=hint)
    return plan


def _measure_again(measurements: Measurements, pixels: np.ndarray, scene: np.ndarray, orientation: np.ndarray,
                   scenes: list[SceneNorms]) -> np.ndarray:
    measured, refs = measurements.geometry.copy(), references(scenes)
    differs = (scene >= 0) & ((measurements.guess[:, 0] != scene) | (measurements.guess[:, 1] != orientation))
    for i in np.flatnonzero(differs):
        measured[i] = geometry.measure(turn(np.asarray(pixels[i]), int(orientation[i])), refs[scene[i]])
    return measured
