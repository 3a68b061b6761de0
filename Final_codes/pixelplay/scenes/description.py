"""Exposure-invariant descriptor of a grey thumbnail, used to recognise scenes and orientations.

The similarity of two descriptors is the mean of two normalised correlations: of grey levels (large areas such as sky
and ground) and of compressed gradients (edges, robust to darkening, over-exposure and crowds). The thumbnail averages
pixel noise away.
"""

from __future__ import annotations

import cv2
import numpy as np

THUMB = (45, 80)
LENGTH = 3 * THUMB[0] * THUMB[1]
"""Length of a descriptor: grey levels, horizontal and vertical gradients."""


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (45, 80) float32 grey by area averaging."""
    small = cv2.resize(frame, THUMB[::-1], interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)


def features(thumb: np.ndarray) -> np.ndarray:
    """(45, 80) grey thumbnail -> (D,) float32 unit-length descriptor; zeros for a thumbnail without contrast.

    The dot product of two descriptors is the mean of the two correlations.
    """
    thumb = cv2.GaussianBlur(thumb, (0, 0), 1.0)
    dx, dy = cv2.Sobel(thumb, cv2.CV_32F, 1, 0), cv2.Sobel(thumb, cv2.CV_32F, 0, 1)
    power = dx * dx + dy * dy
    # compress strong edges to their square root: one lamp post must not dominate the scene
    weight = 1.0 / np.sqrt(power + (np.sqrt(np.median(power)) + 2.0) ** 2)
    gradients = np.concatenate([(dx * weight).ravel(), (dy * weight).ravel()])
    grey = (thumb - thumb.mean()).ravel()
    parts = [p / n if n > 1e-3 else np.zeros_like(p) for p, n in ((p, np.linalg.norm(p)) for p in (grey, gradients))]
    return np.concatenate(parts).astype(np.float32) * np.float32(np.sqrt(0.5))


def edges(templates: np.ndarray, description: np.ndarray) -> np.ndarray:
    """Correlation of the gradient parts: (K, D) descriptors and (D,) -> (K,) in [-1, 1].

    Grey levels (sky above ground) agree between different places. Gradients of different places correlate up to 0.2,
    those of the same place from 0.55.
    """
    start = THUMB[0] * THUMB[1]
    return 2 * (templates[:, start:] @ description[start:])
