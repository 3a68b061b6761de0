"""Memory banks: exact nearest neighbours among feature vectors.

Reads (M, D) vectors of normal footage; gives the distance of (N, D) queries to their nearest ones, by blocked matrix
products (never N x M at once for large M). Also scores the training rows themselves, each against a bank built without
its video, which is what calibration needs.

Re-weighting: Roth et al. 2022, "Towards Total Recall in Industrial Anomaly Detection", equation 7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

_BLOCK_ELEMENTS = 1 << 24
"""Distances held at once: 64 MB."""
_SPARE = 4
"""Candidates beyond k that are measured directly, in case rounding put them in the wrong order."""


@torch.inference_mode()
def nearest(queries: np.ndarray | Tensor, bank: np.ndarray | Tensor, k: int = 1, *,
            device: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of a bank for every query, exact.

    Args:
        queries: (N, D) float; bank: (M, D) float; both finite.
        k: neighbours, cut down to M.
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
    # distances do not change when the bank's mean is taken away, but the expanded square keeps more digits
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
        # in order of the bank, so that of equal distances the first row wins
        found = squared.topk(spare, dim=1, largest=False).indices.sort(dim=1).values
        # the expanded square is still rough for near neighbours: measure the candidates again, directly
        exact = torch.linalg.vector_norm(bank[found] - part[:, None], dim=2)
        exact, order = exact.sort(dim=1, stable=True)
        distances[begin:begin + block] = exact[:, :k].cpu().numpy()
        indices[begin:begin + block] = found.gather(1, order[:, :k]).cpu().numpy()
    return distances, indices


def to_cover(queries: np.ndarray, distance: np.ndarray, limit: float) -> np.ndarray:
    """Which queries have to join a bank so that none of them is further from it than a limit.

    The furthest joins first, as in the greedy coreset that made the bank (Gonzalez, 1985).

    Args:
        queries: (N, D) float; distance: (N,) to the bank, NaN = it is empty; limit: >= 0.
    Returns:
        rows in the order of joining.
    """
    far = np.flatnonzero(~(np.asarray(distance) <= limit))
    left, vectors = np.nan_to_num(distance[far], nan=np.inf), np.asarray(queries[far], np.float32)
    picked: list[int] = []
    while len(left) and left.max() > limit:
        picked.append(int(left.argmax()))
        left = np.minimum(left, np.linalg.norm(vectors - vectors[picked[-1]], axis=1))
    return far[picked]


class MemoryBank:
    """Vectors of normal footage that score queries by their distance.

    Args:
        vectors: (M, D) float, M >= 1; kept as float32.
        k: neighbours whose mean distance is the score.
        reweight: PatchCore's re-weighting over this many neighbours of the nearest vector; 0 = off.
        about: anything worth keeping on the card (plain values).
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
        """(N, D) queries -> (N,) float64 anomaly scores: mean distance of the k nearest, re-weighted where asked."""
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
            # with duplicates in the bank the nearest vector itself may be missing from its own support
            around = np.append(around[support[row] != found[row]], distance[row])
            weights[row] = 1.0 - np.exp(-np.logaddexp.reduce(around.astype(np.float64) - float(distance[row])))
        return weights


def folds(videos: np.ndarray, limit: int = 16) -> np.ndarray:
    """Groups to hold out together: one a video, or `limit` groups of whole videos where there are more.

    Args:
        videos: (N,) names; limit: most groups, 0 = no limit.
    Returns:
        (N,) int64 group numbers. One video alone has nothing else to be scored by: its rows make five groups in
        order (as many as there are rows, where fewer).
    """
    names = list(dict.fromkeys(np.asarray(videos).tolist()))
    if len(names) == 1:
        count = len(videos)
        return np.arange(count) * min(5, count) // count
    group = {name: (i if not limit or len(names) <= limit else i % limit) for i, name in enumerate(names)}
    return np.array([group[v] for v in np.asarray(videos).tolist()], dtype=np.int64)


def leave_one_video_out(features: np.ndarray, videos: np.ndarray, build: Callable[[np.ndarray], MemoryBank], *,
                        limit: int = 16, groups: np.ndarray | None = None, device: str | None = None) -> np.ndarray:
    """Score every row against a bank built without its video.

    Args:
        features: (N, D), memory maps welcome; videos: (N,) names.
        build: allowed rows (n,) int64, sorted -> `MemoryBank`.
        limit: most banks to build (see `folds`); with more videos than that, a bank leaves several out.
        groups: (N,) rows to leave out together, instead of `folds`.
        device: where the banks compute; their own when None.
    Returns:
        (N,) float64 scores. A single row has no other to be compared with and scores 0.
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
