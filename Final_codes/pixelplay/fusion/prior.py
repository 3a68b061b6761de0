"""Weights fixed before any score is seen: the default.

Reads the names and families of score files; makes weights. Both families count the same; the quad's proportions lie
between the reference entry's (STAE 0.5, Joint 0.3, the others 0.1) and even ones: on the embedded sample that is worth
a point of AP over even ones, on Ped2 nothing (Experiments/E02). The global stream weighs little beside the local one: a
pooled whole frame hardly sees a small actor, and on the embedded sample, our own labelled scene, every tenth more of it
costs one to four points of AP (Experiments/E06). Weights learned on synthetic anomalies (`weights.py`) are offered and
not the default: in E06 they find the one model to trust, but order the others by chance, and their gain over these lies
within the intervals. No label of a benchmark's test set had a part in the choice.
"""

from __future__ import annotations

from collections.abc import Mapping

from pixelplay.fusion.scores import ScoreFile

WITHIN = {"stae": 0.4, "roadmap": 0.15, "unet": 0.15, "joint": 0.3, "local_memory": 0.9, "global_memory": 0.1}
FAMILY = {"two_stream": 0.5, "quad": 0.5}
FOREIGN = 0.2
"""Weight of a model without a prior of its own, beside a family's sum of 0.5."""


def prior_weights(members: Mapping[str, ScoreFile]) -> dict[str, float]:
    """Each family of ours weighs the same, its models by `WITHIN`; sums to 1.

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
