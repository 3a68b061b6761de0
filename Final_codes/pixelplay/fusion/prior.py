"""Weights fixed before any score is seen: the default.

Reads the names and families of score files; makes weights. Both families count the same: over many draws of anomalies
injected into normal Avenue and Ped2 footage no other share, no family and no member ranks better on average, in AP or
micro AUC (Experiments/E15). STAE, which sees the longest stretch of time, speaks for most of the quad, as it does for
half of the reference entry's; the global stream weighs little beside the local one, because a pooled whole frame hardly
sees a small actor. Both together are worth one to four points of AP on injected anomalies, corrupted or not
(Experiments/E14), and one on the embedded sample, our own labelled scene. Ped2's labels, seen beside them, do not tell
them apart. Weights learned on synthetic anomalies (`weights.py`) are offered and not the default: they find the one
model to trust, but order the others by chance (Experiments/E06).
"""

from __future__ import annotations

from collections.abc import Mapping

from pixelplay.fusion.scores import ScoreFile

WITHIN = {"stae": 0.7, "roadmap": 0.075, "unet": 0.075, "joint": 0.15, "local_memory": 0.95, "global_memory": 0.05}
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
