"""E05: cost of a frame in each backbone, against CLIP's full image encoder one frame at a time; and of three seeds.

    python Experiments/E05_backbones.py [--device cuda:0] [--threads 2]

Needs open_clip (pip install open-clip-torch) for the reference. RN101 has random weights, which do not affect the time.
Appends to E05_backbones.csv: frames per second of wall-clock and of processor time, and the ratio to the reference in
the same run (of processor time on a CPU, because other work on the machine disturbs it less). Then appends to
E05_seeds.csv the cost of the whole global stream with three banks and with one.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import torch

from pixelplay.data.footage import Footage
from pixelplay.data.ids import frame_id
from pixelplay.environment import Hardware, hardware, limit_threads
from pixelplay.two_stream.backbones import load_backbone
from pixelplay.two_stream.features import frame_features
from pixelplay.two_stream.global_memory import GlobalMemory, GlobalMemoryConfig


def best_time(work: Callable[[], object], device: str, repeats: int) -> tuple[float, float]:
    """Smallest wall-clock and processor seconds over some repeats, after a warm-up."""
    found = []
    for _ in range(repeats + 1):
        if device != "cpu":
            torch.cuda.synchronize()
        begin, busy = time.perf_counter(), time.process_time()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        found.append((time.perf_counter() - begin, time.process_time() - busy))
    return tuple(np.min(found[1:], axis=0))


def backbone_rows(device: str, threads: int, repeats: int) -> list[dict]:
    """One row per backbone, precision and batch size; the reference first."""
    native = hardware() if device == "cpu" else dataclasses.replace(hardware(), device=device)
    plain = Hardware(device, "float32", threads, native.name)
    frame = np.random.default_rng(0).integers(0, 256, (32, 224, 224, 3), dtype=np.uint8)
    encoder = open_clip.create_model("RN101-quickgelu", pretrained=None).visual.eval().to(device)
    shape = load_backbone("random-rn101", hardware=plain)

    @torch.inference_mode()
    def reference() -> None:
        encoder(shape.network_input(shape.prepare(frame[:1])))

    spent = best_time(reference, device, repeats)
    rows = [{"network": "open_clip RN101 encoder, complete", "precision": "float32", "batch": 1, "spent": spent}]
    batches = (1, 8, 16) if device == "cpu" else (1, 32)
    for name in ("random-rn101", "efficientnet-lite0"):
        for kind in (plain, native) if native.dtype != "float32" else (plain,):
            backbone = load_backbone(name, hardware=kind)
            for batch in batches:
                spent = best_time(lambda b=backbone, n=batch: b.embed(frame[:n], batch_size=n), device, repeats)
                rows.append({"network": f"ours, {name}", "precision": kind.dtype, "batch": batch,
                             "spent": tuple(s / batch for s in spent)})
    unit, reference_time = int(device == "cpu"), rows[0]["spent"]
    for row in rows:
        spent = row.pop("spent")
        row |= {"frames_per_second": round(1 / spent[0], 2), "per_processor_second": round(1 / spent[1], 2),
                "times_faster": round(reference_time[unit] / spent[unit], 2), "threads": threads, "device": native.name,
                "torch": torch.__version__}
    return rows


def seed_row(device: str, threads: int, frames: int) -> dict:
    """Seconds of the global stream on `frames` training and half as many test frames: features, which all banks share,
    and everything after them (banks, held-out banks, scores) with one seed and with three."""
    rng, clock = np.random.default_rng(1), time.process_time if device == "cpu" else time.perf_counter
    train, test = _noise("train", rng, frames, 8), _noise("test", rng, frames // 2, 4)
    spent = {}
    with tempfile.TemporaryDirectory() as folder:
        model = GlobalMemory(GlobalMemoryConfig())
        model.backbone.embed(train.pixels[:1])
        begin = clock()
        for footage in (train, test):
            frame_features(footage, model.backbone, Path(folder) / "features", source=model.config.source)
        features = clock() - begin
        for seeds in (1, 3):
            model = GlobalMemory(GlobalMemoryConfig(seeds=seeds))
            model.backbone.embed(train.pixels[:1])
            begin = clock()
            model.fit(train, Path(folder))
            model.held_out(train, Path(folder))
            model.score(test, Path(folder))
            spent[seeds] = clock() - begin
    return {"frames": len(train) + len(test), "backbone": model.backbone.name, "precision": hardware().dtype,
            "feature_seconds": round(features, 2), "one_seed_seconds": round(spent[1], 2),
            "three_seeds_seconds": round(spent[3], 2),
            "three_cost_times_one": round((features + spent[3]) / (features + spent[1]), 3),
            "clock": "processor" if device == "cpu" else "wall", "threads": threads, "device": hardware().name}


def _noise(name: str, rng: np.random.Generator, count: int, videos: int) -> Footage:
    """Frames of noise: what is in them does not matter for the time."""
    pixels = rng.integers(0, 256, (count, 192, 320, 3), dtype=np.uint8)
    numbers, names = np.arange(count), np.sort(np.arange(count) % videos).astype(str).astype(object)
    return Footage(name, np.array([frame_id(v, n) for v, n in zip(names, numbers)], dtype=object), names, numbers,
                   np.ones(count, np.float32), np.full(count, "", dtype=object), pixels, numbers, (192, 320), 25.0,
                   f"noise {name} {count}", lambda rows: iter(pixels[rows]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=None, help="processor threads; all when left out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames", type=int, default=1024, help="training frames of the comparison of seeds")
    parser.add_argument("--seeds-only", action="store_true")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder of the tables")
    args = parser.parse_args()

    threads = limit_threads(args.threads)
    if not args.seeds_only:
        append(backbone_rows(args.device, threads, args.repeats), args.output / "E05_backbones.csv")
    append([seed_row(args.device, threads, args.frames)], args.output / "E05_seeds.csv")


def append(rows: list[dict], path: Path) -> None:
    """Print rows and append them to a table."""
    table = pd.DataFrame(rows)
    print(table.drop(columns=["device", "torch"], errors="ignore").to_string(index=False))
    if path.exists():
        table = pd.concat([pd.read_csv(path), table])
    table.to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
