"""Calibration of raw scores on held-out training scores.

Reads (N,) raw training scores; makes a `Rarity`, which maps a raw score to -log10 of the share of training frames that
reach it, or a `Calibration`, which maps it to robust z-scores. No statistic of the test set is used, so the score of a
frame does not depend on other test frames. A top-level module because both `two_stream` (parts of a model) and `fusion`
(models) use it.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

ROUNDING = 1e-12
"""Scores that differ by less than this share of the largest magnitude count as equal: about 10^4 times the precision of
float64."""


def is_constant(scores: np.ndarray) -> bool:
    """Whether (N,) scores, N > 0, are equal up to rounding, and so give no ranking."""
    return bool(np.ptp(scores) <= ROUNDING * np.abs(scores).max())


@dataclasses.dataclass(frozen=True)
class Calibration:
    """z = (g(s) - centre) / scale, clipped to [low, high], with g = log(s + eps) where `log` is set.

    Attributes:
        centre, scale: median and 1.4826 MAD of g over held-out training scores.
        log: whether g is the logarithm.
        eps: added before the logarithm, in the unit of the scores.
    """

    centre: float
    scale: float
    log: bool
    eps: float
    low: float = -3.0
    high: float = 10.0

    @classmethod
    def of_card(cls, fields: dict[str, float | bool]) -> Calibration:
        """From the fields of a card. Raises TypeError or ValueError if they are invalid."""
        found = cls(**fields)
        numbers = (found.centre, found.scale, found.eps, found.low, found.high)
        if not np.isfinite(np.array(numbers, dtype=np.float64)).all() or not found.scale > 0 or found.eps < 0:
            raise ValueError(f"a calibration of {found}")
        return found

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """(...) raw scores -> (...) float64 z-scores."""
        return np.clip((transform(scores, self.log, self.eps) - self.centre) / self.scale, self.low, self.high)

    def raw(self, z: float) -> float:
        """Inverse of the z-score, for z in [low, high]; at least 0 for error-like scores."""
        value = self.centre + z * self.scale
        return max(0.0, float(np.exp(value) - self.eps)) if self.log else value


def transform(scores: np.ndarray, log: bool, eps: float) -> np.ndarray:
    """log(s + eps) for error-like scores, s itself otherwise; float64."""
    scores = np.asarray(scores, dtype=np.float64)
    return np.log(np.maximum(scores, 0.0) + eps) if log else scores


def calibrate(train_scores: np.ndarray, *, log: bool, low: float = -3.0, high: float = 10.0) -> Calibration:
    """Fit a `Calibration` to (N,) held-out training scores.

    Errors and distances are roughly log-normal, hence the logarithm. Median and MAD are robust to unusual frames in
    normal videos. If the MAD is zero (more than half the scores are equal), the standard deviation is used, or 1 if
    that is zero too.

    Raises:
        ValueError: empty or non-finite training scores.
    """
    train_scores = np.asarray(train_scores, dtype=np.float64)
    if train_scores.size == 0 or not np.isfinite(train_scores).all():
        raise ValueError("calibration needs at least one training score, all finite")
    eps = 1e-3 * float(np.median(np.abs(train_scores))) or 1e-12
    values = transform(train_scores, log, eps)
    centre = float(np.median(values))
    scale = 1.4826 * float(np.median(np.abs(values - centre))) or float(values.std()) or 1.0
    return Calibration(centre, scale, log, eps, low, high)


@dataclasses.dataclass(frozen=True)
class Rarity:
    """Rarity of a score among held-out training scores: -log10 of the share that reaches it.

    Models differ in the weight of their tails: a robust z-score of 4 may be rare for one and common for another.
    Rarities are comparable, and their sum is Fisher's method of combining tests. Beyond the training quantile `LEVEL`,
    an exponential tail with the mean excess of the training scores is used (peaks over threshold: Pickands, 1975),
    which preserves the order of scores above all training frames. If the number of training videos is given, it counts
    as the number of observations of the mean excess, and the tail becomes its predictive distribution (Lomax): with few
    videos, an unseen score is less certainly rare.

    Attributes:
        levels: (Q,) training quantiles at evenly spaced levels from 0 to `LEVEL`.
        excess: mean excess of training scores above the last of them.
        videos: number of training videos; infinite for an exponential tail.
    """

    levels: tuple[float, ...]
    excess: float
    videos: float = math.inf

    LEVEL = 0.9

    @classmethod
    def fit(cls, train: np.ndarray, videos: float = math.inf, count: int = 91) -> Rarity:
        """Fit to (N,) held-out training scores. Raises ValueError if there are none, or not all are finite."""
        train = np.asarray(train, dtype=np.float64)
        if train.size == 0 or not np.isfinite(train).all():
            raise ValueError("calibration needs at least one training score, all finite")
        levels = np.quantile(train, np.linspace(0, cls.LEVEL, count))
        beyond = train[train > levels[-1]] - levels[-1]
        # few or equal scores have no excess: use the standard deviation
        excess = float(beyond.mean()) if len(beyond) else float(train.std())
        return cls(tuple(levels.tolist()), max(excess, 1e-3), max(videos, 1))

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """(N,) -> (N,) float64 >= 0; 1 = reached by a tenth of the training frames, 2 = by about a hundredth."""
        levels = np.asarray(self.levels)
        share = np.interp(scores, levels, np.linspace(0, self.LEVEL, len(levels)))
        beyond = np.maximum(scores - levels[-1], 0.0) / self.excess
        if math.isfinite(self.videos):
            beyond = self.videos * np.log1p(beyond / self.videos)
        return (beyond - np.log(1 - share)) / np.log(10)

    def highest(self, rarity: float) -> float:
        """The highest score with a rarity of at most `rarity` >= 0 (inverse of the rarity)."""
        levels = np.asarray(self.levels)
        most = float(-np.log10(1 - self.LEVEL))
        if rarity < most:
            return float(np.interp(1 - 10.0 ** -rarity, np.linspace(0, self.LEVEL, len(levels)), levels))
        beyond = (rarity - most) * np.log(10)
        if math.isfinite(self.videos):
            beyond = self.videos * np.expm1(beyond / self.videos)
        return float(levels[-1] + beyond * self.excess)
