"""Dense optical flow between a frame and an earlier one, in pixels per frame of time.

Reads analysis-size frames (uint8 RGB); makes flow fields on the pixels of the later frame. A flow never joins two
videos or two sides of a gap, and is divided by the difference of the frame NUMBERS, so a missing frame does not
look like speed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np

from pixelplay.data.footage import segments


class DenseFlow:
    """DIS optical flow (Kroeger et al., ECCV 2016) down to full resolution, without variational smoothing.

    The presets stop at half resolution and then smooth: a person 15 pixels wide melts into the neighbours.
    """

    def __init__(self):
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._dis.setFinestScale(0)
        self._dis.setPatchSize(8)
        self._dis.setPatchStride(4)
        self._dis.setVariationalRefinementIterations(0)

    def __call__(self, image: np.ndarray, other: np.ndarray, step: int) -> np.ndarray:
        """Velocity of every pixel of `image`.

        Args:
            image, other: (h, w) uint8 from `matchable`.
            step: frame number of `other` minus that of `image`; negative for an earlier frame, never 0.
        Returns:
            (h, w, 2) float32 (x, y) velocity in analysis pixels per frame, forward in time.
        """
        if min(image.shape[:2]) < 16:  # smaller than two patches: DIS has nothing to match
            return np.zeros((*image.shape[:2], 2), np.float32)
        velocity = self._dis.calc(image, other, None)
        velocity /= np.float32(step)
        return velocity


def matchable(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 RGB -> (h, w) uint8: the picture that flow is measured on, made once for both directions."""
    # camera and JPEG noise live at the pixel scale; blurring both frames keeps them out of the match
    return cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 0.8)


def partners(videos: np.ndarray, frames: np.ndarray, reliability: np.ndarray, baseline: int, tolerance: int
             ) -> np.ndarray:
    """The frame each frame's flow is measured against.

    The earlier frame about `baseline` frame numbers away is taken, or a later one where a segment begins; of frames
    nearly as far, the more reliable one, because noise in either frame reads as motion.

    Args:
        videos, frames, reliability: (N,) as in `Footage`.
        baseline: wanted distance in frames.
        tolerance: largest step of the frame number that is not a gap.
    Returns:
        (N,) int64 row of the partner, in the same segment and within 2 * baseline rows; -1 where there is none.
    """
    found = np.full(len(frames), -1, np.int64)
    for part in segments(videos, frames, tolerance):
        for row in range(part.start, part.stop):
            before = np.arange(max(part.start, row - 2 * baseline), row)
            after = np.arange(row + 1, min(part.stop, row + 2 * baseline + 1))
            full = len(before) and frames[row] - frames[before[0]] >= baseline
            rows = before if full or not len(after) else np.concatenate([before, after])
            if not len(rows):
                continue
            distance = np.abs(frames[rows] - frames[row])
            # one wholly unreliable frame costs as much as missing the baseline by its whole length
            cost = np.abs(distance - baseline) / baseline + (1.0 - reliability[rows]) + 0.01 * (rows > row)
            # beyond twice the baseline people have turned or left
            cost = np.where(distance > 2 * baseline + tolerance, np.inf, cost)
            if np.isfinite(cost).any():
                found[row] = rows[int(cost.argmin())]
    return found


def with_partners(stream: Iterable[tuple[int, np.ndarray, np.ndarray]], partner: Sequence[np.ndarray]
                  ) -> Iterator[tuple[int, np.ndarray, np.ndarray, list[tuple[int, np.ndarray]]]]:
    """Walk a stream and hand each frame out together with its partners, holding only as many frames as needed.

    Args:
        stream: (row, full-size frame, analysis frame), rows 0, 1, 2, ... in order.
        partner: one or more (N,) arrays as `partners` gives them.
    Yields:
        (row, full-size frame, analysis frame, [(partner's row, its analysis frame), ...]), in order.
    """
    count = len(partner[0])
    # the last row that still needs a given row: when that is done the picture may go
    needed = np.arange(count)
    ready = np.arange(count)
    for others in partner:
        for row, other in enumerate(others):
            if other >= 0:
                needed[other] = max(needed[other], row)
                ready[row] = max(ready[row], other)
    small: dict[int, np.ndarray] = {}
    waiting: deque[tuple[int, np.ndarray]] = deque()
    for row, frame, image in stream:
        small[row] = image
        waiting.append((row, frame))
        while waiting and ready[waiting[0][0]] <= row:
            done, full = waiting.popleft()
            yield done, full, small[done], [(int(o[done]), small[int(o[done])]) for o in partner if o[done] >= 0]
            for old in [r for r in small if needed[r] <= done]:
                del small[old]
