"""The figures of a run, by the folder it lies in: what the notebooks show and `pixelplay figures` saves.

Reads a run's output folder (or an opened `RunFolder`); makes one Figure a function, or None where the run has no
material for it (nothing was repaired, no labels are known), which is logged in words.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pixelplay.evaluation import figures
from pixelplay.evaluation.report import Evaluation
from pixelplay.evaluation.stage import evaluation_of_run
from pixelplay.repair.contact_sheet import before_after
from pixelplay.visual import error_maps, overlays, repair_sheet, scores, style
from pixelplay.visual import memory_map as bank_map
from pixelplay.visual import training as losses
from pixelplay.visual.actors import Comparison, actors_figure, crop
from pixelplay.visual.predictions import predictions
from pixelplay.visual.report_tables import metric_tables
from pixelplay.visual.run_folder import EXTRACTION, RunFolder
from pixelplay.visual.timeline import score_timeline, timeline_page

log = logging.getLogger(__name__)

Folder = RunFolder | Path | str


def opened(run: Folder) -> RunFolder:
    """The run itself, or the one in a folder."""
    return run if isinstance(run, RunFolder) else RunFolder(run)


def _nothing(what: str) -> None:
    log.info("no picture: %s", what)


def repairs(run: Folder, *, count: int = 8) -> Figure | None:
    """Contact sheet of damaged test frames before and after repair; None where nothing was wrong with any."""
    run = opened(run)
    if not (run.test["flags"] != "").any():
        return _nothing("nothing was wrong with any test frame")
    pairs = [repair_sheet.Pair(str(i), before, after, flags)
             for i, flags, before, after in before_after(run.folder / EXTRACTION, count)]
    return repair_sheet.repair_sheet(pairs)


def frames(run: Folder, *, count: int = 8) -> Figure:
    """Frames of the training and the test split, evenly spread: what the models see."""
    run = opened(run)
    figure = style.new_figure(2.2 * count / 2, 3.4, photo=True)
    grid = figure.subplots(2, count // 2, squeeze=False)
    for line, split in zip(grid, ("train", "test")):
        footage = run.footage(split)
        rows = np.linspace(0, len(footage) - 1, count // 2).round().astype(int)
        for axes, row, image in zip(line, rows, footage.batch(rows)):
            style.picture(axes, image, str(footage.ids[row]))
        line[0].set_ylabel("training" if split == "train" else "test", fontsize=9)
    return figure


def timelines(run: Folder) -> Figure | None:
    """All test videos on one page."""
    run = opened(run)
    if not run.tracks:
        return _nothing("no model has scored the test frames yet")
    return timeline_page(run.tracks, threshold=run.threshold.high)


def timeline(run: Folder, models: Sequence[str] | None = None, video: str | None = None, *,
             thumbnails: int = 4) -> Figure | None:
    """One video in full with pictures of its peaks; the loudest video where none is named.

    Args:
        models: show only these; a single model is shown by its raw scores, as its score file holds them.
    """
    run = opened(run)
    if not run.tracks:
        return _nothing("no model has scored the test frames yet")
    absent = [m for m in models or () if m not in run.members]
    if absent:
        return _nothing(f"{', '.join(absent)} has not scored the test frames yet")
    tracks, threshold, unit = run.tracks, run.threshold.high, "score (deviations above normal)"
    if models is not None:
        whole = run.members[models[0]].values if len(models) == 1 else np.mean([run.z[m] for m in models], axis=0)
        shown = {} if len(models) == 1 else {m: run.z[m] for m in models}
        tracks = [dataclasses.replace(t, final=whole[rows], models={m: v[rows] for m, v in shown.items()})
                  for t, (_, rows) in zip(run.tracks, run.videos())]
        threshold, unit = None, f"raw score of {style.model_title(models[0])}" if len(models) == 1 else unit
    names = [t.video for t in tracks]
    index = names.index(video) if video is not None else int(np.argmax([t.final.max() for t in tracks]))
    track, rows = tracks[index], run.videos()[index][1]
    peaks = _peaks(track.final, track.frames, round(run.fps), thumbnails)
    pictures = run.footage("test").batch(rows.start + peaks)
    return score_timeline(track, threshold=threshold, unit=unit,
                          thumbnails=list(zip(track.frames[peaks].tolist(), pictures)))


def _peaks(values: np.ndarray, frames: np.ndarray, apart: int, count: int) -> np.ndarray:
    """Rows that are the highest within `apart` frame numbers on both sides, highest first, at most `count`."""
    found: list[int] = []
    for row in np.argsort(-values, kind="stable").tolist():
        near = np.abs(frames - frames[row]) <= apart
        if values[row] >= values[near].max() and not any(near[p] for p in found):
            found.append(row)
        if len(found) == count:
            break
    return np.array(found, dtype=np.int64)


def histograms(run: Folder, models: Sequence[str] | None = None) -> Figure | None:
    """Calibrated scores of held-out training, normal test and anomalous test frames."""
    run = opened(run)
    chosen = {n: v for n, v in run.z.items() if models is None or n in models}
    if not chosen:
        return _nothing("no model has scored the test frames yet")
    return scores.score_histograms(chosen, train=run.train_z, labels=run.labels)


def correlation(run: Folder) -> Figure | None:
    """Rank correlation between the models."""
    run = opened(run)
    return scores.correlation_matrix(run.z) if len(run.z) > 1 else _nothing("one model alone agrees with itself")


def training(run: Folder, model: str | None = None) -> Figure | None:
    """Loss curves of one model or of all that trained; None where released weights came without curves."""
    run = opened(run)
    curves = {}
    for name in [model] if model else list(run.members):
        found = losses.find_curve(run.model_folder(name)) if name in style.MODEL_TITLES else None
        if found is not None:
            curves[name] = found
    return losses.loss_curves(curves, x="step") if curves else _nothing("no loss curve lies in the model's folder")


def errors(run: Folder, model: str) -> Figure | None:
    """Error maps of one model at a normal and at the loudest frame, with its prediction where it can be had."""
    run = opened(run)
    maps = run.maps(model)
    if maps is None or model not in run.z:
        return _nothing(f"{model} has kept no error maps")
    values = run.members[model].values
    rows = [int(np.argsort(values, kind="stable")[len(values) // 4]), int(np.argmax(values))]
    if run.labels is not None and run.labels.any() and not run.labels.all():
        normal, odd = np.flatnonzero(~run.labels), np.flatnonzero(run.labels)
        rows = [int(normal[np.argsort(values[normal], kind="stable")[len(normal) // 2]]),
                int(odd[np.argmax(values[odd])])]
    truth = [""] * 2 if run.labels is None else [", normal" if not run.labels[r] else ", anomalous" for r in rows]
    pictures = run.footage("test").batch(rows)
    expected = predictions(run, model, rows)
    return error_maps.error_maps(
        [error_maps.ErrorRow(f"{run.test['Id'].iloc[r]}{t}, raw score {values[r]:.3g}", image,
                             np.asarray(maps[r], dtype=np.float32), guess)
         for r, t, image, guess in zip(rows, truth, pictures, expected)],
        title=f"{style.model_title(model)}: what it did not expect", unit="error / usual error at that place")


def actors(run: Folder, *, count: int = 3) -> Figure | None:
    """The frame with the loudest actor: all its actors by score, the loudest beside their nearest training actors."""
    run = opened(run)
    people = run.people
    if people is None:
        return _nothing("the local memory has not scored the test frames yet")
    row = people.loudest()
    if row is None:
        return _nothing("no actor was found in any test frame")
    boxes = people.boxes(row)
    order = sorted(range(len(boxes)), key=lambda b: -boxes[b].score)[:count]
    frame = next(f for _, f in run.footage("test").full_frames([row]))
    train = run.footage("train")
    found = {b: people.nearest(row, b) for b in order}
    places = sorted({f[0] for f in found.values() if f is not None})
    pictures = dict(train.full_frames(places))
    comparisons = []
    for b in order:
        near = found[b]
        words = f"{boxes[b].score:.1f}: {boxes[b].words}" if boxes[b].words else f"{boxes[b].score:.1f}"
        comparisons.append(Comparison(
            crop(frame, boxes[b].xyxy), crop(pictures[near[0]], near[1]) if near else None, words,
            f"video {train.videos[near[0]]}, frame {train.frames[near[0]]}" if near else ""))
    return actors_figure(frame, boxes, comparisons, title=f"{run.test['Id'].iloc[row]}: actors by score")


def memory(run: Folder, model: str = "global_memory") -> Figure | None:
    """Bank, picks and test features of a memory model on two axes."""
    run = opened(run)
    found = overlays.bank(run, model)
    if found is None:
        return _nothing(f"{model} has kept no features")
    train, picks, test = found
    return bank_map.memory_map(train, picks, test, test_scores=run.z.get(model) if len(test) == len(run.test) else None,
                               title=f"{style.model_title(model)}: what it remembers".capitalize())


def radius(run: Folder, model: str = "global_memory") -> Figure | None:
    """Covering radius of a memory model's bank against its size."""
    run = opened(run)
    found = overlays.bank(run, model)
    if found is None:
        return _nothing(f"{model} has kept no features")
    train, picks, _ = found
    return bank_map.radius_curve(bank_map.covering_radii(train, picks), chosen=len(picks),
                                 title=f"Covering radius of the {style.model_title(model)}")


