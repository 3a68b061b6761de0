"""How noisy is a frame, and is that more than this camera's training footage?

Reads raw full-size frames; makes a noise level, the share of impulse pixels, and the decision per frame.

The level is a robust Laplacian residual (Immerkaer 1996, with the median of Donoho and Johnstone 1994 in place of
the mean) of the frame at *half size*: JPEG wipes out the finest noise, so full-size estimators read a frame with
noise of sigma 10 after quality 75 as nearly clean, while averaging two pixels leaves the band that JPEG keeps. It
needs no background and does not care which way up a frame is. Independent colour noise of sigma s reads 0.335 s.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from scipy.special import ndtr

COLUMNS = ("level", "impulses", "mean", "saturated")
"""noise level in grey levels at half size; share of pixels 80 levels off their median of nine; mean grey level;
share of pixels that are nearly black or nearly white."""
KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
"""Difference of two Laplacians (Immerkaer 1996): blind to constant and linear regions."""
GAIN = 6
"""Root of the sum of the kernel's squares: independent noise of sigma s comes out as 6 s."""
NORMAL_MEDIAN = 0.6745
"""Median of |x| for x normally distributed with sigma 1."""
GREY_HALF = 0.335
"""Level of independent colour noise of sigma 1: grey weights leave 0.669, averaging 2 x 2 pixels half of it."""


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
    """Median of non-negative int16, interpolated inside its integer so that levels below 1 still differ."""
    counts = np.bincount(values[::2, ::2].ravel())
    total = np.cumsum(counts)
    middle = total[-1] / 2
    at = int(np.searchsorted(total, middle))
    below = total[at - 1] if at else 0
    return max(at - 0.5 + (middle - below) / max(counts[at], 1), 0.0)


@dataclasses.dataclass(frozen=True)
class NoiseModel:
    """What is normal noise for this footage.

    Attributes:
        level: median level of the training frames.
        most_level: level above which a frame counts as noisy.
        most_impulses: share of impulse pixels above which it counts as hit by impulses.
        saturated: largest share of black and white pixels in training.
    """

    level: float
    most_level: float
    most_impulses: float
    saturated: float

    @classmethod
    def of(cls, observed: np.ndarray) -> NoiseModel:
        """From the (N, 4) `COLUMNS` of training frames; noisy training footage raises its own thresholds."""
        level = observed[:, 0].astype(np.float64)
        middle = float(np.median(level))
        spread = 1.4826 * float(np.median(np.abs(level - middle)))
        # single odd training frames must not open the door: all but one in a thousand, plus a visible step
        high = float(np.quantile(level, 0.999))
        return cls(middle, max(high + 1.0, middle + 6 * spread, 1.25 * middle + 0.5),
                   float(np.quantile(observed[:, 1], 0.999)) + 0.002, float(observed[:, 3].max()))

    def sigma(self, observed: np.ndarray) -> np.ndarray:
        """(N, 4) `COLUMNS` -> (N,) sigma of independent colour noise beyond the training footage's own, float32."""
        extra = np.maximum(observed[:, 0].astype(np.float64) ** 2 - self.level ** 2, 0.0)
        return (np.sqrt(extra) / GREY_HALF).astype(np.float32)

    def impulsive(self, observed: np.ndarray) -> np.ndarray:
        """(N, 4) `COLUMNS` -> (N,) bool: isolated outliers that Gaussian noise of this level would not make."""
        deviation = np.maximum(2.12 * observed[:, 0].astype(np.float64), 1e-3)
        expected = 2 * ndtr(-80 / deviation)
        return observed[:, 1] > self.most_impulses + 2 * expected

    def noisy(self, observed: np.ndarray) -> np.ndarray:
        """(N, 4) `COLUMNS` -> (N,) bool: more noise than training footage has, and not impulses."""
        return (observed[:, 0] > self.most_level) & ~self.impulsive(observed)
