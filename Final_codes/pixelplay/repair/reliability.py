"""How much a frame tells: a number in [0, 1] that windows and smoothing lean on.

Reads flags, noise and saturation; makes reliabilities. The values say what is left *after* repair: a flip is undone
completely, noise leaves a residue that grows with its sigma, and a picture that belongs to another moment (frozen,
duplicate) or to none (blank, unreadable) tells next to nothing about its own.
"""

from __future__ import annotations

import numpy as np

OF_FLAG = {"unreadable": 0.0, "blank": 0.0, "frozen": 0.05, "duplicate": 0.1, "blur": 0.3, "shift": 0.7,
           "exposure": 0.7, "impulse": 0.5, "vflip": 0.95, "hflip": 0.95, "rot180": 0.95, "noise": 1.0}
"""Reliability of a repaired frame with this flag; noise has its own, by sigma."""
HALF_SIGMA = 200.0
"""Noise sigma at which a denoised frame tells half as much as a clean one: on Ped2 smoothing lost least when denoised
frames kept nearly their full weight (Experiments/E03)."""
HALF_SIGMA_RAW = 15.0
"""The same for a noisy frame that could not be denoised."""
UNREPAIRED = 0.5
"""Factor for a flip or exposure that was found but not undone."""


def reliability(flags: list[str], sigma: float, saturated: float = 0.0, repaired: bool = True) -> float:
    """Reliability of one frame.

    Args:
        flags: names of what was wrong with it.
        sigma: its noise beyond training, in grey levels; counts only with the flags 'noise' and 'impulse'.
        saturated: share of black and white pixels beyond training.
        repaired: what can be undone was undone.
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
