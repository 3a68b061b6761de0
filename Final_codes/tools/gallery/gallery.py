"""All figures of a finished run, and the gallery page that explains them.

Reads a run's output folder (and, for figures without frames, those of other runs); writes pictures and a README.md.
Only pictures of the embedded sample may be published in Visuals/, because the frames of other datasets are not ours.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import diagrams
import numpy as np
from hero import write_hero
from matplotlib.figure import Figure
from screenshots import report_pictures

from pixelplay.autoencoders.base import Autoencoder
from pixelplay.environment import default_output
from pixelplay.errors import PixelPlayError
from pixelplay.files import write_text
from pixelplay.registry import MODELS, model_class, model_title
from pixelplay.visual import overlays, plots, style
from pixelplay.visual.report import write_report
from pixelplay.visual.run_folder import RunFolder
from pixelplay.visual.run_video import render_video

log = logging.getLogger(__name__)

VISUALS, HERO = "Visuals", "hero.webp"
THUMBNAIL = 300
"""Width of a picture on the page, in pixels."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """One figure of the gallery: file name, section, caption, and the function that draws it."""

    file: str
    section: str
    words: str
    draw: Callable[[RunFolder], Figure | None]


def pictures() -> list[Picture]:
    """All figures of a run, in the gallery's order."""
    found = [
        Picture("timeline.png", "Scores", "One event: before it, at its highest moment, after it, and the score of its "
                "video with the labelled anomaly shaded.", plots.story),
        Picture("timelines.png", "Scores", "Every test video on one scale: where the black line crosses the dashed "
                "one, an event begins.", plots.timelines),
        Picture("models.png", "Scores", "Each model alone and all together: points are the values, bars their 95 % "
                "intervals over videos.", plots.models),
        Picture("videos.png", "Scores", "How well the final score separates the frames of each video on its own.",
                plots.videos),
        Picture("curves.png", "Scores", "ROC and precision-recall, all frames pooled.", plots.curves),
        Picture("histograms.png", "Scores", "Calibrated scores: held-out training frames lie around 0, anomalous ones "
                "to the right.", plots.histograms),
        Picture("correlation.png", "Scores", "How alike the models rank the frames: an ensemble gains from members "
                "that disagree.", plots.correlation),
        Picture("kinds.jpg", "The sample", "What goes wrong in the embedded sample, a scene made by the project "
                "itself; the anomaly is ringed.", kinds_figure),
        Picture("repairs.jpg", "The sample", "Test frames as recorded (above) and as every model sees them (below).",
                plots.repairs),
        Picture("actors.jpg", "Why a score is high", "The highest actor with its reason, beside the training actor it "
                "was compared with.", lambda run: plots.actors(run, count=1)),
        Picture("nearest.jpg", "Why a score is high", "The highest actor of each event above the training actor most "
                "like it.", plots.nearest),
        Picture("errors.jpg", "Why a score is high", "Where each autoencoder was wrong, in the same three frames.",
                plots.error_grid),
        Picture("speeds.jpg", "Why a score is high", "How fast every place moves: calm ground stays black, a walker "
                "shows faintly, a cyclist glows.", plots.speeds),
        Picture("losses.png", "Training", "Loss on training clips and on held-out ones.", plots.training),
    ]
    found.append(Picture("pipeline.png", "Architecture", "The whole way, drawn from the registry.",
                         lambda run: diagrams.pipeline_diagram()))
    for name in MODELS:
        if issubclass(model_class(name), Autoencoder):
            draw, words = diagrams.autoencoder_diagram, ("drawn from its own computation: boxes are layers with their "
                                                         "real shapes, arrows what was computed from what")
        elif name in diagrams.MEMORIES:
            draw, words = diagrams.memory_diagram, "what is frozen and what is remembered"
        else:
            continue
        found.append(Picture(f"model_{name}.png", "Architecture", f"{model_title(name)}: {words}.",
                             lambda run, name=name, draw=draw: draw(name)))
    return found


