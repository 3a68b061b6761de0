"""Greedy k-center coreset.

Reads a feature matrix (N, D), in memory or memory-mapped; returns M picked rows such that the largest distance from any
row to its nearest pick (the covering radius) is at most twice the optimum (Gonzalez 1985, "Clustering to minimize the
maximum intercluster distance"). Cost: at most one pass over the matrix per pick, and a few floats per row.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from pixelplay.two_stream import greedy
from pixelplay.two_stream.memory import MemoryBank, leave_one_video_out, nearest


@dataclasses.dataclass(frozen=True)
class Coreset:
    """Picked rows.

    Attributes:
        indices: (M,) int64 distinct rows in order of picking.
        radius: covering radius in feature units, always in the original space.
    """

    indices: np.ndarray
    radius: float


def coreset_size(count: int, ratio: float, floor: int = 1) -> int:
    """Number of picks out of `count` rows: the given ratio, at least `floor`, at most `count`."""
    return min(count, max(floor, 1, math.ceil(ratio * count)))


def greedy_coreset(features: np.ndarray | Tensor | greedy.Chosen, size: int, *, start: int | None = None,
                   generator: torch.Generator | None = None, projection: int = 0,
                   device: str | None = None, memory: int = 4 << 30) -> Coreset:
    """Pick `size` rows that cover `features`, each the farthest from all previous picks.

    No row is picked twice, and no copy of a pick is picked while other rows remain. With fewer than `size` distinct
    rows, the remaining picks are the first unpicked rows and the radius is 0.

    Args:
        features: (N, D) float16/32/64 array, memory map, tensor, or `greedy.Chosen` rows of one; not changed.
        size: number of picks, 1 <= size <= N (see `coreset_size`).
        start: first row; drawn from `generator` when None.
        generator: torch CPU generator for the start and the projection; seed 0 when None.
        projection: pick in a random linear projection of this many dimensions (Johnson-Lindenstrauss), 0 = exact.
        device: where to compute; the tensor's own, or the CPU.
        memory: bytes the matrix may take on the CPU; a larger one is streamed in blocks.
    Returns:
        `Coreset`. The same arguments give the same picks; streaming and device change them by rounding at most.
    Raises:
        ValueError: size out of range, or features not finite (names the first bad row).
    """
    count = len(features)
    if features.ndim != 2 or not 1 <= size <= count:
        raise ValueError(f"cannot pick {size} rows of {tuple(features.shape)} features: "
                         "size must be 1 to N of an (N, D) matrix")
    generator = generator or torch.Generator().manual_seed(0)
    if start is None:
        start = int(torch.randint(count, (1,), generator=generator))
    if not 0 <= start < count:
        raise ValueError(f"start row {start} is not in 0 to {count - 1}")
    device = device or (str(features.device) if isinstance(features, Tensor) else "cpu")
    matrix = _projection(features.shape[1], projection, generator)
    picked = greedy.pick(greedy.Rows(features, device, memory, matrix), size, start)
    picks = picked.picks.cpu().numpy()
    if matrix is not None:
        return Coreset(picks, covering_radius(features, picks, device=device))
    # running distances are rounded: measure the farthest rows again
    farthest = picked.squared.topk(min(16, count)).indices.cpu().numpy()
    return Coreset(picks, _radius(features[np.sort(farthest)], _numpy(features[picks]), device))


def covering_radius(features: np.ndarray | Tensor, picks: np.ndarray, *, device: str | None = None) -> float:
    """Covering radius: largest Euclidean distance from a row of (N, D) features to its nearest pick."""
    return _radius(features, _numpy(features[picks]), device)


def _radius(features: np.ndarray | Tensor, centres: np.ndarray, device: str | None) -> float:
    block = max(1, greedy.BLOCK_BYTES // (4 * features.shape[1]))
    return max(float(nearest(features[begin:begin + block], centres, device=device)[0].max())
               for begin in range(0, len(features), block))


def without_outliers(features: np.ndarray | greedy.Chosen, videos: np.ndarray, fraction: float = 0.01, *,
                     sample: int = 20_000, device: str | None = None) -> np.ndarray:
    """Drop the most outlying rows before coreset selection: k-center picks outliers first.

    Args:
        features: (N, D); videos: (N,) names. A row's outlier distance is that to the nearest row of another video.
        fraction: share of the rows to drop, 0 <= fraction < 1.
        sample: at most this many rows of other videos to compare with, evenly spaced; otherwise cost grows with N^2.
    Returns:
        (N,) bool, True = keep. At least one row is kept.
    """
    drop = min(int(fraction * len(features)), len(features) - 1)
    if drop <= 0:
        return np.ones(len(features), dtype=bool)

    def build(rows: np.ndarray) -> MemoryBank:
        return MemoryBank(features[rows[::-(-len(rows) // sample)]])

    strange = leave_one_video_out(features, videos, build, limit=0, device=device)
    keep = np.ones(len(features), dtype=bool)
    keep[np.argsort(strange, kind="stable")[-drop:]] = False
    return keep


def _projection(width: int, target: int, generator: torch.Generator) -> Tensor | None:
    if not 0 < target < width:
        return None
    return torch.randn(width, target, generator=generator) / math.sqrt(target)


def _numpy(rows: np.ndarray | Tensor) -> np.ndarray:
    return rows.detach().cpu().float().numpy() if isinstance(rows, Tensor) else np.asarray(rows, dtype=np.float32)
