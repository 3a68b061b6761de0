"""Greedy k-center coreset.

Reads a feature matrix (N, D), in memory or memory-mapped; returns the rows of M picks such that the largest distance
from any row to its nearest pick (the covering radius) is within twice the optimum (Gonzalez 1985, "Clustering to
minimize the maximum intercluster distance"). Cost: one pass over the matrix a pick, N floats beside it, never N x N.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pixelplay.two_stream.memory import leave_one_video_out, nearest

BLOCK_BYTES = 64 << 20
"""Float32 bytes of a streamed block."""


@dataclasses.dataclass(frozen=True)
class Coreset:
    """Picked rows.

    Attributes:
        indices: (M,) int64 rows in order of picking, all different.
        radius: largest distance from any row to its nearest pick, in feature units, always in the original space.
    """

    indices: np.ndarray
    radius: float


def coreset_size(count: int, ratio: float, floor: int = 1) -> int:
    """Picks out of `count` rows: `ratio` of them, at least `floor`, never more than there are."""
    return min(count, max(floor, 1, math.ceil(ratio * count)))


def greedy_coreset(features: np.ndarray | Tensor, size: int, *, start: int | None = None,
                   generator: torch.Generator | None = None, projection: int = 0, storage: str = "float32",
                   device: str | None = None, memory: int = 4 << 30) -> Coreset:
    """Pick `size` rows that cover `features`, each the farthest from those picked before.

    Rows that equal a pick are never picked while others remain, and no row is picked twice: where fewer than `size`
    rows differ, the rest are the first rows left over and the radius is 0.

    Args:
        features: (N, D) float16/32/64 array, memory map or tensor; not changed.
        size: number of picks, 1 <= size <= N (see `coreset_size`).
        start: first row; drawn from `generator` when None.
        generator: torch CPU generator for the start and the projection; seed 0 when None.
        projection: pick in a random linear projection of this many dimensions (Johnson-Lindenstrauss), 0 = exact.
        storage: 'float32', or 'float16'/'bfloat16' to keep the matrix at half the memory. Distances are summed in
            float32 either way.
        device: where to compute; the tensor's own, or the CPU.
        memory: bytes the matrix may take on the CPU; a larger one is streamed from where it is, block by block.
    Returns:
        `Coreset`. Same picks for the same arguments, block size and streaming do not matter beyond rounding.
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
    source = _Rows(features, device, storage, memory, _projection(features.shape[1], projection, generator))
    picks = _greedy(source, size, start)
    return Coreset(picks, covering_radius(features, picks, device=device))


