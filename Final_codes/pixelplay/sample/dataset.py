"""The embedded sample: a small surveillance scene, made from nothing, deterministic by seed.

Writes, in the competition's layout and with its corruption of the test frames:

    training_videos/01/frame_00000.jpg        normal only
    testing_videos/01/frame_00037.jpg         own numbers: late starts, missing frames; flipped and noisy frames
    testing_label_mask/01/frame_00037.png     255 where the anomaly is, in upright orientation whatever the frame's
    frame_labels.csv                          Id,label
    sample_submission.csv                     Id,Predicted (0.0)
    corruption.csv                            what was done to each test frame (see pixelplay.data.corruption)
    sample.json                               seed, size, the anomaly of each test video

`sample.json` is written last: a folder that has it is complete and is not made again.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from pixelplay.data.corruption import apply_plan, encode, plan_corruption, recipe_named
from pixelplay.data.ids import frame_id
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path, read_json, write_json
from pixelplay.sample.actors import Sprite, draw, draw_shadow
from pixelplay.sample.scene import Camera, Light, make_props, paint_background
from pixelplay.sample.script import ANOMALIES, FPS, Actor, anomaly, walkers
from pixelplay.versions import ARTEFACTS

log = logging.getLogger(__name__)

VERSION = ARTEFACTS["sample"].number
"""Goes into sample.json; a folder made by another version is made again."""
MIN_VISIBLE = 12
"""Mask pixels (of a 640 x 360 frame) from which a frame counts as anomalous."""


@dataclasses.dataclass(frozen=True)
class SampleSize:
    """How much is made: videos and frames a video of either split, and the picture's height and width."""

    train_videos: int
    train_frames: int
    test_videos: int
    test_frames: int
    height: int = 360
    width: int = 640


SIZES = {"tiny": SampleSize(3, 24, 3, 32, 180, 320), "small": SampleSize(8, 110, 8, 104),
         "large": SampleSize(16, 250, 21, 250)}


def make_sample(folder: Path | str, *, seed: int = 0, size: str = "small") -> Path:
    """Make the sample; the same seed and size give the same files (for the same library versions).

    Args:
        folder: new or empty, or one with a sample: the same one is kept, another one or a half-made one replaced.
        size: 'tiny' (tests), 'small' (demo, well under a minute on one core) or 'large'.
    Returns:
        The folder, ready for `find_dataset`.
    Raises:
        PixelPlayError: unknown size, or the folder holds something else.
    """
    folder = Path(folder)
    if size not in SIZES:
        raise PixelPlayError(f"there is no sample size '{size}'", expected="one of " + ", ".join(SIZES))
    about = {"seed": seed, "size": size, "version": VERSION}
    if (folder / "sample.json").exists() and about.items() <= read_json(folder / "sample.json").items():
        return folder
    _clear(folder)
    shape = SIZES[size]
    write_json(folder / ".sample-unfinished.json", about)
    stage = Stage(Camera(shape.height, shape.width), seed)
    with tqdm(total=shape.train_videos * shape.train_frames + shape.test_videos * shape.test_frames,
              desc="sample", unit="frame") as bar:
        for i in range(shape.train_videos):
            video = stage.video("train", i, shape.train_frames, None)
            for number, (picture, _) in enumerate(stage.film(video)):
                _save(folder / "training_videos" / f"{i + 1:02d}" / f"frame_{number:05d}.jpg", encode(picture))
                bar.update()
        kinds = _write_test(folder, stage, shape, bar)
    write_json(folder / "sample.json", about | {"fps": FPS, "anomalies": kinds})
    (folder / ".sample-unfinished.json").unlink()
    return folder


