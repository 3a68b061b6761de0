"""The default recipe: rarity among held-out training scores, smoothed in frame time, weighted mean.

1. raw score -> rarity, -log10 of its tail probability under held-out training scores (`pixelplay.fusion.calibrated`);
2. Gaussian smoothing within the video, in frame time, weighted by reliability, with the model's own sigma;
3. weighted mean; 4. monotone map to (0, 1), where 0.5 is a rarity of 3: one normal frame in a thousand.

A video's scores depend on the video and on training, not on the other videos. The only exception is a foreign CSV
without training scores: it is calibrated on all test frames, and the table says so. Chosen on the labels of Ped2, the
embedded sample and three Avenue videos, each checked by leaving it out (Experiments/E16).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pixelplay.fusion.calibrated import calibrated
from pixelplay.fusion.prior import prior_weights
from pixelplay.fusion.recipe import Frames, Fused, Recipe
from pixelplay.fusion.scores import ScoreFile
from pixelplay.fusion.smoothing import smooth

SIGMA = 5.0
"""Frames, for a file without a sidecar: the sigma of frame-level errors."""
THRESHOLD = 3.0
"""Rarity that is mapped to 0.5."""


def fuse(members: Mapping[str, ScoreFile], frames: Frames, weights: Mapping[str, float] | None = None, *,
         causal: bool = False) -> Fused:
    """See the module.

    Args:
        weights: member -> weight, normalised to sum 1; None = prior weights.
        causal: smooth with past frames only.
    """
    words, processed = {}, {}
    for name, file in members.items():
        rarity, words[name] = calibrated(file)
        processed[name] = smooth(rarity, frames.videos, frames.frames, frames.reliability,
                                 sigma=float(file.about.get("sigma", SIGMA)), causal=causal)
    chosen = dict(weights) if weights is not None else prior_weights(members)
    total = sum(chosen.values())
    chosen = {m: w / total for m, w in chosen.items()}

    def merge(some: Mapping[str, float]) -> np.ndarray:
        above = sum(w * processed[m] for m, w in some.items()) / sum(some.values()) - THRESHOLD
        # unlike a logistic, this does not saturate to 1.0 for the strongest anomalies
        return 0.5 + 0.5 * above / (1.0 + np.abs(above))

    return Fused(merge(chosen), chosen, words, processed, merge)


def choose(files: Sequence[Path]) -> dict[str, Path]:
    """All files are members."""
    return {p.stem: p for p in files}


RECIPE = Recipe("default", "rarity among held-out training scores, smoothed per video in frame time, weighted mean",
                choose, fuse, families=True, fixed=False)
