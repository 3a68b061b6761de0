"""Noise-conditional calibration: what is normal depends on how noisy the frame and its surroundings were.

Reads the scores a model gave a rehearsal (`rehearsal`: the same training frames clean, and noised and repaired);
makes a `NoiseResponse`: how much the noise of a frame and of the frames around it shifts the model's score, and how
much it makes it scatter. Windowed models see neighbours' noise as their own, hence the surroundings. Subtracting the
shift compares a noisy frame with equally noisy normal frames; the scatter tells smoothing how far to trust it. Where
no frame nearby was noisy, both are exactly zero and nothing changes.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.optimize import nnls

from pixelplay.data.footage import segments

RINGS = ((0, 0), (1, 1), (2, 4), (5, 8))
"""Distances in frame numbers (first, last) whose mean noise is a covariate each."""
UNIT = 30.0
"""Grey levels of noise that make a covariate of 1."""
RIDGE = 0.5
"""Pull of every coefficient towards zero, in frames' worth of evidence."""
FEWEST = 40
"""Rehearsed frames below which nothing is learned."""


def surroundings(sigma: np.ndarray, videos: np.ndarray, frames: np.ndarray, max_gap: int = 8) -> np.ndarray:
    """Noise of a frame and around it.

    Args:
        sigma: (N,) noise in grey levels, 0 = none; videos, frames: (N,) names and frame numbers in manifest order.
        max_gap: largest step of the frame number that is still surroundings.
    Returns:
        (N, len(RINGS)) float64: mean sigma of the frames in each ring of the same video, in `UNIT`s; 0 where the ring
        holds none.
    """
    out = np.zeros((len(sigma), len(RINGS)))
    reach = RINGS[-1][1]
    for part in segments(np.asarray(videos), np.asarray(frames), max_gap):
        at = np.asarray(frames)[part] - np.asarray(frames)[part.start]
        present, level = np.zeros((2, int(at[-1]) + 1 + 2 * reach))
        present[at + reach], level[at + reach] = 1.0, np.asarray(sigma)[part] / UNIT
        for k, (first, last) in enumerate(RINGS):
            steps = [d for d in range(-last, last + 1) if abs(d) >= first]
            count = sum(present[at + reach + d] for d in steps)
            total = sum(level[at + reach + d] for d in steps)
            out[part, k] = np.divide(total, count, out=np.zeros(len(at)), where=count > 0)
    return out


@dataclasses.dataclass(frozen=True)
class NoiseResponse:
    """What noise does to one model's calibrated score.

    Attributes:
        shift: (len(RINGS),) robust deviations a covariate of 1 adds to the score.
        scatter: (len(RINGS),) variance it adds, not negative.
        still: variance of a clean score about its neighbours' mean: what the scatter is weighed against.
    """

    shift: np.ndarray
    scatter: np.ndarray
    still: float

    def correct(self, z: np.ndarray, around: np.ndarray) -> np.ndarray:
        """(N,) calibrated scores and (N, len(RINGS)) `surroundings` -> (N,) without the shift noise brings."""
        return z - around @ self.shift

    def trust(self, around: np.ndarray) -> np.ndarray:
        """(N, len(RINGS)) -> (N,) in (0, 1]: weight of the score in a mean; 1 where there is no noise."""
        return self.still / (self.still + around @ self.scatter)


def noise_response(before: np.ndarray, after: np.ndarray, sigma: np.ndarray, videos: np.ndarray, frames: np.ndarray
                   ) -> NoiseResponse | None:
    """Learn a `NoiseResponse`.

    Args:
        before, after: (M,) calibrated scores of the rehearsed frames as they were, and noised and repaired.
        sigma: (M,) their noise; videos, frames: (M,) names and frame numbers.
    Returns:
        None where there are too few frames, or none is noisy.
    """
    sigma = np.asarray(sigma, dtype=np.float64)
    if len(sigma) < FEWEST or not (sigma > 0).any():
        return None
    around = surroundings(sigma, videos, frames)
    change = np.asarray(after, dtype=np.float64) - before
    weight = np.ones(len(change))
    shift = np.zeros(around.shape[1])
    # Huber's estimate by reweighting: a window that caught somebody's first step must not decide
    for _ in range(10):
        weighted = around * weight[:, None]
        shift = np.linalg.solve(weighted.T @ around + RIDGE * np.eye(around.shape[1]), weighted.T @ change)
        left = change - around @ shift
        width = 1.5 * max(1.4826 * float(np.median(np.abs(left))), 1e-3)
        weight = width / np.maximum(np.abs(left), width)
    scatter = nnls(around, np.minimum(left ** 2, (4 * width) ** 2))[0]
    return NoiseResponse(shift, scatter, _stillness(np.asarray(before, dtype=np.float64), videos, frames))


def _stillness(values: np.ndarray, videos: np.ndarray, frames: np.ndarray) -> float:
    """Variance of a score about the mean of the two frames beside it, robust; at least 1e-3."""
    found = [np.zeros(0)]
    for part in segments(np.asarray(videos), np.asarray(frames)):
        v = values[part]
        found.append(v[1:-1] - (v[:-2] + v[2:]) / 2 if len(v) > 2 else np.zeros(0))
    off = np.concatenate(found)
    # a third of the variance of this difference is the neighbours'
    return max(float((1.4826 * np.median(np.abs(off))) ** 2) / 1.5, 1e-3) if len(off) else 1.0
