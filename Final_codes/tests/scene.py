"""A small asymmetric scene with walkers, as frames, files and datasets for the repair tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pixelplay.data.corruption import encode, frame_path


def background(seed: int = 0, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """(H, W, 3) uint8 RGB: brighter top, blocks of different grey, fixed by the seed."""
    rng = np.random.default_rng(seed)
    height, width = size
    ramp = np.linspace(140, 110, height)[:, None] + np.linspace(0, 10, width)[None, :]
    picture = np.repeat(ramp[..., None], 3, axis=2)
    for _ in range(40):
        y, x = rng.integers(0, height - 20), rng.integers(0, width - 20)
        h, w = rng.integers(6, 24, 2)
        picture[y:y + h, x:x + w] += rng.uniform(-60, 60) + rng.uniform(-15, 15, 3)
    return np.clip(picture, 5, 250).astype(np.uint8)


def frame(t: int, seed: int = 0, size: tuple[int, int] = (120, 160), noise: float = 1.0) -> np.ndarray:
    """The scene at time t with three walkers and a little sensor noise."""
    picture = background(seed, size).astype(np.float32)
    for k in range(3):
        x = (10 + 37 * k + (2 + k) * t) % (size[1] - 12)
        y = size[0] // 3 + 18 * k
        picture[y:y + 20, x:x + 8] = (30 + 60 * k, 40, 160 - 50 * k)
    rng = np.random.default_rng([seed, t, 5])
    return np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)


def write(folder: Path, split: str, frames: dict[str, np.ndarray]) -> Path:
    """Write Id -> frame as PNG files in the competition's layout; returns the dataset's folder."""
    for name, picture in frames.items():
        path = folder / frame_path(split, name, ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(picture, 0))
    return folder


def dataset(folder: Path, train: int = 24, test: int = 24) -> Path:
    """A clean dataset of one training and one test video."""
    write(folder, "train", {f"1_{t}": frame(t) for t in range(train)})
    return write(folder, "test", {f"1_{t}": frame(t + 200) for t in range(test)})


def symmetric(size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """A scene that equals its own mirror image: (H, W, 3) uint8 RGB."""
    left = background(1, (size[0], size[1] // 2))
    return np.concatenate([left, left[:, ::-1]], axis=1)
