"""Grouping videos by camera and illumination, from colour thumbnails, invariant to the gain of each channel."""

from __future__ import annotations

import cv2
import numpy as np

from pixelplay.data.footage import Footage
from pixelplay.data.subsample import spread
from pixelplay.scenes.grouping import group_videos
from pixelplay.scenes.medians import median_thumbnail

THUMB = (48, 27)
"""(width, height) of the thumbnails."""
SAME_LIGHT = 6.0
"""Largest distance in grey levels (see `distances`) between videos of the same camera and illumination."""
MAX_MODES = 16
FRAMES = 15
"""Number of frames in the median thumbnail of a video."""


def colour_thumbnail(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 -> (27, 48, 3) float32."""
    return cv2.resize(image, THUMB, interpolation=cv2.INTER_AREA).astype(np.float32)


def over_channels(function: np.ufunc, image: np.ndarray) -> np.ndarray:
    """(h, w, 3) -> (h, w). Ten times faster than a reduction over an axis of length 3."""
    return function(function(image[..., 0], image[..., 1]), image[..., 2])


def light_gain(image: np.ndarray, median: np.ndarray) -> np.ndarray:
    """Gain (3,) per channel from the background to the frame: median ratio over pixels with a bright background."""
    seen = over_channels(np.minimum, median) > 20
    if seen.mean() < 0.05:
        return np.ones(3, np.float32)
    step = image[::4, ::4][seen[::4, ::4]], median[::4, ::4][seen[::4, ::4]]
    if len(step[0]) < 16:
        step = image[seen], median[seen]
    return np.clip(np.median(step[0] / step[1], axis=0), 0.5, 2.0).astype(np.float32)


def distances(thumb: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Median absolute difference of a thumbnail to (K, ...) others after gain compensation: (K,) grey levels."""
    return np.array([float(np.median(np.abs(thumb - o * light_gain(thumb, o)))) for o in others])


def by_lighting(train: Footage) -> list[list[str]]:
    """Group video names by camera and illumination, into at most `MAX_MODES` groups."""
    names = train.video_names()
    picks = [spread(np.flatnonzero(train.videos == name), FRAMES) for name in names]
    thumbs = np.stack([median_thumbnail(train.batch(rows), colour_thumbnail) for rows in picks])
    return [[names[i] for i in group] for group in group_videos(thumbs, distances, SAME_LIGHT, MAX_MODES)]