def covering_radius(features: np.ndarray | Tensor, picks: np.ndarray, *, device: str | None = None) -> float:
    """Largest Euclidean distance from a row of (N, D) features to its nearest picked row."""
    centres = _numpy(features[picks])
    block = max(1, BLOCK_BYTES // (4 * features.shape[1]))
    farthest = 0.0
    for begin in range(0, len(features), block):
        distances, _ = nearest(features[begin:begin + block], centres, device=device)
        farthest = max(farthest, float(distances.max()))
    return farthest


def without_outliers(features: np.ndarray, videos: np.ndarray, fraction: float = 0.01, *,
                     device: str | None = None) -> np.ndarray:
    """Rows to keep when the strangest are dropped first: k-center picks outliers before anything else.

    Args:
        features: (N, D); videos: (N,) names. Strangeness is the distance to the nearest row of another video.
        fraction: share of the rows to drop, 0 <= fraction < 1.
    Returns:
        (N,) bool, True = keep. At least one row is kept.
    """
    drop = min(int(fraction * len(features)), len(features) - 1)
    if drop <= 0:
        return np.ones(len(features), dtype=bool)
    from pixelplay.two_stream.memory import MemoryBank
    strange = leave_one_video_out(features, videos, lambda rows: MemoryBank(features[rows]), limit=0, device=device)
    keep = np.ones(len(features), dtype=bool)
    keep[np.argsort(strange, kind="stable")[-drop:]] = False
    return keep


def _projection(width: int, target: int, generator: torch.Generator) -> Tensor | None:
    if not 0 < target < width:
        return None
    return torch.randn(width, target, generator=generator) / math.sqrt(target)


class _Rows:
    """The matrix as blocks of float32 on the device, read again for every pick where it does not fit."""

    def __init__(self, features: np.ndarray | Tensor, device: str | None, storage: str, memory: int,
                 projection: Tensor | None):
        if storage not in ("float32", "float16", "bfloat16"):
            raise ValueError(f"storage is {storage!r}, expected float32, float16 or bfloat16")
        if device is None:
            device = str(features.device) if isinstance(features, Tensor) else "cpu"
        self.device, self.count, self.features = device, len(features), features
        self.projection = None if projection is None else projection.to(device)
        self.width = features.shape[1] if projection is None else projection.shape[1]
        kind = getattr(torch, storage)
        self.block = max(1, BLOCK_BYTES // (4 * max(self.width, features.shape[1])))
        self.kept: Tensor | None = None
        self.mean = self._mean()
        if device != "cpu" or self.count * self.width * kind.itemsize <= memory:
            self.kept = self._keep(kind)
            if self.kept.dtype == torch.float32:
                self.block = self.count
            elif device == "cpu":
                self.block = max(1, (4 << 20) // (4 * self.width))  # converted blocks stay in the processor's cache

    def _mean(self) -> Tensor:
        """Subtracted everywhere: distances stay, but small numbers keep more digits, in half precision above all."""
        total = torch.zeros(self.features.shape[1], dtype=torch.float64, device=self.device)
        for begin in range(0, self.count, self.block):
            block = _tensor(self.features[begin:begin + self.block]).to(self.device)
            sums = block.sum(0, dtype=torch.float64)
            if not bool(torch.isfinite(sums).all()):
                bad = ~torch.isfinite(block).all(dim=1)
                raise ValueError(f"features are not finite: first bad row {begin + int(bad.int().argmax())}")
            total += sums
        return (total / self.count).float()

    def _keep(self, kind: torch.dtype) -> Tensor:
        kept = torch.empty(self.count, self.width, dtype=kind, device=self.device)
        for begin in range(0, self.count, self.block):
            kept[begin:begin + self.block] = self._read(begin, begin + self.block)
        return kept

    def _read(self, begin: int, end: int) -> Tensor:
        block = _tensor(self.features[begin:end]).to(self.device).float() - self.mean
        return block if self.projection is None else block @ self.projection

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        for begin in range(0, self.count, self.block):
            part = slice(begin, min(begin + self.block, self.count))
            yield part, (self._read(part.start, part.stop) if self.kept is None else self.kept[part].float())

    def row(self, index: Tensor) -> Tensor:
        """Row `index` ((1,) int64 on the device) as (D,) float32; waits for the device only when streaming."""
        if self.kept is not None:
            return self.kept.index_select(0, index)[0].float()
        return self._read(int(index), int(index) + 1)[0]


@torch.inference_mode()
def _greedy(rows: _Rows, size: int, start: int) -> np.ndarray:
    norms = torch.empty(rows.count, device=rows.device)
    for part, block in rows.blocks():
        torch.linalg.vecdot(block, block, out=norms[part])
    nearest_yet = torch.full((rows.count,), math.inf, device=rows.device)
    product = torch.empty(rows.count, device=rows.device)
    picks = torch.empty(size, dtype=torch.int64, device=rows.device)
    index = torch.tensor([start], device=rows.device)
    for number in range(size):
        picks[number:number + 1] = index
        # a picked row leaves the race for good, so that equal rows cannot be picked twice
        nearest_yet.index_fill_(0, index, -1.0)
        if number + 1 == size:
            break
        centre = rows.row(index)
        for part, block in rows.blocks():
            torch.addmv(norms[part], block, centre, alpha=-2.0, out=product[part])
        # |x|^2 - 2xc + |c|^2, rounded below zero where x = c
        product.add_(norms.index_select(0, index)).clamp_(min=0.0)
        torch.minimum(nearest_yet, product, out=nearest_yet)
        index = nearest_yet.argmax().view(1)
    return picks.cpu().numpy()


def _tensor(rows: np.ndarray | Tensor) -> Tensor:
    if isinstance(rows, Tensor):
        return rows
    # read-only memory maps are never written through: torch only warns that it cannot know
    return torch.from_numpy(np.array(rows) if not rows.flags.writeable else rows)


def _numpy(rows: np.ndarray | Tensor) -> np.ndarray:
    return rows.detach().cpu().float().numpy() if isinstance(rows, Tensor) else np.asarray(rows, dtype=np.float32)
