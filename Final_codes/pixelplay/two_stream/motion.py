"""Motion of actors from dense optical flow: speed, velocity and articulation.

Reads velocity fields, foreground masks and boxes; makes per-actor values in original pixels per frame, which
`channels.py` scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CELLS = 3
"""Cells per side of a box."""


class Motion(NamedTuple):
    """Motion of the n actors of one frame; zeros where it could not be measured.

    Attributes:
        speed: (n,) float32 mean over the actor's pixels, original pixels per frame.
        upper_speed: (n,) float32 90th percentile over its pixels; per pixel, the slower of both flow directions.
        velocity: (n, 2) float32 mean x and y velocity, original pixels per frame.
        articulation: (n,) float32 motion relative to the whole body: the largest mean speed of the box's 3 x 3 cells
            after subtraction of the median velocity.
    """

    speed: np.ndarray
    upper_speed: np.ndarray
    velocity: np.ndarray
    articulation: np.ndarray

    @classmethod
    def none(cls, count: int) -> Motion:
        """Motion of `count` actors that could not be measured."""
        return cls(*(np.zeros(shape, np.float32) for shape in (count, count, (count, 2), count)))


def actor_motion(velocities: Sequence[np.ndarray], mask: np.ndarray, boxes: np.ndarray,
                 scale: Sequence[float] | np.ndarray = (1.0, 1.0)) -> Motion:
    """Motion of each actor of one frame.

    Args:
        velocities: one or two (h, w, 2) fields, pixels per frame forward in time, from the past and the future frame.
        mask: (h, w) bool foreground.
        boxes: (n, 4) xyxy in pixels of the fields.
        scale: width and height of a field pixel in original pixels.
    """
    out, scale = Motion.none(len(boxes)), np.asarray(scale, np.float32)
    height, width = mask.shape
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        part = (slice(max(int(y0), 0), min(max(int(np.ceil(y1)), int(y0) + 1), height)),
                slice(max(int(x0), 0), min(max(int(np.ceil(x1)), int(x0) + 1), width)))
        inside = mask[part]
        if inside.sum() < 0.1 * inside.size:  # a detection without foreground: measure the whole box
            inside = np.ones_like(inside)
        if not inside.any():
            continue
        flows = [v[part][inside] * scale for v in velocities]
        speeds = [np.hypot(f[:, 0], f[:, 1]) for f in flows]
        # false matches and occlusions rarely affect both directions: the slower one is more reliable
        slower = speeds[0] if len(speeds) == 1 else np.minimum(speeds[0], speeds[1])
        out.speed[i], out.upper_speed[i] = speeds[0].mean(), np.percentile(slower, 90)
        out.velocity[i], out.articulation[i] = flows[0].mean(0), _articulation(flows[0], inside)
    return out


def _articulation(flow: np.ndarray, inside: np.ndarray) -> float:
    """See `Motion`; flow: (m, 2) of the m pixels of a box that are `inside` (h, w)."""
    own = np.hypot(*(flow - np.median(flow, axis=0)).T)
    y, x = np.nonzero(inside)
    cell = CELLS * (CELLS * y // inside.shape[0]) + CELLS * x // inside.shape[1]
    pixels = np.bincount(cell, minlength=CELLS * CELLS)
    return float((np.bincount(cell, own, CELLS * CELLS) / np.maximum(pixels, 1)).max())
