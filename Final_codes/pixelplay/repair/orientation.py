"""Orientation of a frame (flips and 180 degree rotation) relative to the training background.

Reads descriptors of grey thumbnails (45, 80); makes the similarity of every frame to a background in the four
orientations that preserve the size of a rectangular image (`ORIENTATIONS`), and the orientation of every frame.

Similarity is that of `pixelplay.scenes.description`. The four orientations are their own inverses and form a group, so
a frame flipped by T matches the background exactly as well as the upright frame matches the background flipped by T.
Training frames alone therefore show how well upright and flipped frames separate, and whether a scene can be
distinguished from its mirror image at all.
"""

from __future__ import annotations

import numpy as np

from pixelplay.scenes.description import THUMB

ORIENTATIONS = ("", "vflip", "hflip", "rot180")
"""Transforms, in the order of every score array; index a ^ b is the composition of a and b."""
SMALLEST_MARGIN = 0.08
"""Smallest difference in similarity for which a scene and its mirror image count as distinguishable."""
IDENTITY_BONUS = 0.05
"""Gain in similarity that a flip needs to be accepted: in doubt, frames stay unchanged."""
NEIGHBOUR_WEIGHT = 0.5
"""Weight of the similarity between consecutive frames, relative to that with the background."""


def turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Apply (or undo) one of `ORIENTATIONS` to (H, W, ...); a contiguous copy unless it is the identity."""
    if orientation == 0:
        return image
    rows, columns = slice(None, None, -1 if orientation & 1 else 1), slice(None, None, -1 if orientation & 2 else 1)
    return np.ascontiguousarray(image[rows, columns])


def turned_features(description: np.ndarray) -> np.ndarray:
    """(D,) descriptor of a thumbnail -> (4, D) descriptors in the four `ORIENTATIONS`."""
    planes = description.reshape(3, *THUMB)
    # a flip also reverses the sign of the gradient along its axis
    signs = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]], np.float32)
    return np.stack([np.stack([s * turn(p, k) for s, p in zip(signs[k], planes)]).ravel() for k in range(4)])


def distinguishable(training: np.ndarray) -> np.ndarray:
    """Which orientations can be distinguished from upright in a scene.

    Args:
        training: (N, 4) similarity of upright training frames to the background in the four orientations.
    Returns:
        (4,) bool; always True for the identity, True for a flip if 99.5 % of the training frames keep
        `SMALLEST_MARGIN`.
    """
    margins = np.quantile(training[:, :1] - training, 0.005, axis=0)
    return np.concatenate([[True], margins[1:] >= SMALLEST_MARGIN])


def decide(likeness: np.ndarray, relative: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Orientation of every frame of a video: the best sequence by dynamic programming (Viterbi).

    Combines the similarity of each frame to the background with that to the frame before it. The second term finds
    single flipped frames in nearly mirror-symmetric scenes.

    Args:
        likeness: (N, 4) similarity of each frame to the background in the four orientations.
        relative: (N, 4) similarity of each frame to the previous frame in the four orientations; zeros if there is none
            to compare with (start of a video, gap, blank frame).
        allowed: (4,) bool from `distinguishable`.
    Returns:
        (N,) int64 indices into `ORIENTATIONS`: the transform to undo.
    """
    n = len(likeness)
    if n == 0:
        return np.zeros(0, np.int64)
    own = likeness + IDENTITY_BONUS * (np.arange(4) == 0)
    for k in np.flatnonzero(~allowed):
        for a in range(4):
            # orientations that differ by an indistinguishable flip are separated by `relative` alone
            if a < a ^ k:
                own[:, a ^ k] = own[:, a] - IDENTITY_BONUS
    step = np.arange(4)[:, None] ^ np.arange(4)[None, :]
    best, back = own[0], np.zeros((n, 4), np.int64)
    for i in range(1, n):
        total = best[:, None] + NEIGHBOUR_WEIGHT * relative[i][step]
        # ties go to the first index, the identity
        back[i] = np.argmax(total, axis=0)
        best = total[back[i], np.arange(4)] + own[i]
    path = np.zeros(n, np.int64)
    path[-1] = int(np.argmax(best))
    for i in range(n - 1, 0, -1):
        path[i - 1] = back[i, path[i]]
    return path
