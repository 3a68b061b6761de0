"""The ensemble's weights, fixed before the scores of a run are seen.

Reads the sidecars of score files; makes weights: `FAMILY` for each family, and the models' own `weight` within it.
A larger share of the two-stream family ranks better on drawn and injected anomalies and worse on Ped2 and on corrupted
Avenue, where repaired frames blur how bodies move (Experiments/E25). Within the quad the weights are those of the
reference entry but for Roadmap, which ranks lowest everywhere but on Ped2. Roadmap and the global stream keep a
hundredth: a larger weight of either ranks worse on average.
"""

from __future__ import annotations

from collections.abc import Mapping

from pixelplay.fusion.scores import ScoreFile

FAMILY = {"two_stream": 0.3, "quad": 0.7}
FOREIGN = 0.2
"""Weight of a model without a family or without a weight, relative to the sum 1 of both families."""


def prior_weights(members: Mapping[str, ScoreFile]) -> dict[str, float]:
    """Weights by `FAMILY` and, within a family, by the models' own `weight`; they sum to 1."""
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
    """1 / K for each of K members."""
    return dict.fromkeys(members, 1.0 / len(members))
