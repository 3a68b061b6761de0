"""Whether a camera shows the scene its detector has learnt: not frozen, black, covered, turned away or reshaped.

Reads every frame as it comes; says what is wrong in a word, and which frames may not raise an event.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

import cv2
import numpy as np

from pixelplay.scenes.cameras import KNOWN
from pixelplay.scenes.description import edges, features, thumbnail

FROZEN = 10.0
"""Seconds of equal pixels after which a picture is frozen; a codec may repeat a quiet one until its next key frame."""
PLAIN = 3.0
"""Grey levels of contrast in the thumbnail below which nothing is seen (a scene's background has more)."""
BLACK = 32.0
"""Mean grey level below which a picture without contrast is black, above which the lens is covered."""
SHIFTED = 0.04
"""Part of the picture's width or height by which the background may be shifted: of fixed cameras it is below 0.01."""
SURE = 0.1
"""Response of the phase correlation from which a shift is believed: 0.12 to 0.6 on shifted pictures of Avenue and the
embedded scene, up to a fifth of their width."""
IN_A_ROW = 3
"""Looks that must see the same one after the other: somebody close to the lens, or a flash, is no other scene."""
GRID = (96, 160)
"""Rows and columns of the pictures that are compared for a shift."""
TOLD = 2.0
"""Seconds a state lasts before it is said."""
LOOKS = 5
"""Times a second the scene is compared with the learnt ones."""
SETTLE = 2.0
"""Seconds after the scene is back in which scores still remember what was wrong."""

WORDS = {
    "": "the scene is as learnt",
    "frozen": f"the picture has not changed for {FROZEN:.0f} s: the camera or its encoder hangs",
    "black": "the picture is black",
    "covered": "the picture has no contrast: the lens is covered, out of focus or blinded",
    "moved": "the scene is not the one the detector has learnt: the camera was moved, or its view is blocked",
    "resolution": "the picture's shape is not that of the training footage",
}
"""State -> what is said of it."""


class SceneCheck:
    """Looks at every frame.

    Args:
        templates: (K, D) descriptions of the learnt scenes (`scenes.description.features`); K = 0 compares none.
        backgrounds: (K, ...) their gradients (`gradients`), by which a shift is seen; none is looked for without.
        shape: (H, W) of the training frames.
        fps: frame numbers a second.
        reach: frames around a frame that its score depends on.
    Attributes:
        state: what has been wrong for `TOLD` seconds, a key of `WORDS`; '' = nothing.
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
        self._doubtful: list[int] = []  # frames of too few looks

    def push(self, number: int, frame: np.ndarray) -> list[str]:
        """One more frame; returns what is to be said now, mostly nothing."""
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
        # a frozen picture has been watched for longer than that already
        if self._now != self.state and (number - self._since >= TOLD * self.fps or self._now == "frozen"):
            self.state = self._now
            said.append(WORDS[self.state])
        return said

    def counts(self, number: int) -> bool:
        """Whether a frame may belong to an event; asked in order, for frames with `reach` pushed after them. While the
        scene is in doubt, no frame of it does."""
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
                # somebody close to the lens may look like a shift for a moment
                self._shifts = self._shifts + 1 if shifted(
                    self.backgrounds[int(likeness.argmax())], gradients(frame)) else 0
                self._moved = self._shifts >= IN_A_ROW
        return "moved" if self._moved else ""


def gradients(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (96, 160) float32 logarithm of the gradients: light changes them little."""
    grey = cv2.cvtColor(cv2.resize(picture, GRID[::-1], interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    grey = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    found = np.log1p(np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)))
    return found - found.mean()


def shifted(background: np.ndarray, now: np.ndarray) -> bool:
    """Whether a picture is the background, but clearly shifted; both from `gradients`.

    Likeness alone sees a shift late: repeated structures (a fence, paving) are like themselves a little further on.
    Phase correlation (Kuglin and Hines, 1975) measures it.
    """
    # OpenCV applies the window in place
    window = cv2.createHanningWindow(GRID[::-1], cv2.CV_32F)
    (x, y), response = cv2.phaseCorrelate(background.copy(), now.copy(), window)
    return response >= SURE and max(abs(x) / GRID[1], abs(y) / GRID[0]) > SHIFTED
