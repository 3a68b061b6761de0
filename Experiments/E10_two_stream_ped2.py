"""E10: accuracy and cost of each part of the two-stream memory on UCSD Ped2.

Runs stage 1, the local stream with one or more sets of detectors and, with --global, the global stream, in the lite
profile with one seed. Evaluates every part before and after smoothing with the model's own sigma. With --run, frames
and scores come from a finished run of run_all.py on Ped2 (profile lite, detector `foreground`). Labels are read last,
to fill the table. With --cost, fits and scores both streams on a number of videos and on twice as many, each in its own
process: frames per second and peak memory.

Run:   python Experiments/E10_two_stream_ped2.py DATA_FOLDER SCRATCH_FOLDER [--detectors foreground yolox-nano both]
           [--global] [--run OUTPUT_FOLDER] [--cost VIDEOS]
Makes: Experiments/E10_two_stream_ped2.csv (rows of the detectors that were run are replaced, others kept) and, with
       --cost, Experiments/E10_cost.csv
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from peak_memory import PeakMemory

from pixelplay.calibration import calibrate
from pixelplay.data.footage import Footage
from pixelplay.data.layouts import find_dataset
from pixelplay.data.manifest import Manifest
from pixelplay.environment import hardware, limit_threads
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.labels import read_labels
from pixelplay.evaluation.metrics import average_precision, macro_auc, roc_auc
from pixelplay.files import atomic_path
from pixelplay.fusion.scores import read_scores
from pixelplay.fusion.smoothing import smooth
from pixelplay.model import Scores
from pixelplay.pipeline import EXTRACTION
from pixelplay.registry import model_class
from pixelplay.repair.stage import open_footage, prepare
from pixelplay.two_stream.channels import CHANNELS
from pixelplay.two_stream.global_memory import GlobalMemory, GlobalMemoryConfig
from pixelplay.two_stream.local_memory import LocalMemory, LocalMemoryConfig

HERE = Path(__file__).parent
DETECTORS = {"foreground": ("foreground",), "yolox-nano": ("yolox-nano",), "both": ("yolox-nano", "foreground")}


def calibrated(test: Scores, train: Scores) -> dict[str, np.ndarray]:
    """z-scores of the local stream's channels and their joint score; only held-out training scores enter."""
    names = ("appearance", *(c.name for c in CHANNELS))
    return {**{n: calibrate(train.parts[n], log=True, high=100.0)(test.parts[n]) for n in names},
            "all channels": test.values}


def together(local: Scores, local_train: Scores, whole: np.ndarray) -> np.ndarray:
    """Both streams on one scale, with the weights the ensemble gives them; `whole` is the global stream's z-score."""
    fused = calibrate(local_train.values, log=False, high=100.0)(local.values)
    return model_class("local_memory").weight * fused + model_class("global_memory").weight * whole


def finished(run: Path, model: str, test: Footage, train: Footage) -> tuple[Scores, Scores]:
    """Test and held-out training scores of a model, with their parts, as a finished run has written them."""
    files = {p.stem: read_scores(p, test.ids) for p in sorted((run / "scores" / "parts").glob(f"{model}.*.csv"))
             if not p.stem.endswith(".train")}
    whole = read_scores(run / "scores" / f"{model}.csv", test.ids)
    if list(whole.train_ids) != list(train.ids):
        raise PixelPlayError(f"{run} holds no training scores of these frames", hint="run it again on Ped2")
    names = {name.removeprefix(f"{model}."): file for name, file in files.items()}
    return (Scores(whole.values, np.zeros(len(test), bool), {n: f.values for n, f in names.items()}),
            Scores(whole.train_values, np.zeros(len(train), bool),
                   {n: f.train_values for n, f in names.items() if f.train_values is not None}))


def rows_of(name: str, values: np.ndarray, test: Footage, labels: np.ndarray, sigma: float) -> list[dict]:
    """Metrics of one score, raw and smoothed."""
    rows = []
    for width in (0.0, sigma):
        s = smooth(values, test.videos, test.frames, test.reliability, sigma=width) if width else values
        rows.append({"score": name, "sigma_frames": width, "micro_auc": round(100 * roc_auc(labels, s), 2),
                     "macro_auc": round(100 * macro_auc(labels, s, test.videos), 2),
                     "macro_auc_padded": round(100 * macro_auc(labels, s, test.videos, "pad"), 2),
                     "average_precision": round(100 * average_precision(labels, s), 2)})
    return rows


