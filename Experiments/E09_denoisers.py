"""E09: which denoiser gains most per millisecond on a fixed camera?

Adds the competition's noise (sigma 27 and 37, JPEG 75 with 4:2:0 chroma) to test frames of Ped2, `avenue_train` and
`own_video`. Compares spatial filters, temporal filters (with as many noisy neighbours as in the competition),
background-guided filters and a small network trained on the training frames. Reports PSNR over the whole frame and over
moving pixels (more than 25 grey levels from the background), and milliseconds of processor time on one thread, all
filters interleaved in one run.

Run:   python Experiments/E09_denoisers.py DATA_FOLDER    (about 8 minutes on two cores)
Makes: Experiments/E09_denoisers.csv
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from E09_repair_detection import halves, psnr

from pixelplay.data.corruption import corrupt_frame, frame_rng, jpeg
from pixelplay.data.layouts import find_dataset
from pixelplay.data.manifest import Manifest
from pixelplay.data.reading import open_stream
from pixelplay.repair.denoise import Denoiser
from pixelplay.repair.neighbours import TemporalFusion
from pixelplay.scenes.medians import pixel_median

STEPS = 2500
FRAMES = 8


def noisy(frame: np.ndarray, sigma: float, name: str) -> np.ndarray:
    return jpeg(corrupt_frame(frame, "noise", sigma, frame_rng(0, name)))


class Network(torch.nn.Module):
    """Frame less background and background, folded 4 x 4 into channels, three convolutions, unfolded, added to the
    background."""

    def __init__(self, width: int = 24):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.PixelUnshuffle(4), torch.nn.Conv2d(96, width, 3, padding=1), torch.nn.ReLU(),
            torch.nn.Conv2d(width, width, 3, padding=1), torch.nn.ReLU(),
            torch.nn.Conv2d(width, 48, 3, padding=1), torch.nn.PixelShuffle(4))

    def forward(self, frame: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
        return background + self.body(torch.cat([frame - background, background], dim=1))


def train(frames: list[np.ndarray], background: np.ndarray) -> tuple[Callable, float]:
    """Train on crops of 96 x 96 pixels with noise of sigma 10 to 45; returns (denoiser, seconds it took)."""
    start, rng = time.process_time(), np.random.default_rng(0)
    torch.manual_seed(0)
    model = Network()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    pairs = [(f, noisy(f, rng.uniform(10, 45), str(k))) for k, f in enumerate(frames)]
    height, width = background.shape[:2]

    def tensor(images: list[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255

    for _ in range(STEPS):
        crops = []
        for k in rng.integers(0, len(pairs), 8):
            y, x = rng.integers(0, height - 96), rng.integers(0, width - 96)
            crops.append([p[y:y + 96, x:x + 96] for p in (*pairs[k], background)])
        clean, damaged, behind = (tensor(list(c)) for c in zip(*crops))
        loss = (model(damaged, behind) - clean).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.eval()
    behind = tensor([background])

    @torch.inference_mode()
    def denoise(frame: np.ndarray) -> np.ndarray:
        out = model(tensor([frame]), behind)[0].permute(1, 2, 0)
        return (out * 255 + 0.5).clamp(0, 255).byte().numpy()

    return denoise, time.process_time() - start


def compare(name: str, manifest: Manifest) -> list[dict]:
    train_rows, test_rows = len(manifest.split("train")), len(manifest.split("test"))
    picks = np.unique(np.linspace(0, train_rows - 1, 48).astype(int))
    training = list(open_stream(manifest, "train")(picks))
    background = pixel_median(np.stack(training), np.uint8)
    network, seconds = train(training, background)
    guided, fusion, rng = Denoiser(background), TemporalFusion(), np.random.default_rng(1)
    rows = []
    for middle in np.linspace(10, test_rows - 10, FRAMES).astype(int):
        window = list(open_stream(manifest, "test")(np.arange(middle - 3, middle + 4)))
        clean = window[3]
        moving = (np.abs(clean.astype(int) - background).max(-1) > 25)
        for sigma in (27.0, 37.0):
            dirty = [rng.random() < 0.4 for _ in window]
            around = [noisy(f, sigma, f"{middle}{k}") if d else jpeg(f) for k, (f, d) in enumerate(zip(window, dirty))]
            frame = around[3] = noisy(clean, sigma, f"{middle}3")
            lent = next((near for d in (1, 2, 3)
                         if (near := [around[k] for k in (3 - d, 3 + d) if not dirty[k]])), [])
            late = [jpeg(window[0])]
            methods: dict[str, Callable[[], np.ndarray]] = {
                "noisy": lambda f=frame: f,
                "Gaussian, sigma 1": lambda f=frame: cv2.GaussianBlur(f, (0, 0), 1.0),
                "Gaussian, sigma 1.5": lambda f=frame: cv2.GaussianBlur(f, (0, 0), 1.5),
                "median 3": lambda f=frame: cv2.medianBlur(f, 3),
                "median 5": lambda f=frame: cv2.medianBlur(f, 5),
                "bilateral 7, 90, 3": lambda f=frame: cv2.bilateralFilter(f, 7, 90, 3),
                "half size and back": lambda f=frame: cv2.resize(
                    cv2.resize(f, None, fx=.5, fy=.5, interpolation=cv2.INTER_AREA), f.shape[1::-1]),
                "temporal mean 3": lambda a=around: np.mean(a[2:5], axis=0).astype(np.uint8),
                "temporal mean 5": lambda a=around: np.mean(a[1:6], axis=0).astype(np.uint8),
                "temporal median 5": lambda a=around: np.median(a[1:6], axis=0).astype(np.uint8),
                "background alone": lambda: background,
                "small network with background": lambda f=frame: network(f),
                "guided by the background (kept)": lambda f=frame, s=sigma: guided(f, s),
                "guided, then lent by clean neighbours (kept)":
                    lambda f=frame, s=sigma, n=lent: fusion(guided(f, s), n),
                "guided, then lent from 3 frames before": lambda f=frame, s=sigma, n=late: fusion(guided(f, s), n)}
            for method, work in methods.items():
                start = time.process_time()
                out = work()
                spent = time.process_time() - start
                rows.append({"dataset": name, "sigma": int(sigma), "method": method, "psnr": psnr(out, clean),
                             "psnr_moving": psnr(out[moving], clean[moving]), "ms": 1e3 * spent,
                             "training_s": seconds if method.startswith("small") else 0.0})
    return rows


def main(data: Path) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    own = halves(data / "own_video")
    one = own.table[own.table["video"] == "vtest"].reset_index(drop=True)
    sets = {"ped2": find_dataset(data / "ped2"), "avenue_train": halves(data / "avenue_train" / "training_videos"),
            "own_video vtest": dataclasses.replace(own, table=one)}
    rows = [row for name, manifest in sets.items() for row in compare(name, manifest)]
    table = pd.DataFrame(rows).groupby(["dataset", "sigma", "method"], sort=False).agg(
        psnr=("psnr", "mean"), psnr_moving=("psnr_moving", "mean"), ms=("ms", "median"), fastest_ms=("ms", "min"),
        training_s=("training_s", "max")).reset_index()
    base = table[table["method"] == "noisy"].set_index(["dataset", "sigma"])["psnr"]
    table["gain_db"] = table["psnr"] - base.loc[list(zip(table["dataset"], table["sigma"]))].to_numpy()
    table.to_csv(Path(__file__).with_suffix(".csv"), index=False, float_format="%.2f")
    print(table.to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
