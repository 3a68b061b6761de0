"""E12: accuracy of each autoencoder on UCSD Ped2, alone and as a quad.

Trains the models, scores the test videos, and evaluates every model and the plain mean of their calibrated scores, raw
and smoothed with a sigma fixed beforehand (8 frames). Labels are read last, to fill the table. With --release, weights
and cards go to Final_models; with --avenue, the four normal Avenue clips are used for training (without metrics, since
they include no test videos).

Run:   python Experiments/E12_autoencoders_ped2.py DATA_FOLDER SCRATCH_FOLDER [--models ...] [--profile lite]
           [--seeds 0 1 2 | --seeds] [--release] [--avenue]
Makes: Experiments/E12_autoencoders_ped2.csv (rows of the models that were run are replaced, others kept)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from pixelplay.autoencoders import scorer
from pixelplay.autoencoders.windows import Clips, network_size
from pixelplay.calibration import calibrate
from pixelplay.data.layouts import find_dataset
from pixelplay.environment import hardware, limit_threads
from pixelplay.evaluation.labels import read_labels
from pixelplay.evaluation.metrics import average_precision, macro_auc, roc_auc
from pixelplay.files import atomic_path
from pixelplay.flow.speed import choose_baseline, learn_baselines, measure_speeds, with_speeds
from pixelplay.fusion.smoothing import smooth
from pixelplay.registry import model_class
from pixelplay.repair.stage import open_footage, prepare

HERE = Path(__file__).parent
RELEASES = HERE.parent / "Final_codes" / "Final_models"
QUAD = ("stae", "roadmap", "unet", "joint")


def stage_one(manifest, folder: Path):
    """The manifest of a finished stage 1, its training and its test footage."""
    manifest = prepare(manifest, folder)
    found = [open_footage(folder, split) for split in ("train", "test")]
    baselines = learn_baselines(folder, found[0])
    for footage in found:
        measure_speeds(folder, footage, baselines)
    return manifest, *(with_speeds(footage, folder) for footage in found)


def fit(name: str, profile: str, seed: int, train, folder: Path):
    """A fitted model and its held-out training scores."""
    cls = model_class(name)
    model = cls(cls.Config.profile(profile), seed=seed)
    model.fit(train, folder)
    return model, model.held_out(train, folder)


def release(model, profile: str, folder: Path, metrics: dict) -> None:
    """Write weights and card."""
    model.about |= {"profile": profile, "metrics": metrics, "command": " ".join(
        ["python Experiments/E12_autoencoders_ped2.py DATA_FOLDER SCRATCH_FOLDER", *sys.argv[3:]])}
    model.save(folder / model.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--models", nargs="+", choices=QUAD, default=QUAD)
    parser.add_argument("--profile", default="lite")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--release", action="store_true", help="write weights and cards to Final_models")
    parser.add_argument("--avenue", action="store_true", help="train on the Avenue clips, too")
    args = parser.parse_args()
    limit_threads()
    if args.avenue:
        clips = args.data / "avenue_train" / "training_videos"
        # stage 1 wants something to score, too; only the training split is used here
        _, train, _ = stage_one(find_dataset(None, clips, args.data / "ped2" / "testing" / "frames"),
                                args.scratch / "avenue")
        for name in args.models:
            model, _ = fit(name, args.profile, 0, train, args.scratch / "e12" / "avenue" / name)
            if args.release:
                release(model, args.profile, RELEASES / "avenue", {"note": "no labelled test video of this scene"})
    if not args.seeds:
        return
    manifest, train, test = stage_one(find_dataset(args.data / "ped2"), args.scratch / "ped2")
    labels = read_labels(manifest.labels).align(test.ids).values
    rows, joined = priced("speed alone (no network)", speed_alone(train, test), test, labels, "", 0), {}
    for seed in args.seeds:
        for name in args.models:
            folder = args.scratch / "e12" / f"ped2_seed{seed}" / name
            model, held_out = fit(name, args.profile, seed, train, folder)
            z = calibrate(held_out.values, log=True)(model.score(test, folder).values)
            joined.setdefault(seed, []).append(z)
            found = priced(name, z, test, labels, args.profile, seed)
            if args.release and seed == args.seeds[0]:
                release(model, args.profile, RELEASES / "ped2", {"labels": "frame_labels.csv", "rows": found})
            rows += found
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


def speed_alone(train, test) -> np.ndarray:
    """(N,) calibrated score of the test frames without a network: the fastest patch relative to the typical speed in
    its row. A baseline for the autoencoders."""
    baseline = choose_baseline(train)
    size = network_size(train.size, 192)
    clips = [Clips(f, (0,), size, 1, baseline=baseline) for f in (train, test)]

    def errors(clip):
        return clip.speed ** 2

    location, _ = scorer.usual_errors(errors, clips[0], 24)
    found = [scorer.score_footage(errors, c, (0,), location, 24).values for c in clips]
    return calibrate(found[0], log=True)(found[1])


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
