"""Figure of the local memory's computation for one crop: actor, features, nearest training crops, distance, rarity.

Reads a run's actors, its fitted local memory and its frames; embeds one crop again; makes a Figure.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from matplotlib.figure import Figure

from pixelplay.calibration import Rarity
from pixelplay.registry import model_class
from pixelplay.two_stream.actor_files import read_actors
from pixelplay.two_stream.actors import crop
from pixelplay.two_stream.memory import nearest
from pixelplay.visual import style
from pixelplay.visual.run_folder import RunFolder

NEAREST = 3


@dataclasses.dataclass(frozen=True)
class CropScore:
    """Intermediate results for one crop.

    Attributes:
        title: Id of its frame.
        frame: (H, W, 3) uint8; box: (4,) xyxy in its pixels; crop: (224, 224, 3) uint8, the network's input.
        features: (dim,) float32 of the crop; neighbours: (k, dim) of the nearest training crops.
        pictures: (h, w, 3) uint8 of the neighbours, None if the detector keeps none.
        distances: (k,) to the neighbours, ascending. bank: number of crops in the bank.
        deviations: robust z-score of the distance.
        rarity: of that z-score among held-out training frames.
    """

    title: str
    frame: np.ndarray
    box: np.ndarray
    crop: np.ndarray
    features: np.ndarray
    neighbours: np.ndarray
    pictures: list[np.ndarray | None]
    distances: np.ndarray
    bank: int
    deviations: float
    rarity: Rarity


def score_of_crop(run: RunFolder) -> CropScore | None:
    """The computation for the test actor with the most unusual appearance; None if no crop was embedded."""
    if run.actor_model is None:
        return None
    actors = read_actors(run.paths.actors(run.actor_model))
    if not (actors["nearest"] >= 0).any():
        return None
    z = np.where(actors["nearest"] >= 0, np.nan_to_num(actors["appearance_z"], nan=-np.inf), -np.inf)
    actor = int(np.argmax(z))
    footage, box = run.footage("test"), actors["boxes"][actor]
    row = int(np.flatnonzero(footage.ids == actors["Id"][actor])[0])
    frame = next(f for _, f in footage.full_frames([row]))
    model = model_class(run.actor_model).load(run.paths.trained(run.actor_model))
    image, fitted = crop(frame, box, model.rules.pad), model.fitted
    features = model.backbone.embed(image[None])
    distances, places = nearest(features, fitted.banks[0], NEAREST)
    entries = fitted.members[0][places[0]]
    pictures = [run.crops.find(fitted.train_ids[e], fitted.train_boxes[e]) if run.crops is not None else None
                for e in entries]
    return CropScore(str(actors["Id"][actor]), frame, box, image, features[0], fitted.banks[0][places[0]], pictures,
                     distances[0], len(fitted.banks[0]), float(actors["appearance_z"][actor]),
                     fitted.rarities["appearance"])


def crop_score_figure(score: CropScore) -> Figure:
    """Five columns, in the order of the computation."""
    figure = style.new_figure(14, 3.6, photo=True)
    parts = figure.subfigures(1, 5, width_ratios=[2.2, 1.2, 1.5, 1.6, 2])
    drawn = np.ascontiguousarray(score.frame).copy()
    (x0, y0), (x1, y1) = score.box.reshape(2, 2).round().astype(int).tolist()
    cv2.rectangle(drawn, (x0 - 2, y0 - 2), (x1 + 2, y1 + 2), style.rgb(style.VERMILLION), 2)
    style.picture(parts[0].subplots(), drawn, f"1. actor, frame {score.title}")
    style.picture(parts[1].subplots(), score.crop, "2. its crop")
    axes = parts[2].subplots()
    # the components that differ most, largest first, because all of them are too many to see
    order = np.argsort(-np.abs(score.features - score.neighbours[0]), kind="stable")[:60]
    axes.plot(score.features[order], color=style.VERMILLION, lw=1.2, label="this crop")
    axes.plot(score.neighbours[0][order], color=style.BLUE, lw=1.2, label="nearest")
    style.tidy(axes, x=f"60 of {len(score.features)} components", title="3. features")
    axes.legend(fontsize=8, frameon=False)
    grid = parts[3].subplots(len(score.pictures), 1, squeeze=False)[:, 0]
    for axes, picture, distance in zip(grid, score.pictures, score.distances):
        style.picture(axes, np.full((96, 96, 3), 235, np.uint8) if picture is None else picture)
        axes.set_ylabel(f"{distance:.2f}", fontsize=9, rotation=0, ha="right", va="center")
    grid[0].set_title(f"4. nearest of {score.bank} training\ncrops, and distance", fontsize=9)
    axes = parts[4].subplots()
    top = max(score.deviations, 4.0) * 1.15
    z = np.linspace(min(-2.0, score.deviations), top, 200)
    axes.plot(z, score.rarity(z), color=style.BLUE, lw=1.5)
    axes.plot([score.deviations], score.rarity(np.array([score.deviations])), "o", color=style.VERMILLION)
    style.tidy(axes, x="deviations above usual", y="rarity among training frames",
               title=f"5. rarity {float(score.rarity(np.array([score.deviations]))[0]):.1f}")
    axes.grid(alpha=0.3)
    return figure
