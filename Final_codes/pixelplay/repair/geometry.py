"""Exposure, blur and shift of a frame relative to its background.

Reads upright working-size RGB frames; measures gain and offset of grey levels (robust regression that ignores moving
objects), sharpness (share of the background's detail that the frame retains) and the camera shift (displacement that
recovers the detail). Blur removes detail everywhere; a camera that was turned by a fraction of a degree moves it by
about a pixel, in a different direction in each part of the image. Pixel noise is independent of the background and
biases none of these.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

COLUMNS = ("gain", "offset", "sharpness", "dx", "dy", "contrast")
"""Gain (1 = as in training), offset in grey levels, share of detail retained, shift in pixels of the working-size
frame, standard deviation of the grey thumbnail."""
FURTHEST = 0.1
"""Largest shift searched, as a share of the frame width."""
REGAINED = 0.1
"""A shift is accepted if it recovers at least this share of the background's detail."""
TILES = (4, 6)
"""(rows, columns) of tiles in which detail is searched independently: small enough that a slight rotation or a zoom of
1 % is a translation within each tile, large enough that pixel noise does not look like detail."""
NEAR = 0.01
"""Search radius for the detail of a tile, as a share of the frame width."""
COARSE = (48, 80)
"""(rows, columns) at which exposure is measured."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """A background, prepared for `measure`.

    Attributes:
        coarse: (48, 80) float32 grey.
        strongest: flat positions of the 20 % of pixels with the largest absolute Laplacian.
        detail: Laplacian at these positions.
        energy: sum of squares of `detail`.
        only: (h, w) float32, `detail` in place, zeros elsewhere.
        spectrum: Fourier transform of `only`.
        suspicious: sharpness below which a shift is searched.
    """

    coarse: np.ndarray
    strongest: np.ndarray
    detail: np.ndarray
    energy: float
    only: np.ndarray
    spectrum: np.ndarray
    suspicious: float

    @classmethod
    def of(cls, picture: np.ndarray, suspicious: float = np.inf) -> Reference:
        """From the background (h, w, 3) uint8 RGB at working size."""
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        whole = cv2.Laplacian(grey, cv2.CV_32F)
        strongest = np.flatnonzero(np.abs(whole) >= np.quantile(np.abs(whole), 0.8))
        detail = whole.ravel()[strongest]
        only = np.zeros_like(whole)
        only.ravel()[strongest] = detail
        return cls(_grey(grey, COARSE), strongest, detail, max(float(detail @ detail), 1e-6), only, cv2.dft(only),
                   suspicious)


def _grey(grey: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)


def measure(frame: np.ndarray, reference: Reference) -> tuple[float, ...]:
    """Measure one upright working-size frame (h, w, 3) uint8 RGB; returns the `COLUMNS`."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    coarse = _grey(grey, COARSE)
    contrast = float(coarse.std())
    gain, offset = exposure(coarse.ravel(), reference.coarse.ravel())
    if contrast < 1.0 or gain <= 0.05:
        return gain, offset, 0.0, 0.0, 0.0, contrast
    detail = cv2.Laplacian(grey, cv2.CV_32F)
    sharpness = float(detail.ravel()[reference.strongest] @ reference.detail) / reference.energy / gain
    dx, dy = 0.0, 0.0
    if sharpness < reference.suspicious:
        dx, dy = shift(detail, reference)
        sharpness = max(sharpness, detail_nearby(detail, reference) / gain)
    if dx or dy:
        # misaligned bright and dark areas would read as a loss of contrast
        move = np.float32([[1, 0, -dx], [0, 1, -dy]])
        back = cv2.warpAffine(grey, move, grey.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        gain, offset = exposure(_grey(back, COARSE).ravel(), reference.coarse.ravel())
    return gain, offset, sharpness, dx, dy, contrast


def shift(detail: np.ndarray, reference: Reference, regained: float = REGAINED) -> tuple[float, float]:
    """Camera shift from the cross-correlation of the frame's detail with the background's.

    Args:
        detail: (h, w) float32 Laplacian of the grey frame.
        regained: share of the background's detail that a shift must recover to be accepted.
    Returns:
        (dx, dy) in pixels of the working-size frame, with sub-pixel precision; (0, 0) if no shift recovers enough (the
        frame is blurred, or a crowd hides the background).
    """
    height, width = detail.shape
    reach = min(round(FURTHEST * width), (height - 3) // 2)
    spectrum = cv2.mulSpectrums(cv2.dft(detail), reference.spectrum, 0, conjB=True)
    left = cv2.idft(spectrum, flags=cv2.DFT_SCALE) / reference.energy
    near = np.arange(-reach - 1, reach + 2)
    left = left[np.ix_(near, near)]
    y, x = np.unravel_index(int(np.argmax(left[1:-1, 1:-1])), (2 * reach + 1,) * 2)
    if left[y + 1, x + 1] < left[reach + 1, reach + 1] + regained:
        return 0.0, 0.0
    return (x - reach + _vertex(left[y + 1, x:x + 3]), y - reach + _vertex(left[y:y + 3, x + 1]))


def best_shift(frame: np.ndarray, reference: Reference) -> tuple[float, float]:
    """Best (dx, dy) of an upright working-size frame (h, w, 3) uint8 RGB, without a minimum gain in detail."""
    return shift(cv2.Laplacian(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.CV_32F), reference, regained=0.0)


def detail_nearby(detail: np.ndarray, reference: Reference) -> float:
    """Share of the background's detail that a frame shows when each tile is matched within `NEAR`.

    Args:
        detail: (h, w) float32 Laplacian of the grey frame.
    """
    (height, width), (rows, columns) = detail.shape, TILES
    reach = max(1, round(NEAR * width))
    padded = cv2.copyMakeBorder(detail, reach, reach, reach, reach, cv2.BORDER_CONSTANT)
    tops, lefts = (np.arange(n) * size // n for n, size in ((rows, height), (columns, width)))
    best = np.full(TILES, -np.inf)
    for y in range(2 * reach + 1):
        for x in range(2 * reach + 1):
            product = padded[y:y + height, x:x + width] * reference.only
            best = np.maximum(best, np.add.reduceat(np.add.reduceat(product, tops, axis=0), lefts, axis=1))
    return float(best.sum()) / reference.energy


def _vertex(three: np.ndarray) -> float:
    """Sub-pixel peak in [-0.5, 0.5]: vertex of the parabola through three values, the middle one largest."""
    bend = float(three[0] - 2 * three[1] + three[2])
    return 0.5 * float(three[0] - three[2]) / bend if bend < 0 else 0.0


def exposure(small: np.ndarray, background: np.ndarray) -> tuple[float, float]:
    """Fit small = gain * background + offset over unclipped pixels by iteratively reweighted least squares.

    Args:
        small, background: (n,) float32 grey.
    Returns:
        (gain, offset); (0, mean) if fewer than 50 pixels are unclipped.
    """
    use = (small > 4) & (small < 250)
    if use.sum() < 50:
        return 0.0, float(small.mean())
    x, y = background[use], small[use]
    gain, offset = 1.0, float(np.median(y - x))
    # start from the ratio of percentile ranges, or a dark frame would be rejected as foreground
    spread = float(np.subtract(*np.percentile(x, (90, 10))))
    if spread > 1:
        gain = float(np.subtract(*np.percentile(y, (90, 10)))) / spread
        offset = float(np.median(y - gain * x))
    for _ in range(3):
        error = y - (gain * x + offset)
        width = max(1.4826 * float(np.median(np.abs(error))), 1.0)
        weight = 1.0 / (1.0 + (error / (2 * width)) ** 2) ** 2
        total = weight.sum()
        mx, my = (weight @ x) / total, (weight @ y) / total
        variance = weight @ (x - mx) ** 2 / total
        if variance < 1.0:
            return 1.0, float(my - mx)
        gain = float(weight @ ((x - mx) * (y - my)) / total / variance)
        offset = float(my - gain * mx)
    return gain, offset
