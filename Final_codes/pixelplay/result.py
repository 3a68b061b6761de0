"""What scoring new footage gave: frames, events, files and a report, for people who work in Python.

Reads a run's output folder; writes a report where it is asked to.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from pixelplay.paths import RunPaths
from pixelplay.visual.run_folder import RunFolder


class Result:
    """Scores of N frames.

    Args:
        folder: output folder of a run that scored.
    """

    def __init__(self, folder: Path | str):
        self.paths, self._run = RunPaths(Path(folder)), RunFolder(folder)

    def __repr__(self) -> str:
        return f"<Result: {len(self.frames)} frames, {len(self.events)} events, in {self.paths.root}>"

    @property
    def folder(self) -> Path:
        """Where score files, submission and frames lie."""
        return self.paths.root

    @property
    def submission(self) -> Path:
        """CSV of Id and final score in (0, 1), 0.5 = a rarity of 3."""
        return self.paths.root / "submission.csv"

    @functools.cached_property
    def frames(self) -> pd.DataFrame:
        """One row a frame (N): Id, video, frame, score in (0, 1), rarity (3 = one normal frame in a thousand scores as
        high), event (row of `events`, -1 = none), flags and reliability from repair, and each model's own rarity in a
        column of its name."""
        run = self._run
        table = run.test[["Id", "video", "frame", "flags", "reliability"]].copy()
        final = pd.read_csv(self.submission, dtype={"Id": str}).set_index("Id")["Predicted"]
        table.insert(3, "score", final.loc[table["Id"]].to_numpy())
        table.insert(4, "rarity", run.final)
        event = np.full(len(table), -1)
        for number, e in self.events.iterrows():
            inside = (table["video"] == e["video"]) & table["frame"].between(e["first_frame"], e["last_frame"])
            event[inside.to_numpy()] = number
        table.insert(5, "event", event)
        return table.assign(**run.z)

    @functools.cached_property
    def events(self) -> pd.DataFrame:
        """One row an event, highest first: video, first_frame, last_frame, peak_frame, start_s and end_s from the
        video's first frame, rarity at the peak, and the reason in words."""
        run = self._run
        begins = {video: int(run.test["frame"].iloc[rows.start]) for video, rows in run.videos()}
        return pd.DataFrame([{
            "video": e.video, "first_frame": e.first_frame, "last_frame": e.last_frame, "peak_frame": e.peak_frame,
            "start_s": (e.first_frame - begins[e.video]) / run.fps,
            "end_s": (e.last_frame + 1 - begins[e.video]) / run.fps, "rarity": e.peak_score, "reason": e.reason,
        } for e in run.events], columns=["video", "first_frame", "last_frame", "peak_frame", "start_s", "end_s",
                                         "rarity", "reason"])

    def report(self, folder: Path | str | None = None) -> Path:
        """Write the report as a folder of its own; returns its index.html.

        Args:
            folder: where; the result's own folder, below `report`, when None.
        """
        from pixelplay.visual.report import write_report

        return write_report(self.paths.root, folder=Path(folder) if folder is not None else None)
