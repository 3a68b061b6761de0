"""Raw scores of a score file -> robust standard deviations above normal, and how that was done in words.

Where a model's scores were rehearsed on noised and repaired training frames, what noise adds is taken out first (see
`pixelplay.repair.conditional`): corruption alone must not raise a score.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from pixelplay.calibration import Calibration, calibrate
from pixelplay.data.ids import split_id
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.recipe import Frames
from pixelplay.fusion.scores import KINDS, ScoreFile
from pixelplay.repair.conditional import noise_response, surroundings

KNEE = 5.0
"""Robust deviations above which scores are compressed: the range held-out normal frames hardly reach."""


def calibrated(file: ScoreFile) -> tuple[np.ndarray, str]:
    """(N,) calibrated scores of a file and the way in words.

    With training scores: log (kinds 'error' and 'distance'), robust z, compression above `KNEE`. Without: the normal
    quantiles of the ranks among all test frames, the only place where other test frames count.
    """
    kind = file.about.get("kind", "other")
    if kind not in KINDS:
        raise PixelPlayError(f"{file.name}.json: kind is {kind!r}", expected=" or ".join(KINDS))
    if file.train_values is None:
        ranks = rankdata(file.values)
        share = (ranks - 0.5) / len(ranks)
        return ndtri(share), "ranks of the test frames (no training scores)"
    log = kind in ("error", "distance")
    z = calibrate(file.train_values, log=log, low=-np.inf, high=np.inf)(file.values)
    return compress(z), f"{'log, ' if log else ''}robust z on {len(file.train_values)} training frames"


def without_noise(file: ScoreFile, frames: Frames) -> tuple[ScoreFile, str]:
    """A score file with the part of its scores that noise is to blame for taken out.

    Args:
        file: scores in the order of `frames`.
        frames: the test frames, with the noise found in each.
    Returns:
        (the file with corrected raw scores, that in words). A score is returned as it is, to the last bit, where no
        frame around it was noisy, or where the model has no rehearsal.
    """
    around = surroundings(frames.sigma, frames.videos, frames.frames)
    touched = around.any(axis=1)
    if file.rehearsed is None or file.train_values is None or not touched.any():
        return file, ""
    seen = file.rehearsed
    unit = calibrate(file.train_values, log=file.about.get("kind") in ("error", "distance"), low=-np.inf, high=np.inf)
    keys = [split_id(i) for i in seen.ids]
    response = noise_response(unit(seen.before), unit(seen.after), seen.sigma,
                              np.array([v for v, _ in keys], dtype=object), np.array([f for _, f in keys]))
    if response is None:
        return file, ""
    corrected = _raw(unit, response.correct(unit(file.values), around))
    values = np.where(touched, corrected, file.values)
    return (dataclasses.replace(file, values=values),
            f", less what noise did to {len(seen.ids)} rehearsed training frames")


def _raw(unit: Calibration, z: np.ndarray) -> np.ndarray:
    """The raw scores that calibrate to z."""
    values = z * unit.scale + unit.centre
    return np.maximum(np.exp(values) - unit.eps, 0.0) if unit.log else values


def compress(z: np.ndarray, knee: float = KNEE) -> np.ndarray:
    """z below the knee, knee (1 + log(z / knee)) above; mirrored at a low of -3.

    Clipping would tie the strongest anomalies with each other; this keeps their order and bounds their pull.
    """
    z = np.asarray(z, dtype=np.float64)
    z = np.where(z > knee, knee * (1 + np.log(np.maximum(z, knee) / knee)), z)
    low = 3.0
    return np.where(z < -low, -low * (1 + np.log(np.maximum(-z, low) / low)), z)
