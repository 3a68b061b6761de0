"""E01: the fusion rule of the reference two-stream entry against ours, on the same features.

Reads score files of finished runs with labels that contain global_memory and local_memory with their parts. Compares
the entry's rule (0.7 local + 0.3 global on raw distances, mean of 3 seeds, sigma 17 over the whole column, global
min-max) with our calibrated streams: same crops, same features, same banks. In a frame without actors its local
distance is 0, ours the floor of the calibrated scale. Its rule is then changed into ours, one step at a time. Writes
E01_reference_two_stream.csv and .png beside this file; rows of other runs are kept.

    python Experiments/E01_reference_two_stream.py [--runs ped2=outputs/ped2 sample=outputs]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from common import dots, measured, named, test_frames, write_rows

from pixelplay.errors import PixelPlayError
from pixelplay.fusion.ensemble import find_files, read_members
from pixelplay.fusion.recipe import load_recipe
from pixelplay.fusion.recipes.reference_two_stream import GLOBAL, LOCAL, SIGMA, WEIGHTS
from pixelplay.fusion.smoothing import smooth

OURS = ("global_memory", "local_memory")


def on_run(data: str, output: Path) -> list[dict]:
    """One row per rule and metric; empty if the run has no labels."""
    frames = test_frames(output)
    files = find_files([output / "scores"], parts=True)
    reference, default = load_recipe("reference-two-stream"), load_recipe("default")
    parts = read_members(reference.choose(files), frames)
    members = read_members({p.stem: p for p in files if p.stem in (*OURS, "local_memory.appearance")}, frames)
    fused = reference.fuse(parts, frames, None)
    mean = sum(w * fused.processed[m] for m, w in WEIGHTS.items())
    local = np.mean([fused.processed[m] for m in WEIGHTS if m.startswith("local")], axis=0)
    one = WEIGHTS.keys() & {"local_memory.appearance.seed0", "global_memory.seed0"}
    single = sum((LOCAL if m.startswith("local") else GLOBAL) * fused.processed[m] for m in one)

    def in_videos(values: np.ndarray, trust: np.ndarray | None = None) -> np.ndarray:
        return smooth(values, frames.videos, frames.frames, trust, sigma=SIGMA)

    by = {"the entry's rule": fused.values,
          "... smoothed within videos": in_videos(mean),
          "... and trusting reliable frames more": in_videos(mean, frames.reliability),
          "... and one seed instead of three": in_videos(single, frames.reliability),
          "... and the local distance alone": in_videos(local, frames.reliability)}
    for name in ("local_memory.appearance", *reversed(OURS)):
        if name in members:
            by[f"ours: {name} alone"] = default.fuse({name: members[name]}, frames, None).values
    if set(OURS) <= set(members):
        both = {m: members[m] for m in OURS}
        by["ours: both streams, prior weights"] = default.fuse(both, frames, None).values
        by["ours: both streams, 0.7 and 0.3"] = default.fuse(
            both, frames, {"local_memory": LOCAL, "global_memory": GLOBAL}).values
    config = members["local_memory"].about.get("config", {}) if "local_memory" in members else {}
    group = f"{config.get('backbone', '?')}, {'+'.join(config.get('detectors', ['?']))}"
    return measured(data, output, by, group=group)


def main() -> None:
    """Evaluate every run that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", default=["sample=outputs"], metavar="NAME=DIR", help="finished runs")
    rows = [r for name, run in named(parser.parse_args().runs).items() for r in on_run(name, run)]
    if not rows:
        raise PixelPlayError("no run with labels", hint="name finished runs after --runs")
    result = Path(__file__).with_suffix(".csv")
    every = write_rows(result, rows, keep="data")
    dots(every, title="The same features, banks and seeds").savefig(result.with_suffix(".png"),
                                                                  metadata={"Software": None})
    for row in rows:
        print(" | ".join(row.values()))


if __name__ == "__main__":
    main()
