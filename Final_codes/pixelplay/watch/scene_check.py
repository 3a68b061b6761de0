"""Detection of camera faults: a frozen, black, covered or moved camera, or another aspect ratio.

Reads the frames of a stream in order; reports the state of the scene and the frames that may not raise an event.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

import cv2
import numpy as np

from pixelplay.scenes.cameras import KNOWN
from pixelplay.scenes.description import edges, features, thumbnail

FROZEN = 10.0
"""Time of identical frames from which a camera is frozen, in seconds. It is long because a codec may repeat a static
frame until its next key frame."""
PLAIN = 3.0
"""Smallest standard deviation of the thumbnail of a usable frame, in grey levels; learnt backgrounds are above it."""
BLACK = 32.0
"""Mean grey level that separates a black picture from a covered lens, for frames without contrast."""
SHIFTED = 0.04
"""Largest shift of the background, as a fraction of the frame's width or height; fixed cameras stay below 0.01."""
SURE = 0.1
"""Smallest response of the phase correlation for a valid shift. It was 0.12 to 0.6 for frames of Avenue and the
embedded sample, shifted by up to a fifth of their width."""
IN_A_ROW = 3
"""Number of consecutive checks that must agree: a person close to the lens or a flash of light is not a new scene."""
GRID = (96, 160)
"""Rows and columns of the gradient images for the measurement of shifts."""
TOLD = 2.0
"""Time for which a state must last before it is reported, in seconds."""
LOOKS = 5
"""Comparisons with the learnt scenes per second."""
SETTLE = 2.0
"""Time after the end of a fault for which smoothed scores are still affected by it, in seconds."""

WORDS = {
    "": "the scene is as learnt",
    "frozen": f"the picture has not changed for {FROZEN:.0f} s: the camera or its encoder hangs",
    "black": "the picture is black",
    "covered": "the picture has no contrast: the lens is covered, out of focus or blinded",
    "moved": "the scene is not the one the detector has learnt: the camera was moved, or its view is blocked",
    "resolution": "the picture's shape is not that of the training footage",
}
"""State -> text of its notice."""


class SceneCheck:
    """Checks the frames of a stream.

    Args:
        templates: (K, D) descriptions of the learnt scenes (`scenes.description.features`); K = 0 disables the
            comparison of scenes.
        shape: (H, W) of the training frames.
        fps: frame numbers per second.
        reach: a score depends on at most this many frames before and after its frame.
        backgrounds: K gradient images of the scenes (`gradients`) for the detection of shifts; () disables it.
    Attributes:
        state: fault that has lasted for `TOLD` seconds, a key of `WORDS`; '' if there is none.
    """

    def __init__(self, templates: np.ndarray, shape: tuple[int, int], fps: float, reach: int,
                 backgrounds: Sequence[np.ndarray] = ()):
        self.templates, self.shape, self.fps, self.backgrounds = templates, shape, fps, backgrounds
        self.before, self.after = round(SETTLE * fps) + reach, reach
        self.state, self._now, self._since, self._same_since = "", "", 0, 0
        self._looked: int | None = None
        self._moved, self._shifts = False, 0
        self._last: np.ndarray | None = None
        self._size: tuple[int, int] | None = None
        self._bad: collections.deque[int] = collections.deque()
        self._doubtful: list[int] = []  # frames of a fault that is not confirmed yet

    def push(self, number: int, frame: np.ndarray) -> list[str]:
        """Check the next frame, (H, W, 3) uint8 RGB; returns the texts of new notices."""
        said = self._resized(frame.shape[:2])
        now = self._look(number, frame)
        if now != self._now:
            self._now, self._since = now, number
            self._doubtful.clear()
        if now:
            self._doubtful.append(number)
            if number - self._since >= (IN_A_ROW - 1) * self.fps / LOOKS:
                self._bad.extend(self._doubtful)
                self._doubtful.clear()
        # a frozen picture has already lasted for longer than `TOLD`
        if self._now != self.state and (number - self._since >= TOLD * self.fps or self._now == "frozen"):
            self.state = self._now
            said.append(WORDS[self.state])
        return said

    def counts(self, number: int) -> bool:
        """Whether a frame may belong to an event: its score depends on no frame with a fault, confirmed or not.

        Call it for frames in order, after `reach` further frames were pushed.
        """
        while self._bad and self._bad[0] < number - self.before:
            self._bad.popleft()
        first = self._bad or self._doubtful
        return not (first and first[0] <= number + self.after)

    def _resized(self, size: tuple[int, int]) -> list[str]:
        before, self._size = self._size, size
        if before in (None, size):
            return []
        return [f"the resolution changed from {before[1]} x {before[0]} to {size[1]} x {size[0]}"]

    def _look(self, number: int, frame: np.ndarray) -> str:
        height, width = frame.shape[:2]
        if abs(width / height * self.shape[0] / self.shape[1] - 1) > 0.02:
            return "resolution"
        same = self._last is not None and np.array_equal(frame, self._last)
        self._last = frame
        if not same:
            self._same_since = number
        small = thumbnail(frame)
        if small.std() < PLAIN:
            return "black" if small.mean() < BLACK else "covered"
        if number - self._same_since >= FROZEN * self.fps:
            return "frozen"
        if len(self.templates) and (self._looked is None or number - self._looked >= self.fps / LOOKS):
            likeness = edges(self.templates, features(small))
            self._looked, self._moved = number, float(likeness.max()) < KNOWN
            if not self._moved and len(self.backgrounds):
                # a person close to the lens may resemble a shift for a moment
                self._shifts = self._shifts + 1 if shifted(
                    self.backgrounds[int(likeness.argmax())], gradients(frame)) else 0
                self._moved = self._shifts >= IN_A_ROW
        return "moved" if self._moved else ""


def gradients(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (96, 160) float32 logarithm of the gradient magnitude, with mean 0.

    It depends little on the illumination.
    """
    grey = cv2.cvtColor(cv2.resize(picture, GRID[::-1], interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    grey = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    found = np.log1p(np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)))
    return found - found.mean()


def shifted(background: np.ndarray, now: np.ndarray) -> bool:
    """Whether the current frame is a shifted view of the background; both are `gradients`.

    The similarity of scenes is not sensitive to small shifts, because repeated structures (fences, paving) resemble
    their shifted copies. Phase correlation (Kuglin and Hines, 1975) measures the shift itself.
    """
    # OpenCV applies the window in place
    window = cv2.createHanningWindow(GRID[::-1], cv2.CV_32F)
    (x, y), response = cv2.phaseCorrelate(background.copy(), now.copy(), window)
    return response >= SURE and max(abs(x) / GRID[1], abs(y) / GRID[0]) > SHIFTED