def metrics_table(run: Folder) -> pd.DataFrame | None:
    """Metrics of every model and submission, in percent with intervals; None where no labels are known."""
    run = opened(run)
    if not run.metrics:
        return _nothing("no labels are known, so there are no metrics")
    table = metric_tables(run)[0]
    return pd.DataFrame(table.rows, columns=list(table.header)).set_index("")


def curves(run: Folder) -> Figure | None:
    """ROC and precision-recall curves of the submissions and the models; None where no labels are known."""
    run = opened(run)
    found = evaluation(run)
    if found is None:
        return _nothing("no labels are known, so there are no curves")
    order = list(found.rows)
    names = sorted(order, key=lambda n: (n != "submission", not n.startswith("submission"), order.index(n)))
    return style.side_by_side([figures.roc_figure(found, names), figures.pr_figure(found, names)])


def videos(run: Folder) -> Figure | None:
    """AUC of each video for the final submission; None where no labels are known."""
    run = opened(run)
    found = evaluation(run)
    if found is None or "submission" not in found.rows:
        return _nothing("no labels are known, so there is nothing to measure videos by")
    return style.side_by_side([figures.videos_figure(found, ["submission"])])


def evaluation(run: Folder) -> Evaluation | None:
    """The run's evaluation; None where no labels are known."""
    run = opened(run)
    return evaluation_of_run(run.folder, run.label_path) if run.label_path else None
