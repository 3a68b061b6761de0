"""E18: how many training steps does the full profile of an autoencoder need?

Trains each autoencoder's full profile at a third of its height and a quarter of its widths, which is feasible without a
GPU (batch, learning rate, warm-up, averaging and augmentation are the profile's own), each number of steps with its own
cosine schedule, on UCSD Ped2 and on the four normal Avenue clips. Records the final error on held-out normal windows
and, on Ped2, the ranking of the test frames. Labels are read last, to fill the table. Takes hours on two cores; rows
are written as they are computed.

Run:   python Experiments/E18_steps.py DATA_FOLDER SCRATCH_FOLDER [--models stae ...] [--steps 250 500 ...]
           [--data-sets ped2 avenue] [--seeds 0 1] [--threads 1]
Makes: Experiments/E18_steps.csv (rows of the settings that were run are replaced, others kept)
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from pixelplay.autoencoders.windows import network_size
from pixelplay.config import override
from pixelplay.data.layouts import find_dataset
from pixelplay.environment import hardware, limit_threads
from pixelplay.evaluation.labels import read_labels
from pixelplay.evaluation.metrics import average_precision, roc_auc
from pixelplay.files import atomic_path
from pixelplay.flow.speed import learn_baselines, measure_speeds, with_speeds
from pixelplay.fusion.smoothing import smooth
from pixelplay.registry import model_class
from pixelplay.repair.stage import open_footage, prepare

HERE = Path(__file__).parent
TARGET = HERE / "E18_steps.csv"
QUAD = ("stae", "roadmap", "unet", "joint")
HEIGHT, NARROWER, SIGMA = 64, 4, 8.0
"""Rows of the networks' input, by what their widths are divided, frames scores are smoothed with."""


def footage(data: Path, name: str, scratch: Path):
    """(manifest, training, test footage) of a data set, with speed maps. Avenue's test split is only there because
    stage 1 wants something to score."""
    if name == "ped2":
        manifest = find_dataset(data / "ped2")
    else:
        manifest = find_dataset(None, data / "avenue_train" / "training_videos", data / "ped2" / "testing" / "frames")
    manifest = prepare(manifest, scratch / name)
    parts = [open_footage(scratch / name, split) for split in ("train", "test")]
    baselines = learn_baselines(scratch / name, parts[0])
    for part in parts:
        measure_speeds(scratch / name, part, baselines)
    return manifest, *(with_speeds(part, scratch / name) for part in parts)


def small(name: str, steps: int):
    """The full profile's settings, small enough for a processor."""
    full = model_class(name).Config.profile("full")
    return override(full, {"height": HEIGHT, "widths": tuple(w // NARROWER for w in full.widths), "steps": steps,
                           "epoch_steps": steps, "precision": "float32"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--models", nargs="+", choices=QUAD, default=QUAD)
    parser.add_argument("--steps", nargs="+", type=int, default=[250, 500, 1000, 2000, 4000])
    parser.add_argument("--data-sets", nargs="+", choices=("ped2", "avenue"), default=["ped2", "avenue"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=None)
    args = parser.parse_args()
    limit_threads(args.threads)
    for name in args.data_sets:
        manifest, train, test = footage(args.data, name, args.scratch)
        for steps in args.steps:
            for model_name in args.models:
                for seed in args.seeds:
                    model, row = trained(model_name, steps, seed, train, args.scratch / "e18" / name)
                    if name == "ped2":
                        labels = read_labels(manifest.labels).align(test.ids).values
                        row |= ranked(model, test, labels, args.scratch / "e18" / name / "scores")
                    write({"data": name, **row, "hardware": hardware().name})


def trained(name: str, steps: int, seed: int, train, scratch: Path):
    """A trained model and its row."""
    config, start = small(name, steps), time.perf_counter()
    model = model_class(name)(config, seed=seed)
    model.fit(train, scratch / f"{name}-{steps}-{seed}")
    last = model.about["curve"][-1]
    return model, {
        "model": name, "size": "x".join(map(str, network_size(train.size, HEIGHT))), "seed": seed, "steps": steps,
        "passes": round(steps * config.batch / len(train), 1), "training_loss": round(last["total"], 5),
        "held_out_error": round(last["held_out"], 5), "seconds": round(time.perf_counter() - start)}


def ranked(model, test, labels: np.ndarray, folder: Path) -> dict:
    """Metrics of the test frames' smoothed log scores."""
    values = np.log(model.score(test, folder).values)
    values = smooth(values, test.videos, test.frames, test.reliability, sigma=SIGMA)
    return {"micro_auc": round(100 * roc_auc(labels, values), 2),
            "average_precision": round(100 * average_precision(labels, values), 2)}


def write(row: dict) -> None:
    """Add one row to the table, in place of an older one of the same settings."""
    table, same = pd.DataFrame([row]), ["data", "model", "seed", "steps"]
    if TARGET.exists():
        old = pd.read_csv(TARGET)
        table = pd.concat([old[(old[same] != table[same].iloc[0]).any(axis=1)], table])
    table = table.sort_values(same)
    with atomic_path(TARGET) as part:
        table.to_csv(part, index=False)
    print(row, flush=True)


if __name__ == "__main__":
    main()
