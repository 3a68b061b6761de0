"""The loop behind the coreset: pick the farthest row, update every row's distance to its nearest pick, again.

Reads a matrix (N, D) wherever it lies; gives picks and each row's distance. On a GPU every pick is one matrix-vector
product over the matrix, without waiting for the host. On a CPU, and above all where the matrix is streamed from disk,
most of that reading is spared without changing the result: with an orthonormal basis Q of a few dimensions,

    |x - c|^2  >=  |Qx - Qc|^2 + (|x - QQx| - |c - QQc|)^2,

so a row whose right side is not below its present distance cannot change, and only the others are read in full.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

BLOCK_BYTES = 64 << 20
"""Float32 bytes of a streamed block."""
SKETCH = 64
"""Dimensions of the bound's basis."""
_FEW = 0.2
"""Share of rows below which gathering them costs less than reading all."""
_PATIENCE = 32
"""Picks in a row for which the bound may fail to help before it is given up."""


@dataclasses.dataclass(frozen=True)
class Picked:
    """Result of `pick`: picks (M,) int64, and squared (N,) float32 distances to the nearest of them (device)."""

    picks: Tensor
    squared: Tensor


class Chosen:
    """Some rows of a larger matrix, seen as a matrix of their own; read only when asked for.

    Args:
        features: (N, D) array or memory map; rows: (n,) int64.
    """

    ndim = 2

    def __init__(self, features: np.ndarray, rows: np.ndarray):
        self.features, self.rows, self.shape = features, rows, (len(rows), features.shape[1])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice | np.ndarray) -> np.ndarray:
        return np.asarray(self.features[self.rows[part]])


