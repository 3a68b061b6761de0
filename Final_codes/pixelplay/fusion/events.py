"""Events: stretches of frames whose final score stands out, each with a peak and a reason in words.

Reads arrays of one or many videos; makes a list of `Event`. The threshold is a quantile of the final scores of
held-out training frames, so it says how often normal footage would raise an alarm, and no test frame sets it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from pixelplay.data.footage import segments
from pixelplay.data.ids import frame_id
from pixelplay.registry import model_explain, model_title


@dataclasses.dataclass(frozen=True)
class Threshold:
    """When an event begins and ends.

    Attributes:
        high: an event needs at least one frame at or above this score.
        low: it lasts while the score stays at or above this one (hysteresis: no flicker around one line).
        words: where the numbers come from, for the reader.
    """

    high: float
    low: float
    words: str


@dataclasses.dataclass(frozen=True)
class Event:
    """One alarm. Frame numbers are the video's own; `peak_row` is the row in the arrays the event was found in."""

    video: str
    first_frame: int
    last_frame: int
    peak_frame: int
    peak_score: float
    peak_row: int
    frames: int
    reason: str

    @property
    def peak_id(self) -> str:
        """Id of the frame with the highest score."""
        return frame_id(self.video, self.peak_frame)


def threshold_from_training(train_scores: np.ndarray, *, high: float = 0.995, low: float = 0.97) -> Threshold:
    """Threshold at two quantiles of (N,) final scores of held-out training frames.

    Raises:
        ValueError: no scores, non-finite scores, or low > high.
    """
    train_scores = np.asarray(train_scores, dtype=np.float64)
    if train_scores.size == 0 or not np.isfinite(train_scores).all():
        raise ValueError("a threshold needs at least one training score, all finite")
    if not 0 <= low <= high <= 1:
        raise ValueError(f"quantiles must be 0 <= low <= high <= 1, not {low} and {high}")
    upper, lower = np.quantile(train_scores, [high, low])
    return Threshold(float(upper), float(lower),
                     f"begins above the {high:.1%} quantile of held-out training scores ({upper:.2f}), "
                     f"ends below the {low:.1%} quantile ({lower:.2f})")


def find_events(videos: np.ndarray, frames: np.ndarray, scores: np.ndarray, threshold: Threshold, *,
                min_frames: int = 5, join: int = 12, max_gap: int = 12,
                reason: Callable[[int], str] | None = None) -> list[Event]:
    """Find the events, highest peak first.

    Args:
        videos, frames: (N,) video names and frame numbers in manifest order.
        scores: (N,) final scores.
        min_frames: an alarm shorter than this (in frame numbers) is dropped: no real action lasts 0.2 s.
        join: alarms at most this many frame numbers apart become one.
        max_gap: largest hole in the frame numbers an event may span.
        reason: row of the peak -> words; no words when None.
    Raises:
        ValueError: arrays of different lengths.
    """
    videos, frames, scores = np.asarray(videos), np.asarray(frames, dtype=np.int64), np.asarray(scores, np.float64)
    if not len(videos) == len(frames) == len(scores):
        raise ValueError(f"{len(videos)} videos, {len(frames)} frames and {len(scores)} scores do not belong together")
    events: list[Event] = []
    for part in segments(videos, frames, max_gap):
        stream = EventStream(str(videos[part.start]), threshold, min_frames=min_frames, join=join, max_gap=max_gap)
        found: list[Event] = []
        for frame, score in zip(frames[part].tolist(), scores[part].tolist()):
            found += stream.push(frame, score)
        events += [dataclasses.replace(e, peak_row=part.start + e.peak_row) for e in found + stream.finish()]
    if reason is not None:
        events = [dataclasses.replace(e, reason=reason(e.peak_row)) for e in events]
    return sorted(events, key=lambda e: (-e.peak_score, e.peak_row))


@dataclasses.dataclass(frozen=True)
class _Stretch:
    """An event so far and the rows it spans."""

    event: Event
    first_row: int
    last_row: int

    def joined(self, later: _Stretch) -> _Stretch:
        """Both and what lies between them as one, with the higher peak (the earlier at a tie)."""
        peak = later.event if later.event.peak_score > self.event.peak_score else self.event
        whole = dataclasses.replace(peak, first_frame=self.event.first_frame, last_frame=later.event.last_frame,
                                    frames=later.last_row - self.first_row + 1)
        return _Stretch(whole, self.first_row, later.last_row)


class EventStream:
    """`find_events` for one video that has no end yet: frames in order, each event out once it is over.

    Nothing is remembered but the alarm that is open. Arguments as in `find_events`; `peak_row` counts pushed frames.
    """

    def __init__(self, video: str, threshold: Threshold, *, min_frames: int = 5, join: int = 12, max_gap: int = 12):
        self.video, self.threshold = video, threshold
        self.min_frames, self.join, self.max_gap = min_frames, join, max_gap
        self._run: _Stretch | None = None  # above the lower line now
        self._alarm: _Stretch | None = None  # an alarm that may still be joined by the next one
        self._last: int | None = None
        self._row = 0

    @property
    def alarm(self) -> bool:
        """Whether the last frame belongs to an event that has crossed the upper line."""
        return self._run is not None and self._run.event.peak_score >= self.threshold.high

    @property
    def current(self) -> Event | None:
        """The event so far that has begun and is not over, once it is long enough to be one."""
        found = self._alarm
        if self.alarm:
            found = self._run if found is None else found.joined(self._run)
        return found.event if self._long(found) else None

    def push(self, frame: int, score: float, reason: str = "") -> list[Event]:
        """One more frame (frame number, final score, why); returns the events that are over by now."""
        over = self.finish() if self._last is not None and frame - self._last > self.max_gap else []
        if score >= self.threshold.low:
            if self._run is None and self._alarm is not None and frame - self._alarm.event.last_frame > self.join:
                over += self._end()
            now = _Stretch(Event(self.video, frame, frame, frame, score, self._row, 1, reason), self._row, self._row)
            self._run = now if self._run is None else self._run.joined(now)
        else:
            self._close()
            if self._alarm is not None and frame - self._alarm.event.last_frame > self.join:
                over += self._end()
        self._last, self._row = frame, self._row + 1
        return over

    def finish(self) -> list[Event]:
        """The event that is still open, at the end of the stream or of a stretch of it."""
        self._close()
        return self._end()

    def _close(self) -> None:
        run, self._run = self._run, None
        if run is not None and run.event.peak_score >= self.threshold.high:
            self._alarm = run if self._alarm is None else self._alarm.joined(run)

    def _end(self) -> list[Event]:
        alarm, self._alarm = self._alarm, None
        return [alarm.event] if self._long(alarm) else []

    def _long(self, found: _Stretch | None) -> bool:
        return found is not None and found.event.last_frame - found.event.first_frame + 1 >= self.min_frames


def reason_from_models(z: Mapping[str, np.ndarray], row: int) -> str:
    """Say which model stood out most at a row, and what that means.

    Args:
        z: model name -> (N,) calibrated scores (rarities).
        row: the frame.
    """
    if not z:
        return ""
    name = max(z, key=lambda m: (float(z[m][row]), m))
    return f"{model_explain(name)} ({model_title(name)})"
