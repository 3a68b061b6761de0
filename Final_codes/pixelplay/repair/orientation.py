"""Which way up is a frame? Against the training background, without labels, networks or colour rules.

Reads grey thumbnails (45, 80); makes, for every frame, the likeness to a background under the four orientations a
rectangular picture can keep its size in (`ORIENTATIONS`), and the orientation of every frame of a video.

Likeness is the mean of two normalised correlations: of grey levels (large areas: sky, ground) and of compressed
gradients (edges: survive darkening, over-exposure and crowds). Pixel noise is averaged away by the thumbnail. The
four orientations undo themselves and form a group, so a frame flipped by T resembles the background by the same
amount as the upright one resembles the background flipped by T: training frames alone tell how far apart upright
and flipped frames will lie, and whether a scene can be told from its mirror image at all.
"""

from __future__ import annotations

import cv2
import numpy as np

ORIENTATIONS = ("", "vflip", "hflip", "rot180")
"""Names of the transforms, in the order of every score array; index a ^ b is a after b."""
THUMB = (45, 80)
SMALLEST_MARGIN = 0.08
"""A scene whose training frames resemble their own mirror image more closely than this cannot be told from it."""
IDENTITY_BONUS = 0.05
"""How much likeness a flip must win before it is believed: frames are left alone when in doubt."""
NEIGHBOUR_WEIGHT = 0.5
"""Weight of the likeness between consecutive frames beside that to the background."""


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (45, 80) float32 grey by area averaging."""
    small = cv2.resize(frame, THUMB[::-1], interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)


def turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Apply (or undo) one of `ORIENTATIONS` to (H, W, ...); a contiguous copy unless it is the identity."""
    if orientation == 0:
        return image
    rows, columns = slice(None, None, -1 if orientation & 1 else 1), slice(None, None, -1 if orientation & 2 else 1)
    return np.ascontiguousarray(image[rows, columns])


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