class Rows:
    """A matrix as centred float32 rows on a device, kept there in `storage` where it fits `memory` bytes.

    Raises:
        ValueError: a row is not finite (names the first).
    """

    def __init__(self, features: np.ndarray | Tensor | Chosen, device: str, storage: str, memory: int,
                 projection: Tensor | None = None):
        if storage not in ("float32", "float16", "bfloat16"):
            raise ValueError(f"storage is {storage!r}, expected float32, float16 or bfloat16")
        self.device, self.count, self.features = device, len(features), features
        self.projection = None if projection is None else projection.to(device)
        self.width = features.shape[1] if projection is None else projection.shape[1]
        self.block = max(1, BLOCK_BYTES // (4 * max(self.width, features.shape[1])))
        self.kept: Tensor | None = None
        # taken away everywhere: distances stay, small numbers keep more digits, in half precision above all
        self.mean = self._mean()
        kind = getattr(torch, storage)
        if device != "cpu" or self.count * self.width * kind.itemsize <= memory:
            kept = torch.empty(self.count, self.width, dtype=kind, device=device)
            for part, block in self.blocks():
                kept[part] = block
            self.kept = kept
            if kind == torch.float32:
                self.block = self.count
            elif device == "cpu":
                self.block = max(1, (4 << 20) // (4 * self.width))  # converted blocks stay in the processor's cache

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """All rows in order: (slice, (n, D) float32)."""
        for begin in range(0, self.count, self.block):
            part = slice(begin, min(begin + self.block, self.count))
            yield part, self._read(part)

    def take(self, rows: Tensor) -> Tensor:
        """(n,) int64 ascending -> (n, D) float32. Waits for the device only when streaming."""
        return self.kept.index_select(0, rows).float() if self.kept is not None else self._read(rows.cpu().numpy())

    def _read(self, part: slice | np.ndarray) -> Tensor:
        if self.kept is not None:
            return self.kept[part].float()
        block = self._raw(part).sub_(self.mean)
        return block if self.projection is None else block @ self.projection

    def _raw(self, part: slice | np.ndarray) -> Tensor:
        found = self.features[part]
        if isinstance(found, Tensor):
            return found.to(device=self.device, dtype=torch.float32, copy=True)
        return torch.from_numpy(np.array(found, dtype=np.float32)).to(self.device)

    def _mean(self) -> Tensor:
        total = torch.zeros(self.features.shape[1], dtype=torch.float64, device=self.device)
        for begin in range(0, self.count, self.block):
            block = self._raw(slice(begin, begin + self.block))
            sums = block.sum(0)
            if not bool(torch.isfinite(sums).all()):
                bad = ~torch.isfinite(block).all(dim=1)
                raise ValueError(f"features are not finite: first bad row {begin + int(bad.int().argmax())}")
            total += sums
        return (total / self.count).float()


@torch.inference_mode()
def pick(rows: Rows, size: int, start: int) -> Picked:
    """`size` rows, each the farthest from those before; the lowest number wins a tie."""
    norms = torch.empty(rows.count, device=rows.device)
    for part, block in rows.blocks():
        torch.linalg.vecdot(block, block, out=norms[part])
    bound = _Bound(rows, norms) if rows.device == "cpu" and rows.width > 2 * SKETCH else None
    squared = torch.full((rows.count,), math.inf, device=rows.device)
    product = torch.empty(rows.count, device=rows.device)
    picks = torch.empty(size, dtype=torch.int64, device=rows.device)
    index = torch.tensor([start], device=rows.device)
    for number in range(size):
        picks[number:number + 1] = index
        # a picked row leaves the race for good, so that equal rows cannot be picked twice
        squared.index_fill_(0, index, -1.0)
        centre, centre_norm = rows.take(index)[0], norms.index_select(0, index)
        reached = bound.reached(index, squared) if bound else None
        if reached is None:
            for part, block in rows.blocks():
                torch.addmv(norms[part], block, centre, alpha=-2.0, out=product[part])
            torch.minimum(squared, product.add_(centre_norm).clamp_(min=0.0), out=squared)
        elif len(reached):
            found = torch.addmv(norms[reached], rows.take(reached), centre, alpha=-2.0)
            squared[reached] = torch.minimum(squared[reached], found.add_(centre_norm).clamp_(min=0.0))
        if number + 1 < size:
            index = squared.argmax().view(1)
    return Picked(picks, squared.clamp_(min=0.0))


class _Bound:
    """Lower bounds of the distances to a row, from a few leading dimensions and the length of what they leave out."""

    def __init__(self, rows: Rows, norms: Tensor):
        self.few, self.failures = max(1, int(_FEW * rows.count)), 0
        basis = self._basis(rows)
        self.low = torch.empty(rows.count, SKETCH)
        for part, block in rows.blocks():
            torch.mm(block, basis, out=self.low[part])
        self.low_norms = torch.linalg.vecdot(self.low, self.low)
        self.rest = (norms - self.low_norms).clamp_(min=0.0).sqrt_()
        # rounding of the expanded squares: a bound this close to the distance does not count
        self.slack = 1e-5 * float(norms.max())

    @staticmethod
    def _basis(rows: Rows) -> Tensor:
        """(D, SKETCH) orthonormal, near the leading directions: one step of a randomised subspace iteration."""
        picked = torch.linspace(0, rows.count - 1, min(rows.count, 2048)).round().long().unique()
        sample = rows.take(picked)
        start = torch.randn(rows.width, SKETCH, generator=torch.Generator().manual_seed(0))
        return torch.linalg.qr(sample.T @ (sample @ start)).Q

    def reached(self, index: Tensor, squared: Tensor) -> Tensor | None:
        """Rows that may be nearer to row `index` than to every pick so far; None where they are too many to tell."""
        if self.failures >= _PATIENCE:
            return None
        centre = self.low.index_select(0, index)[0]
        bound = torch.addmv(self.low_norms, self.low, centre, alpha=-2.0).add_(self.low_norms[index])
        bound.add_((self.rest - self.rest[index]).square_())
        found = (bound < squared + self.slack).nonzero().view(-1)
        if len(found) > self.few:
            self.failures += 1
            return None
        self.failures = 0
        return found
