"""Calibration of a score file: raw scores -> rarities, the unit in which models are added, with a description in words.

A rarity of r corresponds to a tail probability of 10^-r under normal frames (see `pixelplay.calibration.Rarity`).
Errors and distances are calibrated in the logarithm: their tails follow power laws, and a model with exploding errors
cannot dominate the sum.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from pixelplay.calibration import Rarity, transform
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.scores import KINDS, ScoreFile


def calibrated(file: ScoreFile) -> tuple[np.ndarray, str]:
    """(N,) rarities of a file's scores, and the calibration in words.

    Without training scores the test scores are used instead: the only case in which other test frames matter.
    """
    kind = file.about.get("kind", "other")
    if kind not in KINDS:
        raise PixelPlayError(f"{file.name}.json: kind is {kind!r}", expected=" or ".join(KINDS))
    if file.train_values is None:
        share = (rankdata(file.values) - 0.5) / len(file.values)
        return -np.log10(1 - share), "ranks of the test frames (no training scores)"
    return unit(file)(file.values), f"rarity among {len(file.train_values)} training frames"


def unit(file: ScoreFile) -> Callable[[np.ndarray], np.ndarray]:
    """Function from raw scores (...) to their rarities (...) under the file's training scores."""
    log = file.about.get("kind") in ("error", "distance")
    least = 1e-3 * float(np.median(np.abs(file.train_values))) or 1e-12
    known = Rarity.fit(transform(file.train_values, log, least))
    return lambda scores: known(transform(scores, log, least))