def _clear(folder: Path) -> None:
    """Remove an older or half-made sample; anything else in the folder is an error."""
    ours = {"training_videos", "testing_videos", "testing_label_mask", "frame_labels.csv", "sample_submission.csv",
            "corruption.csv", "sample.json", ".sample-unfinished.json"}
    if not folder.exists() or not any(folder.iterdir()):
        return
    strangers = sorted({p.name for p in folder.iterdir()} - ours)
    made_here = (folder / "sample.json").exists() or (folder / ".sample-unfinished.json").exists()
    if strangers or not made_here:
        raise PixelPlayError(f"{folder} holds other files ({', '.join(strangers[:3]) or 'a dataset'})",
                             expected="a new or empty folder for the sample", hint="choose another --output")
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def _write_test(folder: Path, stage: Stage, shape: SampleSize, bar: tqdm) -> dict[str, str]:
    """All test videos with masks, labels and corruption; returns video -> kind of its anomaly."""
    rng = np.random.default_rng([stage.seed, 2])
    # the last video is all normal; where there are fewer videos than kinds, the first kinds are shown
    kinds = [ANOMALIES[i % len(ANOMALIES)] if i < shape.test_videos - 1 or shape.test_videos == 1 else ""
             for i in range(shape.test_videos)]
    starts = [int(rng.integers(20, 400)) if rng.random() < 0.4 else 0 for _ in kinds]
    keys = [(str(i + 1), starts[i] + t) for i in range(len(kinds)) for t in range(shape.test_frames)]
    plan = plan_corruption([frame_id(*key) for key in keys], recipe_named("competition"), rng)
    rows, labels = iter(plan.to_dict("records")), []
    for i, kind in enumerate(kinds):
        video = stage.video("test", i, shape.test_frames, kind or None)
        for t, (picture, mask) in enumerate(stage.film(video)):
            bar.update()
            row, name = next(rows), f"{i + 1:02d}/frame_{starts[i] + t:05d}"
            if row["dropped"]:
                continue
            label = int((mask > 0).sum() >= MIN_VISIBLE * mask.size / (360 * 640))
            # a hand that is just coming into view is no event yet: masks and labels must say the same
            mask *= np.uint8(label)
            _save(folder / "testing_videos" / f"{name}.jpg", encode(apply_plan(picture, row, stage.seed)))
            _save(folder / "testing_label_mask" / f"{name}.png", cv2.imencode(".png", mask)[1].tobytes())
            labels.append((row["Id"], label))
    table = pd.DataFrame(labels, columns=["Id", "label"])
    _table(folder / "frame_labels.csv", table)
    _table(folder / "sample_submission.csv", table[["Id"]].assign(Predicted=0.0))
    _table(folder / "corruption.csv", plan)
    return {str(i + 1): kind for i, kind in enumerate(kinds)}


