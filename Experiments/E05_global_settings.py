"""E05, second part: how do the settings of the global stream change the ranking on UCSD Ped2?

    python Experiments/E05_global_settings.py DATA_FOLDER SCRATCH_FOLDER

Reads Ped2 with its frame labels; extracts frames and features once into the scratch folder, then fits and scores the
global stream with one setting changed at a time (profile lite, seed 0, no repair: Ped2 is clean). Writes
E05_global_settings.csv: AP, micro and macro AUC in %, raw and after Gaussian smoothing with the model's own sigma. The
labels fill this table only; no default was changed after it.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pandas as pd

from pixelplay.data.extraction import extract, open_raw_footage
from pixelplay.data.layouts import find_dataset
from pixelplay.environment import limit_threads
from pixelplay.evaluation.bootstrap import frame_intervals
from pixelplay.evaluation.labels import read_labels
from pixelplay.files import atomic_path
from pixelplay.fusion.smoothing import smooth
from pixelplay.two_stream.global_memory import GlobalMemory, GlobalMemoryConfig

VARIANTS = {
    "default": {}, "1 % of the frames, no floor": {"floor": 1},
    "every frame, no coreset": {"ratio": 1.0, "subsample": 1.0},
    "exact picks, no projection": {"projection": 0}, "whole set, no subsample": {"subsample": 1.0},
    "3 neighbours": {"neighbours": 3}, "9 neighbours": {"neighbours": 9}, "re-weighted over 9": {"reweight": 9},
    "1 % outliers dropped": {"outliers": 0.01}, "every 5th frame": {"stride": 5}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()

    limit_threads(args.threads)
    manifest = find_dataset(args.data)
    if not (args.scratch / "extraction.json").exists():
        extract(manifest, args.scratch)
    train, test = (open_raw_footage(args.scratch, split) for split in ("train", "test"))
    labels = read_labels(manifest.labels).align(list(test.ids)).values
    rows = []
    for name, changes in VARIANTS.items():
        model = GlobalMemory(dataclasses.replace(GlobalMemoryConfig.profile("lite"), **changes))
        model.fit(train, args.scratch)
        scores = model.score(test, args.scratch)
        alone = scores.parts if name in ("default", "1 % of the frames, no floor") else {}
        members = {"mean of 3": scores.values, **alone}
        for member, values in members.items():
            for sigma in (0.0, model.sigma):
                smoothed = smooth(values, test.videos, test.frames, test.reliability, sigma=sigma)
                found = frame_intervals(labels, smoothed, test.videos, draws=0)
                rows.append({"setting": name, "banks": member, "vectors": len(model.banks[0]), "sigma_frames": sigma,
                             **{k: round(100 * found[k].value, 2) for k in ("ap", "micro_auc", "macro_auc")}})
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    with atomic_path(args.output) as part:
        table.to_csv(part, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
