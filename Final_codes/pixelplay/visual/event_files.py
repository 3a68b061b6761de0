"""Events as tables for other programs.

Reads events and the tracks they belong to; writes `events.csv` (one row per event) and `events.json` (the same, with
the verdict, the threshold and the missed anomalies).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixelplay.files import atomic_path, write_json
from pixelplay.fusion.events import Event, Threshold
from pixelplay.visual.verdict import Verdict

COLUMNS = ("event", "video", "first_frame", "last_frame", "peak_frame", "peak_score", "start_s", "end_s", "reason",
           "verdict")


def event_rows(events: Sequence[Event], first_frames: dict[str, int], fps: float, verdict: Verdict | None = None
               ) -> list[dict[str, Any]]:
    """One dict per event with `COLUMNS`, in the given order.

    Args:
        first_frames: video -> its first frame number, the origin of its time axis.
        verdict: gives 'found' or 'false alarm' if labels are known.
    """
    rows = []
    for number, e in enumerate(events, start=1):
        first = first_frames[e.video]
        judged = "" if verdict is None or verdict.anomalies is None else (
            "false alarm" if e in verdict.false_alarms else "found")
        rows.append(dict(zip(COLUMNS, (number, e.video, e.first_frame, e.last_frame, e.peak_frame,
                                       round(e.peak_score, 4), round((e.first_frame - first) / fps, 2),
                                       round((e.last_frame + 1 - first) / fps, 2), e.reason, judged))))
    return rows


def write_events_csv(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    """Write the rows of `event_rows`."""
    with atomic_path(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path


def write_events_json(rows: Sequence[dict[str, Any]], verdict: Verdict, threshold: Threshold | None, path: Path
                      ) -> Path:
    """Write the rows with verdict and threshold; `threshold` is None before any model has scored."""
    missed = [{"video": a.video, "kind": a.kind, "first_frame": a.first_frame, "last_frame": a.last_frame,
               "peak_frame": a.peak_frame, "peak_score": round(a.peak_score, 4)} for a in verdict.missed]
    lines = threshold and {"begins": threshold.high, "ends": threshold.low, "words": threshold.words}
    write_json(path, {"verdict": verdict.headline, "about": verdict.sentence, "threshold": lines,
                      "events": list(rows), "missed": missed})
    return path
