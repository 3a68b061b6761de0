"""Pixel Play: semi-supervised video anomaly detection.

    import pixelplay
    detector = pixelplay.fit("normal_videos")      # or pixelplay.load("Final_codes/Final_models/avenue")
    result = detector.score("new_videos")
    result.frames, result.events, result.report("report")

Reads: normal footage to learn from, other footage to score.
Makes: a `Detector` (one folder), and a `Result` (scores, events, report).
Open: `registry.py` and `model.py` to add a model; `detector.py` for the contents of a detector; `update.py` for what it
    learns later; `pipeline.py` for the order of stages; `paths.py` for file locations; `cli.py` and `*_command.py` for
    commands and options; `watch/` for live streams; `engine.py` for parallel work on videos; `cameras_command.py` for
    many cameras; `preflight.py` and `schedule.py` for checks and time budgets; `files.py` for writing files;
    `notebook.py` for notebooks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelplay.version import VERSION

if TYPE_CHECKING:
    from pixelplay.detector import Detector

__version__ = VERSION
__all__ = ["fit", "load"]


def fit(normal_videos: Path | str, output: Path | str | None = None, *, profile: str = "lite", **options: Any
        ) -> Detector:
    """Fit a detector on anomaly-free footage of one camera or several.

    Args:
        normal_videos: folder of videos or of frame folders, one video, or a known dataset (its training split).
        output: folder of the detector; default ./outputs/detector, /kaggle/working/detector on Kaggle. Frames and
            checkpoints are kept in <output>.work until the fit is finished: an interrupted call resumes from there.
        profile: 'lite' (two CPU cores), 'full' (a GPU), 'smoke' (tests the wiring).
        options: further fields of `pixelplay.options.Options`: models, settings, seed, hours, force.
    Returns:
        The detector: a folder of a few MB (see `pixelplay.detector`), ready to score.
    Raises:
        PixelPlayError: footage is missing or unreadable, or packages or weights are missing.
    """
    from pixelplay.fit_command import fit_detector

    return fit_detector(normal_videos, output, profile=profile, **options)


def load(folder: Path | str) -> Detector:
    """Open a detector, or the detector of a finished run.

    Raises:
        PixelPlayError: a file is missing, damaged or of another version.
    """
    from pixelplay.detector import Detector

    return Detector.find(folder)
