"""A score timeline as SVG text, for the report.

Reads a `Track`; makes a string. The drawing stretches with the page (strokes keep their width), so all words stand
beside it in HTML, and it is there even where scripts are switched off.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pixelplay.visual import style
from pixelplay.visual.events import Event, Threshold
from pixelplay.visual.timeline import Track

WIDTH, HEIGHT, STRIP = 1000.0, 200.0, 18.0


def timeline_svg(track: Track, *, low: float, high: float, threshold: Threshold | None = None,
                 events: Sequence[Event] = ()) -> str:
    """The `<svg>` element of one video.

    Args:
        low, high: scores at the bottom and the top edge, the same for all videos of a page.
        events: those of this video, shaded.
    """
    first, last = (float(track.frames[0]), float(track.frames[-1])) if len(track.frames) else (0.0, 1.0)
    scale = WIDTH / max(last - first, 1.0)

    def x(frame: float) -> float:
        return (frame - first) * scale

    def y(score: np.ndarray) -> np.ndarray:
        return (HEIGHT - STRIP) * (1 - (np.clip(score, low, high) - low) / max(high - low, 1e-9))

    def band(a: float, b: float, colour: str, opacity: float, top: float = 0.0, height: float = HEIGHT - STRIP) -> str:
        left, right = max(0.0, x(a)), min(WIDTH, x(b))
        return (f'<rect x="{left:.1f}" y="{top:.0f}" width="{max(right - left, 1):.1f}" height="{height:.0f}" '
                f'fill="{colour}" fill-opacity="{opacity}"/>')

    def curve(values: np.ndarray, colour: str, width: float) -> str:
        frames, scores = style.in_runs(track.frames, values)
        heights = y(scores)
        path, pen = [], "M"
        for place, height in zip(frames, heights):
            if np.isnan(place):
                pen = "M"
                continue
            path.append(f"{pen}{x(place):.1f} {height:.1f}")
            pen = "L"
        return (f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="{width}" '
                f'vector-effect="non-scaling-stroke" stroke-linejoin="round"/>')

    parts = []
    if track.labels is not None:
        parts += [band(a, b, style.YELLOW, 0.55) for a, b in style.spans(track.frames, np.asarray(track.labels, bool))]
    parts += [band(e.first_frame - 0.5, e.last_frame + 0.5, style.VERMILLION, 1, 0, 6) for e in events]
    parts += [curve(v, style.model_colour(n, track.models), 1) for n, v in track.models.items()]
    parts.append(curve(track.final, style.BLACK, 2.2))
    if threshold is not None:
        level = float(y(np.array(threshold.high)))
        parts.append(f'<line x1="0" x2="{WIDTH:.0f}" y1="{level:.1f}" y2="{level:.1f}" stroke="{style.BLACK}" '
                     'stroke-width="1" stroke-dasharray="5 4" vector-effect="non-scaling-stroke"/>')
    bottom = HEIGHT - STRIP
    parts.append(f'<rect x="0" y="{bottom:.0f}" width="{WIDTH:.0f}" height="{STRIP:.0f}" fill="#ffffff"/>')
    half = (STRIP - 2) / 2
    for mask, colour, place in ((track.repaired, style.SKY, 0), (track.unreliable, style.GREY, 1)):
        top = bottom + 2 + place * half
        parts += [band(a, b, colour, 1, top, half) for a, b in style.spans(track.frames, mask)]
    for row in np.flatnonzero(np.diff(track.frames) > 1):
        parts.append(band(track.frames[row] + 0.5, track.frames[row + 1] - 0.5, style.BLACK, 1, bottom + 2, STRIP - 2))
    return (f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" preserveAspectRatio="none" aria-hidden="true" '
            f'focusable="false">{"".join(parts)}</svg>')
