"""Grey thumbnails and what they look like, whatever the exposure: the description that tells places apart.

Likeness is the mean of two normalised correlations: of grey levels (large areas: sky, ground) and of compressed
gradients (edges: survive darkening, over-exposure and crowds). Pixel noise is averaged away by the thumbnail.
"""

from __future__ import annotations

import cv2
import numpy as np

THUMB = (45, 80)
LENGTH = 3 * THUMB[0] * THUMB[1]
"""Numbers of a description: grey levels, horizontal and vertical gradients."""


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (45, 80) float32 grey by area averaging."""
    small = cv2.resize(frame, THUMB[::-1], interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)


def features(thumb: np.ndarray) -> np.ndarray:
    """(45, 80) grey thumbnail -> (D,) float32 unit-length description; zeros for a thumbnail without contrast.

    The dot product of two descriptions is the mean of the two correlations.
    """
    thumb = cv2.GaussianBlur(thumb, (0, 0), 1.0)
    dx, dy = cv2.Sobel(thumb, cv2.CV_32F, 1, 0), cv2.Sobel(thumb, cv2.CV_32F, 0, 1)
    power = dx * dx + dy * dy
    # the square root of strong edges, so that one lamp post does not outvote the scene
    weight = 1.0 / np.sqrt(power + (np.sqrt(np.median(power)) + 2.0) ** 2)
    gradients = np.concatenate([(dx * weight).ravel(), (dy * weight).ravel()])
    grey = (thumb - thumb.mean()).ravel()
    parts = [p / n if n > 1e-3 else np.zeros_like(p) for p, n in ((p, np.linalg.norm(p)) for p in (grey, gradients))]
    return np.concatenate(parts).astype(np.float32) * np.float32(np.sqrt(0.5))


def edges(templates: np.ndarray, description: np.ndarray) -> np.ndarray:
    """Likeness of the gradients alone: (K, D) descriptions and (D,) -> (K,) in [-1, 1].

    Grey ramps (sky above ground) agree between places; gradients of unrelated places reach 0.2, of one place 0.55.
    """
    start = THUMB[0] * THUMB[1]
    return 2 * (templates[:, start:] @ description[start:])