def cost_of(prepared: Path, folder: Path, videos: int) -> dict:
    """Fit on the first `videos` training videos and score as many test videos, from nothing; this process's memory."""
    shutil.rmtree(folder, ignore_errors=True)
    train, test = (open_footage(prepared, split) for split in ("train", "test"))
    train, test = (f.of_videos(f.video_names()[:videos]) for f in (train, test))
    models = GlobalMemory(GlobalMemoryConfig.profile("lite")), LocalMemory(LocalMemoryConfig.profile("lite"))
    with PeakMemory() as peak:
        start = time.perf_counter(), time.process_time()
        for model in models:
            model.fit(train, folder / model.name)
            model.score(test, folder / model.name)
        wall, busy = time.perf_counter() - start[0], time.process_time() - start[1]
    frames = len(train) + len(test)
    return {"videos": videos, "frames": frames, "frames_per_second": round(frames / wall, 1),
            "per_processor_second": round(frames / busy, 1),
            "peak_mib": round(peak.mib), "peak_mib_without_mapped_files": round(peak.own_mib),
            "device": hardware().name}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--detectors", nargs="*", choices=DETECTORS, default=["foreground"])
    parser.add_argument("--run", type=Path, help="finished run whose scores stand for 'foreground' and 'global'")
    parser.add_argument("--global", dest="whole_frame", action="store_true", help="the global stream, too")
    parser.add_argument("--cost", type=int, metavar="VIDEOS", help="cost with so many videos, and twice as many")
    parser.add_argument("--cost-only", type=int, metavar="VIDEOS", help=argparse.SUPPRESS)
    args = parser.parse_args()
    limit_threads()
    if args.cost_only:
        prepared = args.run / EXTRACTION if args.run else args.scratch / "ped2"
        print(json.dumps(cost_of(prepared, args.scratch / "cost", args.cost_only)))
        return
    if args.run:
        prepared = args.run / EXTRACTION
        manifest = Manifest.load(prepared)
    else:
        prepared = args.scratch / "ped2"
        prepared.mkdir(parents=True, exist_ok=True)
        manifest = prepare(find_dataset(args.data / "ped2"), prepared)
    train, test = (open_footage(prepared, split) for split in ("train", "test"))
    scores: dict[tuple[str, str], np.ndarray] = {}
    facts: dict[str, dict] = {}
    local: dict[str, tuple[Scores, Scores]] = {}
    whole: np.ndarray | None = None
    if args.run:
        local["foreground"] = finished(args.run, "local_memory", test, train)
        found, held_out = finished(args.run, "global_memory", test, train)
        whole = np.mean([calibrate(held_out.parts[n], log=True, low=-100.0, high=100.0)(v)
                         for n, v in found.parts.items()], axis=0)
    for choice in args.detectors:
        folder = args.scratch / f"local_{choice}"
        model = LocalMemory(dataclasses.replace(LocalMemoryConfig.profile("lite"), detectors=DETECTORS[choice]))
        with PeakMemory() as peak:
            start = time.perf_counter(), time.process_time()
            model.fit(train, folder)
            found = model.score(test, folder)
            wall, busy = time.perf_counter() - start[0], time.process_time() - start[1]
        facts[choice] = {"seconds": round(wall), "cpu_seconds": round(busy), "peak_mib": round(peak.mib),
                         "peak_mib_without_mapped_files": round(peak.own_mib),
                         "frames": len(train) + len(test), "flow_baseline": model.about["flow"]["baseline"]}
        local[choice] = found, model.held_out(train, folder)
    if args.whole_frame:
        model = GlobalMemory(GlobalMemoryConfig.profile("lite"))
        model.fit(train, args.scratch / "global")
        whole = model.score(test, args.scratch / "global").values
    for choice, (found, held_out) in local.items():
        scores |= {(choice, name): values for name, values in calibrated(found, held_out).items()}
        if whole is not None:
            scores[choice, "all channels + global"] = together(found, held_out, whole)
    if whole is not None:
        scores["none", "global"] = whole
    if scores:
        labels = read_labels(manifest.labels).align(test.ids).values
        table = pd.DataFrame([{"detectors": choice, **row, **facts.get(choice, {})}
                              for (choice, name), values in scores.items()
                              for row in rows_of(name, values, test, labels,
                                                 (GlobalMemory if name == "global" else LocalMemory).sigma)])
        target = HERE / "E10_two_stream_ped2.csv"
        if target.exists():
            old = pd.read_csv(target)
            table = pd.concat([old[~old["detectors"].isin(table["detectors"].unique())], table])
        with atomic_path(target) as part:
            table.to_csv(part, index=False)
        print(table.to_string(index=False))
    if args.cost:
        same = ["--run", args.run] if args.run else []
        rows = [subprocess.run([sys.executable, __file__, args.data, args.scratch, *same, "--cost-only", str(n)],
                               check=True, stdout=subprocess.PIPE, text=True).stdout
                for n in (args.cost, 2 * args.cost)]
        costs = pd.DataFrame([json.loads(row.splitlines()[-1]) for row in rows])
        with atomic_path(HERE / "E10_cost.csv") as part:
            costs.to_csv(part, index=False)
        print(costs.to_string(index=False))


if __name__ == "__main__":
    main()
