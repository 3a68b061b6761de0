"""Confidence intervals: 95 % percentile bootstrap over whole videos.

Reads labels, scores and videos of N frames; makes intervals. Frames of one video are not independent, so videos are
resampled, not frames (Efron & Tibshirani 1993, chapter 8). Few videos give wide intervals.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from pixelplay.evaluation.metrics import Ranking, ap_of, auc_of, by_video, eer_of, video_auc

DRAWS = 1000
LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Interval:
    """A metric with its percentile interval.

    Attributes:
        value: the metric on all videos.
        low, high: NaN without an interval (one video, or no valid resample).
        draws: number of resamples on which the metric was defined.
    """

    value: float
    low: float
    high: float
    draws: int


def draw_videos(count: int, draws: int, seed: int = 0) -> np.ndarray:
    """(draws, count): how often each resample contains each of `count` videos; rows sum to `count`."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(count, np.full(count, 1.0 / count), size=draws)


def interval(value: float, drawn: np.ndarray) -> Interval:
    """Percentile interval of the finite values among (B,) resamples."""
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 2:
        return Interval(value, float("nan"), float("nan"), len(drawn))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), len(drawn))


def frame_intervals(labels: np.ndarray, scores: np.ndarray, videos: np.ndarray, *, padding: str = "exclude",
                    draws: int = DRAWS, seed: int = 0) -> dict[str, Interval]:
    """Every frame-level metric with its interval: ap, micro_auc, macro_auc, eer.

    Resamples depend only on the number of videos and the seed, so models scored on the same videos share them and
    their intervals are comparable.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    groups = list(by_video(videos).values())
    which = np.empty(len(labels), dtype=np.int64)
    for k, at in enumerate(groups):
        which[at] = k
    ranking = Ranking.of(labels, scores)
    aucs = np.array([video_auc(labels[at], scores[at], padding) for at in groups])
    valid = np.isfinite(aucs)
    times = draw_videos(len(groups), draws if len(groups) > 1 else 0, seed)
    drawn: dict[str, list[float]] = {"ap": [], "micro_auc": [], "macro_auc": [], "eer": []}
    for row in times:
        _append(drawn, ranking.counts(row[which]), aucs, valid, row)
    now: dict[str, list[float]] = {m: [] for m in drawn}
    _append(now, ranking.counts(), aucs, valid, np.ones(len(groups)))
    return {m: interval(now[m][0], np.array(drawn[m])) for m in drawn}


def _append(into: dict[str, list[float]], counts: tuple[np.ndarray, np.ndarray], aucs: np.ndarray, valid: np.ndarray,
            times: np.ndarray) -> None:
    into["ap"].append(ap_of(*counts))
    into["micro_auc"].append(auc_of(*counts))
    into["eer"].append(eer_of(*counts))
    weight = times[valid].sum()
    into["macro_auc"].append(float((aucs[valid] * times[valid]).sum() / weight) if weight else float("nan"))


def intervals_of(count: int, metric: Callable[[np.ndarray], dict[str, float]], *, draws: int = DRAWS,
                 seed: int = 0) -> dict[str, Interval]:
    """Intervals of metrics that are functions of (count,) video weights, e.g. of summed counts."""
    now = metric(np.ones(count))
    drawn = [metric(row) for row in draw_videos(count, draws if count > 1 else 0, seed)]
    return {m: interval(v, np.array([d[m] for d in drawn])) for m, v in now.items()}
