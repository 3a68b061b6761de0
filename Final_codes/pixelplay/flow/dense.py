"""Dense optical flow between two frames, in pixels per frame of time.

Reads frames (uint8 RGB); makes velocity fields on the pixels of the first. A displacement is divided by the
difference of the frame NUMBERS, so a missing frame does not look like speed.
"""

from __future__ import annotations

import cv2
import numpy as np


class DenseFlow:
    """DIS optical flow (Kroeger et al., ECCV 2016) down to full resolution, without variational smoothing.

    The presets stop at half resolution and then smooth: a person 15 pixels wide melts into the neighbours.
    """

    def __init__(self):
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._dis.setFinestScale(0)
        self._dis.setPatchSize(8)
        self._dis.setPatchStride(4)
        self._dis.setVariationalRefinementIterations(0)

    def __call__(self, image: np.ndarray, other: np.ndarray, step: int) -> np.ndarray:
        """Velocity of every pixel of `image`.

        Args:
            image, other: (h, w) uint8 from `matchable`.
            step: frame number of `other` minus that of `image`; negative for an earlier frame, never 0.
        Returns:
            (h, w, 2) float32 (x, y) velocity in analysis pixels per frame, forward in time.
        """
        if min(image.shape[:2]) < 16:  # smaller than two patches: DIS has nothing to match
            return np.zeros((*image.shape[:2], 2), np.float32)
        velocity = self._dis.calc(image, other, None)
        velocity /= np.float32(step)
        return velocity


def matchable(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 RGB -> (h, w) uint8: the picture that flow is measured on, made once for both directions."""
    # camera and JPEG noise live at the pixel scale; blurring both frames keeps them out of the match
    return cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 0.8)
