"""E03: what does corruption cost, and how much of it does repair win back?

Scores UCSD Ped2 with each model as published; corrupted like the competition's test set (recipe `competition`: 10.2 %
vertical flips, 24.4 % noise of sigma 37, 15.5 % of sigma 27, 1.65 % dropped, JPEG 75 with 4:2:0 chroma); corrupted and
repaired; and, for what no repair can bring back, clean frames with the same drops and JPEG. Every model is trained
once, on the clean training frames; its scores are calibrated on held-out training scores and smoothed with its own
sigma, weighted by reliability. Labels are used for the table alone. Won back = (repaired - corrupted) / (clean -
corrupted); `won_back_of_jpeg` is measured against the clean frames with the same drops and JPEG instead.

Run:   python Experiments/E03_price_of_corruption.py DATA_FOLDER SCRATCH_FOLDER [MODEL ...] [--profile smoke]
       models: names from the registry, or frame_difference, foreground, flow (no training, defined below)
Makes: Experiments/E03_price_of_corruption.csv (rows of other models are kept)
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pixelplay.calibration import calibrate
from pixelplay.data.baseline import frame_difference_scores, patch_means
from pixelplay.data.corruption import RECIPES, corrupt_dataset, encode, frame_path
from pixelplay.data.footage import Footage
from pixelplay.data.layouts import find_dataset
from pixelplay.data.manifest import Manifest
from pixelplay.data.reading import open_stream
from pixelplay.environment import hardware, limit_threads
from pixelplay.evaluation.labels import read_labels
from pixelplay.evaluation.metrics import average_precision, macro_auc, roc_auc
from pixelplay.fusion.smoothing import smooth
from pixelplay.registry import MODELS, model_class
from pixelplay.repair.stage import RepairConfig, open_footage, prepare

TABLE = Path(__file__).with_suffix(".csv")
CONDITIONS = ("clean", "corrupted", "repaired", "clean, same drops and JPEG")


def foreground_scores(footage: Footage, background: np.ndarray) -> np.ndarray:
    """Largest 16 x 16 patch mean of the difference to the training background: how much something stands out."""
    return np.array([float(patch_means(cv2.absdiff(np.ascontiguousarray(footage.pixels[r]), background)).max())
                     for r in footage.rows])


def flow_scores(footage: Footage) -> np.ndarray:
    """Largest 16 x 16 patch mean of DIS optical flow to the frame before, in pixels a frame."""
    flow, scores, before = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST), np.zeros(len(footage)), None
    for i, row in enumerate(footage.rows):
        grey = cv2.cvtColor(np.ascontiguousarray(footage.pixels[row]), cv2.COLOR_RGB2GRAY)
        if i and footage.videos[i] == footage.videos[i - 1]:
            moved = flow.calc(before, grey, None)
            speed = np.hypot(moved[..., 0], moved[..., 1]) / (footage.frames[i] - footage.frames[i - 1])
            scores[i] = cv2.blur(speed, (16, 16)).max()
            if i == 1 or footage.videos[i - 2] != footage.videos[i]:
                scores[i - 1] = scores[i]
        before = grey
    return scores


def compressed_copy(clean: Manifest, damaged: Manifest, plan: pd.DataFrame, folder: Path) -> Manifest:
    """The frames of the corrupted copy without its flips and noise."""
    kept = np.flatnonzero(~plan["dropped"].to_numpy())
    for k, frame in zip(kept, open_stream(clean, "test")(kept)):
        path = folder / frame_path("test", plan["Id"][k], ".jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(frame))
    return dataclasses.replace(damaged, fingerprint=damaged.fingerprint + "clean",
                               roots={"train": clean.roots["train"], "test": folder / "testing_videos"})


def scores_of(name: str, train: Footage, tests: dict[str, Footage], folder: Path, profile: str
              ) -> tuple[np.ndarray, dict[str, np.ndarray], float, bool]:
    """(held-out training scores, condition -> test scores, sigma, whether to take logarithms)."""
    if name in MODELS:
        cls = model_class(name)
        model = cls(cls.Config.profile(profile), seed=0)
        model.fit(train, folder)
        held_out = model.held_out(train, folder).values
        found = {}
        for condition, test in tests.items():
            place = folder / condition.replace(", ", "_").replace(" ", "_")
            place.mkdir(parents=True, exist_ok=True)
            found[condition] = model.score(test, place).values
        return held_out, found, cls.sigma, cls.kind in ("error", "distance")
    if name == "foreground":
        background = np.median(train.pixels[train.rows[::40]], axis=0).astype(np.uint8)

        def score(footage: Footage) -> np.ndarray:
            return foreground_scores(footage, background)
    else:
        score = {"frame_difference": frame_difference_scores, "flow": flow_scores}[name]
    return score(train), {c: score(t) for c, t in tests.items()}, 8.0, True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("models", nargs="*", default=["frame_difference", "foreground", "flow"])
    parser.add_argument("--profile", default="lite")
    args = parser.parse_args()
    limit_threads(1)
    clean = find_dataset(args.data / "ped2")
    plan = corrupt_dataset(clean, args.scratch / "copy", RECIPES["competition"], seed=3, with_train=False)
    copy = find_dataset(None, test=args.scratch / "copy" / "testing_videos")
    table = pd.concat([clean.split("train"), copy.split("test")], ignore_index=True)
    roots = {"train": clean.roots["train"], "test": args.scratch / "copy" / "testing_videos"}
    damaged = dataclasses.replace(clean, table=table, fingerprint=copy.fingerprint, roots=roots)
    prepare(clean, args.scratch / "clean", RepairConfig(enabled=False))
    prepare(damaged, args.scratch / "corrupted", RepairConfig(enabled=False))
    prepare(damaged, args.scratch / "repaired")
    compressed = compressed_copy(clean, damaged, plan, args.scratch / "jpeg")
    prepare(compressed, args.scratch / CONDITIONS[3], RepairConfig(enabled=False))
    tests = {c: open_footage(args.scratch / c, "test") for c in CONDITIONS}
    train = open_footage(args.scratch / "clean", "train")
    labels = read_labels(args.data / "ped2" / "frame_labels.csv")
    truth = {c: labels.align(t.ids, t.ids).values for c, t in tests.items()}
    rows = []
    for name in args.models:
        folder = args.scratch / f"{name}_{args.profile}"
        held_out, found, sigma, log = scores_of(name, train, tests, folder, args.profile)
        calibration = calibrate(held_out, log=log)
        ways = [(c, c, tests[c].reliability) for c in CONDITIONS]
        ways.append(("repaired, reliability ignored", "repaired", np.ones(len(tests["repaired"]))))
        for label, condition, trust in ways:
            test, values = tests[condition], calibration(found[condition])
            smoothed = smooth(values, test.videos, test.frames, trust, sigma=sigma)
            y = truth[condition]
            rows.append({"model": name, "profile": args.profile if name in MODELS else "", "condition": label,
                         "frames": len(y), "AP": average_precision(y, smoothed), "micro_AUC": roc_auc(y, smoothed),
                         "macro_AUC": macro_auc(y, smoothed, test.videos),
                         "AP_unsmoothed": average_precision(y, values), "micro_AUC_unsmoothed": roc_auc(y, values),
                         "hardware": hardware().name})
        start = len(rows) - len(ways)
        for metric in ("AP", "micro_AUC", "macro_AUC"):
            best, worst, after, compressed = (rows[start + k][metric] for k in range(4))
            rows[start + 2][f"won_back_{metric}"] = (after - worst) / (best - worst)
            rows[start + 2][f"won_back_of_jpeg_{metric}"] = (after - worst) / (compressed - worst)
        new = pd.DataFrame(rows)
        if TABLE.exists():
            old = pd.read_csv(TABLE, keep_default_na=False)
            new = pd.concat([old[~old["model"].isin(new["model"])], new], ignore_index=True)
        new.to_csv(TABLE, index=False, float_format="%.4f")
        print(pd.DataFrame(rows[-len(ways):]).drop(columns="hardware").to_string())


if __name__ == "__main__":
    main()
