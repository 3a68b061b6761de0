"""The figures of a run, as shown in notebooks and saved by the gallery.

Reads a run's output folder (or an open `RunFolder`); each function makes one Figure, or logs a reason and returns None
if the run lacks the data (nothing was repaired, no labels).
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import rankdata

from pixelplay.evaluation import figures
from pixelplay.evaluation.metrics import average_precision, roc_auc
from pixelplay.evaluation.report import Evaluation
from pixelplay.evaluation.stage import BASELINE, evaluation_of_run
from pixelplay.registry import MODELS, model_class, model_title
from pixelplay.visual import error_maps, overlays, repair_sheet, scores, style
from pixelplay.visual import memory_map as bank_map
from pixelplay.visual import training as losses
from pixelplay.visual.actors import Comparison, actors_figure, crop, nearest_figure
from pixelplay.visual.annotate import draw_frame
from pixelplay.visual.one_crop import crop_score_figure, score_of_crop
from pixelplay.visual.people import ACTOR_NOTE
from pixelplay.visual.report_tables import METRICS, SUBMISSIONS, metric_tables
from pixelplay.visual.run_folder import RunFolder
from pixelplay.visual.run_video import frames_as_filmed
from pixelplay.visual.showcase import best_actor
from pixelplay.visual.speed_maps import SpeedRow, speed_maps
from pixelplay.visual.timeline import event_story, score_timeline, timeline_page
from pixelplay.visual.verdict import judge

log = logging.getLogger(__name__)

Folder = RunFolder | Path | str


def opened(run: Folder) -> RunFolder:
    """The run itself, or the run in a folder."""
    return run if isinstance(run, RunFolder) else RunFolder(run)


def _nothing(what: str) -> None:
    log.info("no picture: %s", what)


def repairs(run: Folder) -> Figure | None:
    """Contact sheet of damaged test frames before and after repair; None if none was damaged."""
    run = opened(run)
    if not (run.test["flags"] != "").any():
        return _nothing("nothing was wrong with any test frame")
    return repair_sheet.repair_sheet(repair_sheet.flagged_pairs(run.paths.extraction, 8))


def frames(run: Folder) -> Figure:
    """Evenly spaced frames of the training and the test split, as the models see them."""
    run = opened(run)
    columns = 4
    figure = style.new_figure(2.2 * columns, 3.4, photo=True)
    grid = figure.subplots(2, columns, squeeze=False)
    for line, split in zip(grid, ("train", "test")):
        footage = run.footage(split)
        rows = np.linspace(0, len(footage) - 1, columns).round().astype(int)
        for axes, row, image in zip(line, rows, footage.batch(rows)):
            style.picture(axes, image, str(footage.ids[row]))
        line[0].set_ylabel("training" if split == "train" else "test", fontsize=9)
    return figure


def speeds(run: Folder) -> Figure | None:
    """Speed maps of a training frame and of test frames with median, high and highest speed."""
    run, rows = opened(run), []
    for split, shares in (("train", (0.5,)), ("test", (0.5, 0.95, 1.0))):
        footage = run.footage(split)
        if footage.speeds is None or not len(footage):
            return _nothing("no speed maps were measured")
        picks = np.unique(np.linspace(0, len(footage) - 1, min(len(footage), 2000)).astype(int))
        fastest = np.array([np.quantile(footage.speeds[footage.rows[p]].astype(np.float32), 0.995) for p in picks])
        order = np.argsort(fastest, kind="stable")
        for share, word in zip(shares, ("usual", "high", "highest")):
            place = int(picks[order[round(share * (len(order) - 1))]])
            rows.append(SpeedRow(f"{split}, {footage.ids[place]}: {word} speed", footage.batch(np.array([place]))[0],
                                 footage.speeds[footage.rows[place]]))
    return speed_maps(rows)


def timelines(run: Folder) -> Figure | None:
    """Score timelines of all test videos on one page."""
    run = opened(run)
    if not run.tracks:
        return _nothing("no model has scored the test frames yet")
    return timeline_page(run.tracks, threshold=run.threshold)


def timeline(run: Folder, models: Sequence[str] | None = None, video: str | None = None
             ) -> Figure | None:
    """Score timeline of one video with pictures at its peaks; by default the highest-scoring video.

    Args:
        models: show only these; a single model is shown with its raw scores.
    """
    run = opened(run)
    if not run.tracks:
        return _nothing("no model has scored the test frames yet")
    absent = [m for m in models or () if m not in run.members]
    if absent:
        return _nothing(f"{', '.join(absent)} has not scored the test frames yet")
    tracks, threshold, unit = run.tracks, run.threshold, "score"
    if models is not None:
        whole = run.members[models[0]].values if len(models) == 1 else np.mean([run.z[m] for m in models], axis=0)
        shown = {} if len(models) == 1 else {m: run.z[m] for m in models}
        tracks = [dataclasses.replace(t, final=whole[rows], models={m: v[rows] for m, v in shown.items()})
                  for t, (_, rows) in zip(run.tracks, run.videos())]
        threshold, unit = None, f"raw score of {model_title(models[0])}" if len(models) == 1 else unit
    names = [t.video for t in tracks]
    index = names.index(video) if video is not None else int(np.argmax([t.final.max() for t in tracks]))
    track, rows = tracks[index], run.videos()[index][1]
    peaks = _peaks(track.final, track.frames, round(run.fps), 4)
    pictures = run.footage("test").batch(rows.start + peaks)
    return score_timeline(track, threshold=threshold, unit=unit,
                          thumbnails=list(zip(track.frames[peaks].tolist(), pictures)))


def story(run: Folder) -> Figure | None:
    """One event in three pictures (before, during, after) above the final score of its video: the top-scoring event
    that is not a false alarm and has normal frames on both sides, else the top-scoring one."""
    run = opened(run)
    wrong = judge(run).false_alarms
    events = [e for e in run.events if e not in wrong] or run.events
    if not events:
        return _nothing("no event was found")
    spans = {t.video: (int(t.frames[0]), int(t.frames[-1])) for t in run.tracks}
    second = round(run.fps)
    event = next((e for e in events if spans[e.video][0] <= e.first_frame - second
                  and e.last_frame + second <= spans[e.video][1]), events[0])
    index = [t.video for t in run.tracks].index(event.video)
    track, rows = run.tracks[index], run.videos()[index][1]
    wanted = (event.first_frame - second, event.peak_frame, event.last_frame + second)
    damaged = run.test["flags"].to_numpy(object)[rows] != ""
    # prefer an undamaged frame nearby to a damaged one at the exact time
    moments = [rows.start + int(np.argmin(np.abs(track.frames - number) + 10 * damaged)) for number in wanted]
    filmed = dict(frames_as_filmed(run).full_frames(sorted(set(moments))))
    boxes = [run.people.boxes(r) if run.people is not None else [] for r in moments]
    found = judge(run).anomaly_of(event)
    what = found.kind.capitalize() if found is not None and found.kind else f"Video {event.video}"
    return event_story(track, [(int(run.test["frame"].iloc[r]), draw_frame(filmed[r], b, words=False))
                               for r, b in zip(moments, boxes)], threshold=run.threshold,
                       title=f"{what}: the score rises to {event.peak_score:.1f}")


def _peaks(values: np.ndarray, frames: np.ndarray, apart: int, count: int) -> np.ndarray:
    """Rows of the local maxima within `apart` frame numbers to both sides, highest first, at most `count`."""
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
    """Rank correlation between models."""
    run = opened(run)
    return scores.correlation_matrix(run.z) if len(run.z) > 1 else _nothing("a correlation needs two models")


def training(run: Folder, model: str | None = None) -> Figure | None:
    """Loss curves of one model or of all trained ones; None for shipped weights without curves."""
    run = opened(run)
    curves = {}
    for name in [model] if model else list(run.members):
        found = losses.find_curve(run.paths.work(name), run.paths.trained(name)) if name in MODELS else None
        if found is not None:
            curves[name] = found
    return losses.loss_curves(curves) if curves else _nothing("the model's folder holds no loss curve")


def compare(run: Folder, scores: Mapping[str, np.ndarray]) -> Figure:
    """Two named scores (N,) of the test frames, as ranks, because their units may differ; with labels, anomalies are
    shaded and the legend gives AP and AUC."""
    run = opened(run)
    figure = style.new_figure(10, 2.8)
    axes, count = figure.subplots(), len(run.test)
    for (name, values), colour in zip(scores.items(), (style.BLUE, style.VERMILLION)):
        if run.labels is not None and 0 < run.labels.sum() < count:
            name += (f": AP {100 * average_precision(run.labels, values):.1f}, "
                     f"micro AUC {100 * roc_auc(run.labels, values):.1f}")
        ranks = 100 * (rankdata(values) - 0.5) / count
        for part, (_, rows) in enumerate(run.videos()):
            axes.plot(np.arange(count)[rows], ranks[rows], color=colour, lw=1.2, label=name if part == 0 else None)
    for video, rows in run.videos():
        axes.axvline(rows.start, color="0.7", lw=0.8)
        axes.text(rows.start, 101, f" {video}", fontsize=8, va="bottom")
    if run.labels is not None:
        axes.fill_between(np.arange(count), 0, 100, where=run.labels, color="0.5", alpha=0.25, lw=0)
    style.tidy(axes, x="test frames, video by video", y="% of test frames below")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.2), ncols=1)
    return figure


def _notable_rows(run: RunFolder, values: np.ndarray, seen: np.ndarray) -> dict[int, str]:
    """Rows to show -> caption: the highest anomalous frame, the peak of the anomalous video with the lowest peak, and
    the highest normal frame; without labels the highest and a median frame.

    Args:
        seen: candidate rows, by ascending score.
    """
    if run.labels is None or not run.labels[seen].any() or run.labels[seen].all():
        return {int(seen[-1]): "highest", int(seen[len(seen) // 4]): "usual"}
    videos, odd = run.test["video"].to_numpy(object), seen[run.labels[seen]]
    peaks = {videos[row]: int(row) for row in odd}  # ascending, so the last row of a video is its peak
    found = {int(odd[-1]): "highest anomaly"}
    missed = min(peaks.values(), key=lambda row: values[row])
    found.setdefault(missed, "anomalous video with the lowest peak")
    return found | {int(seen[~run.labels[seen]][-1]): "highest normal frame"}


def error_grid(run: Folder) -> Figure | None:
    """Error maps of every model on the same frames: a hit, a miss and a normal frame."""
    run = opened(run)
    maps = {n: m for n in run.members if (m := run.maps(n)) is not None}
    if not maps or run.final is None:
        return _nothing("no model of this run keeps error maps")
    words = _notable_rows(run, run.final, np.argsort(run.final, kind="stable"))
    rows = list(words)
    names = [words[r] + (f"\n{k}" if (k := run.kind_at(r)) else "") for r in rows]
    return error_maps.error_grid(run.footage("test").batch(rows), names,
                                 {model_title(n): [np.asarray(m[r], dtype=np.float32) for r in rows]
                                  for n, m in maps.items()})


def errors(run: Folder, model: str) -> Figure | None:
    """Error maps of one model on a hit and on failures, with its prediction if available."""
    run = opened(run)
    maps = run.maps(model)
    if maps is None or model not in run.z:
        return _nothing(f"{model} has kept no error maps")
    values = run.members[model].values
    # a frame that no window covers has another frame's score, and no prediction
    filled = set(run.members[model].about.get("filled", {}).get("ids", []))
    own = np.array([i not in filled for i in run.test["Id"]], dtype=bool)
    seen = np.flatnonzero(own if own.any() else ~own)
    seen = seen[np.argsort(values[seen], kind="stable")]
    words = _notable_rows(run, values, seen)
    rows = list(words)
    pictures = run.footage("test").batch(rows)
    expected = _predictions(run, model, rows)
    return error_maps.error_maps(
        [error_maps.ErrorRow(f"{words[r]}: {run.test['Id'].iloc[r]}, raw score {values[r]:.3g}, "
                             f"above {100 * (values < values[r]).mean():.0f} % of test frames", image,
                             np.asarray(maps[r], dtype=np.float32), guess)
         for r, image, guess in zip(rows, pictures, expected)],
        title=f"{model_title(model)}: what it did not expect", unit="error / usual error at that place")


def _predictions(run: RunFolder, name: str, rows: Sequence[int]) -> list[np.ndarray | None]:
    """Predictions of a model for test rows, (h, w[, 3]) uint8. None if the run kept no weights of this model, the model
    predicts no picture, or no window covers the frame."""
    trained = run.paths.trained(name)
    if not (trained / "card.json").exists():
        return [None] * len(rows)
    model, footage = model_class(name).load(trained), run.footage("test")
    videos = [footage.of_videos([footage.videos[row]]) for row in rows]
    return [model.expected_picture(video, int(np.flatnonzero(video.ids == footage.ids[row])[0]))
            for video, row in zip(videos, rows)]


def actors(run: Folder, *, count: int = 3) -> Figure | None:
    """The frame that best shows an unusual actor: its unusual actors beside their nearest training actors."""
    run = opened(run)
    people = run.people
    if people is None:
        return _nothing("the local memory has not scored the test frames yet")
    found = best_actor(run, range(len(run.test)), overlays.heat_function(run))
    if found is None:
        return _nothing("no actor of any test frame is unusual")
    row, best = found
    boxes = people.boxes(row)
    others = sorted((b for b in range(len(boxes)) if b != best and boxes[b].score >= ACTOR_NOTE),
                    key=lambda b: -boxes[b].score)
    frame = next(f for _, f in run.footage("test").full_frames([row]))
    return actors_figure(frame, boxes, _comparisons(run, [(row, b) for b in [best, *others][:count]]),
                         title=f"{run.test['Id'].iloc[row]}: unusual actors")


def nearest(run: Folder) -> Figure | None:
    """One unusual actor per video, top-scoring events first, with its nearest training crop."""
    run = opened(run)
    people = run.people
    if people is None:
        return _nothing("the local memory has not scored the test frames yet")
    found, heat = [], overlays.heat_function(run)
    for event in [*run.events, *run.moments]:
        if not any(run.test["video"].iloc[r] == event.video for r, _ in found):
            near = range(max(0, event.peak_row - 5), min(event.peak_row + 6, len(run.test)))
            if best := best_actor(run, near, heat, peak=event.peak_row, compared=True):
                found.append(best)
    if not found:
        return _nothing("no unusual actor was compared with training actors")
    return nearest_figure(_comparisons(run, found[:5], where=True),
                          title="Unusual actors, and what they were compared with")


def one_crop(run: Folder) -> Figure | None:
    """Computation of the appearance score for the test actor with the most unusual appearance."""
    run = opened(run)
    score = score_of_crop(run)
    if score is None:
        return _nothing("the local memory has embedded no actor of a test frame yet")
    return crop_score_figure(score)


def _comparisons(run: RunFolder, wanted: Sequence[tuple[int, int]], *, where: bool = False) -> list[Comparison]:
    """Crops of (test row, box) actors beside their nearest training crops; `where` names their frames."""
    frames = dict(run.footage("test").full_frames(sorted({r for r, _ in wanted})))
    out = []
    for row, b in wanted:
        box, near = run.people.boxes(row)[b], run.nearest_normal(row, b)
        words = (f"{run.test['Id'].iloc[row]}, " if where else "") + f"{box.score:.1f}" + (f": {box.words}" if box.words
                                                                                        else "")
        picture, place = near or (None, "")
        out.append(Comparison(crop(frames[row], box.xyxy), picture, words, place))
    return out


def memory(run: Folder, model: str = "global_memory") -> Figure | None:
    """Bank, picks and test features of a memory model in two dimensions."""
    run, found = opened(run), _remembered(run, model)
    if found is None:
        return None
    train, picks, test = found
    return bank_map.memory_map(train, picks, test, test_scores=run.z.get(model) if len(test) == len(run.test) else None,
                               title=f"{model_title(model)}: what it remembers".capitalize())


def radius(run: Folder, model: str = "global_memory") -> Figure | None:
    """Covering radius of a memory model's bank against its size."""
    found = _remembered(run, model)
    if found is None:
        return None
    return bank_map.radius_curve(bank_map.covering_radii(*found[:2]), chosen=len(found[1]),
                                 title=f"Covering radius of the {model_title(model)}")


