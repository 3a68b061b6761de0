"""House style of figures: palette, figure factory, saving, and gaps in time axes.

Makes matplotlib `Figure`s without pyplot's global state, so they can be drawn in a notebook, a thread or a headless
run. Colours of Okabe and Ito (2008), distinguishable with any colour vision; ground truth is always yellow, the final
score always black.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from pixelplay.data.footage import segments
from pixelplay.files import atomic_path
from pixelplay.registry import registered

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, GREY = "#F0E442", "#0072B2", "#D55E00", "#767676"

SPARE_COLOURS = (GREY, "#A6611A", "#35978F", "#9970AB")
"""For models without a colour. As for the six models, contrast is at least 3:1 on white and on near-black."""


def model_colour(name: str, names: Iterable[str] = ()) -> str:
    """The colour of a model, or else a spare one by its position among the others in `names`."""
    if named := registered(name, "colour"):
        return named
    others = sorted(n for n in {*names, name} if not registered(n, "colour"))
    return SPARE_COLOURS[others.index(name) % len(SPARE_COLOURS)]


def alarm_colour(score: float, low: float, high: float) -> str:
    """Vermillion at or above the upper threshold, orange at or above the lower one, else sky blue."""
    return VERMILLION if score >= high else ORANGE if score >= low else SKY


def rgb(colour: str) -> tuple[int, int, int]:
    """'#D55E00' -> (213, 94, 0)."""
    return tuple(int(colour[i:i + 2], 16) for i in (1, 3, 5))


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two colours ('#rrggbb') according to WCAG 2.2, from 1 to 21."""
    lights = []
    for colour in (a, b):
        parts = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in rgb(colour))]
        lights.append(0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


MAX_GAP = 3
"""Largest step of the frame number over which a line or a span is drawn."""


class HouseFigure(Figure):
    """A Figure that a notebook displays without pyplot, compressed to keep notebooks small.

    Attributes:
        photo: contains camera images: encoded as JPEG instead of PNG with 256 colours.
    """

    photo = False

    def _repr_png_(self) -> bytes | None:
        return None if self.photo else _encode(self, "PNG")

    def _repr_jpeg_(self) -> bytes | None:
        return _encode(self, "JPEG") if self.photo else None


def new_figure(width: float, height: float, *, photo: bool = False) -> HouseFigure:
    """An empty figure in house style, with constrained layout; width and height in inches."""
    figure = HouseFigure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    figure.photo = photo
    return figure


def panels(count: int, columns: int, size: tuple[float, float], margin: float, *, sharey: bool = False
           ) -> tuple[HouseFigure, np.ndarray]:
    """A figure with `count` panels in rows of at most `columns`.

    Args:
        size: width and height of a panel; margin: height besides the panels; all in inches.
    Returns:
        The figure, and its (rows, columns) array of axes; those beyond `count` are hidden.
    """
    columns = min(columns, max(1, count))
    rows = max(1, -(-count // columns))
    figure = new_figure(size[0] * columns, margin + size[1] * rows)
    grid = figure.subplots(rows, columns, sharey=sharey, squeeze=False)
    for axes in grid.ravel()[count:]:
        axes.set_visible(False)
    return figure, grid


def _encode(figure: Figure, form: str) -> bytes:
    """PNG with 256 colours (line art stays sharp and small) or JPEG, without a creation date, so that equal figures
    give equal bytes."""
    drawn, out = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    image = Image.open(drawn).convert("RGB")
    if form == "JPEG":
        image.save(out, format="JPEG", quality=85, optimize=True)
    else:
        image.quantize(256, dither=Image.Dither.NONE).save(out, format="PNG", optimize=True)
    return out.getvalue()


def tidy(axes: Axes, x: str = "", y: str = "", title: str = "") -> Axes:
    """Label the axes (with units), set the title, remove the top and right spines."""
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    if title:
        axes.set_title(title, fontsize=10, loc="left")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def picture(axes: Axes, image: np.ndarray, title: str = "", **kwargs) -> Axes:
    """Show an image (H, W[, 3]) without ticks; `kwargs` go to imshow."""
    axes.imshow(image, interpolation="nearest", **kwargs)
    axes.set_xticks([])
    axes.set_yticks([])
    if title:
        axes.set_title(title, fontsize=8)
    return axes


def with_gaps(frames: np.ndarray, values: np.ndarray, max_gap: int = MAX_GAP) -> tuple[np.ndarray, np.ndarray]:
    """Frames and values of one video with a NaN inserted at each gap of more than `max_gap` frame numbers.

    A line drawn through the result breaks at the gaps.

    Returns:
        (x, y), each (N + gaps,) float64.
    """
    x, y = [], []
    for part in segments(np.zeros(len(frames)), np.asarray(frames), max_gap):
        if x:
            x.append([np.nan])
            y.append([np.nan])
        x.append(np.asarray(frames[part], dtype=np.float64))
        y.append(np.asarray(values[part], dtype=np.float64))
    return (np.concatenate(x), np.concatenate(y)) if x else (np.zeros(0), np.zeros(0))


def spans(frames: np.ndarray, mask: np.ndarray) -> list[tuple[float, float]]:
    """Intervals (first - 0.5, last + 0.5) in frame numbers where `mask` (N,) is true, split at gaps."""
    out = []
    for part in segments(np.asarray(mask, dtype=np.int8), np.asarray(frames), MAX_GAP):
        if mask[part.start]:
            out.append((float(frames[part.start]) - 0.5, float(frames[part.stop - 1]) + 0.5))
    return out


def column_maxima(numbers: np.ndarray, scores: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Reduce a curve to the maximum of each pixel column, where several frames share a column.

    Args:
        numbers: (N,) increasing frame numbers; scores: (N,); scale: columns per frame number.
    Returns:
        Frame numbers and scores of the maxima.
    """
    if scale >= 1 or len(numbers) < 2:
        return numbers, scores
    column = (numbers * scale).astype(np.int64)
    order = np.lexsort((scores, column))
    last = np.sort(order[np.append(np.diff(column[order]) > 0, True)])
    return numbers[last], scores[last]


def side_by_side(figures: Sequence[Figure]) -> HouseFigure:
    """Several finished figures side by side in one."""
    drawn = []
    for figure in figures:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
        drawn.append(np.asarray(Image.open(buffer).convert("RGB")))
    height = max(d.shape[0] for d in drawn)
    drawn = [np.pad(d, ((0, height - d.shape[0]), (0, 0), (0, 0)), constant_values=255) for d in drawn]
    whole = np.concatenate(drawn, axis=1)
    figure = HouseFigure(figsize=(whole.shape[1] / 110, height / 110), dpi=110)
    figure.figimage(whole)
    return figure


def save_figure(figure: Figure, path: Path | str) -> Path:
    """Write a figure as PNG or JPEG, according to the suffix; atomic, equal figures give equal bytes."""
    path = Path(path)
    with atomic_path(path) as part:
        part.write_bytes(_encode(figure, "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG"))
    return path


def save_picture(image: np.ndarray, path: Path | str, *, quality: int = 82, width: int | None = None) -> Path:
    """Write an RGB uint8 image (H, W, 3) as JPEG, reduced to `width` pixels if it is wider; atomic."""
    if width and image.shape[1] > width:
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    with atomic_path(path) as part:
        part.write_bytes(jpeg(image, quality))
    return Path(path)


def jpeg(image: np.ndarray, quality: int = 82) -> bytes:
    """An RGB uint8 image (H, W, 3) as JPEG."""
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OSError(f"cannot encode an image of shape {image.shape}")
    return data.tobytes()
