"""Pixel Play: semi-supervised video anomaly detection.

    import pixelplay
    detector = pixelplay.fit("normal_videos")      # or pixelplay.load("Final_codes/Final_models/avenue")
    result = detector.score("new_videos")
    result.frames, result.events, result.report("report")

Reads: normal footage to learn from, other footage to score.
Makes: a `Detector` (one folder), and a `Result` (scores, events, report).
Open: `registry.py` and `model.py` to add a model; `detector.py` for what a detector holds; `pipeline.py` for the
    order of stages; `paths.py` for where files lie; `cli.py` and `*_command.py` for commands and options; `watch/`
    for scoring a stream; `engine.py` for where work on videos is done; `cameras_command.py` for many cameras;
    `preflight.py` and `schedule.py` for checks and times; `files.py` for writing files;
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
    """Learn what is normal from anomaly-free footage of one camera, or of several.

    Args:
        normal_videos: folder of videos or of frame folders, one video, or a known dataset (its training split).
        output: folder of the detector; ./outputs/detector (/kaggle/working/detector on Kaggle) when None. While it is
            being learnt, frames and checkpoints lie beside it in <output>.work: the same call goes on from there.
        profile: 'lite' (two CPU cores), 'full' (a GPU), 'smoke' (wiring only).
        options: further fields of `pixelplay.options.Options`: models, settings, seed, hours, force.
    Returns:
        The detector: a folder of a few MB (see `pixelplay.detector`), ready to score.
    Raises:
        PixelPlayError: no footage there, footage that cannot be read, packages or weights that are missing.
    """
    from pixelplay.fit_command import fit_detector

    return fit_detector(normal_videos, output, profile=profile, **options)


def load(folder: Path | str) -> Detector:
    """Open a detector (or that of a finished run). Raises PixelPlayError where a file is missing, damaged or of another
    version."""
    from pixelplay.detector import Detector

    return Detector.find(folder)
