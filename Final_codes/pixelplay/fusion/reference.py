"""Post-processing of the reference entries, for comparison on the same scores.

Reads (N,) columns in manifest order; makes (N,) columns. These rules use statistics of the test set, count rows instead
of frame numbers and smooth across video borders; only the `reference-*` recipes use them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from pixelplay.data.footage import segments


@dataclasses.dataclass(frozen=True)
class Chain:
    """mean_M(max_W(sigmoid(slope * (x - centre)))) over the rows of a video, after min-max scaling of the raw score.

    Attributes:
        minmax: 'video' or 'global': rows over which the raw score is scaled to [0, 1].
        maximum, mean: widths W and M of the centred rolling windows, in rows.
    """

    slope: float
    centre: float
    maximum: int
    mean: int
    minmax: str = "video"

    def __call__(self, raw: np.ndarray, videos: np.ndarray) -> np.ndarray:
        """(N,) raw scores, (N,) video names (contiguous) -> (N,) post-processed scores in [0, 1]."""
        raw, videos = np.asarray(raw, dtype=np.float64), np.asarray(videos)
        pieces = segments(videos, np.zeros(len(raw), dtype=np.int64))
        out = minmax(raw)
        if self.minmax == "video":
            for rows in pieces:
                out[rows] = minmax(raw[rows])
        out = 1.0 / (1.0 + np.exp(-self.slope * (out - self.centre)))
        for rows in pieces:
            widest = pd.Series(out[rows]).rolling(self.maximum, center=True, min_periods=1).max()
            out[rows] = widest.rolling(self.mean, center=True, min_periods=1).mean().to_numpy()
        return out


def minmax(values: np.ndarray) -> np.ndarray:
    """Scale values to [0, 1]; zeros if they are all equal."""
    values = np.asarray(values, dtype=np.float64)
    span = values.max() - values.min()
    return (values - values.min()) / span if span > 0 else np.zeros(len(values))


def smooth_column(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian smoothing of the whole column, across video borders, as in the reference entries (mode reflect)."""
    return gaussian_filter1d(np.asarray(values, dtype=np.float64), sigma)
