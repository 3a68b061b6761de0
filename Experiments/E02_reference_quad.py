"""E02: the reference quad's post-processing and weights against ours, on the same raw scores.

Part 1 reads $PIXELPLAY_DATA/pixel_play: does `reference-quad` reproduce the reference's submission, and how much do
single parts of its rule move the ranking (no labels are public)? Part 2 reads the score files of finished runs with
labels, e.g. outputs: the same raw scores of our four autoencoders through their rule and through ours.
Writes E02_reference_quad.csv beside this file.

    python Experiments/E02_reference_quad.py [--runs outputs ...]
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from pixelplay.data.manifest import Manifest
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.labels import read_labels
from pixelplay.evaluation.report import Scored, cell, evaluate
from pixelplay.fusion.ensemble import find_files, read_members, spearman
from pixelplay.fusion.prior import equal_weights
from pixelplay.fusion.recipe import Frames, load_recipe
from pixelplay.fusion.recipes.reference_quad import SIGMA, WEIGHTS
from pixelplay.fusion.scores import read_table
from pixelplay.fusion.smoothing import smooth
from pixelplay.fusion.stage import EXTRACTION

QUAD = ("stae", "roadmap", "unet", "joint")


def golden(folder: Path) -> list[dict]:
    """Reproduction of the published submission, and how far variants of the rule move it."""
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
        rows.append({"data": "pixel_play/quad", "what": name, "metric": "largest difference to the published file",
                     "value": f"{np.abs(values - published).max():.3g}"})
        rows.append({"data": "pixel_play/quad", "what": name, "metric": "rank correlation with the published file",
                     "value": f"{spearman(rankdata(values), rankdata(published)):.4f}"})
    return rows


def on_run(output: Path) -> list[dict]:
    """Our raw scores of a finished run through both rules; needs labels beside the data."""
    manifest = Manifest.load(output / EXTRACTION)
    if manifest.labels is None:
        return []
    test = manifest.split("test")
    frames = Frames.of_ids(test["Id"].tolist(), dict(zip(test["Id"], test["reliability"])))
    files = [p for p in find_files([output / "scores"]) if p.stem in QUAD]
    if len(files) < len(QUAD):
        return []
    theirs, ours = load_recipe("reference-quad"), load_recipe("default")
    members = read_members({p.stem: p for p in files}, frames)
    by = {"reference-quad": theirs.fuse(members, frames, None).values,
          "default, prior weights": ours.fuse(members, frames, None).values,
          "default, equal weights": ours.fuse(members, frames, equal_weights(members)).values,
          "default, the reference's weights": ours.fuse(members, frames, WEIGHTS).values}
    for name, file in members.items():
        by[f"{name} alone, default"] = ours.fuse({name: file}, frames, None).values
    found = evaluate([Scored(n, frames.ids, v) for n, v in by.items()], read_labels(manifest.labels),
                     known_ids=frames.ids)
    return [{"data": f"{output.name}: {found.labels['version']}, {found.labels['positives']} of "
                     f"{found.labels['frames']} frames", "what": name, "metric": f"{metric} % [95 %]",
             "value": cell(row[metric])} for name, row in found.rows.items() for metric in ("ap", "micro_auc")]


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, nargs="*", default=[Path("outputs")], help="output folders with scores")
    args = parser.parse_args()
    data = os.environ.get("PIXELPLAY_DATA")
    if not data:
        raise PixelPlayError("PIXELPLAY_DATA is not set", expected="the folder that holds pixel_play")
    rows = golden(Path(data) / "pixel_play")
    for run in args.runs:
        if (run / EXTRACTION / "manifest.csv").exists():
            rows += on_run(run)
    with Path(__file__).with_suffix(".csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    for row in rows:
        print(" | ".join(map(str, row.values())))


if __name__ == "__main__":
    main()
