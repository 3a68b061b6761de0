"""E01: the reference two-stream entry's rule against ours, on the same features.

Reads the score files of finished runs with labels, e.g. outputs, that hold global_memory and local_memory with their
parts: the entry's 0.7 local + 0.3 global on raw distances (mean of 3 seeds, sigma 17 over the whole column, global
min-max) beside our calibrated streams. Same crops, same features, same banks. Writes E01_reference_two_stream.csv.

    python Experiments/E01_reference_two_stream.py [--runs outputs ...]
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from pixelplay.data.manifest import Manifest
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.labels import read_labels
from pixelplay.evaluation.report import Scored, cell, evaluate
from pixelplay.fusion.ensemble import find_files, read_members
from pixelplay.fusion.recipe import Frames, load_recipe
from pixelplay.fusion.recipes.reference_two_stream import WEIGHTS
from pixelplay.fusion.smoothing import smooth
from pixelplay.fusion.stage import EXTRACTION

OURS = ("global_memory", "local_memory")


def on_run(output: Path) -> list[dict]:
    """One row a rule and metric; empty where the run has no labels."""
    manifest = Manifest.load(output / EXTRACTION)
    if manifest.labels is None:
        return []
    test = manifest.split("test")
    frames = Frames.of_ids(test["Id"].tolist(), dict(zip(test["Id"], test["reliability"])))
    files = find_files([output / "scores"], parts=True)
    reference, default = load_recipe("reference-two-stream"), load_recipe("default")
    parts = read_members(reference.choose(files), frames)
    members = read_members({p.stem: p for p in files if p.stem in OURS}, frames)
    fused = reference.fuse(parts, frames, None)
    mean = sum(w * fused.processed[m] for m, w in WEIGHTS.items())
    by = {"the entry's rule": fused.values,
          "the entry's rule, smoothed per video (sigma 17)": smooth(mean, frames.videos, frames.frames, sigma=17.0),
          "the entry's rule, per video and weighted by reliability":
              smooth(mean, frames.videos, frames.frames, frames.reliability, sigma=17.0)}
    if len(members) == len(OURS):
        by["ours: both streams, calibrated, prior weights"] = default.fuse(members, frames, None).values
    for name, file in members.items():
        by[f"ours: {name} alone"] = default.fuse({name: file}, frames, None).values
    found = evaluate([Scored(n, frames.ids, v) for n, v in by.items()], read_labels(manifest.labels),
                     known_ids=frames.ids)
    backbone = "; ".join(f"{m}: {f.about.get('config', {}).get('backbone', '?')}" for m, f in members.items())
    data = f"{output.name}: {found.labels['version']}, {found.labels['positives']} of {found.labels['frames']} frames"
    return [{"data": data, "backbone": backbone, "rule": name, "metric": f"{metric} % [95 %]",
             "value": cell(row[metric])}
            for name, row in found.rows.items() for metric in ("ap", "micro_auc", "macro_auc")]


def main() -> None:
    """Evaluate every run that has what it takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, nargs="*", default=[Path("outputs")], help="output folders with scores")
    args = parser.parse_args()
    rows = [row for run in args.runs for row in on_run(run)]
    if not rows:
        raise PixelPlayError("no run with labels", mend="name finished runs after --runs")
    with Path(__file__).with_suffix(".csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    for row in rows:
        print(" | ".join(map(str, row.values())))


if __name__ == "__main__":
    main()
