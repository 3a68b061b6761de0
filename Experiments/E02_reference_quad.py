"""E02: post-processing and weights of the reference quad against ours, on the same raw scores.

Part 1 reads $PIXELPLAY_DATA/pixel_play: does `reference-quad` reproduce the reference's submission, and how much does
each part of its rule change the ranking (no labels are public)? Part 2 reads score files of finished runs with labels:
the same raw scores of our four autoencoders through its rule, through ours, and through every step between them. Writes
E02_reference_quad.csv and .png beside this file; rows of other runs are kept.

    python Experiments/E02_reference_quad.py [--runs ped2=outputs/ped2 sample=outputs]
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from common import EXTRACTION, dots, measured, named, test_frames, write_rows
from scipy.stats import rankdata

from pixelplay.errors import PixelPlayError
from pixelplay.fusion.ensemble import find_files, read_members, spearman
from pixelplay.fusion.prior import equal_weights
from pixelplay.fusion.recipe import Frames, load_recipe
from pixelplay.fusion.recipes.reference_quad import CHAINS, SIGMA, WEIGHTS
from pixelplay.fusion.scores import read_table
from pixelplay.fusion.smoothing import smooth

QUAD = ("stae", "roadmap", "unet", "joint")


def golden(folder: Path) -> list[dict]:
    """Reproduction of the published submission, and the effect of variants of the rule on it."""
    ids, published = read_table(folder / "quad" / "submission_quad_ensemble.csv")
    frames = Frames.of_ids(ids)
    recipe = load_recipe("reference-quad")
    members = read_members(recipe.choose(find_files([folder / "quad"])), frames)
    fused = recipe.fuse(members, frames, None)
    mean = sum(w * fused.processed[m] for m, w in WEIGHTS.items())
    variants = {
        "reference-quad as published": fused.values,
        "smoothed per video in frame time instead of over the column":
            smooth(mean, frames.videos, frames.frames, sigma=SIGMA),
        "not smoothed": mean,
        "equal weights": fused.merge(dict.fromkeys(WEIGHTS, 0.25)),
        "ranks instead of squashed errors, sigma 8 per video": load_recipe("default").fuse(
            members, frames, equal_weights(members)).values,
    }
    rows = []
    for name, values in variants.items():
        both = {"largest difference to the published file": f"{np.abs(values - published).max():.3g}",
                "rank correlation with the published file": f"{spearman(rankdata(values), rankdata(published)):.4f}"}
        rows += [{"data": "pixel_play (no public labels)", "group": "the reference's CSVs", "what": name, "metric": m,
                  "value": v, "low": "", "high": ""} for m, v in both.items()]
    return rows


def on_run(data: str, output: Path) -> list[dict]:
    """Our raw scores of a finished run through both rules, and through mixtures of them; needs labels and all four."""
    frames = test_frames(output)
    files = [p for p in find_files([output / "scores"]) if p.stem in QUAD]
    if len(files) < len(QUAD):
        return []
    theirs, ours = load_recipe("reference-quad"), load_recipe("default")
    members = read_members({p.stem: p for p in files}, frames)
    chained = theirs.fuse(members, frames, None).processed
    whole = {m: dataclasses.replace(CHAINS[m], minmax="global")(f.values, frames.videos) for m, f in members.items()}

    def in_videos(parts: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
        mean = sum(w * parts[m] for m, w in weights.items())
        return smooth(mean, frames.videos, frames.frames, frames.reliability, sigma=SIGMA)

    equal = equal_weights(members)
    by = {"the entry's rule": theirs.fuse(members, frames, None).values,
          "... smoothed within videos": in_videos(chained, WEIGHTS),
          "... and min-max over all videos": in_videos(whole, WEIGHTS),
          "... and equal weights": in_videos(whole, equal),
          "ours, its weights": ours.fuse(members, frames, WEIGHTS).values,
          "ours, equal weights": ours.fuse(members, frames, equal).values,
          "ours, prior weights": ours.fuse(members, frames, None).values}
    for name, file in members.items():
        by[f"{name} alone, its chain, in videos"] = in_videos(chained, {name: 1.0})
        by[f"{name} alone, ours"] = ours.fuse({name: file}, frames, None).values
    return measured(data, output, by, group="same raw scores")


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    there = Path("outputs", EXTRACTION).exists()
    parser.add_argument("--runs", nargs="*", default=["outputs"] if there else [], metavar="NAME=DIR",
                        help="finished runs with labels and all four autoencoders (default: outputs, where it is one)")
    args = parser.parse_args()
    data = os.environ.get("PIXELPLAY_DATA")
    if not data:
        raise PixelPlayError("PIXELPLAY_DATA is not set", expected="the folder that holds pixel_play")
    rows = golden(Path(data) / "pixel_play")
    rows += [r for name, run in named(args.runs).items() for r in on_run(name, run)]
    result = Path(__file__).with_suffix(".csv")
    every = write_rows(result, rows, keep="data")
    labelled = [r for r in every if r["low"]]
    if labelled:
        dots(labelled, title="The same raw scores of our four autoencoders").savefig(
            result.with_suffix(".png"), metadata={"Software": None})
    for row in rows:
        print(" | ".join(row.values()))


if __name__ == "__main__":
    main()
