"""The greedy k-center loop: pick the farthest row, update every row's distance to its nearest pick, repeat.

Reads a matrix (N, D) in memory, on disk or on a device; returns the picks and each row's distance. A pick costs one
matrix-vector product; on a GPU the loop runs without host synchronisation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

BLOCK_BYTES = 64 << 20
"""Float32 bytes per streamed block."""


@dataclasses.dataclass(frozen=True)
class Picked:
    """Result of `pick`: picks (M,) int64, and squared (N,) float32 distances to the nearest pick, on the device."""

    picks: Tensor
    squared: Tensor


class Chosen:
    """A lazy row selection of a larger matrix; rows are read only when indexed.

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
    """A matrix as centred float32 rows; resident on the device if it fits `memory` bytes, otherwise streamed.

    Raises:
        ValueError: a row is not finite (names the first).
    """

    def __init__(self, features: np.ndarray | Tensor | Chosen, device: str, memory: int,
                 projection: Tensor | None = None):
        self.device, self.count, self.features = device, len(features), features
        self.projection = None if projection is None else projection.to(device)
        self.width = features.shape[1] if projection is None else projection.shape[1]
        self.block = max(1, BLOCK_BYTES // (4 * max(self.width, features.shape[1])))
        self.kept: Tensor | None = None
        # centring leaves distances alone and reduces rounding error
        self.mean = self._mean()
        if device != "cpu" or 4 * self.count * self.width <= memory:
            kept = torch.empty(self.count, self.width, device=device)
            for part, block in self.blocks():
                kept[part] = block
            self.kept, self.block = kept, self.count

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """All rows in order: (slice, (n, D) float32)."""
        for begin in range(0, self.count, self.block):
            part = slice(begin, min(begin + self.block, self.count))
            yield part, self._read(part)

    def take(self, rows: Tensor) -> Tensor:
        """(n,) int64 ascending -> (n, D) float32. Waits for the device only when streaming."""
        return self.kept.index_select(0, rows) if self.kept is not None else self._read(rows.cpu().numpy())

    def _read(self, part: slice | np.ndarray) -> Tensor:
        if self.kept is not None:
            return self.kept[part]
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
    """Pick `size` rows, each the farthest from all previous picks; the lowest row wins a tie."""
    norms = torch.empty(rows.count, device=rows.device)
    for part, block in rows.blocks():
        torch.linalg.vecdot(block, block, out=norms[part])
    squared = torch.full((rows.count,), math.inf, device=rows.device)
    product = torch.empty(rows.count, device=rows.device)
    picks = torch.empty(size, dtype=torch.int64, device=rows.device)
    index = torch.tensor([start], device=rows.device)
    for number in range(size):
        picks[number:number + 1] = index
        # mark as taken, so that duplicates of a pick are not picked either
        squared.index_fill_(0, index, -1.0)
        centre, centre_norm = rows.take(index)[0], norms.index_select(0, index)
        for part, block in rows.blocks():
            torch.addmv(norms[part], block, centre, alpha=-2.0, out=product[part])
        torch.minimum(squared, product.add_(centre_norm).clamp_(min=0.0), out=squared)
        if number + 1 < size:
            index = squared.argmax().view(1)
    return Picked(picks, squared.clamp_(min=0.0))
