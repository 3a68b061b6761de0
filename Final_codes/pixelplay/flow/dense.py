"""Dense optical flow between two frames, as velocity in pixels per frame.

Reads two uint8 RGB frames; makes a velocity field on the pixels of the first. Displacements are divided by the
difference of the frame numbers, so dropped frames do not raise the speed.
"""

from __future__ import annotations

import cv2
import numpy as np


class DenseFlow:
    """DIS optical flow (Kroeger et al., ECCV 2016) at full resolution, without variational refinement.

    The presets stop at half resolution and then smooth, which merges people 15 pixels wide with their surroundings.
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
            (h, w, 2) float32 (x, y) velocity in pixels per frame, forward in time; zeros for images smaller than two
            patches (16 pixels).
        """
        if min(image.shape[:2]) < 16:  # DIS has nothing to match
            return np.zeros((*image.shape[:2], 2), np.float32)
        velocity = self._dis.calc(image, other, None)
        velocity /= np.float32(step)
        return velocity


def matchable(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 RGB -> (h, w) uint8 grey, smoothed: the input of `DenseFlow`."""
    # camera and JPEG noise vary from pixel to pixel and would disturb the matching
    return cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 0.8)
