"""E09: does repair detect all corruption, and only corruption?

Injects every kind of corruption into the test part of three datasets (Ped2's own split; otherwise the first half of
every second clip is for training and the second half for testing), runs stage 1 and counts hits and false alarms per
flag; measures the PSNR of denoised frames, and the cost of detection and repair on one core.

Run:   python Experiments/E09_repair_detection.py DATA_FOLDER SCRATCH_FOLDER    (about 15 minutes on two cores)
Makes: Experiments/E09_repair_detection.csv, Experiments/E09_repair_psnr.csv, Experiments/E09_repair_cost.csv
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pixelplay.data.corruption import RECIPES, corrupt_dataset, corrupt_frame, flag_of, frame_rng, jpeg
from pixelplay.data.extraction import to_working, working_size
from pixelplay.data.layouts import find_dataset
from pixelplay.data.manifest import Manifest, make_table
from pixelplay.data.reading import open_stream
from pixelplay.repair import noise
from pixelplay.repair.background import learn_scenes
from pixelplay.repair.denoise import Denoiser
from pixelplay.repair.geometry import measure
from pixelplay.repair.neighbours import TemporalFusion
from pixelplay.repair.orientation import turned_features
from pixelplay.repair.plan import change, references
from pixelplay.repair.stage import open_footage, prepare
from pixelplay.scenes.description import features, thumbnail
from pixelplay.scenes.medians import pixel_median

HERE = Path(__file__).parent
RUNS = ("clean", "flips-in-noise", "noise", "camera")


def halves(folder: Path) -> Manifest:
    """The first half of every clip as training footage, the second as test footage."""
    whole = find_dataset(None, train=folder)
    table = whole.split("train")
    place = table.groupby("video")["frame"].rank(method="first").to_numpy() - 1
    first = place < table.groupby("video")["frame"].transform("size").to_numpy() // 2
    rows = [("train" if f else "test", r.video, r.frame, r.path) for f, r in zip(first, table.itertuples())]
    roots = dict.fromkeys(("train", "test"), whole.roots["train"])
    return dataclasses.replace(whole, table=make_table(rows), roots=roots,
                               fingerprints=dict.fromkeys(("train", "test"), whole.fingerprint + "halves"))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255 ** 2 / max(float(((a.astype(np.float32) - b) ** 2).mean()), 1e-6))


def run(name: str, manifest: Manifest, recipe: str, scratch: Path) -> tuple[list[dict], list[dict]]:
    """Corrupt, repair and compare one dataset; returns rows of the detection and the PSNR table."""
    copy, out = scratch / f"{name}_{recipe}", scratch / f"{name}_{recipe}_out"
    if recipe == "clean":
        truth, damaged = pd.DataFrame({"Id": manifest.split("test")["Id"], "kind": "", "strength": ""}), manifest
    else:
        plan = corrupt_dataset(manifest, copy, RECIPES[recipe], seed=9, with_train=False)
        truth = plan[~plan["dropped"]]
        test = find_dataset(None, test=copy / "testing_videos").split("test")
        test["split"] = "test"
        damaged = dataclasses.replace(
            manifest, table=pd.concat([manifest.split("train"), test], ignore_index=True),
            roots={"train": manifest.roots["train"], "test": copy / "testing_videos"},
            fingerprints=manifest.fingerprints | {"test": f"{name}{recipe}9"})
    repaired = prepare(damaged, out).split("test").set_index("Id")
    found = repaired.loc[truth["Id"], "flags"].str.split("|").map(set).tolist()
    true = [{flag_of(k) for k in kind.split("|") if k} for kind in truth["kind"]]
    strengths = [dict(zip(k.split("|"), s.split("|"))) for k, s in zip(truth["kind"], truth["strength"])]
    rows = []
    for flag in ("vflip", "hflip", "rot180", "noise", "impulse", "duplicate", "frozen", "blank", "exposure", "blur",
                 "shift", "unreadable"):
        t, f = np.array([flag in x for x in true]), np.array([flag in x for x in found])
        if t.any() or f.any() or recipe == "clean":
            rows.append({"dataset": name, "recipe": recipe, "flag": flag, "frames": len(t), "true": t.sum(),
                         "hit": (t & f).sum(), "missed": (t & ~f).sum(), "false": (f & ~t).sum(),
                         "recall": round((t & f).sum() / t.sum(), 5) if t.any() else "",
                         "precision": round((t & f).sum() / f.sum(), 5) if f.any() else "",
                         "false_rate": round((f & ~t).sum() / max((~t).sum(), 1), 5)})
        if flag == "noise" and recipe == "noise":
            for kind, strength in (*(("noise", s) for s in ("15", "20", "27", "37")), ("uniform", "35")):
                t = np.array([s.get(kind) == strength for s in strengths])
                rows.append({"dataset": name, "recipe": recipe, "flag": f"{kind} {strength}", "frames": len(t),
                             "true": t.sum(), "hit": (t & f).sum(), "missed": (t & ~f).sum(), "false": "",
                             "recall": round((t & f).sum() / t.sum(), 5), "precision": "", "false_rate": ""})
    quality = []
    if recipe == "noise":
        footage = open_footage(out, "test")
        place = {i: k for k, i in enumerate(manifest.split("test")["Id"])}
        for kind, strength in (*(("noise", s) for s in ("15", "27", "37")), ("uniform", "35"), ("impulse", "0.05")):
            picks = np.flatnonzero([s.get(kind) == strength for s in strengths])[::3]
            rows_of = footage.rows[[int(np.flatnonzero(footage.ids == truth["Id"].iloc[p])[0]) for p in picks]]
            order = np.argsort(rows_of)
            clean = open_stream(manifest, "test")(np.array([place[footage.ids[r]] for r in rows_of[order]]))
            raw = open_stream(damaged, "test")(rows_of[order])
            values = np.array([(psnr(b, a), psnr(c, a)) for a, b, c in
                               zip(clean, raw, footage.open_stream(rows_of[order]))])
            before, after = values.mean(axis=0)
            quality.append({"dataset": name, "corruption": f"{kind} {strength}", "frames": len(values),
                            "psnr_corrupted": round(before, 2), "psnr_repaired": round(after, 2),
                            "gain_db": round(after - before, 2),
                            "least_gain_db": round(float(np.diff(values).min()), 2)})
    shutil.rmtree(copy, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    return rows, quality


def cost(manifest: Manifest) -> list[dict]:
    """Milliseconds of processor time a frame on one thread, at the dataset's own size: medians over 60 frames."""
    cv2.setNumThreads(1)
    stream = open_stream(manifest, "train", 1)
    picks = np.linspace(0, len(manifest.split("train")) - 1, 60).astype(int)
    frames = list(stream(np.unique(picks)))
    size = working_size(frames[0].shape[:2])
    small = np.stack([to_working(f, size) for f in frames])
    scenes = learn_scenes(small, np.arange(len(small)), np.array(["v"] * len(small), dtype=object))
    reference, templates = references(scenes)[0], scenes[0].templates
    denoiser, fusion = Denoiser(pixel_median(np.stack(frames), np.uint8)), TemporalFusion()

    def look(i: int) -> None:
        noise.measure(frames[i])
        description = features(thumbnail(small[i]))
        templates @ description
        turned_features(description) @ description
        change(small[i], small[i - 1])
        measure(small[i], reference)

    noisy = [jpeg(corrupt_frame(f, "noise", 37, frame_rng(0, str(i)))) for i, f in enumerate(frames)]
    rows = []
    for what, work in (("detection", look), ("denoising", lambda i: denoiser(noisy[i], 37.0)),
                       ("lending", lambda i: fusion(small[i], [small[i - 1], small[i - 2]])),
                       ("yardstick: Gaussian blur, sigma 1", lambda i: cv2.GaussianBlur(frames[i], (0, 0), 1.0))):
        seconds = []
        for i in range(len(frames)):
            start = time.process_time()
            work(i)
            seconds.append(time.process_time() - start)
        height, width = frames[0].shape[:2]
        rows.append({"what": what, "frame": f"{width}x{height}", "median_ms": round(1e3 * np.median(seconds), 2),
                     "fastest_ms": round(1e3 * min(seconds), 2)})
    return rows


def main(data: Path, scratch: Path) -> None:
    sets = {"ped2": find_dataset(data / "ped2"), "avenue_train": halves(data / "avenue_train" / "training_videos"),
            "own_video": halves(data / "own_video")}
    pd.DataFrame(cost(sets["avenue_train"])).to_csv(HERE / "E09_repair_cost.csv", index=False)
    detection, quality = [], []
    for recipe in RUNS:
        for name, manifest in sets.items():
            rows, values = run(name, manifest, recipe, scratch)
            detection += rows
            quality += values
            pd.DataFrame(detection).to_csv(HERE / "E09_repair_detection.csv", index=False)
            if quality:
                pd.DataFrame(quality).to_csv(HERE / "E09_repair_psnr.csv", index=False)
            print(pd.DataFrame(rows).to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
