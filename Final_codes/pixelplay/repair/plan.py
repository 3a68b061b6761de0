"""What to do about every test frame: measure, decide, record.

Reads the raw working-size cache, the noise measurements taken while decoding, and the scenes of the training
footage; makes a `Plan`, a table with one row a test frame. One pass over the cache, one frame in memory.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from pixelplay.data.manifest import FLAGS
from pixelplay.repair import geometry
from pixelplay.repair.background import KNOWN, Scene
from pixelplay.repair.noise import COLUMNS as NOISE_COLUMNS
from pixelplay.repair.norms import TrainingNorms
from pixelplay.repair.orientation import (
    IDENTITY_BONUS,
    ORIENTATIONS,
    decide,
    edges,
    features,
    thumbnail,
    turn,
    turned_features,
)
from pixelplay.repair.reliability import reliability
from pixelplay.repair.timeline import LARGEST_STEP, change, judge, repetitions

COLUMNS = ("scene", "orientation", "sigma", "impulse", "noise", "gain", "offset", "dx", "dy", "flags", "reliability")
NO_CONTRAST = 2.0
"""Standard deviation of a grey thumbnail below which a picture is blank."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """Measurements of N test frames against S scenes.

    Attributes:
        likeness: (N, S, 4) to every scene in the four orientations.
        edges: (N, S) likeness of the gradients alone, in the likeliest orientation.
        contrast: (N,) standard deviation of the grey thumbnail.
        relative: (N, 4) to the frame before, zeros where there is none.
        change: (N,) mean absolute difference to the frame before in grey levels, NaN where there is none.
        geometry: (N, 6) `geometry.COLUMNS` for the likeliest scene and orientation of each frame by itself.
        guess: (N, 2) that scene and orientation.
    """

    likeness: np.ndarray
    edges: np.ndarray
    contrast: np.ndarray
    relative: np.ndarray
    change: np.ndarray
    geometry: np.ndarray
    guess: np.ndarray


def references(scenes: list[Scene]) -> list[geometry.Reference | None]:
    """What to measure frames of each scene against; None for scenes nothing can be decided against."""
    return [geometry.Reference.of(s.picture, 0.6 * s.normal["sharpness"][0]) if s.usable else None for s in scenes]


def look(pixels: np.ndarray, videos: np.ndarray, frames: np.ndarray, scenes: list[Scene]) -> Seen:
    """Measure every test frame once, in order.

    Args:
        pixels: (N, h, w, 3) raw working-size test frames.
        videos, frames: (N,) video names and frame numbers.
        scenes: at least one.
    """
    n, refs = len(videos), references(scenes)
    templates = np.concatenate([s.templates for s in scenes])
    seen = Seen(np.zeros((n, len(scenes), 4), np.float32), np.zeros((n, len(scenes)), np.float32),
                np.zeros(n, np.float32), np.zeros((n, 4), np.float32), np.full(n, np.nan),
                np.zeros((n, len(geometry.COLUMNS)), np.float32), np.zeros((n, 2), np.int64))
    before, turned = None, None
    for i in tqdm(range(n), desc="look for corruption", unit="frame"):
        frame = np.asarray(pixels[i])
        thumb = thumbnail(frame)
        description, seen.contrast[i] = features(thumb), thumb.std()
        seen.likeness[i] = (templates @ description).reshape(-1, 4)
        seen.edges[i] = edges(templates, description).reshape(-1, 4).max(axis=1)
        connected = i > 0 and videos[i] == videos[i - 1] and frames[i] - frames[i - 1] <= LARGEST_STEP
        if connected:
            seen.relative[i] = turned @ description
            seen.change[i] = change(frame, before)
        scene, orientation = np.unravel_index(
            int(np.argmax(seen.likeness[i] + IDENTITY_BONUS * (np.arange(4) == 0))), (len(scenes), 4))
        seen.guess[i] = scene, orientation
        if refs[scene] is not None:
            seen.geometry[i] = geometry.measure(turn(frame, orientation), refs[scene])
        before, turned = frame, turned_features(description)
    return seen


def make_plan(seen: Seen, pixels: np.ndarray, observed: np.ndarray, unreadable: np.ndarray, videos: np.ndarray,
              frames: np.ndarray, norms: TrainingNorms) -> pd.DataFrame:
    """Decide about every test frame.

    Args:
        seen: from `look`.
        pixels: the frames it looked at; those whose orientation the neighbours overrule are measured again.
        observed: (N, 4) `noise.COLUMNS`.
        unreadable: (N,) bool.
        videos, frames: (N,) video names and frame numbers.
        norms: what is normal, from the training footage.
    Returns:
        DataFrame of N rows with `COLUMNS`: scene is -1 where nothing can be decided or repaired; orientation is an
        index into `ORIENTATIONS`; shifts are in pixels of the working-size frame.
    """
    n, scenes, noise = len(videos), norms.scenes, norms.noise
    scene, orientation = np.full(n, -1), np.zeros(n, np.int64)
    for video in dict.fromkeys(videos.tolist()):
        rows = np.flatnonzero(videos == video)
        telling = rows[~unreadable[rows] & (seen.contrast[rows] >= NO_CONTRAST)]
        if len(telling) == 0:
            continue
        pick = int(np.argmax(np.median(seen.edges[telling], axis=0)))
        if not scenes[pick].usable or float(np.median(seen.edges[telling, pick])) < KNOWN:
            continue
        scene[rows] = pick
        orientation[rows] = decide(seen.likeness[rows, pick], seen.relative[rows], scenes[pick].allowed)
    measured = _measure_again(seen, pixels, scene, orientation, scenes)
    found = {name: np.zeros(n, bool) for name in FLAGS}
    found["unreadable"] = unreadable.copy()
    usual = min(float(thumbnail(s.picture).std()) for s in scenes)
    found["blank"] = seen.contrast < min(NO_CONTRAST, 0.5 * usual)
    for k, one in enumerate(scenes):
        rows = scene == k
        if rows.any():
            columns = {name: measured[rows, j] for j, name in enumerate(geometry.COLUMNS)}
            for name, flags in judge(columns, one.normal).items():
                found[name][rows] |= flags
    sigma = np.zeros(n, np.float32)
    # scene -1 takes the last model, that of all training frames
    for k in {int(s) for s in scene}:
        rows = scene == k
        found["noise"][rows] = noise[k].noisy(observed[rows])
        found["impulse"][rows] = noise[k].impulsive(observed[rows])
        sigma[rows] = noise[k].sigma(observed[rows])
    # a black picture's thumbnail says nothing of which way up it is
    hidden = found["unreadable"] | found["blank"]
    orientation[hidden] = 0
    for k in (1, 2, 3):
        found[ORIENTATIONS[k]] = orientation == k
    damaged = found["noise"] | found["impulse"] | (orientation > 0)
    for k in {int(s) for s in scene}:
        rows = scene == k
        found["duplicate"][rows], found["frozen"][rows] = repetitions(
            seen.change[rows], videos[rows], frames[rows], hidden[rows], damaged[rows], norms.repeats[k])
    for name in set(FLAGS) - {"unreadable", "blank"}:
        found[name] &= ~hidden
    saturated = np.maximum(observed[:, NOISE_COLUMNS.index("saturated")] - max(m.saturated for m in noise), 0)
    flags = [[f for f in FLAGS if found[f][i]] for i in range(n)]
    noted = found["noise"] | found["impulse"]
    trust = [reliability(f, float(s), float(b), k >= 0) for f, s, b, k in zip(flags, sigma, saturated, scene)]
    return pd.DataFrame({
        "scene": scene, "orientation": orientation, "sigma": np.where(noted, sigma, 0).round(2),
        "impulse": found["impulse"], "noise": found["noise"],
        "gain": np.where(found["exposure"], measured[:, 0], 1.0),
        "offset": np.where(found["exposure"], measured[:, 1], 0.0),
        "dx": np.where(found["shift"], measured[:, 3], 0.0), "dy": np.where(found["shift"], measured[:, 4], 0.0),
        "flags": ["|".join(f) for f in flags], "reliability": trust}, columns=list(COLUMNS))


def _measure_again(seen: Seen, pixels: np.ndarray, scene: np.ndarray, orientation: np.ndarray, scenes: list[Scene]
                   ) -> np.ndarray:
    measured, refs = seen.geometry.copy(), references(scenes)
    differs = (scene >= 0) & ((seen.guess[:, 0] != scene) | (seen.guess[:, 1] != orientation))
    for i in np.flatnonzero(differs):
        measured[i] = geometry.measure(turn(np.asarray(pixels[i]), int(orientation[i])), refs[scene[i]])
    return measured
