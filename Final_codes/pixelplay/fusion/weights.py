"""Weights learned without labels of the test set.

Reads `weights.json`, made from injected synthetic anomalies in held-out training footage; makes weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json
from pixelplay.fusion.scores import ScoreFile

FLOOR, CAP = 0.05, 0.5


def learned_weights(path: Path) -> Callable[[Mapping[str, ScoreFile]], Mapping[str, float]]:
    """The rule in a weights file: members -> their weights in it, normalised.

    Raises:
        PixelPlayError: missing or damaged file, or (when called) a member without a weight in it.
    """
    about = read_json(path)
    table = about.get("weights") if isinstance(about, dict) else None
    if not isinstance(table, dict) or not all(isinstance(w, int | float) and w > 0 for w in table.values()):
        raise PixelPlayError(f"{path} is no weights file", expected='{"weights": {"model": positive number}}')

    def rule(members: Mapping[str, ScoreFile]) -> Mapping[str, float]:
        absent = [m for m in members if m not in table]
        if absent:
            raise PixelPlayError(f"{path} has no weight for {', '.join(absent)}", expected="one for each member",
                                 mend="learn the weights with these models, or choose --weights prior")
        total = sum(table[m] for m in members)
        return {m: table[m] / total for m in members}

    return rule
