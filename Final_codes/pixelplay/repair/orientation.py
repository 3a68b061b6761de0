"""Which way up is a frame? Against the training background, without labels, networks or colour rules.

Reads grey thumbnails (45, 80); makes, for every frame, the likeness to a background under the four orientations a
rectangular picture can keep its size in (`ORIENTATIONS`), and the orientation of every frame of a video.

Likeness is that of `pixelplay.scenes.description`. The four orientations undo themselves and form a group, so a frame
flipped by T resembles the background by the same amount as the upright one resembles the background flipped by T:
training frames alone tell how far apart upright and flipped frames will lie, and whether a scene can be told from its
mirror image at all.
"""

from __future__ import annotations

import numpy as np

from pixelplay.scenes.description import THUMB

ORIENTATIONS = ("", "vflip", "hflip", "rot180")
"""Names of the transforms, in the order of every score array; index a ^ b is a after b."""
SMALLEST_MARGIN = 0.08
"""A scene whose training frames resemble their own mirror image more closely than this cannot be told from it."""
IDENTITY_BONUS = 0.05
"""How much likeness a flip must win before it is believed: frames are left alone when in doubt."""
NEIGHBOUR_WEIGHT = 0.5
"""Weight of the likeness between consecutive frames beside that to the background."""


def turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Apply (or undo) one of `ORIENTATIONS` to (H, W, ...); a contiguous copy unless it is the identity."""
    if orientation == 0:
        return image
    rows, columns = slice(None, None, -1 if orientation & 1 else 1), slice(None, None, -1 if orientation & 2 else 1)
    return np.ascontiguousarray(image[rows, columns])


def turned_features(description: np.ndarray) -> np.ndarray:
    """(D,) description of a thumbnail -> (4, D) descriptions of it in the four `ORIENTATIONS`."""
    planes = description.reshape(3, *THUMB)
    # a flip turns the picture and reverses the gradient across it
    signs = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]], np.float32)
    return np.stack([np.stack([s * turn(p, k) for s, p in zip(signs[k], planes)]).ravel() for k in range(4)])


def distinguishable(training: np.ndarray) -> np.ndarray:
    """Which orientations training frames of a scene can be told from.

    Args:
        training: (N, 4) likeness of upright training frames to the background in the four orientations.
    Returns:
        (4,) bool; the identity is always True, a flip is True where all but half a percent of the training frames
        keep `SMALLEST_MARGIN`.
    """
    margins = np.quantile(training[:, :1] - training, 0.005, axis=0)
    return np.concatenate([[True], margins[1:] >= SMALLEST_MARGIN])


def decide(likeness: np.ndarray, relative: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Orientation of every frame of one run of frames: the most likely chain, found by dynamic programming.

    Each frame is judged by itself (corrupted frames lie scattered among good ones) and by how it relates to the one
    before, which finds single flipped frames in scenes that nearly equal their mirror image.

    Args:
        likeness: (N, 4) likeness of each frame to the background in the four orientations.
        relative: (N, 4) likeness of each frame to the frame before it turned by the four orientations; a row of
            zeros where there is nothing to compare with (start of a video, gap in time, blank frame).
        allowed: (4,) bool from `distinguishable`.
    Returns:
        (N,) int64 indices into `ORIENTATIONS`: what must be undone.
    """
    n = len(likeness)
    if n == 0:
        return np.zeros(0, np.int64)
    own = likeness + IDENTITY_BONUS * (np.arange(4) == 0)
    for k in np.flatnonzero(~allowed):
        for a in range(4):
            # what differs only by an invisible flip is told apart by the neighbours, or not at all
            if a < a ^ k:
                own[:, a ^ k] = own[:, a] - IDENTITY_BONUS
    step = np.arange(4)[:, None] ^ np.arange(4)[None, :]
    best, back = own[0], np.zeros((n, 4), np.int64)
    for i in range(1, n):
        total = best[:, None] + NEIGHBOUR_WEIGHT * relative[i][step]
        # argmax takes the first of equals: the identity, unless something speaks against it
        back[i] = np.argmax(total, axis=0)
        best = total[back[i], np.arange(4)] + own[i]
    path = np.zeros(n, np.int64)
    path[-1] = int(np.argmax(best))
    for i in range(n - 1, 0, -1):
        path[i - 1] = back[i, path[i]]
    return path
