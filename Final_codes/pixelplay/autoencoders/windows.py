"""Windows of frames by index, and the clips they hold, built on the training device.

Reads `Footage` (frame numbers as time, memory-mapped uint8 frames, speed maps); returns `Clip`s. A window never crosses
the border of a video or a gap in the frame numbers larger than `max_gap`; in a smaller gap the nearest frame
substitutes. Only uint8 frames and float16 speeds are transferred; resizing, conversion and augmentation run on the
device.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pixelplay.data.footage import Footage, segments
from pixelplay.data.subsample import spread
from pixelplay.flow.speed import CELL, speed_maps
from pixelplay.scenes.medians import pixel_median

log = logging.getLogger(__name__)

LUMA = (0.299, 0.587, 0.114)
CHUNK = 64
"""Frames read at once while loading."""
SAMPLES = 200
"""Training frames, or pairs of them, from which background and noise floor are estimated."""


class Clip(NamedTuple):
    """B windows of T frames: appearance and speed.

    Attributes:
        frames: (B, T, C, H, W) float32 in [0, 1].
        speed: (B, T, 1, H / 4, W / 4) float32 >= 0, in units of the typical speed of moving things in training.
    """

    frames: Tensor
    speed: Tensor


WIDEST = 8
"""Largest aspect ratio of a network's input: bounds the cost of a window."""


def network_size(size: tuple[int, int], height: int) -> tuple[int, int]:
    """(H, W) of the network's input for frames of `size` (h, w): `height` rows, same aspect ratio, multiples of 16.

    Frames with an aspect ratio above `WIDEST` get fewer rows; a side of less than 16 pixels is stretched to 16.
    """
    h, w = size
    most = WIDEST * max(16, round(height / 16) * 16)
    rows = max(16, round(height * min(1.0, WIDEST * h / w) / 16) * 16)
    return rows, min(most, max(16, round(rows * w / h / 16) * 16))


