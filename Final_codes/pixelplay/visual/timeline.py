"""Score timelines.

Reads arrays of one video (`Track`) and optional thumbnails of its peaks; makes Figures. The x axis is the video's frame
number (seconds above); gaps in the numbers are gaps in every line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Patch

from pixelplay.fusion.events import Threshold
from pixelplay.registry import model_title
from pixelplay.visual import style

REPAIRED = frozenset({"vflip", "hflip", "rot180", "noise", "impulse", "exposure", "shift"})
"""Flags of damage that repair corrects; the others only reduce a frame's reliability."""


BEGINS, ENDS = (0, (4, 3)), (0, (1, 2))
"""Dash patterns of the two threshold lines."""


THUMBNAIL = 0.14
"""Width of a thumbnail, as a share of the axis."""


@dataclasses.dataclass(frozen=True)
class Track:
    """One video's scores.

    Attributes:
        video: its name.
        frames: (n,) frame numbers, increasing.
        final: (n,) final score.
        models: model name -> (n,) calibrated score (rarity).
        labels: (n,) bool, True = anomalous; None without ground truth.
        reliability: (n,) in [0, 1]; None = all reliable.
        flags: (n,) '|'-separated flags of the manifest; None = none.
        fps: frames a second.
    """

    video: str
    frames: np.ndarray
    final: np.ndarray
    models: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    labels: np.ndarray | None = None
    reliability: np.ndarray | None = None
    flags: np.ndarray | None = None
    fps: float = 25.0

    @property
    def repaired(self) -> np.ndarray:
        """(n,) bool: frames that repair changed."""
        if self.flags is None:
            return np.zeros(len(self.frames), dtype=bool)
        return np.array([bool(REPAIRED & set(str(f).split("|"))) for f in self.flags])

    @property
    def unreliable(self) -> np.ndarray:
        """(n,) bool: frames with a reliability below one half."""
        if self.reliability is None:
            return np.zeros(len(self.frames), dtype=bool)
        return np.asarray(self.reliability) < 0.5


def score_timeline(track: Track, *, threshold: Threshold | None = None,
                   thumbnails: Sequence[tuple[int, np.ndarray]] = (),
                   unit: str = "score") -> Figure:
    """One video in full: models thin, final score bold, ground truth shaded, quality strip below, pictures of the
    peaks.

    Args:
        threshold: both lines are drawn, where an event begins and where it ends.
        thumbnails: (frame number, RGB image) of peaks to show above the lines, up to about six.
        unit: label of the score axis.
    """
    figure = style.new_figure(11, 4.6 if len(thumbnails) else 3.7, photo=len(thumbnails) > 0)
    axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=[12, 1.2])
    _draw_scores(axes, track, threshold)
    _draw_quality(strip, track)
    if len(thumbnails):
        _draw_thumbnails(axes, track, thumbnails, [] if threshold is None else [threshold.high])
    style.tidy(axes, y=unit)
    style.tidy(strip, x="frame number")
    first, fps = float(track.frames[0]) if len(track.frames) else 0.0, track.fps
    seconds = axes.secondary_xaxis("top", functions=(lambda f: (f - first) / fps, lambda s: s * fps + first))
    seconds.set_xlabel("time from the first frame (s)", fontsize=9)
    seconds.tick_params(labelsize=8)
    figure.suptitle(f"Video {track.video}: score of each frame", fontsize=11, x=0.01, ha="left")
    figure.legend(handles=_legend(track, threshold), loc="outside lower left", ncols=5, fontsize=8, frameon=False)
    return figure


