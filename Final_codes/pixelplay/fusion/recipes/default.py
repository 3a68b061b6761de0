"""The default recipe: calibrate on held-out training scores, smooth in frame time, weighted mean.

1. raw score, less what noise around the frame adds to it on rehearsed training frames -> log where it is an error or
   a distance -> robust z from held-out training scores;
2. values far above normal are compressed by a logarithm, so that no single model can explode;
3. Gaussian smoothing within the video, in frame time, weighted by reliability, with the model's own sigma;
4. weighted mean; 5. monotone map to (0, 1), where 0.5 stands three robust deviations above normal.

No statistic of the test set enters: a video's scores do not depend on which other videos are scored. The one
exception is a foreign CSV without training scores: its ranks among all test frames stand in, and the table says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pixelplay.fusion.calibrated import calibrated, without_noise
from pixelplay.fusion.prior import prior_weights
from pixelplay.fusion.recipe import Frames, Fused, Recipe
from pixelplay.fusion.scores import ScoreFile
from pixelplay.fusion.smoothing import smooth

SIGMA = 8.0
"""For a file without a sidecar: the sigma of frame-level errors."""
THRESHOLD = 3.0


def fuse(members: Mapping[str, ScoreFile], frames: Frames, weights: Mapping[str, float] | None = None, *,
         tail: bool = False, causal: bool = False) -> Fused:
    """See the module; `weights` need not sum to 1, prior ones when None. `tail`, `causal`: see those recipes."""
    words, processed = {}, {}
    for name, file in members.items():
        clean, less = without_noise(file, frames)
        z, words[name] = calibrated(clean, tail=tail)
        words[name] += less
        processed[name] = smooth(z, frames.videos, frames.frames, frames.reliability,
                                 sigma=float(file.about.get("sigma", SIGMA)), causal=causal)
    chosen = dict(weights) if weights is not None else prior_weights(members)
    total = sum(chosen.values())
    chosen = {m: w / total for m, w in chosen.items()}

    def merge(some: Mapping[str, float]) -> np.ndarray:
        above = sum(w * processed[m] for m, w in some.items()) / sum(some.values()) - THRESHOLD
        # a logistic would round the strongest anomalies to the same 1.0
        return 0.5 + 0.5 * above / (1.0 + np.abs(above))

    return Fused(merge(chosen), chosen, words, processed, merge)


def choose(files: Sequence[Path]) -> dict[str, Path]:
    """Every file joins."""
    return {p.stem: p for p in files}


RECIPE = Recipe("default", "robust z from held-out training scores, smoothed per video in frame time, weighted mean",
                choose, fuse, families=True, fixed=False)
