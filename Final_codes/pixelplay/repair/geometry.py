"""Exposure, blur and shift of a frame against its background.

Reads working-size RGB frames that are the right way up; measures gain and offset of the grey levels (robust
regression that ignores what moves), the share of the background's detail that is left, and the camera's shift.
Pixel noise is independent of the background, so it biases none of them.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

COLUMNS = ("gain", "offset", "sharpness", "dx", "dy", "contrast")
"""gain (1 = as in training), offset in grey levels, share of detail left, shift in pixels of the working-size
frame, standard deviation of the grey thumbnail."""
GRID = (96, 160)
"""Rows and columns the shift is measured at."""
FURTHEST = 16
"""Largest shift that is believed, in pixels of `GRID`: a tenth of the frame's width."""
COARSE = (48, 80)
"""Rows and columns the exposure is measured at."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """What `measure` needs of a background, computed once.

    Attributes:
        coarse: (48, 80) float32 grey.
        spectrum: Fourier transform of the windowed grey picture, conjugated.
        window, band: Hann window; weights of the frequencies (fine ones are ruled by noise).
        strongest: flat positions of the fifth of the pixels with most detail.
        detail: the Laplacian at them.
        suspicious: share of detail below which a shift is looked for: a shifted frame's detail lies elsewhere.
    """

    coarse: np.ndarray
    spectrum: np.ndarray
    window: np.ndarray
    band: np.ndarray
    strongest: np.ndarray
    detail: np.ndarray
    suspicious: float

    @classmethod
    def of(cls, picture: np.ndarray, suspicious: float = np.inf) -> Reference:
        """From the background (h, w, 3) uint8 RGB at working size."""
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        detail = cv2.Laplacian(grey, cv2.CV_32F).ravel()
        strongest = np.flatnonzero(np.abs(detail) >= np.quantile(np.abs(detail), 0.8))
        window = np.outer(np.hanning(GRID[0]), np.hanning(GRID[1])).astype(np.float32)
        fy, fx = np.fft.fftfreq(GRID[0])[:, None], np.fft.rfftfreq(GRID[1])[None, :]
        band = np.exp(-(fx ** 2 + fy ** 2) / (2 * 0.12 ** 2)).astype(np.float32)
        small = _grey(grey, GRID)
        spectrum = np.conj(np.fft.rfft2((small - small.mean()) * window)).astype(np.complex64)
        return cls(_grey(grey, COARSE), spectrum, window, band, strongest, detail[strongest],
                   suspicious)


def _grey(grey: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)


def detail_likeness(frames: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Correlation of the fine detail of (N, h, w, 3) uint8 frames with that of a picture (h, w, 3): (N,) in [-1, 1].

    Large areas of light and dark agree even where a camera pans; edges do not.
    """
    def detail(image: np.ndarray) -> np.ndarray:
        values = cv2.Laplacian(_grey(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), GRID), cv2.CV_32F).ravel()
        return values / max(float(np.linalg.norm(values)), 1e-6)

    wanted = detail(picture)
    return np.array([float(detail(f) @ wanted) for f in frames])


def measure(frame: np.ndarray, reference: Reference) -> tuple[float, ...]:
    """Measure one upright working-size frame (h, w, 3) uint8 RGB; returns the `COLUMNS`."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    coarse = _grey(grey, COARSE)
    contrast = float(coarse.std())
    gain, offset = exposure(coarse.ravel(), reference.coarse.ravel())
    if contrast < 1.0 or gain <= 0.05:
        return gain, offset, 0.0, 0.0, 0.0, contrast
    detail = cv2.Laplacian(grey, cv2.CV_32F).ravel()[reference.strongest]
    sharpness = float(detail @ reference.detail) / max(float(reference.detail @ reference.detail), 1e-6) / gain
    dx, dy = shift(_grey(grey, GRID), reference) if sharpness < reference.suspicious else (0.0, 0.0)
    return (gain, offset, sharpness, dx * grey.shape[1] / GRID[1], dy * grey.shape[0] / GRID[0], contrast)


def shift(small: np.ndarray, reference: Reference) -> tuple[float, float]:
    """Shift of a (96, 160) float32 grey frame against the background in its pixels, by phase correlation.

    (0, 0) where the peak is weak or further than `FURTHEST`: then a crowd or a lamp is in the way, and nothing says
    that the camera moved.
    """
    cross = np.fft.rfft2((small - small.mean()) * reference.window) * reference.spectrum
    surface = np.fft.irfft2(cross / (np.abs(cross) + 1e-3) * reference.band, GRID)
    peak = np.unravel_index(int(np.argmax(surface)), GRID)
    if surface[peak] < 0.15 * float(reference.band.sum()) * 2 / surface.size:
        return 0.0, 0.0
    found = []
    for axis, where in enumerate(peak):
        line = surface[:, peak[1]] if axis == 0 else surface[peak[0]]
        left, mid, right = line[where - 1], line[where], line[(where + 1) % len(line)]
        part = 0.5 * (left - right) / min(left - 2 * mid + right, -1e-12)
        found.append((where + part + len(line) / 2) % len(line) - len(line) / 2)
    if max(map(abs, found)) > FURTHEST:
        return 0.0, 0.0
    return float(found[1]), float(found[0])


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
