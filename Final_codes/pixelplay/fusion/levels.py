"""The level of a video: what its own quiet frames say about scene, light and encoder, bounded by training.

Reads calibrated scores of a test video and of held-out training videos; makes what is to be taken from the former. Two
recordings of the same normal scene differ in level: by how much, the held-out training videos show. A video's quiet
level (a low quantile of its scores) may therefore stand above or below theirs without anything being wrong, and that
much of it is taken away: an empirical Bayes offset in its simplest form, where the prior is cut off at `BOUND` standard
deviations. Beyond the bound nothing is taken, so that a video that is anomalous from end to end stays high. A recorded
video is judged as a whole, a live one by its last frames; no other video is looked at.
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
WINDOW = 500
"""Frames, the present one among them, over which the level of a live video is taken."""


def video_offsets(values: np.ndarray, videos: np.ndarray, train_values: np.ndarray, train_videos: np.ndarray, *,
                  causal: bool = False) -> np.ndarray:
    """What each frame's score owes to the level of its video.

    Args:
        values, videos: (N,) calibrated scores and video names; train_values, train_videos: (M,) of held-out training.
        causal: take the level over the `WINDOW` frames up to each frame instead of the whole video.
    Returns:
        (N,) float64, at most `BOUND` deviations of the training videos' levels; zeros with fewer than `LEAST_VIDEOS`
        training videos. Not causal, it is the same for all frames of a video.
    """
    centre, bound = usual_level(train_values, train_videos)
    own = _by_video(values, videos).transform(
        lambda v: v.rolling(WINDOW, min_periods=1).quantile(QUIET) if causal else v.quantile(QUIET))
    return (own - centre).clip(-bound, bound).to_numpy(np.float64)


def usual_level(train_values: np.ndarray, train_videos: np.ndarray) -> tuple[float, float]:
    """The usual level of a training video, and how much of a distance from it may be taken away: 0 where there are
    too few videos to tell."""
    usual = _by_video(train_values, train_videos).quantile(QUIET)
    if len(usual) < LEAST_VIDEOS:
        return 0.0, 0.0
    return float(usual.median()), BOUND * float(usual.std(ddof=1))


def _by_video(values: np.ndarray, videos: np.ndarray):
    return pd.Series(np.asarray(values, np.float64)).groupby(np.asarray(videos, object), sort=False)
