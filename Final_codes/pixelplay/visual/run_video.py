"""The annotated video of one test video of a run.

Reads a `RunFolder` (scores, events, error maps, actors, and the frames of stage 1); writes an MP4. It shows frames as
recorded; repairs made before scoring are noted in the corner.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pixelplay import __version__
from pixelplay.config import config_hash
from pixelplay.data.footage import Footage
from pixelplay.files import read_json, write_json
from pixelplay.visual.annotate import annotate_video
from pixelplay.visual.people import People
from pixelplay.visual.run_folder import RunFolder

LOOK = 2
"""Part of every video's key: raise it when the drawing changes."""
NOTES = {"vflip": "turned upright", "hflip": "turned upright", "rot180": "turned upright", "shift": "moved back",
         "noise": "noise: denoised for the models", "impulse": "noise: denoised for the models",
         "exposure": "exposure: corrected for the models", "duplicate": "same picture as before",
         "frozen": "same picture as before", "blank": "blank", "blur": "blurred", "unreadable": "unreadable"}
"""Notes for flags, when frames are shown as recorded."""
REPAIRED_NOTES = {**NOTES, "noise": "denoised", "impulse": "denoised", "exposure": "exposure corrected"}


def frames_as_filmed(run: RunFolder) -> Footage:
    """The test frames for display: orientation and shift repaired, otherwise as recorded."""
    from pixelplay.repair.stage import open_footage

    place = run.paths.extraction
    # footage given by the caller is shown unchanged
    return open_footage(place, "test", as_filmed=True) if (place / "repair.csv").exists() else run.footage("test")


def note(flags: str, *, repaired: bool = False) -> str:
    """The note for '|'-separated flags; '' without any."""
    words = REPAIRED_NOTES if repaired else NOTES
    return ", ".join(dict.fromkeys(words.get(f, f) for f in flags.split("|") if f))


def render_video(run: RunFolder, name: str, rows: slice, path: Path,
                 heat: Callable[[int], np.ndarray | None] | None = None, people: People | None = None, *,
                 repaired: bool = False, strip: bool = True, keep: bool = False, quality: int = 26) -> Path:
    """Annotate one test video of a run into `path` (.mp4).

    Args:
        rows: of the video in the test split; heat: row -> its heat map.
        repaired: show the frames as the models saw them.
        strip: draw the score curve into the picture.
        keep: write a key (.json) beside the video, and skip rendering if the key is unchanged.
        quality: x264's constant rate factor; lower is better and larger.
    """
    track = next(t for t in run.tracks if t.video == name)
    events = [e for e in run.events if e.video == name]
    footage = run.footage("test") if repaired else frames_as_filmed(run)
    boxes = [people.boxes(r) for r in range(rows.start, rows.stop)] if people else []
    flags = run.test["flags"].to_numpy(object)[rows]
    key = config_hash(__version__, LOOK, footage.fingerprint, repaired, strip, track.final.round(6).tolist(),
                      run.threshold, events, [m for m in run.members if run.maps(m) is not None], str(boxes),
                      track.labels is not None)
    mark = path.with_suffix(".json")
    if keep and path.exists() and mark.exists() and read_json(mark) == key:
        return path
    pictures = (frame for _, frame in footage.full_frames(np.arange(rows.start, rows.stop)))
    annotate_video(pictures, track.final, path, fps=run.fps, numbers=track.frames, threshold=run.threshold,
                   boxes=(lambda i: boxes[i]) if boxes else None,
                   heat=(lambda i: heat(rows.start + i)) if heat else None,
                   notes=lambda i: note(flags[i], repaired=repaired), events=events, labels=track.labels, strip=strip,
                   quality=quality)
    if keep:
        write_json(mark, key)
    return path
