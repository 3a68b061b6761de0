"""E24: accuracy of each channel of the local stream, alone, and of the sum without it.

Fits the lite local memory to a dataset's training frames and scores its test frames once; ranks them by each channel
alone, by all with the product's weights, and by all but one. `recorded` smooths to both sides, `live` with past frames
only. Labels fill the table, and the table chose the channels and the two weights below one: on the sample, Ped2 and
three Avenue test videos with two normal ones (a run whose training folder holds 10 and 11, and whose test folder holds
08, 18, 21 and, without labels, the training videos 12 and 16).

Run:   python Experiments/E24_channels.py SCRATCH_FOLDER --runs NAME=RUN ... [--labels NAME=CSV ...]
           [--normal NAME=VIDEO ...]
       RUN is an output folder with stage 1 done; labels are the run's own where none are given; a normal video has
       none.
Makes: Experiments/E24_channels.csv (rows of other sets stay)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from common import EXTRACTION, named, write_rows

from pixelplay.data.footage import Footage
from pixelplay.data.manifest import Manifest
from pixelplay.environment import limit_threads
from pixelplay.evaluation.bootstrap import frame_intervals
from pixelplay.evaluation.labels import read_labels
from pixelplay.fusion.smoothing import smooth
from pixelplay.model import Scores
from pixelplay.repair.stage import open_footage
from pixelplay.two_stream.local_memory import LocalMemory, LocalMemoryConfig

METRICS = ("ap", "micro_auc", "macro_auc")


def rankings(model: LocalMemory, found: Scores) -> dict[str, np.ndarray]:
    """Scores of the frames by each channel, by all, and by all but one."""
    weights = model.weights
    rarity = {name: model.fitted.rarities[name](model.fitted.calibrations[name](found.parts[name]))
              for name in weights if name in found.parts}
    out = dict(rarity) | {"all": sum(weights[n] * r for n, r in rarity.items())}
    return out | {f"all but {one}": sum(weights[n] * r for n, r in rarity.items() if n != one) for one in rarity}


def truth_of(test: Footage, labels: Path, normal: list[str]) -> np.ndarray:
    """(N,) 1 = anomalous; the videos `normal` need no labels."""
    labelled = ~np.isin(test.videos.astype(str), normal)
    truth = np.zeros(len(test), int)
    truth[labelled] = read_labels(labels).align(test.ids[labelled]).values
    return truth


def rows_of(name: str, test: Footage, truth: np.ndarray, scores: dict[str, np.ndarray]) -> list[dict]:
    """A row a ranking and protocol, in percent, with 95 % intervals over videos."""
    rows = []
    for ranking, values in scores.items():
        for protocol in ("recorded", "live"):
            smoothed = smooth(values, test.videos, test.frames, test.reliability, sigma=LocalMemory.sigma,
                              causal=protocol == "live")
            around = frame_intervals(truth, smoothed, test.videos)
            row = {"set": name, "ranking": ranking, "protocol": protocol}
            for metric in METRICS:
                row |= {metric: f"{100 * around[metric].value:.1f}", f"{metric}_low": f"{100 * around[metric].low:.1f}",
                        f"{metric}_high": f"{100 * around[metric].high:.1f}"}
            rows.append(row)
    return rows


def main() -> None:
    """Every named run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--runs", nargs="+", required=True, metavar="NAME=RUN")
    parser.add_argument("--labels", nargs="*", default=[], metavar="NAME=CSV")
    parser.add_argument("--normal", nargs="*", default=[], metavar="NAME=VIDEO")
    args = parser.parse_args()
    limit_threads()
    labels = {n: Path(p) for n, _, p in (text.partition("=") for text in args.labels)}
    rows: list[dict] = []
    for name, run in named(args.runs).items():
        train, test = (open_footage(run / EXTRACTION, split) for split in ("train", "test"))
        model, folder = LocalMemory(LocalMemoryConfig.profile("lite")), args.scratch / name
        model.fit(train, folder)
        normal = [v for n, _, v in (text.partition("=") for text in args.normal) if n == name]
        truth = truth_of(test, labels.get(name) or Manifest.load(run / EXTRACTION).labels, normal)
        rows += rows_of(name, test, truth, rankings(model, model.score(test, folder)))
    write_rows(Path(__file__).with_suffix(".csv"), rows, keep="set")
    print(pd.DataFrame(rows)[["set", "ranking", "protocol", *METRICS]].to_string(index=False))


if __name__ == "__main__":
    main()
