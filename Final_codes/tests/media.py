"""Tiny images and videos for tests: every frame carries its own number in its pixels."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np


def numbered(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A grey frame whose eight vertical bars spell `number` in binary: survives lossy coding."""
    bits = [(number >> i) & 1 for i in range(8)]
    bars = np.repeat(np.where(bits, 220, 40).astype(np.uint8), width // 8)
    return np.repeat(np.repeat(bars[None], height, 0)[..., None], 3, 2)


def number_of(frame: np.ndarray) -> int:
    """Read the number back from a frame of any size."""
    middle = frame[frame.shape[0] // 4:frame.shape[0] * 3 // 4].mean((0, 2))
    bars = middle.reshape(8, -1)[:, middle.size // 32:-(middle.size // 32)].mean(1)
    return int(sum(1 << i for i in range(8) if bars[i] > 128))


def write_frames(folder: Path, names: list[str], height: int = 48, width: int = 64) -> None:
    """Image files; the i-th carries number i."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / name), numbered(i, height, width))


def write_video(path: Path, frames: int, *, codec: str = "mpeg4", fps: int = 25, b_frames: int = 0,
                height: int = 48, width: int = 64) -> None:
    """A video file; frame i carries number i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.max_b_frames, stream.codec_context.gop_size = b_frames, 12
        for i in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(i, height, width), format="rgb24")))
        container.mux(stream.encode())
