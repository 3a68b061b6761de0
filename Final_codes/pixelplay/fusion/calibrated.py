"""Raw scores of a score file -> rarity, the unit in which models can be added, and how that was done in words.

A rarity of 1 stands for one normal frame in ten, 3 for one in a thousand (see `pixelplay.calibration.Rarity`). Errors
and distances are taken by their logarithm: their tail then falls off as a power, and a model whose errors explode
cannot drown the others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from pixelplay.calibration import Rarity, transform
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.scores import KINDS, ScoreFile


def calibrated(file: ScoreFile) -> tuple[np.ndarray, str]:
    """(N,) rarities of a file's scores and the way in words.

    Without training scores the test frames stand in for them, the only place where other test frames count.
    """
    kind = file.about.get("kind", "other")
    if kind not in KINDS:
        raise PixelPlayError(f"{file.name}.json: kind is {kind!r}", expected=" or ".join(KINDS))
    if file.train_values is None:
        share = (rankdata(file.values) - 0.5) / len(file.values)
        return -np.log10(1 - share), "ranks of the test frames (no training scores)"
    return unit(file)(file.values), f"rarity among {len(file.train_values)} training frames"


def unit(file: ScoreFile) -> Callable[[np.ndarray], np.ndarray]:
    """(...) raw scores -> (...) rarities among the file's training scores."""
    log = file.about.get("kind") in ("error", "distance")
    least = 1e-3 * float(np.median(np.abs(file.train_values))) or 1e-12
    known = Rarity.fit(transform(file.train_values, log, least))
    return lambda scores: known(transform(scores, log, least))
