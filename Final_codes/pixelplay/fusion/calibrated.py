"""Raw scores of a score file -> robust standard deviations above normal, and how that was done in words."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from pixelplay.calibration import Calibration, calibrate
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.scores import KINDS, ScoreFile

KNEE = 5.0
"""Robust deviations above which scores are compressed: the range held-out normal frames hardly reach."""

LOGARITHMIC = ("error", "distance")
"""Kinds of scores that are about log-normal."""


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
    words = "log, " if kind in LOGARITHMIC else ""
    return compress(unit(file)(file.values)), f"{words}robust z on {len(file.train_values)} training frames"


def unit(file: ScoreFile) -> Calibration:
    """Raw scores -> robust deviations above the file's training scores, before compression."""
    return calibrate(file.train_values, log=file.about.get("kind") in LOGARITHMIC, low=-np.inf, high=np.inf)


def compress(z: np.ndarray, knee: float = KNEE) -> np.ndarray:
    """z below the knee, knee (1 + log(z / knee)) above; mirrored at a low of -3.

    Clipping would tie the strongest anomalies with each other; this keeps their order and bounds their pull.
    """
    z = np.asarray(z, dtype=np.float64)
    z = np.where(z > knee, knee * (1 + np.log(np.maximum(z, knee) / knee)), z)
    low = 3.0
    return np.where(z < -low, -low * (1 + np.log(np.maximum(-z, low) / low)), z)
