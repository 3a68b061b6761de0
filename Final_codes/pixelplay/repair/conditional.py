"""Noise-conditional calibration: what is normal depends on how noisy the frame was.

Reads held-out training scores at several noise levels; makes a calibration that maps a raw score and the sigma of
its frame to robust standard deviations above normal at that sigma. Noise raises most scores by an offset and a
factor of its own for every model: comparing a noisy frame with equally noisy normal frames takes both out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from pixelplay.calibration import calibrate, transform


@dataclasses.dataclass(frozen=True)
class ConditionalCalibration:
    """z = (g(s) - centre(sigma)) / scale(sigma), both linear between the measured sigmas and constant beyond.

    Attributes:
        sigmas: (K,) noise levels in grey levels, increasing.
        centres, scales: (K,) median and 1.4826 MAD of g over held-out training scores at each.
        log, eps, low, high: as in `pixelplay.calibration.Calibration`; eps belongs to the lowest sigma.
    """

    sigmas: np.ndarray
    centres: np.ndarray
    scales: np.ndarray
    log: bool
    eps: float
    low: float = -3.0
    high: float = 10.0

    def __call__(self, scores: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """(N,) raw scores and (N,) noise sigmas of their frames -> (N,) float64 z-scores."""
        centre, scale = np.interp(sigma, self.sigmas, self.centres), np.interp(sigma, self.sigmas, self.scales)
        return np.clip((transform(scores, self.log, self.eps) - centre) / scale, self.low, self.high)


def noise_conditional(train_scores: Mapping[float, np.ndarray], *, log: bool, low: float = -3.0, high: float = 10.0
                      ) -> ConditionalCalibration:
    """Fit a `ConditionalCalibration`.

    Args:
        train_scores: sigma -> held-out scores of training frames that had noise of that sigma added and were then
            treated like test frames (repaired, in windows with frames of the usual mixture). Must hold sigma 0.
        log: scores are error- or distance-like.
    Raises:
        ValueError: no sigma 0, or empty or non-finite scores.
    """
    sigmas = np.array(sorted(train_scores), dtype=np.float64)
    if len(sigmas) == 0 or sigmas[0] != 0.0:
        raise ValueError("noise-conditional calibration needs the training scores at sigma 0")
    fits = [calibrate(train_scores[s], log=log) for s in sigmas.tolist()]
    eps = fits[0].eps
    values = [transform(train_scores[s], log, eps) for s in sigmas.tolist()]
    centres = np.array([np.median(v) for v in values])
    scales = np.array([1.4826 * np.median(np.abs(v - c)) or v.std() or 1.0 for v, c in zip(values, centres)])
    return ConditionalCalibration(sigmas, centres, scales, log, eps, low, high)
