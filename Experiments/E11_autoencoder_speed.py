"""E11: how fast do the autoencoders score and train, and is data loading the bottleneck?

Times each autoencoder's lite profile on UCSD Ped2 after a few training steps: frames scored per second, clips trained
per second, and the share of a training step spent on its batch. For comparison: clips per second from a plain PyTorch
DataLoader that opens, decodes, resizes and stacks JPEGs and, with --compile, the second training epoch under
torch.compile, after compilation. Speed maps come from stage 1; their frames per second have their own row. Only ratios
within one run are meaningful.

Run:   python Experiments/E11_autoencoder_speed.py DATA_FOLDER SCRATCH_FOLDER [--models stae ...] [--threads 2]
           [--compile]
Makes: Experiments/E11_autoencoder_speed.csv
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from pixelplay.autoencoders.augment import Augment
from pixelplay.config import override
from pixelplay.data.layouts import find_dataset
from pixelplay.environment import hardware, limit_threads
from pixelplay.files import atomic_path
from pixelplay.flow.speed import cell_size, choose_baseline, measure
from pixelplay.registry import model_class
from pixelplay.repair.stage import open_footage, prepare

HERE = Path(__file__).parent
QUAD = ("stae", "roadmap", "unet", "joint")
STEPS, FRAMES = 12, 360


class JpegClips(torch.utils.data.Dataset):
    """The plain way: a clip is read from its JPEG files whenever it is asked for."""

    def __init__(self, files: list[Path], rows: np.ndarray, size: tuple[int, int]):
        self.files, self.rows, self.size = files, rows, size

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> torch.Tensor:
        frames = [cv2.resize(cv2.imread(str(self.files[r]), cv2.IMREAD_GRAYSCALE), self.size[::-1],
                             interpolation=cv2.INTER_AREA) for r in self.rows[i]]
        return torch.from_numpy(np.stack(frames)[:, None]).float() / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--models", nargs="+", choices=QUAD, default=QUAD)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    threads = limit_threads(args.threads)
    manifest = prepare(find_dataset(args.data / "ped2"), args.scratch / "ped2")
    train, test = (open_footage(args.scratch / "ped2", split) for split in ("train", "test"))
    baseline, shape = choose_baseline(train), (FRAMES, *cell_size(*train.size))
    speeds, start = [np.zeros(shape, np.float16) for _ in range(2)], time.perf_counter()
    for footage, cells in zip((train, test), speeds):
        measure(footage.select(np.arange(FRAMES)), baseline, cells, threads)
    rows = [{"model": "speed maps of stage 1", "size": "x".join(map(str, train.size)), "threads": threads,
             "frames_scored_per_s": round(2 * FRAMES / (time.perf_counter() - start), 1),
             "hardware": hardware().name}]
    train, test = (dataclasses.replace(f.select(np.arange(FRAMES)), speeds=cells)
                   for f, cells in zip((train, test), speeds))
    files = [manifest.roots["train"] / p for p in manifest.split("train")["path"]]
    for name in args.models:
        cls, folder = model_class(name), args.scratch / "e11" / name
        shutil.rmtree(folder, ignore_errors=True)
        config = override(cls.Config.profile("lite"), {"steps": STEPS, "epoch_steps": STEPS})
        model = cls(config)
        model.fit(train, folder)
        clips = model.clips(train)
        maker, start = Augment(clips, config, 0), time.perf_counter()
        for step in range(STEPS):
            maker.batch(step, np.arange(config.batch) + step)
        ours = STEPS * config.batch / (time.perf_counter() - start)
        loader = torch.utils.data.DataLoader(JpegClips(files, clips.windows.rows, clips.size), config.batch,
                                             shuffle=True, num_workers=min(2, threads))
        start, seen = time.perf_counter(), 0
        for batch in loader:
            seen += len(batch)
            if seen >= 6 * config.batch:
                break
        plain = seen / (time.perf_counter() - start)
        start = time.perf_counter()
        model.score(test, folder)
        scored = FRAMES / (time.perf_counter() - start)
        trained = model.about["curve"][-1]["clips_per_second"]
        compiled = float("nan")
        if args.compile:
            other = cls(override(config, {"compile": True, "steps": 2 * STEPS}))
            other.fit(train, folder / "compiled")
            compiled = other.about["curve"][-1]["clips_per_second"]
        rows.append({"model": name, "size": "x".join(map(str, model.about["size"])), "batch": config.batch,
                     "threads": threads, "precision": model.about["precision"],
                     "frames_scored_per_s": round(scored, 1), "clips_trained_per_s": round(trained, 1),
                     "compiled_clips_trained_per_s": round(compiled, 1), "clips_made_per_s": round(ours, 1),
                     "jpeg_loader_clips_per_s": round(plain, 1),
                     "loader_share_of_step": round(trained / ours, 3), "hardware": hardware().name})
        print(rows[-1])
    with atomic_path(HERE / "E11_autoencoder_speed.csv") as part:
        pd.DataFrame(rows).to_csv(part, index=False)


if __name__ == "__main__":
    main()