def _save(path: Path, data: bytes) -> None:
    # no atomic_path for single pictures: sample.json, written last, tells whether the folder is complete
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _table(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as part:
        table.to_csv(part, index=False, lineterminator="\n")


@dataclasses.dataclass
class Take:
    """One video's content: actors, light, length in frames, generator of its sensor noise."""

    actors: list[Actor]
    light: Light
    frames: int
    rng: np.random.Generator


class Stage:
    """The scene of one seed: background, props and a bank of sensor noise shared by all its videos."""

    def __init__(self, camera: Camera, seed: int):
        self.camera, self.seed = camera, seed
        rng = np.random.default_rng([seed, 0])
        self.background = paint_background(camera, rng)
        self.props = make_props(camera, rng)
        self.noise = _noise_bank(camera, rng)
        y, x = np.mgrid[-1:1:camera.height * 1j, -1:1:camera.width * 1j]
        self.vignette = cv2.merge([np.rint(255 * (1 - 0.13 * (x ** 2 + y ** 2))).clip(0, 255).astype(np.uint8)] * 3)
        # rigid props are painted in once and again only where an actor passes behind them
        self.rigid = [Sprite.of(p.rgba, p.left, p.top, p.z) for p in self.props if p.sway == 0]
        for sprite in self.rigid:
            _composite(self.background, None, sprite, False)

    def video(self, split: str, index: int, frames: int, kind: str | None) -> Take:
        """Cast one video: passers-by, and one anomaly where `kind` names it."""
        rng = np.random.default_rng([self.seed, 1 if split == "train" else 3, index])
        actors = walkers(rng, frames, density=float(rng.uniform(3.5, 6.5)))
        if kind is not None:
            actors.append(anomaly(kind, rng, frames))
        return Take(actors, Light.draw(rng), frames, rng)

    def film(self, take: Take) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (picture (H, W, 3) uint8 RGB, mask (H, W) uint8 0 or 255) of every frame."""
        for t in range(take.frames):
            yield self._frame(take, t)

    def _frame(self, take: Take, t: int) -> tuple[np.ndarray, np.ndarray]:
        casts = [(actor, parts) for actor in take.actors if (parts := actor.parts(t)) is not None]
        shade = np.zeros((self.camera.height, self.camera.width), np.uint8)
        for _, parts in casts:
            draw_shadow(self.camera, parts, shade)
        picture, mask = _darken(self.background, shade, take.light.shadow(t)), np.zeros_like(shade)
        drawn = [(draw(self.camera, parts), bool(actor.anomalous[t])) for actor, parts in casts]
        layers = [(sprite, anomalous) for sprite, anomalous in drawn if sprite is not None]
        layers += [(r, False) for r in self.rigid if any(s.z > r.z and _overlap(s, r) for s, _ in layers)]
        layers += [(Sprite.of(p.at(t / FPS, take.light.wind), p.left, p.top, p.z), False)
                   for p in self.props if p.sway > 0]
        for sprite, anomalous in sorted(layers, key=lambda item: -item[0].z):
            _composite(picture, mask, sprite, anomalous)
        gains = take.light.gains(t) / 255
        picture = cv2.multiply(picture, self.vignette, scale=float(gains.mean()))
        picture = cv2.multiply(picture, (*(gains / gains.mean()).tolist(), 0.0))
        return self._expose(picture, take.rng), mask

    def _expose(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The lens's softness and the sensor's noise."""
        picture = cv2.GaussianBlur(picture, (3, 3), 0.55)
        dy, dx = (int(rng.integers(0, n + 1)) for n in (NOISE_MARGIN, NOISE_MARGIN))
        noise = self.noise[int(rng.integers(len(self.noise)))]
        window = noise[dy:dy + self.camera.height, dx:dx + self.camera.width]
        return cv2.add(picture, window, dtype=cv2.CV_8U)


NOISE_MARGIN = 64


def _noise_bank(camera: Camera, rng: np.random.Generator) -> list[np.ndarray]:
    """Four pictures of sensor noise, mostly brightness, to be cut out at random places: drawing a fresh one for
    every frame would cost more than everything else."""
    shape = (camera.height + NOISE_MARGIN, camera.width + NOISE_MARGIN)
    return [np.rint(rng.normal(0, 2.3, (*shape, 1)) + rng.normal(0, 1.1, (*shape, 3))).astype(np.int16)
            for _ in range(4)]


def _darken(background: np.ndarray, shade: np.ndarray, strength: float) -> np.ndarray:
    """A copy of the background with cast shadows, a little bluer in them."""
    light = cv2.merge([cv2.convertScaleAbs(shade, alpha=-strength * c, beta=255.0) for c in (1.0, 0.97, 0.92)])
    return cv2.multiply(background, light, scale=1 / 255)


def _overlap(a: Sprite, b: Sprite) -> bool:
    return (a.left < b.left + b.colour.shape[1] and b.left < a.left + a.colour.shape[1]
            and a.top < b.top + b.colour.shape[0] and b.top < a.top + a.colour.shape[0])


def _composite(picture: np.ndarray, mask: np.ndarray | None, sprite: Sprite, anomalous: bool) -> None:
    """Lay a sprite over the picture in place; keep the mask of what is visible of the anomaly."""
    height, width = picture.shape[:2]
    h, w = sprite.colour.shape[:2]
    y0, x0, y1, x1 = (max(0, sprite.top), max(0, sprite.left), min(height, sprite.top + h), min(width, sprite.left + w))
    if y1 <= y0 or x1 <= x0:
        return
    cut = np.s_[y0 - sprite.top:y1 - sprite.top, x0 - sprite.left:x1 - sprite.left]
    through, view = sprite.through[cut], picture[y0:y1, x0:x1]
    view[:] = cv2.add(cv2.multiply(view, through, scale=1 / 255), sprite.colour[cut])
    if mask is not None:
        mask[y0:y1, x0:x1][through[..., 0] < 128] = 255 if anomalous else 0
