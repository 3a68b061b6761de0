"""Frame-difference baseline: without training or settings, it shows how difficult a dataset is.

Reads `Footage`; makes one score per frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from pixelplay.data.footage import Footage

PATCH = 16
"""Side of a patch in working-size pixels."""


def frame_difference_scores(footage: Footage) -> np.ndarray:
    """Largest patch mean of the absolute difference to the previous frame, divided by the step of the frame number.

    Args:
        footage: N frames. The first frame of every video gets the score of the second, or 0 if there is none.
    Returns:
        (N,) float64, grey levels per frame.
    """
    scores = np.zeros(len(footage))
    previous = None
    for i in range(len(footage)):
        frame = np.asarray(footage.pixels[footage.rows[i]])
        first = i == 0 or footage.videos[i] != footage.videos[i - 1]
        if not first:
            gap = footage.frames[i] - footage.frames[i - 1]
            scores[i] = patch_means(cv2.absdiff(frame, previous)).max() / gap
            if i == 1 or footage.videos[i - 2] != footage.videos[i]:
                scores[i - 1] = scores[i]
        previous = frame
    return scores


def patch_means(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) -> (h // 16, w // 16) float means; rows and columns beyond a multiple of 16 are ignored."""
    h, w = (side // PATCH * PATCH for side in image.shape[:2])
    if h == 0 or w == 0:
        return np.asarray(image, dtype=np.float64).mean(keepdims=True).reshape(1, 1)
    return image[:h, :w].reshape(h // PATCH, PATCH, w // PATCH, PATCH, -1).mean((1, 3, 4))