NUMBERS = (
    ("timelines", "scores of every test video", plots.timelines),
    ("models", "every model alone and all together, with 95 % intervals over videos", plots.models),
    ("videos", "each video on its own, by the area under its ROC curve", plots.videos),
    ("curves", "ROC and precision-recall, all frames pooled", plots.curves),
    ("histograms", "calibrated scores of held-out training, normal and anomalous frames", plots.histograms),
    ("correlation", "rank correlation of the models", plots.correlation),
)
"""Figures without frames, for runs on data that must not be published: (name, caption, function)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --run, --output, --numbers."""
    parser.add_argument("--run", type=Path, metavar="DIR", help="a finished run's output folder (default: "
                        "outputs, /kaggle/working on Kaggle)")
    parser.add_argument("--output", type=Path, default=Path(VISUALS), metavar="DIR", help=f"default: {VISUALS}")
    parser.add_argument("--numbers", nargs="*", default=[], metavar="NAME=DIR",
                        help="runs on other data, shown without any frame, e.g. ped2=outputs_ped2")


def run(args: argparse.Namespace) -> None:
    """Write all figures and README.md. Raises PixelPlayError for invalid input."""
    finished = RunFolder(args.run or default_output())
    others = {}
    for item in args.numbers:
        name, equals, folder = item.partition("=")
        if not equals:
            raise PixelPlayError(f"--numbers {item} names no run", expected="NAME=DIR, e.g. ped2=outputs_ped2")
        others[name] = RunFolder(Path(folder))
    check_publishable(finished, args.output)
    made = write_gallery(finished, args.output, others)
    log.info("%d pictures in %s", len(made), args.output)


def is_sample(finished: RunFolder) -> bool:
    """True if the run's test frames are those of the embedded sample."""
    root = Path(finished.manifest.roots.get("test", ""))
    return any((folder / "sample.json").exists() for folder in (root, *list(root.parents)[:2]))


def check_publishable(finished: RunFolder, output: Path) -> None:
    """Raise PixelPlayError if a dataset's frames would go into a folder that is published."""
    if output.resolve().name == VISUALS and not is_sample(finished):
        raise PixelPlayError(f"{finished.folder} is a run on other data than the embedded sample, and {output} is "
                             "published", expected="frames of the embedded sample only",
                             hint="choose another --output, or show the run's numbers alone: --numbers NAME=DIR")


def write_gallery(finished: RunFolder, folder: Path, numbers: dict[str, RunFolder] | None = None) -> list[str]:
    """Write the pictures and README.md; returns the file names. Figures without data are omitted."""
    entries: list[tuple[str, str, str]] = []
    for item in pictures():
        figure = item.draw(finished)
        if figure is None:
            (folder / item.file).unlink(missing_ok=True)
            continue
        style.save_figure(figure, folder / item.file)
        entries.append((item.file, item.section, item.words))
    entries += _report_pictures(finished, folder)
    for name, other in (numbers or {}).items():
        for kind, words, draw in NUMBERS:
            figure = draw(other)
            if figure is not None:
                style.save_figure(figure, folder / f"{name}_{kind}.png")
                entries.append((f"{name}_{kind}.png", f"Numbers of {name}", f"{name}: {words}."))
    write_text(folder / "README.md", readme(entries, finished, bool(numbers)))
    return [e[0] for e in entries]


def _report_pictures(finished: RunFolder, folder: Path) -> list[tuple[str, str, str]]:
    """Screenshots of the report, and the highest-scoring video, annotated."""
    if not finished.tracks:
        return []
    entries = []
    shots = report_pictures(write_report(finished.folder))
    for name, image in shots.items():
        style.save_picture(image, folder / f"report_{name}.jpg", quality=80)
        entries.append((f"report_{name}.jpg", "Report", f"The report of the sample run on a {name}."))
    highest = int(np.argmax([t.final.max() for t in finished.tracks]))
    name, rows = finished.videos()[highest]
    render_video(finished, name, rows, folder / "annotated.mp4", overlays.heat_function(finished),
                 finished.people, quality=30)
    entries.append(("annotated.mp4", "Report", "The highest-scoring test video with heat, actors and score."))
    if write_hero(finished, folder / HERO):
        entries.insert(0, (HERO, "Report", "An event of the sample and what the report says of it."))
    return entries