def _remembered(run: Folder, model: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """See `Model.remembered`; None if the run has no training frames or no such model."""
    run = opened(run)
    place = run.paths.trained(model)
    if not run.has_training or model not in MODELS or not (place / "card.json").exists():
        return _nothing(f"{model} was not fitted here")
    found = model_class(model).load(place).remembered(run.footage("train"), run.footage("test"), run.paths.work(model))
    return _nothing(f"{model} has kept no features") if found is None else found


def metrics_table(run: Folder) -> pd.DataFrame | None:
    """Metrics of every model and submission, in percent with intervals; None without labels."""
    run = opened(run)
    if not run.metrics:
        return _nothing("no labels are known, so there are no metrics")
    table = metric_tables(run)[0]
    return pd.DataFrame(table.rows, columns=list(table.header)).set_index("")


def curves(run: Folder) -> Figure | None:
    """ROC and precision-recall curves of the submissions and the baseline; None without labels."""
    run = opened(run)
    found = evaluation(run)
    if found is None:
        return _nothing("no labels are known, so there are no curves")
    # single models have their own figure: eleven curves in one cannot be read
    names = [n for n in SUBMISSIONS if n in found.rows]
    return style.side_by_side([_legend_below(draw(found, names)) for draw in (figures.roc_figure, figures.pr_figure)])


def videos(run: Folder) -> Figure | None:
    """AUC of each video for the final submission; None without labels."""
    run = opened(run)
    found = evaluation(run)
    if found is None or "submission" not in found.rows:
        return _nothing("no labels are known, so there are no metrics")
    return style.side_by_side([_legend_below(figures.videos_figure(found, [n for n in ("submission", BASELINE)
                                                                           if n in found.rows]))])


def models(run: Folder) -> Figure | None:
    """AP and AUC of each model, the submissions and the baseline with their intervals; None without labels."""
    run = opened(run)
    rows = run.metrics.get("rows", {})
    if not rows:
        return _nothing("no labels are known, so there are no metrics")
    order = [*(n for n in SUBMISSIONS if n in rows and n != BASELINE), *(n for n in rows if n not in SUBMISSIONS),
             *(n for n in rows if n == BASELINE)]
    return scores.metric_intervals(
        {SUBMISSIONS.get(n, model_title(n)): rows[n] for n in order}, METRICS[:3],
        base_rate=run.metrics.get("labels", {}).get("base_rate"))


def _legend_below(figure: Figure) -> Figure:
    """Move the legend below the axes, where it hides no curve, and spell out the names of the submissions."""
    old = figure.axes[0].get_legend() or figure.legends[0]
    title = old.get_title().get_text()
    handles, names = figure.axes[0].get_legend_handles_labels()
    old.remove()
    names = [SUBMISSIONS.get(n.partition(": ")[0], n.partition(": ")[0]) + ": " + n.partition(": ")[2] for n in names]
    figure.legend(handles, names, title=title, loc="outside lower left", fontsize=8, title_fontsize=8,
                  alignment="left", frameon=False)
    return figure


def evaluation(run: Folder) -> Evaluation | None:
    """The run's evaluation; None without labels."""
    run = opened(run)
    return evaluation_of_run(run.folder, run.label_path) if run.label_path else None
