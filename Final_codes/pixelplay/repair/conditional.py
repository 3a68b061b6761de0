"""Noise-conditional calibration: what is normal depends on how noisy the frame and its surroundings were.

Reads the scores a model gave a rehearsal (`rehearsal`: the same training frames clean, and noised and repaired);
makes a `NoiseResponse`: how much the noise of a frame and of the frames around it lifts the model's score. Windowed
models see neighbours' noise as their own, hence the surroundings. A score is the largest of many places', so noise
lifts quiet frames and hardly touches busy ones: the lift fades as the score rises. Taking it away compares a noisy
frame with equally noisy normal frames. Where no frame nearby was noisy it is exactly zero and nothing changes.

Weighing noisy scores by how much rehearsals scatter as well brought smoothed scores no nearer to the clean ones for
trained models (Experiments/E03), so it is left out.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pixelplay.data.footage import segments

RINGS = ((0, 0), (1, 1), (2, 4), (5, 8))
"""Distances in frame numbers (first, last) whose mean noise is a covariate each."""
UNIT = 30.0
"""Grey levels of noise that make a covariate of 1."""
QUIET, FADE = -1.0, 3.0
"""Clean score, in robust deviations, up to which the whole lift applies, and over how many more it fades to nothing:
what rehearsals of frame difference, flow and two autoencoders show alike (Experiments/E03)."""
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
        shift: (len(RINGS),) robust deviations a covariate of 1 adds to the score of a quiet frame.
    """

    shift: np.ndarray

    def correct(self, z: np.ndarray, around: np.ndarray) -> np.ndarray:
        """(N,) calibrated scores and (N, len(RINGS)) `surroundings` -> (N,) the clean scores that noise lifts to these.

        Rising in z, so that frames with equal surroundings keep their order.
        """
        lift = around @ self.shift
        width = _width(lift)
        between = (z - lift * (1 + QUIET / width)) / (1 - lift / width)
        return np.where(z >= QUIET + width, z, np.where(z - lift <= QUIET, z - lift, between))


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
    before = np.asarray(before, dtype=np.float64)
    change = np.asarray(after, dtype=np.float64) - before
    weight = np.ones(len(change))
    shift = np.zeros(around.shape[1])
    # Huber's estimate by reweighting: a window that caught somebody's first step must not decide
    for _ in range(10):
        faded = around * np.clip(1 - (before - QUIET) / _width(around @ shift), 0, 1)[:, None]
        weighted = faded * weight[:, None]
        shift = np.linalg.solve(weighted.T @ faded + RIDGE * np.eye(around.shape[1]), weighted.T @ change)
        left = change - faded @ shift
        width = 1.5 * max(1.4826 * float(np.median(np.abs(left))), 1e-3)
        weight = width / np.maximum(np.abs(left), width)
    return NoiseResponse(shift)


def _width(lift: np.ndarray) -> np.ndarray:
    """Over how many robust deviations a lift fades: wide enough that what it lifts keeps its order."""
    return np.maximum(FADE, 1.5 * lift)
