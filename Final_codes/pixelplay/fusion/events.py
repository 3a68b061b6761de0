"""Events: intervals of frames with a high final score, each with a peak and a reason in words.

Reads arrays of one or many videos; makes a list of `Event`. The threshold is a quantile of the final scores of
held-out training frames: it fixes the alarm rate on normal footage and does not depend on the test frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from pixelplay.data.footage import segments
from pixelplay.registry import model_explain, model_title


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Hysteresis thresholds of an event.

    Attributes:
        high: an event contains at least one frame at or above this score.
        low: it lasts while the score stays at or above this one.
        words: origin of the numbers, for the report.
    """

    high: float
    low: float
    words: str


@dataclasses.dataclass(frozen=True)
class Event:
    """One event. Frame numbers are the video's own; `peak_row` indexes the arrays that were searched."""

    video: str
    first_frame: int
    last_frame: int
    peak_frame: int
    peak_score: float
    peak_row: int
    frames: int
    reason: str


HIGH, LOW = 0.995, 0.97
"""Quantiles of the final scores of held-out training frames at which an event begins and ends."""


def threshold_from_training(train_scores: np.ndarray) -> Threshold:
    """Thresholds at the quantiles `HIGH` and `LOW` of the final scores (N,) of held-out training frames.

    Raises:
        ValueError: no scores, or non-finite scores.
    """
    train_scores = np.asarray(train_scores, dtype=np.float64)
    if train_scores.size == 0 or not np.isfinite(train_scores).all():
        raise ValueError("a threshold needs at least one training score, all finite")
    upper, lower = np.quantile(train_scores, [HIGH, LOW])
    return Threshold(float(upper), float(lower),
                     f"begins above the {HIGH:.1%} quantile of held-out training scores ({upper:.2f}), "
                     f"ends below the {LOW:.1%} quantile ({lower:.2f})")


def find_events(videos: np.ndarray, frames: np.ndarray, scores: np.ndarray, threshold: Threshold, *,
                min_frames: int = 5, join: int = 12, max_gap: int = 12,
                reason: Callable[[int], str] | None = None) -> list[Event]:
    """Find the events, highest peak first.

    Args:
        videos, frames: (N,) video names and frame numbers in manifest order.
        scores: (N,) final scores.
        min_frames: events shorter than this (in frame numbers) are dropped: no action of interest lasts 0.2 s.
        join: events at most this many frame numbers apart are merged.
        max_gap: largest gap in the frame numbers that an event may span.
        reason: row of the peak -> reason in words; None = no reasons.
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
    """An event so far, and the rows it spans."""

    event: Event
    first_row: int
    last_row: int

    def joined(self, later: _Stretch) -> _Stretch:
        """The union with a later one, gap included; the higher peak is kept (the earlier on a tie)."""
        peak = later.event if later.event.peak_score > self.event.peak_score else self.event
        whole = dataclasses.replace(peak, first_frame=self.event.first_frame, last_frame=later.event.last_frame,
                                    frames=later.last_row - self.first_row + 1)
        return _Stretch(whole, self.first_row, later.last_row)


class EventStream:
    """`find_events` for one endless video: frames in order; each event is returned once it is over.

    Keeps only the open event. Arguments as in `find_events`; `peak_row` counts pushed frames.
    """

    def __init__(self, video: str, threshold: Threshold, *, min_frames: int = 5, join: int = 12, max_gap: int = 12):
        self.video, self.threshold = video, threshold
        self.min_frames, self.join, self.max_gap = min_frames, join, max_gap
        self._run: _Stretch | None = None  # the current interval above `low`
        self._alarm: _Stretch | None = None  # an event that may still be merged with the next one
        self._last: int | None = None
        self._row = 0

    @property
    def alarm(self) -> bool:
        """Whether the current interval above `low` has reached `high`."""
        return self._run is not None and self._run.event.peak_score >= self.threshold.high

    @property
    def current(self) -> Event | None:
        """The open event so far, once it is long enough; None without one."""
        found = self._alarm
        if self.alarm:
            found = self._run if found is None else found.joined(self._run)
        return found.event if self._long(found) else None

    def push(self, frame: int, score: float, reason: str = "") -> list[Event]:
        """Add a frame (frame number, final score, reason); returns the events that are now over."""
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
        """Close and return the open event, at the end of the stream or before a gap."""
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
    """The model that stands out most at a row, in words.

    Args:
        z: model name -> (N,) calibrated scores (rarities).
        row: row of the frame.
    """
    if not z:
        return ""
    name = max(z, key=lambda m: (float(z[m][row]), m))
    return f"{model_explain(name)} ({model_title(name)})"
