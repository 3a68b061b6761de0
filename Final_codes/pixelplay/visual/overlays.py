"""Heat maps from a run's error maps.

Reads a `RunFolder`; makes a function of a row. Error maps are in units of the typical score of a training frame, the
maximum over its places, so the same heat means the same in every frame and video.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from pixelplay.visual.run_folder import RunFolder

COLD, HOT = 1.5, 8.0
"""Error at which heat begins and at which it saturates, in typical scores of a training frame."""


def heat_function(run: RunFolder) -> Callable[[int], np.ndarray | None] | None:
    """Row -> (h, w) heat in [0, 1], the mean over the models with error maps; None if no model has any."""
    maps = [m for m in (run.maps(n) for n, f in run.members.items() if f.about.get("kind") == "error") if m is not None]
    if not maps:
        return None
    return lambda row: blend_heat([m[row] for m in maps])


def blend_heat(maps: Sequence[np.ndarray]) -> np.ndarray:
    """(h, w) heat in [0, 1] from one frame's error maps, each (h, w) of its own size."""
    size = max((m.shape for m in maps), key=lambda s: s[0] * s[1])
    total = np.zeros(size, np.float32)
    for m in maps:
        ratio = np.log(np.maximum(np.asarray(m, dtype=np.float32), 1e-3))
        total += cv2.resize(ratio, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip((total / len(maps) - np.log(COLD)) / np.log(HOT / COLD), 0.0, 1.0)
