"""A score timeline as SVG, for the report.

Reads a `Track`; makes a string. The drawing scales with the page (stroke widths do not), so all text is HTML beside it;
it needs no script. Colours are CSS classes of the page, for light and dark mode; only the lines of models bring their
own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pixelplay.fusion.events import Event, Threshold
from pixelplay.visual import style
from pixelplay.visual.timeline import Track

WIDTH, PLOT, LANE = 1000.0, 160.0, 10.0
"""Width, height of the plot and of each of the three lanes below it (events, labels, quality)."""
MOST_TICKS = 8
HEIGHT = PLOT + 3 * (LANE + 2)


def timeline_svg(track: Track, *, low: float, high: float, threshold: Threshold | None = None,
                 events: Sequence[Event] = ()) -> str:
    """The `<svg>` element of one video.

    Args:
        low, high: scores at the bottom and the top edge of the plot, the same for all videos of a page.
        threshold: both lines are drawn.
        events: events of this video.
    """
    first, last = (float(track.frames[0]), float(track.frames[-1])) if len(track.frames) else (0.0, 1.0)
    scale = WIDTH / max(last - first, 1.0)

    def x(frame: float) -> float:
        return (frame - first) * scale

    def y(score: float | np.ndarray) -> np.ndarray:
        return PLOT * (1 - (np.clip(score, low, high) - low) / max(high - low, 1e-9))

    def band(a: float, b: float, kind: str, top: float, height: float) -> str:
        left, right = max(0.0, x(a)), min(WIDTH, x(b))
        return (f'<rect x="{left:.1f}" y="{top:.0f}" width="{max(right - left, 1):.1f}" height="{height:.0f}" '
                f'class="{kind}"/>')

    def curve(values: np.ndarray, kind: str, colour: str = "") -> str:
        frames, scores = style.with_gaps(*style.column_maxima(track.frames, np.asarray(values), scale),
                                         max_gap=3 + 2 * int(1 / scale))
        path, pen = [], "M"
        for place, height in zip(frames, y(scores)):
            if np.isnan(place):
                pen = "M"
                continue
            path.append(f"{pen}{x(place):.1f} {height:.1f}")
            pen = "L"
        return (f'<path d="{"".join(path)}" class="{kind}"' + (f' style="stroke:{colour}"' if colour else "")
                + ' vector-effect="non-scaling-stroke"/>')

    def line(score: float, kind: str) -> str:
        level = float(y(score))
        return (f'<line x1="0" x2="{WIDTH:.0f}" y1="{level:.1f}" y2="{level:.1f}" class="{kind}" '
                'vector-effect="non-scaling-stroke"/>')

    lanes = [PLOT + 2 + i * (LANE + 2) for i in range(3)]
    parts = [band(e.first_frame - 0.5, e.last_frame + 0.5, "shade", 0, PLOT) for e in events]
    parts += [line(threshold.high, "begins"), line(threshold.low, "ends")] if threshold is not None else []
    if track.models:
        lines = (curve(v, "model", style.model_colour(n, track.models)) for n, v in track.models.items())
        parts.append(f'<g class="models">{"".join(lines)}</g>')
    parts.append(curve(track.final, "final"))
    parts += [band(e.first_frame - 0.5, e.last_frame + 0.5, "event", lanes[0], LANE) for e in events]
    if track.labels is not None:
        parts += [band(a, b, "truth", lanes[1], LANE) for a, b in style.spans(track.frames, track.labels)]
    for mask, kind in ((track.repaired, "repaired"), (track.unreliable & ~track.repaired, "unreliable")):
        parts += [band(a, b, kind, lanes[2], LANE) for a, b in style.spans(track.frames, mask)]
    parts += [band(track.frames[row] + 0.5, track.frames[row + 1] - 0.5, "hole", lanes[2], LANE)
              for row in np.flatnonzero(np.diff(track.frames) > 1)]
    return (f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" preserveAspectRatio="none" aria-hidden="true" '
            f'focusable="false">{"".join(parts)}</svg>')


def ticks(seconds: float) -> list[float]:
    """Round times in seconds from 0 for an axis of the given length, at most `MOST_TICKS` of them."""
    steps = [s * f for f in (0.1, 1.0) for s in (1, 2, 5)] + [10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200]
    step = next((s for s in steps if seconds / s < MOST_TICKS),
                3600.0 * max(1, round(seconds / MOST_TICKS / 3600)))
    return [round(i * step, 1) for i in range(int(seconds / step + 1e-9) + 1)][:MOST_TICKS]