def kinds_figure(finished: RunFolder) -> Figure | None:
    """A frame of each named kind of anomaly, where its mask is largest, with a ring around it; None if the ground truth
    names no kinds or has no masks."""
    masks = None if finished.label_path is None else finished.label_path.parent / "testing_label_mask"
    if not finished.kinds or masks is None or not masks.is_dir():
        return None
    numbers, videos = finished.test["frame"].to_numpy(), finished.test["video"].to_numpy(object)
    found = []
    for kind in finished.kinds:
        rows = np.flatnonzero((videos == kind.video) & (numbers >= kind.first) & (numbers <= kind.last))
        shapes = {r: _box_of(masks / f"{int(kind.video):02d}" / f"frame_{numbers[r]:05d}.png") for r in rows[::5]}
        shown = {r: box for r, box in shapes.items() if box is not None}
        if shown:
            row = max(shown, key=lambda r: shown[r][2] * shown[r][3])
            found.append((kind.kind.replace("_", " "), row, shown[row]))
    frames = dict(finished.footage("test").full_frames(sorted({row for _, row, _ in found})))
    columns = min(4, len(found))
    figure = style.new_figure(2.9 * columns, 1.95 * -(-len(found) // columns), photo=True)
    grid = figure.subplots(-(-len(found) // columns), columns, squeeze=False).ravel()
    for axes in grid[len(found):]:
        axes.set_visible(False)
    for axes, (name, row, (x, y, width, height)) in zip(grid, found):
        drawn = np.ascontiguousarray(frames[row]).copy()
        centre, size = (x + width // 2, y + height // 2), (round(0.75 * width) + 8, round(0.75 * height) + 8)
        for colour, thick in (((0, 0, 0), 6), (style.rgb(style.ORANGE), 3)):
            cv2.ellipse(drawn, centre, size, 0, 0, 360, colour, thick, cv2.LINE_AA)
        style.picture(axes, drawn)
        axes.set_title(name, fontsize=11)
    return figure


def _box_of(mask: Path) -> tuple[int, int, int, int] | None:
    """(x, y, width, height) of a mask's bounding box; None if the mask is missing or empty."""
    image = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) if mask.exists() else None
    return tuple(cv2.boundingRect(image)) if image is not None and image.any() else None


def readme(entries: list[tuple[str, str, str]], finished: RunFolder, has_numbers: bool) -> str:
    """The gallery page: one table of thumbnails per section, each with a caption and a link to the full size."""
    models = ", ".join(model_title(n) for n in finished.members) or "none"
    about = next(iter(finished.members.values())).about if finished.members else {}
    profile, machine = about.get("profile", "unknown"), about.get("hardware", "unknown hardware")
    command = "python Final_codes/tools/gallery --run outputs" + (" --numbers NAME=DIR" if has_numbers else "")
    lines = ["# Gallery", "",
             "Every picture here is made by one command from a finished run:", "",
             "```", "python Final_codes/run_all.py --output outputs", command, "```", "",
             f"This one: the embedded sample, profile {profile}, models {models}, {machine}. Frames of datasets are "
             "not ours to publish: where a picture shows frames, they are the sample's. Click a picture for its full "
             "size.", ""]
    for section in dict.fromkeys(e[1] for e in entries):
        lines += [f"## {section}", "", "| | |", "|---|---|"]
        for file, _, words in (e for e in entries if e[1] == section):
            name = file.rpartition(".")[0].replace("_", " ")
            shown = f"[{file}]({file})" if file.endswith(".mp4") else (
                f'<a href="{file}"><img src="{file}" alt="{name}" width="{THUMBNAIL}"></a>')
            lines.append(f"| {shown} | {words} |")
        lines.append("")
    return "\n".join(lines)
