"""Noise level of a frame, compared with the training footage.

Reads raw full-size frames; makes a noise level, the share of impulse pixels, and a decision per frame.

The level is a robust Laplacian residual (Immerkaer 1996, with the median of Donoho and Johnstone 1994 instead of the
mean) of the frame at half size. JPEG removes the finest noise: after quality 75, a full-size estimator reads noise of
sigma 10 as nearly clean, while half size keeps the frequencies that JPEG retains. The estimate needs no background and
does not depend on orientation. Independent colour noise of sigma s gives a level of 0.335 s.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from scipy.special import ndtr

COLUMNS = ("level", "impulses", "mean", "saturated")
"""Noise level in grey levels at half size; share of pixels more than 80 levels from the median of their 3 x 3
neighbourhood; mean grey level; share of nearly black or white pixels."""
KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
"""Difference of two Laplacians (Immerkaer 1996): zero on constant and linear regions."""
GAIN = 6
"""L2 norm of the kernel: independent noise of sigma s becomes 6 s."""
NORMAL_MEDIAN = 0.6745
"""Median of |x| for standard normal x."""
GREY_HALF = 0.335
"""Level of independent colour noise of sigma 1: 0.669 after conversion to grey, half of that after 2 x 2 averaging."""


def measure(frame: np.ndarray) -> np.ndarray:
    """Measure a raw frame (H, W, 3) uint8 RGB; returns the `COLUMNS`, float32."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    half = cv2.resize(grey, (max(grey.shape[1] // 2, 1), max(grey.shape[0] // 2, 1)), interpolation=cv2.INTER_AREA)
    residual = np.abs(cv2.filter2D(half, cv2.CV_16S, KERNEL))
    level = _median(residual) / GAIN / NORMAL_MEDIAN
    off = cv2.absdiff(grey, cv2.medianBlur(grey, 3))
    impulses = np.count_nonzero(off > 80) / grey.size
    counts = cv2.calcHist([half], [0], None, [256], [0, 256]).ravel()
    saturated = (counts[:3].sum() + counts[253:].sum()) / half.size
    return np.array([level, impulses, (counts * np.arange(256)).sum() / half.size, saturated], np.float32)


def _median(values: np.ndarray) -> float:
    """Median of non-negative int16 values, interpolated within its histogram bin to resolve levels below 1."""
    counts = np.bincount(values[::2, ::2].ravel())
    total = np.cumsum(counts)
    middle = total[-1] / 2
    at = int(np.searchsorted(total, middle))
    below = total[at - 1] if at else 0
    return max(at - 0.5 + (middle - below) / max(counts[at], 1), 0.0)


@dataclasses.dataclass(frozen=True)
class NoiseModel:
    """Normal noise of the training footage.

    Attributes:
        level: median level of the training frames.
        most_level: level above which a frame counts as noisy.
        most_impulses: share of impulse pixels above which a frame has impulse noise.
        saturated: largest share of black and white pixels in training.
    """

    level: float
    most_level: float
    most_impulses: float
    saturated: float

    @classmethod
    def of(cls, observed: np.ndarray) -> NoiseModel:
        """Fit to the (N, 4) `COLUMNS` of training frames; noisy training footage raises the thresholds."""
        level = observed[:, 0].astype(np.float64)
        middle = float(np.median(level))
        spread = 1.4826 * float(np.median(np.abs(level - middle)))
        # the 99.9 % quantile keeps single outliers of the training frames from raising the threshold
        high = float(np.quantile(level, 0.999))
        return cls(middle, max(high + 1.0, middle + 6 * spread, 1.25 * middle + 0.5),
                   float(np.quantile(observed[:, 1], 0.999)) + 0.002, float(observed[:, 3].max()))

    def sigma(self, observed: np.ndarray) -> np.ndarray:
        """(N, 4) `COLUMNS` -> (N,) float32 sigma of independent colour noise in excess of the training footage."""
        extra = np.maximum(observed[:, 0].astype(np.float64) ** 2 - self.level ** 2, 0.0)
        return (np.sqrt(extra) / GREY_HALF).astype(np.float32)

    def impulsive(self, observed: np.ndarray) -> np.ndarray:
        """(N, 4) `COLUMNS` -> (N,) bool: more isolated outliers than Gaussian noise of this level explains."""
        deviation = np.maximum(2.12 * observed[:, 0].astype(np.float64), 1e-3)
        expected = 2 * ndtr(-80 / deviation)
        return observed[:, 1] > self.most_impulses + 2 * expected

    def noisy(self, observed: np.ndarray) -> np.ndarray:
        """(N, 4) `COLUMNS` -> (N,) bool: more noise than in training, other than impulses."""
        return (observed[:, 0] > self.most_level) & ~self.impulsive(observed)
