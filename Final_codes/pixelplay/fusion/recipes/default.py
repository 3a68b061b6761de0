"""The default recipe, for recorded videos: calibrate on held-out training scores, smooth in frame time, weighted mean.

1. raw score -> log where it is an error or a distance -> robust z from held-out training scores;
2. values far above normal are compressed by a logarithm, so that no single model can explode;
3. less the video's own quiet level, within what training videos differ by (`pixelplay.fusion.levels`);
4. Gaussian smoothing within the video, in frame time, weighted by reliability, with the model's own sigma;
5. weighted mean; 6. monotone map to (0, 1), where 0.5 stands three robust deviations above normal.

A video's scores depend on itself and on training, never on which other videos are scored. The one exception is a
foreign CSV without training scores: its ranks among all test frames stand in, and the table says so. Chosen on the
labels of Ped2, the embedded sample, three Avenue videos and injected anomalies (Experiments/E16).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pixelplay.data.ids import split_id
from pixelplay.fusion.calibrated import calibrated
from pixelplay.fusion.levels import video_offsets
from pixelplay.fusion.prior import prior_weights
from pixelplay.fusion.recipe import Frames, Fused, Recipe
from pixelplay.fusion.scores import ScoreFile
from pixelplay.fusion.smoothing import smooth

SIGMA = 8.0
"""For a file without a sidecar: the sigma of frame-level errors."""
THRESHOLD = 3.0


def fuse(members: Mapping[str, ScoreFile], frames: Frames, weights: Mapping[str, float] | None = None, *,
         causal: bool = False) -> Fused:
    """See the module; `weights` need not sum to 1, prior ones when None. `causal`: past frames alone."""
    words, processed = {}, {}
    for name, file in members.items():
        z, words[name] = calibrated(file)
        levels = own_levels(file, z, frames, causal)
        if levels.any():
            z = z - levels
            words[name] += ", less the video's own level"
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


def own_levels(file: ScoreFile, z: np.ndarray, frames: Frames, causal: bool) -> np.ndarray:
    """(N,) what the (N,) calibrated scores of a file owe to the levels of their videos; 0 without training scores."""
    if file.train_values is None:
        return np.zeros(len(z))
    train = calibrated(dataclasses.replace(file, ids=file.train_ids, values=file.train_values))[0]
    seen_in = np.array([split_id(i)[0] for i in file.train_ids], dtype=object)
    return video_offsets(z, frames.videos, train, seen_in, causal=causal)


def choose(files: Sequence[Path]) -> dict[str, Path]:
    """Every file joins."""
    return {p.stem: p for p in files}


RECIPE = Recipe("default", "robust z from held-out training scores, less each video's own level within what training "
                "shows, smoothed per video in frame time, weighted mean", choose, fuse, families=True, fixed=False)
