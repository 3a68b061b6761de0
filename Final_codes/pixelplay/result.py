"""Result of scoring: frames and events as data frames, submission and report.

Reads the output folder of a run.
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
        folder: output folder of a run with scores.
    """

    def __init__(self, folder: Path | str):
        self.paths, self._run = RunPaths(Path(folder)), RunFolder(folder)

    def __repr__(self) -> str:
        return f"<Result: {len(self.frames)} frames, {len(self.events)} events, in {self.paths.root}>"

    @property
    def folder(self) -> Path:
        """Output folder of the run."""
        return self.paths.root

    @property
    def submission(self) -> Path:
        """CSV file with the columns Id and Predicted, the final score in (0, 1); a rarity of 3 becomes 0.5."""
        return self.paths.root / "submission.csv"

    @functools.cached_property
    def frames(self) -> pd.DataFrame:
        """One row per frame (N): Id, video, frame, score in (0, 1), rarity (3 = one normal frame in a thousand scores
        as high), event (row of `events`, -1 = none), flags and reliability from repair, and one column of rarity per
        model."""
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
        """One row per event, highest peak first: video, first_frame, last_frame, peak_frame, start_s and end_s (seconds
        since the first frame of the video), rarity at the peak, and the reason in words."""
        run = self._run
        begins = {video: int(run.test["frame"].iloc[rows.start]) for video, rows in run.videos()}
        return pd.DataFrame([{
            "video": e.video, "first_frame": e.first_frame, "last_frame": e.last_frame, "peak_frame": e.peak_frame,
            "start_s": (e.first_frame - begins[e.video]) / run.fps,
            "end_s": (e.last_frame + 1 - begins[e.video]) / run.fps, "rarity": e.peak_score, "reason": e.reason,
        } for e in run.events], columns=["video", "first_frame", "last_frame", "peak_frame", "start_s", "end_s",
                                         "rarity", "reason"])

    def report(self, folder: Path | str | None = None) -> Path:
        """Write the report and return the path of its index.html.

        Args:
            folder: output folder; default `report` in the folder of the run.
        """
        from pixelplay.visual.report import write_report

        return write_report(self.paths.root, folder=Path(folder) if folder is not None else None)
