"""The fusion rule of the two-stream entry: 0.7 local + 0.3 global raw distance, mean of 3 seeds, one Gaussian, min-max.

Reads the partial scores `parts/global_memory.seed{0,1,2}.csv` and `parts/local_memory.appearance.seed{0,1,2}.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pixelplay.fusion.recipe import Frames, Fused, Recipe, pick
from pixelplay.fusion.reference import minmax, smooth_column
from pixelplay.fusion.scores import ScoreFile

LOCAL, GLOBAL, SEEDS, SIGMA = 0.7, 0.3, 3, 17.0
WEIGHTS = {f"{stream}.seed{k}": share / SEEDS for k in range(SEEDS)
           for stream, share in (("local_memory.appearance", LOCAL), ("global_memory", GLOBAL))}


def fuse(members: Mapping[str, ScoreFile], frames: Frames, weights: Mapping[str, float] | None = None) -> Fused:
    """See the module; `weights` is ignored, because the rule fixes them."""
    processed = {name: file.values for name, file in members.items()}

    def merge(some: Mapping[str, float]) -> np.ndarray:
        return minmax(smooth_column(sum(w * processed[m] for m, w in some.items()), SIGMA))

    return Fused(merge(WEIGHTS), dict(WEIGHTS), dict.fromkeys(members, "raw distance"), processed, merge)


def choose(files: Sequence[Path]) -> dict[str, Path]:
    """The six partial scores."""
    return pick(files, {name: (name,) for name in WEIGHTS}, "reference-two-stream")


RECIPE = Recipe("reference-two-stream", "0.7 local + 0.3 global on raw distances, mean of 3 seeds, sigma 17 over the "
                "whole column, global min-max", choose, fuse, parts=True)
