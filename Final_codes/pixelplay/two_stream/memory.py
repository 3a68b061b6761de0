"""Memory banks: exact nearest neighbours among feature vectors.

Reads (M, D) vectors of normal footage; returns nearest neighbour distances of (N, D) queries, by blocked matrix
products (the N x M matrix is never held at once). Also gives held-out scores of the training rows, each against a bank
built without its video, for calibration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

_BLOCK_ELEMENTS = 1 << 21
"""Entries of the distance matrix held at once: 64 MB."""
_SPARE = 4
"""Extra candidates beyond k that are measured exactly, in case rounding swapped their order."""


@torch.inference_mode()
def nearest(queries: np.ndarray | Tensor, bank: np.ndarray | Tensor, k: int = 1, *,
            device: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Exact k nearest neighbours of every query.

    Args:
        queries: (N, D) float; bank: (M, D) float; both finite.
        k: neighbours, at most M.
    Returns:
        distances (N, k) float32, Euclidean, ascending; indices (N, k) int64. A query that equals its neighbour has
        distance exactly 0.
    Raises:
        ValueError: an empty bank or different widths.
    """
    if len(bank) == 0 or queries.shape[1] != bank.shape[1]:
        raise ValueError(f"cannot search {tuple(queries.shape)} queries in a {tuple(bank.shape)} bank")
    device = device or (str(bank.device) if isinstance(bank, Tensor) else "cpu")
    bank = _float(bank, device)
    # centring leaves distances alone; the expanded square then loses fewer digits
    mean = bank.mean(0)
    bank = bank - mean
    k, width = min(k, len(bank)), bank.shape[1]
    spare = min(k + _SPARE, len(bank))
    norms = (bank * bank).sum(1)
    distances, indices = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    block = max(1, _BLOCK_ELEMENTS // max(len(bank), spare * width))
    for begin in range(0, len(queries), block):
        part = _float(queries[begin:begin + block], device) - mean
        squared = torch.addmm(norms, part, bank.T, alpha=-2.0)
        # in bank order, so that the first row wins a tie
        found = squared.topk(spare, dim=1, largest=False).indices.sort(dim=1).values
        # the expanded square is inaccurate for near neighbours: compute the candidates' distances directly
        exact = torch.linalg.vector_norm(bank[found] - part[:, None], dim=2)
        exact, order = exact.sort(dim=1, stable=True)
        distances[begin:begin + block] = exact[:, :k].cpu().numpy()
        indices[begin:begin + block] = found.gather(1, order[:, :k]).cpu().numpy()
    return distances, indices


def to_cover(queries: np.ndarray, distance: np.ndarray, limit: float) -> np.ndarray:
    """Queries to add to a bank so that no query is further from it than `limit`.

    The farthest is added first, as in greedy k-center (Gonzalez 1985).

    Args:
        queries: (N, D) float; distance: (N,) to the bank, NaN = empty bank; limit: >= 0.
    Returns:
        Rows in order of addition.
    """
    far = np.flatnonzero(~(np.asarray(distance) <= limit))
    left, vectors = np.nan_to_num(distance[far], nan=np.inf), np.asarray(queries[far], np.float32)
    picked: list[int] = []
    while len(left) and left.max() > limit:
        picked.append(int(left.argmax()))
        left = np.minimum(left, np.linalg.norm(vectors - vectors[picked[-1]], axis=1))
    return far[picked]


class MemoryBank:
    """Vectors of normal footage; the score of a query is its nearest neighbour distance.

    Args:
        vectors: (M, D) float, M >= 1; kept as float32.
        k: neighbours whose mean distance is the score.
        reweight: neighbours of the nearest vector in PatchCore's re-weighting; 0 = off.
        about: plain values for the model card.
        device: where distances are computed.
    """

    def __init__(self, vectors: np.ndarray | Tensor, *, k: int = 1, reweight: int = 0,
                 about: dict[str, Any] | None = None, device: str = "cpu"):
        vectors = vectors.detach().cpu().numpy() if isinstance(vectors, Tensor) else vectors
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if self.vectors.ndim != 2 or len(self.vectors) == 0 or not np.isfinite(self.vectors).all():
            raise ValueError(f"a memory bank needs at least one finite vector, got {self.vectors.shape}")
        self.k, self.reweight, self.about, self.device = k, reweight, dict(about or {}), device
        self._on_device: Tensor | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def nearest(self, queries: np.ndarray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """(N, D) queries -> distances (N, k) float32 and indices (N, k) int64 of bank rows, ascending."""
        if self._on_device is None:
            self._on_device = torch.from_numpy(self.vectors).to(self.device)
        return nearest(queries, self._on_device, k)

    def score(self, queries: np.ndarray) -> np.ndarray:
        """(N, D) queries -> (N,) float64 anomaly scores: mean distance of the k nearest, re-weighted if set."""
        if len(queries) == 0:
            return np.zeros(0)
        distances, found = self.nearest(queries, self.k)
        scores = distances.astype(np.float64).mean(axis=1)
        return scores * self._weights(queries, distances[:, 0], found[:, 0]) if self.reweight else scores

    def _weights(self, queries: np.ndarray, distance: np.ndarray, found: np.ndarray) -> np.ndarray:
        """1 - exp(d*) / sum over the b neighbours m of the nearest vector (itself among them) of exp(d(q, m))."""
        support = self.nearest(self.vectors[found], self.reweight)[1]
        weights = np.empty(len(queries))
        for row in range(len(queries)):
            around = np.linalg.norm(self.vectors[support[row]] - np.asarray(queries[row], np.float32), axis=1)
            # with duplicates in the bank, the nearest vector may be missing from its own support
            around = np.append(around[support[row] != found[row]], distance[row])
            weights[row] = 1.0 - np.exp(-np.logaddexp.reduce(around.astype(np.float64) - float(distance[row])))
        return weights


def folds(videos: np.ndarray, limit: int = 16) -> np.ndarray:
    """Groups of rows to hold out together: one per video, or `limit` groups of whole videos if there are more.

    Args:
        videos: (N,) names; limit: most groups, 0 = no limit.
    Returns:
        (N,) int64 group numbers. A single video is split into five consecutive groups (fewer if it has fewer rows).
    """
    names = list(dict.fromkeys(np.asarray(videos).tolist()))
    if len(names) == 1:
        count = len(videos)
        return np.arange(count) * min(5, count) // count
    group = {name: (i if not limit or len(names) <= limit else i % limit) for i, name in enumerate(names)}
    return np.array([group[v] for v in np.asarray(videos).tolist()], dtype=np.int64)


def leave_one_video_out(features: np.ndarray, videos: np.ndarray, build: Callable[[np.ndarray], MemoryBank], *,
                        limit: int = 16, groups: np.ndarray | None = None, device: str | None = None) -> np.ndarray:
    """Held-out scores: every row against a bank built without its video.

    Args:
        features: (N, D), may be a memory map; videos: (N,) names.
        build: allowed rows (n,) int64, sorted -> `MemoryBank`.
        limit: most banks to build (see `folds`).
        groups: (N,) groups to hold out together, instead of `folds`.
        device: where the banks compute; their own when None.
    Returns:
        (N,) float64 scores; 0 for a row that has no others to compare with.
    """
    groups, scores = folds(videos, limit) if groups is None else groups, np.zeros(len(videos))
    for group in np.unique(groups):
        held, allowed = np.flatnonzero(groups == group), np.flatnonzero(groups != group)
        if len(allowed) == 0:
            continue
        bank = build(allowed)
        if device is not None:
            bank.device = device
        scores[held] = bank.score(features[held])
    return scores


def _float(rows: np.ndarray | Tensor, device: str) -> Tensor:
    rows = rows if isinstance(rows, Tensor) else torch.from_numpy(np.array(rows, dtype=np.float32))
    return rows.to(device=device, dtype=torch.float32)
