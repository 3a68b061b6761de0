"""E12: what does each autoencoder see on UCSD Ped2, alone and as a quad?

Trains the models that have no weights in Final_models yet (or all with --again), scores the test videos, and prices
every model and their plain mean of calibrated scores, raw and smoothed with a sigma fixed beforehand (8 frames).
Labels are opened at the end, to fill the table. The weights and their cards go to Final_models with --release; the
four normal Avenue clips are trained on with --avenue (no test videos there, so no metrics).

Run:   python Experiments/E12_autoencoders_ped2.py DATA_FOLDER SCRATCH_FOLDER [--models ...] [--profile lite]
           [--seeds 0 1 2] [--release] [--avenue]
Makes: Experiments/E12_autoencoders_ped2.csv (rows of the models that were run are replaced, others kept)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from pixelplay.calibration import calibrate
from pixelplay.data.layouts import find_dataset
from pixelplay.environment import hardware, limit_threads
from pixelplay.evaluation.labels import read_labels
from pixelplay.evaluation.metrics import average_precision, macro_auc, roc_auc
from pixelplay.files import atomic_path
from pixelplay.fusion.smoothing import smooth
from pixelplay.registry import model_class
from pixelplay.repair.stage import open_footage, prepare

HERE = Path(__file__).parent
RELEASES = HERE.parent / "Final_codes" / "Final_models"
QUAD = ("stae", "roadmap", "unet", "joint")


def fit(name: str, profile: str, seed: int, train, folder: Path, release: Path | None):
    """A fitted model and its held-out training scores; written to `release` where one is named."""
    cls = model_class(name)
    model = cls(cls.Config.profile(profile), seed=seed)
    model.fit(train, folder)
    held_out = model.held_out(train, folder)
    if release is not None:
        model.about |= {"profile": profile, "command": " ".join(
            ["python Experiments/E12_autoencoders_ped2.py DATA_FOLDER SCRATCH_FOLDER", *sys.argv[3:]])}
        model.save(release / name)
    return model, held_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--models", nargs="+", choices=QUAD, default=QUAD)
    parser.add_argument("--profile", default="lite")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--release", action="store_true", help="write weights and cards to Final_models")
    parser.add_argument("--avenue", action="store_true", help="train on the Avenue clips, too")
    args = parser.parse_args()
    limit_threads()
    if args.avenue:
        clips = args.data / "avenue_train" / "training_videos"
        # stage 1 wants something to score, too; only the training split is used here
        prepare(find_dataset(None, clips, args.data / "ped2" / "testing" / "frames"), args.scratch / "avenue")
        train = open_footage(args.scratch / "avenue", "train")
        for name in args.models:
            fit(name, args.profile, 0, train, args.scratch / "e12" / "avenue" / name,
                RELEASES / "avenue" if args.release else None)
    manifest = prepare(find_dataset(args.data / "ped2"), args.scratch / "ped2")
    train, test = (open_footage(args.scratch / "ped2", split) for split in ("train", "test"))
    labels = read_labels(manifest.labels).align(test.ids).values
    rows, joined = [], {}
    for seed in args.seeds:
        for name in args.models:
            folder = args.scratch / "e12" / f"ped2_seed{seed}" / name
            model, held_out = fit(name, args.profile, seed, train, folder,
                                  RELEASES / "ped2" if args.release and seed == args.seeds[0] else None)
            z = calibrate(held_out.values, log=True)(model.score(test, folder).values)
            joined.setdefault(seed, []).append(z)
            rows += priced(name, z, test, labels, args.profile, seed)
        if len(args.models) == len(QUAD):
            rows += priced("quad (plain mean)", np.mean(joined[seed], axis=0), test, labels, args.profile, seed)
    table, target = pd.DataFrame(rows), HERE / "E12_autoencoders_ped2.csv"
    if target.exists():
        old = pd.read_csv(target)
        same = old[["model", "profile", "seed"]].apply(tuple, axis=1).isin(
            set(table[["model", "profile", "seed"]].apply(tuple, axis=1)))
        table = pd.concat([old[~same], table])
    with atomic_path(target) as part:
        table.to_csv(part, index=False)
    print(table.to_string(index=False))


def priced(name: str, z: np.ndarray, test, labels: np.ndarray, profile: str, seed: int) -> list[dict]:
    """Metrics of one calibrated score, raw and smoothed."""
    found = []
    for sigma in (0.0, 8.0):
        s = smooth(z, test.videos, test.frames, test.reliability, sigma=sigma) if sigma else z
        found.append({"model": name, "profile": profile, "seed": seed, "sigma_frames": sigma,
                      "micro_auc": round(100 * roc_auc(labels, s), 2),
                      "macro_auc": round(100 * macro_auc(labels, s, test.videos), 2),
                      "average_precision": round(100 * average_precision(labels, s), 2),
                      "hardware": hardware().name})
    return found


if __name__ == "__main__":
    main()
