"""The ensemble's weights, fixed before the scores of a run are seen.

Reads the sidecars of score files; makes weights. Families weigh by `FAMILY`, the models of one by the `weight` that
each states of itself. The autoencoders count for nine tenths: the local stream ranks best where anomalies are fast
(Ped2), and there a tenth is enough to keep nearly all of its lead; where normal videos of another encoder or another
crowd stand beside the training ones, its scores rise on all of their frames, and every larger share ranks worse
(Experiments/E16, on the labels of Ped2, the embedded sample and three Avenue videos). Within the quad the weights are
those of the reference entry, half of them STAE's; other divisions rank within half a point of them. The global stream
weighs little beside the local one, because a pooled whole frame hardly sees a small actor (Experiments/E14).
"""

from __future__ import annotations

from collections.abc import Mapping

from pixelplay.fusion.scores import ScoreFile

FAMILY = {"two_stream": 0.1, "quad": 0.9}
FOREIGN = 0.2
"""Weight of a model of no family, or of one whose scores state no weight, beside both families' sum of 1."""


def prior_weights(members: Mapping[str, ScoreFile]) -> dict[str, float]:
    """Families weigh by `FAMILY`, their models by their own `weight`; sums to 1."""
    families: dict[str, dict[str, float]] = {}
    for name, file in members.items():
        family, weight = file.about.get("family", "other"), float(file.about.get("weight", 0.0))
        family = family if family in FAMILY and weight > 0 else "other"
        families.setdefault(family, {})[name] = weight
    raw = {}
    for family, some in families.items():
        total = sum(some.values())
        for name, weight in some.items():
            raw[name] = FOREIGN if family == "other" else FAMILY[family] * weight / total
    return {m: raw[m] / sum(raw.values()) for m in members}


def equal_weights(members: Mapping[str, ScoreFile]) -> dict[str, float]:
    """1 / K each."""
    return dict.fromkeys(members, 1.0 / len(members))
