"""Exposure, blur and shift of a frame against its background.

Reads working-size RGB frames that are the right way up; measures gain and offset of the grey levels (robust
regression that ignores what moves), the share of the background's detail that is left, and the camera's shift: the
move that finds that detail again. A blurred frame has lost it for good; a camera that was turned by a fraction of a
degree between two recordings shows it a pixel away, in another direction in every part of the picture. Pixel noise is
independent of the background, so it biases none of them.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

COLUMNS = ("gain", "offset", "sharpness", "dx", "dy", "contrast")
"""gain (1 = as in training), offset in grey levels, share of detail left, shift in pixels of the working-size
frame, standard deviation of the grey thumbnail."""
FURTHEST = 0.1
"""Largest shift that is looked for, as a share of the frame's width."""
REGAINED = 0.1
"""Share of the background's detail that must be found again in another place for a shift to be believed."""
TILES = (4, 6)
"""Rows and columns of parts in which detail is looked for again, each by itself: small enough for a turn or a zoom of
a hundredth to be a move of each part, large enough for pixel noise not to look like detail."""
NEAR = 0.01
"""How far from its place a part's detail is looked for, as a share of the frame's width."""
COARSE = (48, 80)
"""Rows and columns the exposure is measured at."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """What `measure` needs of a background, computed once.

    Attributes:
        coarse: (48, 80) float32 grey.
        strongest: flat positions of the fifth of the pixels with most detail.
        detail: the Laplacian at them.
        energy: sum of its squares.
        only: (h, w) float32, the picture that holds the detail and nothing else.
        spectrum: Fourier transform of `only`.
        suspicious: share of detail below which it is looked for elsewhere.
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
        # out of place, light ground over dark objects reads as lost contrast
        move = np.float32([[1, 0, -dx], [0, 1, -dy]])
        back = cv2.warpAffine(grey, move, grey.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        gain, offset = exposure(_grey(back, COARSE).ravel(), reference.coarse.ravel())
    return gain, offset, sharpness, dx, dy, contrast


def shift(detail: np.ndarray, reference: Reference, regained: float = REGAINED) -> tuple[float, float]:
    """Where the background's detail lies in a frame.

    Args:
        detail: (h, w) float32 Laplacian of the grey frame.
        regained: share of the background's detail that another place must show beyond the present one.
    Returns:
        (dx, dy) in pixels of the working-size frame; (0, 0) where no other place shows clearly more of it: then it is
        gone (blurred, hidden by a crowd), and nothing says that the camera moved.
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


def place(frame: np.ndarray, reference: Reference) -> tuple[float, float]:
    """(dx, dy) at which an upright working-size frame (h, w, 3) uint8 RGB shows the background best, however little
    better than anywhere else."""
    return shift(cv2.Laplacian(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.CV_32F), reference, regained=0.0)


def detail_nearby(detail: np.ndarray, reference: Reference) -> float:
    """Share of the background's detail that each part of a frame shows in its best place within `NEAR`.

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
    """Where the parabola through three neighbouring values, the middle one largest, is highest: in [-0.5, 0.5]."""
    bend = float(three[0] - 2 * three[1] + three[2])
    return 0.5 * float(three[0] - three[2]) / bend if bend < 0 else 0.0


def exposure(small: np.ndarray, background: np.ndarray) -> tuple[float, float]:
    """Gain and offset with small = gain * background + offset, from pixels that show the background unclipped.

    Args:
        small, background: (n,) float32 grey.
    Returns:
        (gain, offset); (0, mean) where too little of the frame is neither black nor white.
    """
    use = (small > 4) & (small < 250)
    if use.sum() < 50:
        return 0.0, float(small.mean())
    x, y = background[use], small[use]
    gain, offset = 1.0, float(np.median(y - x))
    # starts from the ratio of spreads, so that a dark frame does not count as all foreground
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
