"""The fusion rule of the quad-ensemble entry: 0.1 Roadmap + 0.1 U-Net + 0.5 STAE + 0.3 Joint, one Gaussian.

Reads its four post-processed CSVs unchanged (`submission_*.csv`), or raw scores (`roadmap_raw.csv`, ours:
`roadmap.csv`) through its chain of min-max scaling, sigmoid, rolling maximum and rolling mean. The constants of
Roadmap, U-Net and Joint reproduce its shipped CSVs; STAE's are those of its notebook, as no raw file is available.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pixelplay.fusion.recipe import Frames, Fused, Recipe, pick
from pixelplay.fusion.reference import Chain, smooth_column
from pixelplay.fusion.scores import ScoreFile

WEIGHTS = {"roadmap": 0.1, "unet": 0.1, "stae": 0.5, "joint": 0.3}
SIGMA = 15.0
CHAINS = {
    "unet": Chain(15, 0.1, 20, 10),
    "roadmap": Chain(5, 0.5, 20, 10),
    "joint": Chain(10, 0.1, 10, 10),
    "stae": Chain(15, 0.1, 20, 10, minmax="global"),
}
STEMS = {
    "roadmap": ("submission_roadmap", "roadmap", "roadmap_raw"),
    "unet": ("submission_unet", "unet", "unet_raw"),
    "stae": ("submission_STAE", "stae"),
    "joint": ("submission_JR", "joint", "jr_raw"),
}


def fuse(members: Mapping[str, ScoreFile], frames: Frames, weights: Mapping[str, float] | None = None) -> Fused:
    """See the module; `weights` is ignored, because the rule fixes them."""
    processed, words = {}, {}
    for name, file in members.items():
        ready = file.name.startswith("submission_")
        processed[name] = file.values if ready else CHAINS[name](file.values, frames.videos)
        words[name] = "as it is" if ready else f"{CHAINS[name].minmax} min-max of the test, sigmoid, max, mean"

    def merge(some: Mapping[str, float]) -> np.ndarray:
        return smooth_column(sum(w * processed[m] for m, w in some.items()), SIGMA)

    return Fused(merge(WEIGHTS), dict(WEIGHTS), words, processed, merge)


def choose(files: Sequence[Path]) -> dict[str, Path]:
    """The four members, post-processed files before raw ones."""
    return pick(files, STEMS, "reference-quad")


RECIPE = Recipe("reference-quad", "0.1 Roadmap + 0.1 U-Net + 0.5 STAE + 0.3 Joint, sigma 15 over the whole column",
                choose, fuse)
