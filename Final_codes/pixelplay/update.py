"""Update of a detector with further normal footage, without training networks.

Reads a detector and normal footage that it was not fitted on; makes a new detector and a record of the changes. Every
model accepts the sections that would be events (`Model.accept`): memory banks add their feature vectors, autoencoders
the reconstruction errors of the locations. All frames then join the calibration data, and thresholds are computed
again. `pixelplay update` adds footage, e.g. of a new season; `pixelplay feedback` adds one event.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pixelplay.autoencoders.base import folds
from pixelplay.data.footage import Footage, around
from pixelplay.data.ids import frame_id
from pixelplay.detector import TRAIN_SCORES, Detector, copy_detector, mean_score, write_detector, write_training
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.calibrated import unit
from pixelplay.fusion.events import Threshold, find_events, threshold_from_training
from pixelplay.fusion.recipe import Frames
from pixelplay.fusion.scores import ScoreFile, write_table
from pixelplay.fusion.smoothing import TRUNCATE
from pixelplay.model import Model
from pixelplay.options import Options
from pixelplay.pipeline import Run
from pixelplay.registry import model_class
from pixelplay.scenes.cameras import recognise
from pixelplay.tables import number, text_table

ROOM = 0.75
"""Accepted frames score at most this fraction of the threshold at which an event ends. The margin is for new frames of
the camera, which differ from the compressed frames of a clip."""
HISTORY = "learnt_later"
"""Key of detector.json: list of updates, oldest first."""
WHOLE = "all together"
"""Name of the ensemble in the record of an update."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Footage to learn.

    Attributes:
        name: name for messages; for an event, its id.
        videos: file or folder of normal footage.
        line: sections are learnt if their score reaches this fraction of the threshold at which an event begins.
        held_out: whether calibration uses held-out scores, of a model updated with the other half of the footage. False
            for an event, which was selected by its high score and would bias the calibration: its frames join with
            their scores after the update.
        repair: False leaves corrupted frames as they are, as in a live stream.
    """

    name: str
    videos: Path
    line: float = 1.0
    held_out: bool = True
    repair: bool = True


def update(detector: Detector, wanted: Wanted, work: Path) -> tuple[Detector, dict[str, Any]]:
    """Make an updated detector in work/detector; the old one is not changed.

    Args:
        work: an empty folder.
    Returns:
        The new detector, and the record of the update (last entry of its `HISTORY`).
    Raises:
        PixelPlayError: the footage was learnt before, is unreadable or shows another scene, or a model does not support
            updates.
    """
    history = detector.about.get(HISTORY, [])
    footage, content = _opened(detector, wanted, work, history)
    new = copy_detector(detector, work / "detector")
    known, models = detector.members(), {name: new.model(name) for name in new.names}
    ceilings = {name: _ceiling(detector, file) for name, file in known.items()}
    raw = _scores(models, footage, work)
    before = _mean(detector, known, footage, raw)
    learnt = _strange(detector, footage, before, wanted.line)
    held_out = {name: np.empty(len(footage)) for name in models}
    for part in folds(footage, 2) if wanted.held_out else ():
        others = {name: new.model(name) for name in new.names}
        _accept(others, footage, learnt & ~part, ceilings, work)
        for name, values in _scores(others, footage, work).items():
            held_out[name][part] = values[part]
    added = _accept(models, footage, learnt, ceilings, work)
    raw = _scores(models, footage, work)
    for name, model in models.items():
        model.save(new.folder / name)
    _calibrate_anew(new.folder, detector, footage, held_out if wanted.held_out else raw)
    changed = Detector(new.folder, detector.about)  # the ensemble's weights do not change
    after = _mean(changed, changed.members(), footage, raw)
    lines = _lines(detector), _lines(changed)
    entry = {"name": wanted.name, "content": content, "videos": footage.video_names(), "frames": len(footage),
             "frames_learnt": int(learnt.sum()), "added": added,
             "line": {name: [round(line[name], 4) for line in lines] for name in lines[0]},
             "highest": [round(float(scores.max()), 4) for scores in (before, after)],
             "above": [int((scores >= line[WHOLE]).sum()) for scores, line in zip((before, after), lines)]}
    return write_detector(new.folder, new.names, {**detector.about, HISTORY: [*history, entry]}), entry


def replace(new: Detector, target: Path) -> Detector:
    """Move a detector to `target`, replacing an old one.

    The target is complete or missing at any time. If the process is killed between the renames, the old detector is in
    NAME.old.

    Raises:
        PixelPlayError: NAME.old exists.
        OSError: a folder cannot be moved; the old detector is then restored.
    """
    old = target.with_name(f"{target.name}.old")
    if old.exists():
        raise PixelPlayError(f"{old} is in the way: the last update was interrupted", expected=f"{target} alone",
                             hint=f"move it back to {target.name} where that is missing, else remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(old)
    try:
        new.folder.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return Detector.load(target)


def report(entry: Mapping[str, Any]) -> str:
    """Format the record of an update."""
    lines = [f"{entry['name']}: {entry['frames']} frames, {entry['frames_learnt']} of them in stretches that were "
             "strange and are normal now", *text_table(["an event begins at", "before", "now"], [
                 [name, *(number(value, 2) for value in pair)] for name, pair in entry["line"].items()]),
             "frames of this footage above that line: {} before, {} now; its highest score: {:.2f} before, {:.2f} now"
             .format(*entry["above"], *entry["highest"])]
    return "\n".join([*lines, *(f"{name}: " + ", ".join(f"{count} {what}" for what, count in added.items())
                                for name, added in entry["added"].items())])


# ---- inside ---------------------------------------------------------------------------------------------------------


def _opened(detector: Detector, wanted: Wanted, work: Path, history: Sequence[Mapping[str, Any]]
            ) -> tuple[Footage, str]:
    """Open the footage; returns it and the hash of its content. Raises PixelPlayError as `update`."""
    job = Run(Options(verb="score", detector=detector.folder, test=wanted.videos, output=work / "run",
                      models=detector.names, repair=wanted.repair))
    content = job.extract().fingerprint
    for known in history:
        if known["content"] == content:
            raise PixelPlayError(f"{detector.folder} has learnt {known['name']} before", hint="if it still raises "
                                 "alarms, give newer footage of it")
    footage = _named_anew(job.footage("test"), detector.training.videos)
    _same_place(detector, footage)
    return footage, content


def _named_anew(footage: Footage, taken: np.ndarray) -> Footage:
    """Rename videos whose names occur in the training footage: cameras often number their videos."""
    used, names = set(taken.tolist()), {}
    for video in footage.video_names():
        count = 2
        names[video] = video
        while names[video] in used:
            names[video], count = f"{video}-later{count}", count + 1
        used.add(names[video])
    videos = np.array([names[v] for v in footage.videos.tolist()], dtype=object)
    ids = np.array([frame_id(v, f) for v, f in zip(videos.tolist(), footage.frames.tolist())], dtype=object)
    return dataclasses.replace(footage, videos=videos, ids=ids)


def _same_place(detector: Detector, footage: Footage) -> None:
    """Raise PixelPlayError if a video shows none of the scenes of the detector."""
    templates = np.array([s.template for s in detector.norms.scenes if s.usable], np.float32)
    unknown = footage.videos[recognise(footage, templates) < 0] if len(templates) else ()
    if len(unknown):
        raise PixelPlayError(f"video {unknown[0]} shows none of the scenes that {detector.folder} has learnt",
                             expected="footage of the same camera, where it was", hint="fit a detector of the new "
                             "place: pixelplay fit NORMAL_VIDEOS --output DETECTOR")


def _scores(models: Mapping[str, Model], footage: Footage, work: Path) -> dict[str, np.ndarray]:
    """(N,) raw scores of each model."""
    return {name: model.score(footage, work / name).values for name, model in models.items()}


def _accept(models: Mapping[str, Model], footage: Footage, learnt: np.ndarray, ceilings: Mapping[str, float],
            work: Path) -> dict[str, dict[str, int]]:
    """Update every model with the masked frames; returns per model what was added and how many."""
    return {name: model.accept(footage, learnt, work / name, ceilings[name]) for name, model in models.items()
            if learnt.any()}


def _calibrate_anew(folder: Path, detector: Detector, footage: Footage, scores: Mapping[str, np.ndarray]) -> None:
    """Add the frames of the footage and their scores to the calibration data of a bundle."""
    ids, training = [*detector.training.ids, *footage.ids], detector.training
    order = Frames.of_ids(ids, dict(zip(ids, [*training.reliability, *footage.reliability])))
    write_training(folder, pd.DataFrame({"Id": order.ids, "reliability": order.reliability}))
    for name, file in detector.members().items():
        values = dict(zip(ids, [*file.values, *scores[name]]))
        write_table(folder / name / TRAIN_SCORES, order.ids, np.array([values[i] for i in order.ids]))


def _mean(detector: Detector, files: Mapping[str, ScoreFile], footage: Footage, raw: Mapping[str, np.ndarray]
          ) -> np.ndarray:
    """(N,) fused live scores of the footage from (N,) raw scores per model."""
    ids = footage.ids.tolist()
    frames = Frames.of_ids(ids, dict(zip(ids, footage.reliability.tolist())))
    row = {i: n for n, i in enumerate(ids)}
    rows = np.array([row[i] for i in frames.ids.tolist()])
    members = {name: dataclasses.replace(file, ids=frames.ids, values=raw[name][rows]) for name, file in files.items()}
    scores = np.empty(len(ids))
    scores[rows] = mean_score(members, frames, detector.weights(), causal=True)
    return scores


def _strange(detector: Detector, footage: Footage, scores: np.ndarray, line: float) -> np.ndarray:
    """(N,) bool: frames that would be events, with the preceding frames in the smoothing window, without corrupted
    frames."""
    live = detector.threshold(live=True)
    low, inside = ROOM * live.low, np.zeros(len(footage), bool)
    for event in find_events(footage.videos, footage.frames, scores, Threshold(max(low, line * live.high), low, ""),
                             min_frames=1, join=0):
        inside |= ((footage.videos == event.video) & (footage.frames >= event.first_frame)
                   & (footage.frames <= event.last_frame))
    remembered = round(TRUNCATE * max(model_class(name).sigma for name in detector.names))
    return around(inside, footage.videos, remembered, 0) & (footage.reliability >= 0.5)


def _ceiling(detector: Detector, file: ScoreFile) -> float:
    """The highest training score of a model that would not cause an event if all models had this rarity."""
    values = np.sort(file.values)
    below = values[unit(file)(values) <= ROOM * detector.threshold(live=True).low]
    return float(below[-1] if len(below) else values[0])


def _lines(detector: Detector) -> dict[str, float]:
    """Threshold at which a live event begins, for each model and for the ensemble."""
    def line(names: Sequence[str]) -> float:
        return threshold_from_training(mean_score(detector.members(names), detector.training, detector.weights(names),
                                                  causal=True)).high

    return {**{name: line([name]) for name in detector.names}, WHOLE: line(detector.names)}