def event_story(track: Track, pictures: Sequence[tuple[int, np.ndarray]], *, threshold: Threshold | None = None,
                title: str = "") -> Figure:
    """Pictures of an event side by side, (frame number, RGB image), above the final score of its video."""
    figure = style.new_figure(11, 4.9, photo=True)
    above, below = figure.subfigures(2, 1, height_ratios=[1.55, 1])
    axes = below.subplots()
    _draw_scores(axes, dataclasses.replace(track, models={}), threshold)
    first = float(track.frames[0])
    for number, (cell, (frame, image)) in enumerate(zip(above.subplots(1, len(pictures)), pictures), start=1):
        style.picture(cell, image, f"{number}: {(frame - first) / track.fps:.1f} s")
        axes.axvline(frame, color=style.GREY, lw=1)
        axes.text(frame, 1.0, f" {number}", transform=axes.get_xaxis_transform(), fontsize=9, va="top")
    ticks = axes.get_xticks()
    seconds = np.arange(0, (track.frames[-1] - first) / track.fps + 0.01, max(1, len(ticks) // 6))
    axes.set_xticks(first + seconds * track.fps, [f"{s:.0f}" for s in seconds])
    axes.set_xlim(first, track.frames[-1])
    style.tidy(axes, x="seconds", y="score")
    handles = [Line2D([], [], color=style.BLACK, lw=2, label="score")]
    if track.labels is not None:
        handles.append(Patch(color=style.YELLOW, alpha=0.45, label="labelled as an anomaly"))
    if threshold is not None:
        handles.append(Line2D([], [], color=style.BLACK, lw=0.9, ls=BEGINS, label="an event begins"))
    axes.legend(handles=handles, fontsize=8, frameon=False, loc="upper right")
    figure.suptitle(title, fontsize=13, x=0.01, ha="left", weight="bold")
    return figure


def timeline_page(tracks: Sequence[Track], *, threshold: Threshold | None = None) -> Figure:
    """Small timelines of all videos, on one score axis."""
    figure, grid = style.panels(len(tracks), 2, (5.5, 1.35), 0.7, sharey=True)
    for axes, track in zip(grid.ravel(), tracks):
        _draw_scores(axes, track, threshold)
        style.tidy(axes, title=f"video {track.video}")
    for axes in grid[:, 0]:
        axes.set_ylabel("score", fontsize=8)
    for axes in grid[-1, :]:
        axes.set_xlabel("frame number", fontsize=8)
    if len(tracks):
        figure.legend(handles=_legend(tracks[0], threshold)[:-3], loc="outside upper left", ncols=6, fontsize=8,
                      frameon=False)
    return figure


def _draw_scores(axes: Axes, track: Track, threshold: Threshold | None) -> None:
    if track.labels is not None:
        for a, b in style.spans(track.frames, np.asarray(track.labels, dtype=bool)):
            axes.axvspan(a, b, color=style.YELLOW, alpha=0.45, lw=0, zorder=0)
    for name, values in track.models.items():
        axes.plot(*style.with_gaps(track.frames, values), color=style.model_colour(name, track.models), lw=0.8,
                  alpha=0.85, zorder=2)
    axes.plot(*style.with_gaps(track.frames, track.final), color=style.BLACK, lw=2.0, zorder=3)
    if threshold is not None:
        axes.axhline(threshold.high, color=style.BLACK, lw=0.9, ls=BEGINS, zorder=1)
        axes.axhline(threshold.low, color=style.GREY, lw=0.9, ls=ENDS, zorder=1)
    if len(track.frames):
        axes.set_xlim(track.frames[0] - 1, track.frames[-1] + 1)


def _draw_quality(axes: Axes, track: Track) -> None:
    for mask, colour, low in ((track.repaired, style.SKY, 0.5), (track.unreliable, style.GREY, 0.0)):
        for a, b in style.spans(track.frames, mask):
            axes.axvspan(a, b, low, low + 0.5, facecolor=colour, lw=0)
    steps = np.flatnonzero(np.diff(track.frames) > 1)
    for row in steps:
        axes.axvspan(track.frames[row] + 0.5, track.frames[row + 1] - 0.5, facecolor="black", lw=0)
    axes.set_yticks([])
    axes.set_ylabel("quality", fontsize=8, rotation=0, ha="right", va="center")


def _draw_thumbnails(axes: Axes, track: Track, thumbnails: Sequence[tuple[int, np.ndarray]],
                     also: Sequence[float]) -> None:
    shown = np.concatenate([np.asarray(v, dtype=np.float64) for v in (track.final, *track.models.values(), also)])
    bottom, highest = float(shown.min()), float(shown.max())
    axes.set_ylim(bottom - 0.05 * (highest - bottom), highest + 0.55 * max(highest - bottom, 1e-6))
    first, last = float(track.frames[0]), float(track.frames[-1])
    places = _spread([frame for frame, _ in thumbnails], first, last)
    for (frame, image), x in zip(thumbnails, places):
        row = int(np.argmin(np.abs(track.frames - frame)))
        axes.add_artist(AnnotationBbox(
            OffsetImage(image, zoom=92 / max(image.shape[1], 1), resample=True), (frame, track.final[row]),
            xybox=(x, highest + 0.30 * max(highest - bottom, 1e-6)), pad=0.1,
            arrowprops={"arrowstyle": "-", "color": style.GREY, "lw": 0.8}, bboxprops={"lw": 0.6}))


def _spread(frames: Sequence[int], first: float, last: float) -> list[float]:
    """Positions for pictures near their frames that neither overlap nor leave the axis."""
    span = max(last - first, 1.0)
    half, step = THUMBNAIL / 2, min(THUMBNAIL, 1.0 / max(len(frames), 1))
    wanted = [(f - first) / span for f in frames]
    order = np.argsort(wanted, kind="stable")
    places = np.zeros(len(frames))
    edge = half - step
    for i in order:
        edge = places[i] = max(wanted[i], edge + step)
    limit = 1 - half + step
    for i in order[::-1]:
        limit = places[i] = min(places[i], limit - step)
    return (first + places * span).tolist()


def _legend(track: Track, threshold: Threshold | None) -> list:
    handles: list = [Line2D([], [], color=style.BLACK, lw=2, label="final" if track.models else "score")]
    handles += [Line2D([], [], color=style.model_colour(n, track.models), lw=1.2, label=model_title(n))
                for n in track.models]
    if threshold is not None:
        handles.append(Line2D([], [], color=style.BLACK, ls=BEGINS, lw=0.9, label="an event begins"))
        handles.append(Line2D([], [], color=style.GREY, ls=ENDS, lw=0.9, label="an event ends"))
    if track.labels is not None:
        handles.append(Patch(color=style.YELLOW, alpha=0.6, label="labelled anomaly"))
    return [*handles, Patch(facecolor=style.SKY, label="repaired frame"),
            Patch(facecolor=style.GREY, label="unreliable frame"),
            Patch(facecolor=style.BLACK, label="no frames")]
