"""The level of a recorded video: what its own quiet frames say about scene, light and encoder, bounded by training.

Reads calibrated scores of a test video and of held-out training videos; makes what is to be taken from the former. Two
recordings of the same normal scene differ in level: by how much, the held-out training videos show. A video's quiet
level (a low quantile of its scores) may therefore stand above or below theirs without anything being wrong, and that
much of it is taken away: an empirical Bayes offset in its simplest form, where the prior is cut off at `BOUND` standard
deviations. Beyond the bound nothing is taken, so that a video that is anomalous from end to end stays high. Needs the
whole video, and no other one: recorded footage only.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

QUIET = 0.2
"""Quantile of a video's scores that is its level."""
BOUND = 2.0
"""Standard deviations of the training videos' levels that may be taken away."""
LEAST_VIDEOS = 3
"""Training videos below which nothing is known of their spread, and nothing is taken."""


def video_offsets(values: np.ndarray, videos: np.ndarray, train_values: np.ndarray, train_videos: np.ndarray
                  ) -> np.ndarray:
    """What each frame's score owes to the level of its video.

    Args:
        values, videos: (N,) calibrated scores and video names; train_values, train_videos: (M,) of held-out training.
    Returns:
        (N,) float64, the same for all frames of a video, at most `BOUND` deviations of the training videos' levels;
        zeros with fewer than `LEAST_VIDEOS` training videos.
    """
    usual = video_levels(train_values, train_videos)
    if len(usual) < LEAST_VIDEOS:
        return np.zeros(len(values))
    bound = BOUND * usual.std(ddof=1)
    return (video_levels(values, videos) - usual.median()).clip(-bound, bound).reindex(videos).to_numpy(np.float64)


def video_levels(values: np.ndarray, videos: np.ndarray) -> pd.Series:
    """video -> its quiet level, in order of first appearance."""
    return pd.Series(np.asarray(values, np.float64)).groupby(np.asarray(videos, object), sort=False).quantile(QUIET)