class Timeline:
    """Row at each time: the frame numbers of every segment, with gaps filled.

    Attributes:
        rows: (L,) row at each time (in a small gap: the nearest row, the earlier on a tie).
        exact: (L,) bool, False where a neighbour substitutes.
        at: (N,) time of each row; first, last: (N,) first and last time of each row's segment.
    """

    def __init__(self, videos: np.ndarray, frames: np.ndarray, max_gap: int):
        rows, exact, count = [], [], 0
        self.at, self.first, self.last = (np.zeros(len(frames), np.int64) for _ in range(3))
        for part in segments(videos, frames, max_gap):
            numbers = frames[part]
            moments = np.arange(numbers[0], numbers[-1] + 1)
            right = np.searchsorted(numbers, moments)
            left = np.maximum(right - 1, 0)
            nearest = np.where(moments - numbers[left] <= numbers[right] - moments, left, right)
            nearest[0] = 0
            rows.append(nearest + part.start)
            exact.append(numbers[nearest] == moments)
            self.at[part] = numbers - numbers[0] + count
            self.first[part], self.last[part] = count, count + len(moments) - 1
            count += len(moments)
        self.rows = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        self.exact = np.concatenate(exact) if exact else np.zeros(0, bool)

    def look(self, anchors: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and exactness (n, T) at anchor + offset; outside the segment its edge frame repeats (not exact)."""
        wanted = self.at[anchors][:, None] + offsets
        moments = np.clip(wanted, self.first[anchors][:, None], self.last[anchors][:, None])
        return self.rows[moments], self.exact[moments] & (wanted == moments)


@dataclasses.dataclass(frozen=True)
class Windows:
    """M windows of T frames.

    Attributes:
        anchors: (M,) row of each window's anchor frame.
        rows: (M, T) rows of its frames.
        weight: (M,) float32 in [0, 1]: minimum reliability of its frames, halved where a neighbour substitutes.
        padded: (M,) bool, True where an edge frame is repeated (videos shorter than a window).
    """

    anchors: np.ndarray
    rows: np.ndarray
    weight: np.ndarray
    padded: np.ndarray

    def __len__(self) -> int:
        return len(self.anchors)

    def select(self, keep: np.ndarray) -> Windows:
        """The windows at a mask or at positions."""
        return Windows(self.anchors[keep], self.rows[keep], self.weight[keep], self.padded[keep])


def find_windows(footage: Footage, offsets: tuple[int, ...], max_gap: int, timeline: Timeline | None = None) -> Windows:
    """Every window of a `Footage`, in order of its anchor.

    A video without a complete window gets one padded window per frame, so that every video is scored.

    Args:
        offsets: frame numbers of the window's frames relative to the anchor, ascending.
        max_gap: largest gap in the frame numbers that a window may bridge.
    """
    timeline = timeline or Timeline(footage.videos, footage.frames, max_gap)
    steps, anchors = np.asarray(offsets, np.int64), np.arange(len(footage))
    complete = (timeline.at + steps[0] >= timeline.first) & (timeline.at + steps[-1] <= timeline.last)
    seen = set(footage.videos[complete].tolist())
    short = np.array([v not in seen for v in footage.videos.tolist()], bool)
    anchors = anchors[complete | short]
    rows, exact = timeline.look(anchors, steps)
    weight = footage.reliability[rows].min(axis=1) if len(anchors) else np.zeros(0, np.float32)
    return Windows(anchors, rows, (weight * np.where(exact.all(axis=1), 1.0, 0.5)).astype(np.float32), short[anchors])


def to_network(frames: np.ndarray | Tensor, size: tuple[int, int], channels: int, device: str = "cpu") -> Tensor:
    """(n, h, w, 3) uint8 RGB -> (n, C, H, W) uint8 on the device, area-averaged to `size`; gray if C = 1."""
    pixels = torch.as_tensor(frames).to(device, non_blocking=True)
    if channels == 1:
        weights = torch.tensor(LUMA, device=device)
        pixels = (pixels.float() @ weights)[:, None]
    else:
        pixels = pixels.permute(0, 3, 1, 2).float()
    if pixels.shape[-2:] != tuple(size):
        pixels = F.interpolate(pixels, size=size, mode="area")
    return pixels.round_().clamp_(0, 255).to(torch.uint8)


def clip_parts(frames: np.ndarray, speeds: np.ndarray, unit: np.ndarray, size: tuple[int, int], channels: int,
               device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Convert frames and speed maps to the tensors that clips are cut from, on the device.

    Args:
        frames: (n, h, w, 3) uint8 RGB; speeds: (n, h / 4, w / 4) float16 pixels per frame.
        unit: (n,) float32 pixels per frame that equal a speed of 1.
    Returns:
        (n, C, H, W) uint8 frames, (n, 1, H / 4, W / 4) float16 speeds in that unit.
    """
    pixels = to_network(frames, size, channels, device)
    scaled = torch.as_tensor(speeds).to(device).float()[:, None] / torch.tensor(unit, device=device).view(-1, 1, 1, 1)
    wanted = (size[0] // CELL, size[1] // CELL)
    if scaled.shape[-2:] != wanted:
        scaled = F.interpolate(scaled, size=wanted, mode="area")
    return pixels, scaled.half()


def background_median(train: Footage, size: tuple[int, int], channels: int) -> Tensor:
    """(C, H, W) float32 in [0, 1]: per-pixel median of at most `SAMPLES` training frames; rows are read in chunks.

    Unreadable frames are used only if there are no others.
    """
    readable = np.flatnonzero(train.reliability > 0)
    readable = readable if len(readable) else np.arange(len(train))
    picks = spread(readable, SAMPLES)
    parts = [to_network(train.batch(picks[i:i + CHUNK]), size, channels) for i in range(0, len(picks), CHUNK)]
    return _lower_median(parts).float() / 255


def noise_floor(train: Footage, size: tuple[int, int], max_gap: int) -> Tensor:
    """Noise floor, (1, H, W) float32 in [0, 1]: 1.4826 x median over time of |x_t - x_{t-1}| in gray frames.

    Large for swaying trees and compression flicker, small for pavement. Zeros for fewer than two frames.
    """
    readable = train.reliability > 0
    pairs = np.flatnonzero((train.videos[1:] == train.videos[:-1]) & (np.diff(train.frames) <= max_gap)
                           & readable[1:] & readable[:-1])
    pairs = spread(pairs, SAMPLES)
    if not len(pairs):
        return torch.zeros(1, *size)
    found = []
    for i in range(0, len(pairs), CHUNK):
        now, before = (to_network(train.batch(pairs[i:i + CHUNK] + k), size, 3).float() for k in (1, 0))
        # converting to gray after resizing keeps fractions of a grey level
        weights = torch.tensor(LUMA).view(1, 3, 1, 1)
        found.append(((now - before) * weights).sum(1, keepdim=True).abs())
    return 1.4826 * _lower_median(found) / 255


def _lower_median(parts: list[Tensor]) -> Tensor:
    """(C, H, W) per-pixel median over parts (n, C, H, W) of a sequence; of two middle values the lower."""
    frames = torch.cat(parts).permute(0, 2, 3, 1).numpy()
    return torch.from_numpy(pixel_median(frames, frames.dtype, lower=True)).permute(2, 0, 1).contiguous()


class Clips:
    """Windows of a `Footage` as tensors on a device.

    Frames and speeds stay on the device if they fit in `budget` bytes; otherwise a thread prefetches batches from the
    memory maps.

    Args:
        footage: frames to cut windows from.
        offsets: see `find_windows`.
        size: (H, W) of the clips, multiples of 4. channels: 1 or 3.
        baseline: frames between the two frames of a speed measurement. unit: pixels per frame that equal a speed of 1.
            Both may be (N,), one per frame.
        device: where clips are needed.
        budget: bytes the frames may take on the device; None = half of its free memory (CPU: 2 GiB).
    """

    def __init__(self, footage: Footage, offsets: tuple[int, ...], size: tuple[int, int], channels: int, *,
                 baseline: int | np.ndarray = 1, unit: float | np.ndarray = 1.0, max_gap: int = 3, device: str = "cpu",
                 budget: int | None = None):
        self.footage, self.size, self.channels, self.device = footage, tuple(size), channels, str(device)
        self.offsets = np.asarray(offsets, np.int64)
        self.unit = np.broadcast_to(np.float32(unit), len(footage))
        self.timeline = Timeline(footage.videos, footage.frames, max_gap)
        self.windows = find_windows(footage, offsets, max_gap, self.timeline)
        self.speeds = speed_maps(footage, baseline)
        if budget is None:
            budget = torch.cuda.mem_get_info(device)[0] // 2 if self.device.startswith("cuda") else 2 << 30
        needed = len(footage) * self.size[0] * self.size[1] * (channels + 2 / CELL ** 2)
        self.held = self._load() if needed <= budget else None

    def _load(self) -> tuple[Tensor, Tensor]:
        h, w = self.size
        frames = torch.empty(len(self.footage), self.channels, h, w, dtype=torch.uint8, device=self.device)
        speeds = torch.empty(len(self.footage), 1, h // CELL, w // CELL, dtype=torch.float16, device=self.device)
        for i in range(0, len(frames), CHUNK):
            frames[i:i + CHUNK], speeds[i:i + CHUNK] = self._read(np.arange(i, min(i + CHUNK, len(frames))))
        return frames, speeds

    def _read(self, positions: np.ndarray) -> tuple[Tensor, Tensor]:
        return clip_parts(self.footage.batch(positions), self.speeds.batch(positions), self.unit[positions], self.size,
                          self.channels, self.device)

    def __len__(self) -> int:
        return len(self.windows)

    def take(self, rows: np.ndarray) -> Clip:
        """The clip of the frames at rows (B, T), on the device."""
        if self.held is not None:
            index = torch.as_tensor(rows, device=self.device)
            frames, speeds = (x[index] for x in self.held)
        else:
            used, inverse = np.unique(rows, return_inverse=True)
            index = torch.as_tensor(inverse.reshape(rows.shape), device=self.device)
            frames, speeds = (x[index] for x in self._read(used))
        return Clip(frames.float().div_(255), speeds.float())

    def batches(self, *, batch: int = 32, limit: int | None = None,
                picks: np.ndarray | None = None) -> Iterator[tuple[Clip, np.ndarray]]:
        """Yield (clip, window positions (B,)) in order.

        Args:
            limit: largest number of windows, evenly spaced, for statistics; windows with an unreadable frame are
                skipped if there are others.
        """
        picks = np.arange(len(self)) if picks is None else np.asarray(picks)
        if limit:
            readable = picks[self.windows.weight[picks] > 0]
            picks = readable if len(readable) else picks
            picks = spread(picks, limit)
        parts = [picks[i:i + batch] for i in range(0, len(picks), batch)]
        yield from zip(self.ahead(self.take, [self.windows.rows[p] for p in parts]), parts)

    def ahead(self, make, inputs: list) -> Iterator:
        """Map `make` over inputs; when frames come from disk, prefetch the next item in a thread."""
        if self.held is not None:
            yield from map(make, inputs)
            return
        with ThreadPoolExecutor(1) as pool:
            waiting = None
            for item in inputs:
                coming = pool.submit(make, item)
                if waiting is not None:
                    yield waiting.result()
                waiting = coming
            if waiting is not None:
                yield waiting.result()
