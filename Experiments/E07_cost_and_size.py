"""E07: how does the cost of each stage grow with the data, and what do two processes save?

Takes 25, 100 and 400 frames of each split of the embedded sample (rendered here; videos of at most 100 frames). Runs,
each in a new process: extraction with repair, features of all training frames, the coreset of an N x 472 matrix (1 %;
N = 2,000, 8,000 and 32,000), the lite training of one autoencoder, and its scoring of the test videos. Records
wall-clock seconds (of the slowest process), and processor seconds and peak resident memory summed over processes. Each
process has one thread and its own core; two processes run under torchrun. Writes E07_cost_and_size.csv and .png beside
this file; takes about four minutes on two free cores.

    python Experiments/E07_cost_and_size.py [--scratch DIR] [--model roadmap] [--processes 1 2]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import write_rows
from matplotlib.figure import Figure
from peak_memory import PeakMemory

from pixelplay import distributed
from pixelplay.evaluation.figures import COLOURS

FRAMES = {1: 25, 4: 100, 16: 400}
ROWS = {1: 2000, 4: 8000, 16: 32000}
STAGES = ("extraction", "features", "coreset", "training", "scoring")
WIDTH = 472


def work(size: int, data: Path, out: Path, model_name: str, result: Path) -> None:
    """One process of one measurement: every stage in turn, as a run calls them."""
    import torch

    from pixelplay.data.layouts import find_dataset
    from pixelplay.environment import limit_threads
    from pixelplay.registry import model_class
    from pixelplay.repair.stage import open_footage, prepare
    from pixelplay.two_stream.backbones import load_backbone
    from pixelplay.two_stream.coreset import greedy_coreset
    from pixelplay.two_stream.features import frame_features

    limit_threads(1)
    rank, _ = distributed.world()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1 - rank]})
    backbone, rng = load_backbone("efficientnet-lite0"), np.random.default_rng(0)
    model = model_class(model_name)(model_class(model_name).Config.profile("lite"))
    found = {}

    def timed(stage: str, do: Callable[[], object]) -> None:
        distributed.barrier()
        with PeakMemory() as peak:
            clock, processor = time.perf_counter(), time.process_time()
            do()
            distributed.barrier()
            seconds, processor = time.perf_counter() - clock, time.process_time() - processor
        found[stage] = {"seconds": seconds, "processor": processor, "peak": peak.mib}

    def extract() -> None:
        if distributed.is_main():
            prepare(find_dataset(data), out / "01_frame_extraction")

    timed("extraction", extract)
    train, test = (open_footage(out / "01_frame_extraction", split) for split in ("train", "test"))
    timed("features", lambda: frame_features(train, backbone, out / "features", source="working"))
    rows = (rng.standard_normal((ROWS[size], 32), np.float32) @ rng.standard_normal((32, WIDTH), np.float32)
            + 0.1 * rng.standard_normal((ROWS[size], WIDTH), np.float32))
    timed("coreset", lambda: greedy_coreset(rows, ROWS[size] // 100, generator=torch.Generator().manual_seed(0)))
    timed("training", lambda: model.fit(train, out / model_name))
    timed("scoring", lambda: model.score(test, out / f"{model_name}-{rank}"))
    result.with_suffix(f".{rank}.json").write_text(json.dumps(found | {"train": len(train), "test": len(test)}))


def part_of(sample: Path, target: Path, frames: int) -> Path:
    """A dataset with the first `frames` frames of each split, videos of at most 100 frames; links, no copies."""
    for split in ("training_videos", "testing_videos"):
        left = frames
        for video in sorted((sample / split).iterdir()):
            files = sorted(video.iterdir())[:min(100, left)]
            left -= len(files)
            if files:
                (target / split / video.name).mkdir(parents=True)
            for path in files:
                (target / split / video.name / path.name).symlink_to(path.resolve())
    return target


def measure(processes: int, size: int, sample: Path, scratch: Path, model: str) -> list[dict]:
    """Rows of one measurement, in fresh processes."""
    out = scratch / f"{size}x{processes}"
    shutil.rmtree(out, ignore_errors=True)
    data = part_of(sample, out / "data", FRAMES[size])
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    subprocess.run([sys.executable, *launch, __file__, "--work", str(size), str(data), str(out), model],
                   check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    found = [json.loads(p.read_text()) for p in sorted(out.glob("result.*.json"))]
    rows = []
    for stage in STAGES:
        items = ROWS[size] if stage == "coreset" else found[0]["test" if stage == "scoring" else "train"]
        items += found[0]["test"] if stage == "extraction" else 0
        rows.append({"processes": processes, "size": f"{size}x", "stage": stage if stage in STAGES[:3] else
                     f"{stage} {model}", "items": items, "seconds": round(max(f[stage]["seconds"] for f in found), 2),
                     "processor_seconds": round(sum(f[stage]["processor"] for f in found), 2),
                     "peak_MiB": round(sum(f[stage]["peak"] for f in found))})
    return rows


def figure(rows: list[dict]) -> Figure:
    """Seconds and memory of each stage against the size of the data, both on logarithmic axes."""
    made = Figure(figsize=(9, 3.6), dpi=110, layout="constrained", facecolor="white")
    stages = list(dict.fromkeys(r["stage"] for r in rows))
    for axes, column, name in zip(made.subplots(1, 2), ("seconds", "peak_MiB"), ("seconds by the clock", "peak, MiB")):
        for k, stage in enumerate(stages):
            for processes, style in ((1, "o-"), (2, "s--")):
                here = [(int(r["size"][:-1]), float(r[column])) for r in rows
                        if r["stage"] == stage and int(r["processes"]) == processes]
                if here:
                    axes.plot(*zip(*here), style, color=COLOURS[1 + k], markersize=4,
                              label=stage if processes == 1 else None)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(list(FRAMES), [f"{s}x" for s in FRAMES])
        axes.set_xlabel("data", fontsize=9)
        axes.set_ylabel(name, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    made.legend(*made.axes[0].get_legend_handles_labels(), fontsize=8, title="line: 1 process\ndashes: 2",
                title_fontsize=8, loc="outside right upper")
    return made


def main() -> None:
    """Draw the sample, measure every size and number of processes."""
    if "--work" in sys.argv:
        size, data, out, model = sys.argv[sys.argv.index("--work") + 1:]
        work(int(size), Path(data), Path(out), model, Path(out) / "result")
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, help="default: a temporary folder")
    parser.add_argument("--model", default="roadmap", help="the autoencoder")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    from pixelplay.sample.dataset import make_sample

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as temporary:
        scratch = args.scratch or Path(temporary)
        sample = make_sample(scratch / "sample")
        rows = []
        for processes in args.processes:
            if processes > cores:
                print(f"{processes} processes need as many cores; this process may use {cores}: left out")
                continue
            for size in FRAMES:
                rows += measure(processes, size, sample, scratch, args.model)
                for row in rows[-len(STAGES):]:
                    print(" | ".join(map(str, row.values())), flush=True)
    result = Path(__file__).with_suffix(".csv")
    every = write_rows(result, [{k: str(v) for k, v in r.items()} for r in rows], keep="processes")
    figure(every).savefig(result.with_suffix(".png"), metadata={"Software": None})


if __name__ == "__main__":
    main()
