"""Synthetic footage for tests: moving blobs over a textured background, nothing on disk.

    from footage import make_footage
    train = make_footage(videos=3, frames=20)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch

from pixelplay.autoencoders.statistics import TrainingStatistics
from pixelplay.data.footage import Footage
from pixelplay.data.ids import frame_id


def make_footage(videos: int = 3, frames: int = 20, size: tuple[int, int] = (48, 80), seed: int = 0, *,
                 name: str = "train", full_size: tuple[int, int] | None = None, blobs: int = 2, speed: float = 1.0,
                 odd: Sequence[tuple[int, int]] = (), gaps: Sequence[tuple[int, int]] = (),
                 noise: float = 1.0) -> Footage:
    """A footage of `videos` x `frames` frames that share one background.

    Args:
        size: (h, w) working size in pixels.
        seed: draws the blobs' paths; the background is the same for every seed, as one camera's is.
        full_size: (H, W) of the stream's frames; the working size when None.
        blobs: moving ellipses in a video.
        speed: their speed in working-size pixels per frame.
        odd: (video position, frame position) where an anomaly sits: a bright square no normal frame has.
        gaps: (video position, frame position) after which one frame number is missing.
        noise: standard deviation of the camera noise in grey levels.
    """
    rng = np.random.default_rng(seed)
    h, w = size
    background = _background(h, w)
    pixels, names, numbers = [], [], []
    for v in range(videos):
        start = rng.uniform((0, 0), (h, w), (blobs, 2))
        angle = rng.uniform(0, 2 * np.pi, blobs)
        step = speed * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        colour = rng.integers(0, 256, (blobs, 3))
        number = 0
        for t in range(frames):
            image = background.copy()
            for b in range(blobs):
                y, x = (start[b] + t * step[b]) % (h, w)
                cv2.ellipse(image, (int(x), int(y)), (max(1, w // 20), max(1, h // 8)), 0, 0, 360,
                            tuple(int(c) for c in colour[b]), -1)
            if (v, t) in odd:
                image[h // 4:h // 2, w // 4:w // 2] = (255, 0, 255)
            grain = rng.normal(0.0, noise, image.shape) if noise else 0.0
            pixels.append(np.clip(image + grain, 0, 255).astype(np.uint8))
            names.append(str(v + 1))
            numbers.append(number)
            number += 2 if (v, t) in gaps else 1
    return _footage(name, np.stack(pixels) if pixels else np.zeros((0, h, w, 3), np.uint8), names, numbers,
                    full_size or size)


def _background(h: int, w: int) -> np.ndarray:
    texture = np.random.default_rng(1234).uniform(60, 190, (max(2, h // 6), max(2, w // 6), 3)).astype(np.float32)
    return cv2.resize(texture, (w, h), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def _footage(name: str, pixels: np.ndarray, names: list[str], numbers: list[int],
             full_size: tuple[int, int]) -> Footage:
    def stream(rows: np.ndarray) -> Iterator[np.ndarray]:
        for row in rows:
            yield cv2.resize(pixels[row], (full_size[1], full_size[0]), interpolation=cv2.INTER_LINEAR)

    count = len(pixels)
    return Footage(
        name=name, ids=np.array([frame_id(v, f) for v, f in zip(names, numbers)], dtype=object),
        videos=np.array(names, dtype=object), frames=np.array(numbers, dtype=np.int64),
        reliability=np.ones(count, np.float32), flags=np.array([""] * count, dtype=object), pixels=pixels,
        rows=np.arange(count), full_size=full_size, fps=25.0,
        fingerprint=hashlib.sha256(pixels.tobytes() + repr((names, numbers)).encode()).hexdigest()[:16],
        open_stream=stream)


def grey(shape: tuple[int, int, int]) -> TrainingStatistics:
    """Statistics of an even grey scene of (C, H, W) without noise."""
    return TrainingStatistics(torch.full(shape, 0.5), torch.zeros(1, *shape[1:]), torch.tensor(1), torch.tensor(1.0))
