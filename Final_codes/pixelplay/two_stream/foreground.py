"""Foreground mask by background subtraction: actors without a detector or weights.

Reads frames of a fixed camera; makes a background model (one mode per camera or lighting in the training videos) and
the foreground mask of each frame. It also finds objects no person detector knows: a thrown bag, a bicycle, a cart.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from pixelplay.data.footage import Footage
from pixelplay.data.subsample import spread
from pixelplay.scenes.lighting import by_lighting, colour_thumbnail, distances, light_gain, over_channels
from pixelplay.scenes.medians import pixel_median, row_blocks

SAMPLES = 80
"""Frames per median; memory is SAMPLES * h * w * 3 bytes, independent of the number of videos."""
BUSY = 45.0
"""Highest threshold of a pixel, in grey levels. Pixels that reach it are occupied or flicker most of the time."""


@dataclasses.dataclass(frozen=True)
class Background:
    """Background model of the empty scene.

    Attributes:
        medians: (K, h, w, 3) uint8 RGB, one per mode (camera or lighting), at analysis size.
        thresholds: (K, h, w) float32 difference in grey levels above which a pixel is foreground.
        thumbs: (K, 27, 48, 3) float32 thumbnails of the medians.
    """

    medians: np.ndarray
    thresholds: np.ndarray
    thumbs: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the analysis frames."""
        return self.medians.shape[1], self.medians.shape[2]

    def mode_of(self, image: np.ndarray) -> tuple[int, float]:
        """Nearest mode of an analysis frame, and its distance (median grey levels after gain compensation)."""
        far = distances(colour_thumbnail(image), self.thumbs)
        return int(far.argmin()), float(far.min())

    def mask(self, image: np.ndarray, mode: int) -> np.ndarray:
        """Foreground of an analysis frame (h, w, 3) uint8 RGB against one mode -> (h, w) bool."""
        blurred = cv2.GaussianBlur(image, (0, 0), 1.0).astype(np.float32)
        median = self.medians[mode].astype(np.float32)
        gain = light_gain(blurred, median)
        lit = np.minimum(median * gain, 255)
        difference = over_channels(np.maximum, cv2.absdiff(blurred, lit))
        # most of a frame is background, so the median difference estimates its noise: raise the threshold to it
        own = 4.5 * 1.4826 * float(np.median(difference[::4, ::4]))
        mask = difference > np.maximum(self.thresholds[mode], own)
        mask[mask] = ~_shadow(blurred[mask], lit[mask])
        return mask


def fit_background(train: Footage, size: tuple[int, int]) -> Background:
    """Fit a median background and noise thresholds for every camera or lighting in the training videos.

    Args:
        train: anomaly-free footage.
        size: (h, w) analysis size.
    """
    medians, thresholds = [], []
    for names in by_lighting(train):
        positions = spread(np.flatnonzero(np.isin(train.videos.astype(str), names)), SAMPLES)
        stack = np.stack([cv2.GaussianBlur(shrink(frame, size), (0, 0), 1.0)
                          for _, frame in train.full_frames(positions)])
        median, threshold = _median_and_threshold(stack)
        medians.append(median)
        thresholds.append(threshold)
    stacked = np.stack(medians)
    return Background(stacked, np.stack(thresholds), np.stack([colour_thumbnail(m) for m in stacked]))


def _median_and_threshold(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle, threshold = pixel_median(stack), np.empty(stack.shape[1:3], np.float32)
    for rows in row_blocks(stack.shape[1]):
        noise = 1.4826 * np.median(np.abs(stack[:, rows] - middle[None, rows]).max(-1), axis=0)
        # the floor covers JPEG noise; the ceiling keeps busy places sensitive
        threshold[rows] = np.clip(4.5 * noise, 15.0, BUSY)
    return np.round(middle).astype(np.uint8), threshold


def analysis_size(full_size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(h, w) analysis size for frames of `full_size`: longest side at most `longest` pixels, never enlarged."""
    ratio = min(1.0, longest / max(full_size))
    return max(8, round(full_size[0] * ratio)), max(8, round(full_size[1] * ratio))


def shrink(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a frame to (h, w) by area averaging, which also reduces pixel noise."""
    if frame.shape[:2] == tuple(size):
        return frame
    return cv2.resize(frame, (size[1], size[0]), interpolation=cv2.INTER_AREA)


def _shadow(image: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """(n,) bool: pixels (n, 3) that have the colour of the background (n, 3) with less light.

    In grey footage a shadow cannot be told from a dark coat, so no pixel counts as shadow.
    """
    if np.array_equal(image[:, 0], image[:, 1]) and np.array_equal(image[:, 1], image[:, 2]):
        return np.zeros(len(image), bool)
    ratio = (image + 4) / (lit + 4)
    mean = ratio.mean(1)
    return (mean > 0.55) & (mean < 0.95) & (np.ptp(ratio, axis=1) < 0.06)


def components(mask: np.ndarray, min_area: float) -> np.ndarray:
    """Boxes (n, 4) float32 xyxy, in mask pixels, of the connected components with at least `min_area` pixels."""
    solid = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    count, _, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    stats = stats[1:count]
    stats = stats[stats[:, cv2.CC_STAT_AREA] >= min_area].astype(np.float32)
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    return np.stack([left, top, left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]], 1)
