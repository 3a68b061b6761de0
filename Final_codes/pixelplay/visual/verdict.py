"""Summary of a run in counts and one sentence.

Reads events, labels and held-out training scores; makes a `Verdict`. With labels, an anomaly is an interval of labelled
frames: it is found if an event overlaps it, and an event that overlaps none is a false alarm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pixelplay.fusion.events import Event, find_events
from pixelplay.visual.run_folder import Kind, RunFolder
from pixelplay.visual.timeline import Track


@dataclasses.dataclass(frozen=True)
class Anomaly:
    """An interval of labelled frames in one video, and the events that overlap it.

    Attributes:
        first_frame, last_frame: the video's own numbers.
        found_by: events, highest first.
        covered: share of its frames that are in an event.
        peak_frame, peak_score: its highest frame.
        kind: what happens, if the ground truth names it; else ''.
    """

    video: str
    first_frame: int
    last_frame: int
    found_by: tuple[Event, ...]
    covered: float
    peak_frame: int
    peak_score: float
    kind: str = ""

    @property
    def words(self) -> str:
        """'the labelled anomaly (cyclist)'."""
        return "the labelled anomaly" + (f" ({self.kind})" if self.kind else "")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Outcome of a run.

    Attributes:
        headline: a few words; sentence: the evidence.
        anomalies: of all videos in order; None without labels.
        false_alarms: events that overlap no anomaly; empty without labels.
    """

    headline: str
    sentence: str
    anomalies: tuple[Anomaly, ...] | None = None
    false_alarms: tuple[Event, ...] = ()

    @property
    def missed(self) -> tuple[Anomaly, ...]:
        """Anomalies that no event overlaps."""
        return tuple(a for a in self.anomalies or () if not a.found_by)

    def anomaly_of(self, event: Event) -> Anomaly | None:
        """The first anomaly that an event overlaps."""
        return next((a for a in self.anomalies or () if event in a.found_by), None)


def judge(run: RunFolder) -> Verdict:
    """The verdict on a run."""
    footage = f"{duration(len(run.test) / run.fps)} of footage from {count(len(run.videos()), 'video')}"
    if run.final is None:
        return Verdict("No model has scored these videos yet", f"{footage[0].upper()}{footage[1:]}.")
    alarms = count(len(run.events), "event")
    sentence = f"{alarms[0].upper()}{alarms[1:]} in {footage}. {false_alarm_rate(run)}".strip()
    if run.labels is None or not run.labels.any():
        normal = run.labels is not None
        if not run.events:
            return Verdict("Nothing unusual found", sentence, () if normal else None)
        if normal:  # labelled, and entirely normal
            return Verdict(count(len(run.events), "false alarm"), sentence, (), tuple(run.events))
        return Verdict(f"{alarms} in {duration(len(run.test) / run.fps)} of footage",
                       f"Scored: {count(len(run.videos()), 'video')}. {false_alarm_rate(run)}")
    anomalies = tuple(a for t in run.tracks for a in anomalies_of(t, run.events, round(run.fps / 2), run.kinds))
    touching = {e for a in anomalies for e in a.found_by}
    wrong = tuple(e for e in run.events if e not in touching)
    found = sum(bool(a.found_by) for a in anomalies)
    headline = f"{found} of {len(anomalies)} found, {count(len(wrong), 'false alarm')}, {len(anomalies) - found} missed"
    return Verdict(headline, sentence, anomalies, wrong)


def anomalies_of(track: Track, events: Sequence[Event], join: int, kinds: Sequence[Kind] = ()) -> list[Anomaly]:
    """The labelled intervals of one video; those at most `join` frame numbers apart are merged."""
    odd = np.flatnonzero(np.asarray(track.labels, dtype=bool))
    own, out = [e for e in events if e.video == track.video], []
    for rows in np.split(odd, np.flatnonzero(np.diff(track.frames[odd]) > join) + 1) if len(odd) else []:
        numbers = track.frames[rows]
        touching = tuple(e for e in own if e.first_frame <= numbers[-1] and e.last_frame >= numbers[0])
        inside = np.zeros(len(rows), dtype=bool)
        for e in touching:
            inside |= (e.first_frame <= numbers) & (numbers <= e.last_frame)
        peak = rows[np.argmax(track.final[rows])]
        named = dict.fromkeys(k.kind for k in kinds if k.video == track.video
                              and k.first <= numbers[-1] and k.last >= numbers[0])
        out.append(Anomaly(track.video, int(numbers[0]), int(numbers[-1]), touching, float(inside.mean()),
                           int(track.frames[peak]), float(track.final[peak]), ", ".join(named).replace("_", " ")))
    return out


def false_alarm_rate(run: RunFolder) -> str:
    """Rate of events on held-out normal footage at the same threshold, in words; '' if unknown."""
    if run.final_train is None:
        return "How often normal footage raises an event is not known: there are no held-out training scores."
    train = run.training
    raised = find_events(train.videos, train.frames, run.final_train, run.threshold,
                         min_frames=max(2, round(run.fps / 5)), join=round(run.fps / 2), max_gap=round(run.fps / 2))
    hours = len(train) / run.fps / 3600
    rate = f", {len(raised) / hours:.0f} an hour" if hours >= 0.5 else ""
    return (f"Held-out normal footage ({duration(3600 * hours)}) raises "
            f"{count(len(raised), 'false alarm')} at the same threshold{rate}.")


def count(number: int, what: str) -> str:
    """'2 events', '1 event', 'no event'."""
    return f"{number:,} {what}s" if number > 1 else f"1 {what}" if number else f"no {what}"


def duration(seconds: float) -> str:
    """'33 s', '12 min', '3.4 h'."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def seconds_of(track: Track, frame: int) -> float:
    """Seconds since the first frame of the video."""
    return (frame - int(track.frames[0])) / track.fps


def clock(seconds: float) -> str:
    """'4.2 s' within the first 100 seconds, then '3:07', then '1:02:07'."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, left = divmod(int(seconds), 60)
    return f"{minutes}:{left:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{left:02d}"

