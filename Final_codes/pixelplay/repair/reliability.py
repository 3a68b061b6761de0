"""Reliability: per-frame quality weight in [0, 1], used by windows and smoothing.

Reads flags, noise and saturation. The weight describes the frame after repair: a flip is undone completely, denoising
leaves a residue that grows with sigma, and a frozen, duplicate, blank or unreadable frame carries almost no information
about its own moment.
"""

from __future__ import annotations

import numpy as np

OF_FLAG = {"unreadable": 0.0, "blank": 0.0, "frozen": 0.05, "duplicate": 0.1, "blur": 0.3, "shift": 0.7,
           "exposure": 0.7, "impulse": 0.5, "vflip": 0.95, "hflip": 0.95, "rot180": 0.95, "noise": 1.0}
"""Reliability of a repaired frame by flag; noise is weighted by its sigma instead."""
HALF_SIGMA = 200.0
"""Sigma at which a denoised frame has reliability 0.5. On Ped2, smoothing lost least when denoised frames kept nearly
full weight (Experiments/E03)."""
HALF_SIGMA_RAW = 15.0
"""The same for a noisy frame that could not be denoised."""
UNREPAIRED = 0.5
"""Factor for a fault other than noise that was found but not repaired."""


def reliability(flags: list[str], sigma: float, saturated: float = 0.0, repaired: bool = True) -> float:
    """Reliability of one frame.

    Args:
        flags: names of its faults.
        sigma: noise in excess of training, in grey levels; used with the flag 'noise' only.
        saturated: share of black and white pixels in excess of training.
        repaired: whether the frame was repaired.
    """
    value = 1.0
    for flag in flags:
        value = min(value, OF_FLAG[flag])
    if "noise" in flags:
        value *= 1.0 / (1.0 + (sigma / (HALF_SIGMA if repaired else HALF_SIGMA_RAW)) ** 2)
    if "exposure" in flags:
        value *= float(np.clip(1.0 - 2.0 * saturated, 0.1, 1.0))
    if not repaired and set(flags) - {"noise"}:
        value *= UNREPAIRED
    return round(value, 4)
