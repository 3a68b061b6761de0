"""Frame-level metrics: average precision, micro and macro ROC-AUC, equal error rate, per-video table.

Reads (N,) binary labels (1 = anomalous, the positive class) and (N,) scores (higher = more anomalous); makes floats.
Ties count as one threshold. Frame weights let the bootstrap sort only once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

PADDINGS = ("exclude", "pad")
PADDING_RULES = {
    "exclude": "videos that hold one class only are left out of the mean",
    "pad": "one normal frame below and one anomalous frame above all scores are added to every video",
}
"""How macro AUC treats videos of one class; 'pad', usual in published code, raises the mean."""


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Frames sorted by descending score.

    Attributes:
        order: (N,) positions, highest score first.
        last: (K,) index in `order` of the last frame with each of the K distinct scores.
        positive: (N,) float64, 1 where the frame at that index of `order` is anomalous.
        thresholds: (K,) distinct scores, descending.
    """

    order: np.ndarray
    last: np.ndarray
    positive: np.ndarray
    thresholds: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, scores: np.ndarray) -> Ranking:
        """Sort once. Raises ValueError for unequal lengths, no frames, labels other than 0 and 1, or NaN scores."""
        labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
        if labels.shape != scores.shape or labels.ndim != 1 or len(labels) == 0:
            raise ValueError(f"labels {labels.shape} and scores {scores.shape} must be two equal, non-empty columns")
        if not np.isin(labels, (0, 1)).all() or np.isnan(scores).any():
            raise ValueError("labels must be 0 or 1 and scores must not be NaN")
        order = np.argsort(-scores, kind="stable")
        falling = scores[order]
        last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
        return cls(order, last, labels[order].astype(np.float64), falling[last])

    def counts(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(false positives, true positives), each (K + 1,), cumulative over descending thresholds, from 0."""
        w = np.ones(len(self.order)) if weights is None else np.asarray(weights, dtype=np.float64)[self.order]
        true = np.cumsum(w * self.positive)[self.last]
        false = np.cumsum(w)[self.last] - true
        return np.append(0.0, false), np.append(0.0, true)


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Step-wise area under the precision-recall curve (scikit-learn's definition); NaN without an anomalous frame."""
    return ap_of(*Ranking.of(labels, scores).counts())


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve, ties count half; NaN if one class is missing."""
    return auc_of(*Ranking.of(labels, scores).counts())


def ap_of(false: np.ndarray, true: np.ndarray) -> float:
    """Average precision from cumulative counts."""
    if true[-1] <= 0:
        return float("nan")
    gained = np.diff(true)
    reached = false[1:] + true[1:]
    precision = np.divide(true[1:], reached, out=np.zeros(len(gained)), where=reached > 0)
    return float((gained * precision).sum() / true[-1])


def auc_of(false: np.ndarray, true: np.ndarray) -> float:
    """ROC-AUC from cumulative counts."""
    if true[-1] <= 0 or false[-1] <= 0:
        return float("nan")
    return float((np.diff(false) * (true[1:] + true[:-1])).sum() / (2 * true[-1] * false[-1]))


def eer_of(false: np.ndarray, true: np.ndarray) -> float:
    """Equal error rate from cumulative counts: where the ROC polygon crosses FPR = 1 - TPR."""
    if true[-1] <= 0 or false[-1] <= 0:
        return float("nan")
    fpr, miss = false / false[-1], 1 - true / true[-1]
    k = int(np.argmax(fpr >= miss))
    if k == 0:
        return float(fpr[0])
    before, after = miss[k - 1] - fpr[k - 1], miss[k] - fpr[k]
    share = before / (before - after)
    return float(fpr[k - 1] + share * (fpr[k] - fpr[k - 1]))


def video_auc(labels: np.ndarray, scores: np.ndarray, padding: str = "exclude") -> float:
    """ROC-AUC of one video under a padding rule (see `PADDING_RULES`); NaN if undefined."""
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(PADDINGS)}")
    if padding == "pad":
        labels = np.concatenate([[0], labels, [1]])
        scores = np.concatenate([[-np.inf], scores, [np.inf]])
    return roc_auc(labels, scores)


def macro_auc(labels: np.ndarray, scores: np.ndarray, videos: np.ndarray, padding: str = "exclude") -> float:
    """Mean of the per-video ROC-AUCs; NaN if all are undefined."""
    found = np.array([video_auc(labels[v], scores[v], padding) for v in by_video(videos).values()])
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def by_video(videos: np.ndarray) -> dict[str, np.ndarray]:
    """Video -> positions of its frames, in order of first appearance."""
    codes, names = pd.factorize(np.asarray(videos, dtype=object))
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(len(names) + 1))
    return {str(name): order[edges[k]:edges[k + 1]] for k, name in enumerate(names)}


def per_video(labels: np.ndarray, scores: np.ndarray, videos: np.ndarray) -> pd.DataFrame:
    """One row per video: frames, positives, AUC, AP (NaN if undefined), mean score of each class."""
    rows = []
    for name, at in by_video(videos).items():
        y, s = labels[at], scores[at]
        rows.append({"video": name, "frames": len(at), "positives": int(y.sum()), "auc": roc_auc(y, s),
                     "ap": average_precision(y, s),
                     "mean_normal": float(s[y == 0].mean()) if (y == 0).any() else float("nan"),
                     "mean_anomalous": float(s[y == 1].mean()) if (y == 1).any() else float("nan")})
    return pd.DataFrame(rows)


def quality_of(labels: Any) -> Callable[[Sequence[str], np.ndarray], Mapping[str, float]]:
    """Function (ids, scores) -> {'AP', 'AUC'} against `Labels`, for the ensemble's table."""
    def quality(ids: Sequence[str], scores: np.ndarray) -> Mapping[str, float]:
        counts = Ranking.of(labels.align(ids, partial=True).values, scores).counts()
        return {"AP": ap_of(*counts), "AUC": auc_of(*counts)}

    return quality
