"""Background-guided denoising for fixed cameras.

Reads a noisy full-size frame, its sigma and the background; makes a clean frame. Where the frame agrees with the
background within the noise, the background replaces it, plus the significant coarse part of the difference (light,
shadow, faint movers) from Wiener shrinkage of a residual pyramid. Foreground keeps its own pixels, lightly smoothed, so
that anomalies are not blended away. Chroma is processed at half size, the resolution JPEG stores.
Experiments/E09 compares this with spatial and temporal filters.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.special import ndtr

MOVER = 3.5
"""Foreground threshold: smoothed difference to the background, in standard deviations of its noise."""
LEVELS, NOISE_POWER = 2, 2.0
"""Levels of the residual pyramid, and the factor on its noise variance in the Wiener gain."""
STEP = 4.0
"""Sigmas are rounded to multiples of this, so that few lookup tables serve all frames."""


def clipped_mean(sigma: float) -> np.ndarray:
    """(256,) float64: expected value of each grey level after noise of `sigma` and clipping to [0, 255]."""
    x = np.arange(256.0)
    if sigma <= 0:
        return x
    a, b = -x / sigma, (255 - x) / sigma
    density = (np.exp(-a * a / 2) - np.exp(-b * b / 2)) / np.sqrt(2 * np.pi)
    return 255 * ndtr(-b) + x * (ndtr(b) - ndtr(a)) + sigma * density


class Denoiser:
    """Denoises frames of one scene.

    Args:
        background: (H, W, 3) uint8 RGB median of training frames at full size.
    """

    def __init__(self, background: np.ndarray):
        self.background = background
        self.height, self.width = background.shape[:2]
        self.half = max(self.width // 2, 1), max(self.height // 2, 1)
        self.quarter = max(self.width // 4, 1), max(self.height // 4, 1)
        luma, self.chroma = _split(background, self.half)
        self.luma = luma.astype(np.float32)
        self._tables: dict[float, tuple[np.ndarray, list[np.ndarray], np.ndarray]] = {}

    def __call__(self, frame: np.ndarray, sigma: float) -> np.ndarray:
        """Denoise one frame.

        Args:
            frame: (H, W, 3) uint8 RGB, upright, same size as the background; not changed.
            sigma: noise in grey levels (see `noise.NoiseModel.sigma`).
        Returns:
            (H, W, 3) uint8 RGB.
        """
        seen_luma, seen_chroma, unbias = self._seen(sigma)
        luma, chroma = _split(frame, self.half)
        residual = cv2.resize(luma, self.half, interpolation=cv2.INTER_AREA).astype(np.float32) - seen_luma
        colour = [plane - seen for plane, seen in zip(chroma, seen_chroma)]
        new = self._new(residual)
        luma = self._merge_luma(luma, residual, new, unbias)
        new = cv2.resize(np.maximum.reduce([new, *map(self._new, colour)]), self.half, interpolation=cv2.INTER_LINEAR)
        planes = [luma]
        for plane, change, background in zip(chroma, colour, self.chroma):
            still = wiener_shrink(change)
            still += background
            own = cv2.GaussianBlur(plane, (0, 0), 1.5)
            own -= still
            own *= new
            own += still
            planes.append(cv2.resize(cv2.convertScaleAbs(np.maximum(own, 0, out=own)), (self.width, self.height),
                                     interpolation=cv2.INTER_LINEAR))
        return cv2.cvtColor(cv2.merge(planes), cv2.COLOR_YCrCb2RGB)

    def _merge_luma(self, luma: np.ndarray, residual: np.ndarray, new: np.ndarray, unbias: np.ndarray) -> np.ndarray:
        full = self.width, self.height
        still = self.luma + cv2.resize(wiener_shrink(residual), full, interpolation=cv2.INTER_LINEAR)
        own = cv2.LUT(cv2.GaussianBlur(luma, (5, 5), 0.8), unbias).astype(np.float32)
        own -= still
        own *= cv2.resize(new, full, interpolation=cv2.INTER_LINEAR)
        own += still
        return cv2.convertScaleAbs(np.maximum(own, 0, out=own))

    def _new(self, residual: np.ndarray) -> np.ndarray:
        """(h/2, w/2) residual -> (h/4, w/4) float32 foreground confidence in [0, 1]."""
        small = cv2.resize(residual, self.quarter, interpolation=cv2.INTER_AREA)
        wide = cv2.blur(small, (3, 3))
        size = np.maximum(np.abs(small) / max(deviation(small), 1.0),
                          np.abs(wide) / max(deviation(wide), 0.7))
        new = np.clip((size - MOVER) / 2, 0, 1)
        return cv2.dilate(new, np.ones((3, 3), np.uint8))

    def _seen(self, sigma: float) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
        """Background at half size under clipped noise of `sigma`: luma, chroma planes, and a table that undoes the bias
        of clipping."""
        key = round(sigma / STEP) * STEP
        if key not in self._tables:
            mean = clipped_mean(key)
            table = np.rint(mean).astype(np.uint8)
            luma, chroma = _split(cv2.LUT(self.background, table), self.half)
            unbias = np.clip(np.rint(np.interp(np.arange(256.0), mean, np.arange(256.0))), 0, 255).astype(np.uint8)
            small = cv2.resize(luma, self.half, interpolation=cv2.INTER_AREA).astype(np.float32)
            self._tables[key] = small, chroma, unbias
        return self._tables[key]


def _split(frame: np.ndarray, half: tuple[int, int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """(H, W, 3) uint8 RGB -> luma (H, W) uint8 and two chroma planes (H/2, W/2) float32."""
    whole = cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb)
    small = cv2.resize(whole, half, interpolation=cv2.INTER_AREA)
    return cv2.extractChannel(whole, 0), [cv2.extractChannel(small, c).astype(np.float32) for c in (1, 2)]


def deviation(values: np.ndarray) -> float:
    """Robust standard deviation (MAD) of zero-mean (h, w) values, from every third row and column."""
    return float(np.median(np.abs(values[::3, ::3]))) / 0.6745


def wiener_shrink(residual: np.ndarray) -> np.ndarray:
    """Keep the significant part of a residual (h, w) float32: Wiener shrinkage of a Laplacian pyramid.

    Noise is estimated from each level itself, because most of the frame is background. The coarsest level is kept
    unchanged: it holds illumination changes.
    """
    if min(residual.shape[:2]) < 2 ** (LEVELS + 1):
        return residual
    stack = [residual]
    for _ in range(LEVELS):
        stack.append(cv2.pyrDown(stack[-1]))
    out = stack[-1]
    for level in range(LEVELS - 1, -1, -1):
        size = stack[level].shape[1], stack[level].shape[0]
        detail = stack[level] - cv2.pyrUp(stack[level + 1], dstsize=size)
        energy = cv2.blur(detail * detail, (3, 3))
        energy += 1e-3
        gain = np.divide(-NOISE_POWER * deviation(detail) ** 2, energy)
        gain += 1
        detail *= np.maximum(gain, 0, out=gain)
        out = cv2.pyrUp(out, dstsize=size)
        out += detail
    return out
