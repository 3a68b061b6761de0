"""The embedded sample: a small rendered surveillance scene, deterministic by seed.

Writes, in the competition's layout and with its corruption of the test frames:

    training_videos/01/frame_00000.jpg        normal footage
    testing_videos/01/frame_00037.jpg         with late starts, missing frames, flipped and noisy frames
    testing_label_mask/01/frame_00037.png     255 at the anomaly, upright even if the frame is flipped
    frame_labels.csv                          Id,label
    event_kinds.csv                           video,kind,first,last: kind and frame numbers of each anomaly
    sample_submission.csv                     Id,Predicted (0.0)
    corruption.csv                            corruption of each test frame (see pixelplay.data.corruption)
    sample.json                               seed, size, cameras, the anomalies of each test video

`sample.json` is written last and marks a complete folder, which is kept.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pixelplay.data.corruption import apply_plan, encode, plan_corruption, recipe_named
from pixelplay.data.ids import frame_id
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path, read_json, write_json
from pixelplay.progress import tqdm
from pixelplay.sample.actors import Sprite, draw, draw_shadow
from pixelplay.sample.scene import Light, make_props, paint_background
from pixelplay.sample.script import ANOMALIES, FPS, Actor, anomaly, begins, walkers
from pixelplay.sample.view import Camera, make_view
from pixelplay.versions import ARTEFACTS

log = logging.getLogger(__name__)

VERSION = ARTEFACTS["sample"].number
"""Stored in sample.json; a folder of another version is rendered again."""
MIN_VISIBLE = 12
"""Minimum number of mask pixels (in a 640 x 360 frame) of an anomalous frame."""


SINGLE = tuple((kind,) for kind in ANOMALIES)


@dataclasses.dataclass(frozen=True)
class SampleSize:
    """Size of the sample.

    Attributes:
        train_videos, train_frames: number of training videos, and frames per video.
        programme: consecutive anomalies of each test video; () = normal only.
        test_frames: frames per test video.
        height, width: frame size in pixels.
    """

    train_videos: int
    train_frames: int
    programme: tuple[tuple[str, ...], ...]
    test_frames: int
    height: int = 360
    width: int = 640


SIZES = {
    "tiny": SampleSize(3, 24, (("runner",), ("cyclist",), ()), 32, 180, 320),
    "small": SampleSize(8, 110, (("cyclist", "fall"), ("runner", "wrong_way"), ("cart",), ("throw", "loiterer"), ()),
                        250),
    "large": SampleSize(16, 250, (*SINGLE, (), *SINGLE, (), *SINGLE, ()), 250),
}


def make_sample(folder: Path | str, *, seed: int = 0, size: str = "small", cameras: int = 1) -> Path:
    """Render the sample; the same arguments give the same files (with the same library versions).

    Args:
        folder: new or empty, or with a sample: an identical one is kept, another or an unfinished one replaced.
        seed: also determines the camera: 0 is the standard view, other seeds draw a random view (`view.make_view`).
        size: 'tiny' (tests), 'small' (demo, well under a minute on one core) or 'large'.
        cameras: number of cameras, with the seeds `seed`, `seed + 1`, ...; videos alternate between them.
    Returns:
        The folder, ready for `find_dataset`.
    Raises:
        PixelPlayError: unknown size, no camera, or the folder holds something else.
    """
    folder = Path(folder)
    if size not in SIZES:
        raise PixelPlayError(f"there is no sample size '{size}'", expected="one of " + ", ".join(SIZES))
    if cameras < 1:
        raise PixelPlayError(f"a sample of {cameras} cameras cannot be made", expected="1 or more")
    about = {"seed": seed, "size": size, "cameras": cameras, "version": VERSION}
    if (folder / "sample.json").exists() and about.items() <= read_json(folder / "sample.json").items():
        return folder
    _clear(folder)
    shape = SIZES[size]
    write_json(folder / ".sample-unfinished.json", about)
    stages = [Stage(shape.height, shape.width, seed, camera) for camera in range(cameras)]
    with tqdm(total=shape.train_videos * shape.train_frames + len(shape.programme) * shape.test_frames,
              desc="sample", unit="frame") as bar:
        for i in range(shape.train_videos):
            stage = stages[i % cameras]
            for number, (picture, _) in enumerate(stage.film(stage.video("train", i, shape.train_frames))):
                _save(folder / "training_videos" / f"{i + 1:02d}" / f"frame_{number:05d}.jpg", encode(picture))
                bar.update()
        _write_test(folder, stages, seed, shape, bar)
    programme = {str(i + 1): list(kinds) for i, kinds in enumerate(shape.programme)}
    write_json(folder / "sample.json", about | {"fps": FPS, "anomalies": programme})
    (folder / ".sample-unfinished.json").unlink()
    return folder


def _clear(folder: Path) -> None:
    """Remove an old or unfinished sample. Raises PixelPlayError if the folder holds anything else."""
    ours = {"training_videos", "testing_videos", "testing_label_mask", "frame_labels.csv", "event_kinds.csv",
            "sample_submission.csv", "corruption.csv", "sample.json", ".sample-unfinished.json"}
    if not folder.exists() or not any(folder.iterdir()):
        return
    others = sorted({p.name for p in folder.iterdir()} - ours)
    made_here = (folder / "sample.json").exists() or (folder / ".sample-unfinished.json").exists()
    if others or not made_here:
        raise PixelPlayError(f"{folder} holds other files ({', '.join(others[:3]) or 'a dataset'})",
                             expected="a new or empty folder for the sample", hint="choose another --output")
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def _write_test(folder: Path, stages: Sequence[Stage], seed: int, shape: SampleSize, bar: tqdm) -> None:
    """Write all test videos with masks, labels, kinds and corruption."""
    rng = np.random.default_rng([seed, 2])
    starts = [int(rng.integers(20, 400)) if rng.random() < 0.4 else 0 for _ in shape.programme]
    keys = [(str(i + 1), start + t) for i, start in enumerate(starts) for t in range(shape.test_frames)]
    plan = plan_corruption([frame_id(*key) for key in keys], recipe_named("competition"), rng)
    rows, labels, kinds = iter(plan.to_dict("records")), [], []
    for i, programme in enumerate(shape.programme):
        stage = stages[i % len(stages)]
        video = stage.video("test", i, shape.test_frames, programme)
        for t, (picture, mask) in enumerate(stage.film(video)):
            bar.update()
            row, name = next(rows), f"{i + 1:02d}/frame_{starts[i] + t:05d}"
            if row["dropped"]:
                continue
            label = int((mask > 0).sum() >= MIN_VISIBLE * mask.size / (360 * 640))
            # masks and labels must agree: a hand just entering the view is not yet an event
            mask *= np.uint8(label)
            _save(folder / "testing_videos" / f"{name}.jpg", encode(apply_plan(picture, row, seed)))
            _save(folder / "testing_label_mask" / f"{name}.png", cv2.imencode(".png", mask)[1].tobytes())
            labels.append((row["Id"], label))
            kinds += [(str(i + 1), a.kind, starts[i] + t) for a in video.actors if label and a.anomalous[t]]
    table = pd.DataFrame(labels, columns=["Id", "label"])
    spans = pd.DataFrame(kinds, columns=["video", "kind", "frame"]).groupby(["video", "kind"], sort=False)["frame"]
    _table(folder / "frame_labels.csv", table)
    _table(folder / "event_kinds.csv", spans.agg(first="min", last="max").reset_index())
    _table(folder / "sample_submission.csv", table[["Id"]].assign(Predicted=0.0))
    _table(folder / "corruption.csv", plan)


def _save(path: Path, data: bytes) -> None:
    # single images are not written atomically: sample.json marks a complete folder
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _table(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as part:
        table.to_csv(part, index=False, lineterminator="\n")


@dataclasses.dataclass
class Take:
    """Content of one video: actors, light, length in frames, random generator of its sensor noise."""

    actors: list[Actor]
    light: Light
    frames: int
    rng: np.random.Generator


class Stage:
    """The scene of one seed and camera: background, props and a bank of sensor noise, shared by its videos.

    Args:
        height, width: frame size in pixels.
        seed: of everything random.
        camera: index of the camera; its view is that of number `seed + camera`.
    """

    def __init__(self, height: int, width: int, seed: int, camera: int = 0):
        self.seed = seed
        self.camera, self.site = make_view(seed + camera, height, width)
        rng = np.random.default_rng([seed, 0, camera])
        self.background = paint_background(self.camera, self.site, rng)
        props = make_props(self.camera, self.site, rng)
        self.rigid = [Sprite.of(p.rgba, p.left, p.top, p.z) for p in props if p.sway == 0]
        self.swaying = [p for p in props if p.sway > 0]
        self.noise = _noise_bank(self.camera, rng)
        y, x = np.mgrid[-1:1:height * 1j, -1:1:width * 1j]
        self.vignette = cv2.merge([np.rint(255 * (1 - 0.13 * (x ** 2 + y ** 2))).clip(0, 255).astype(np.uint8)] * 3)

    def video(self, split: str, index: int, frames: int, programme: Sequence[str] = ()) -> Take:
        """Draw the actors of one video: pedestrians, and the consecutive anomalies of its programme."""
        rng = np.random.default_rng([self.seed, 1 if split == "train" else 3, index])
        actors = walkers(rng, self.camera, frames, density=float(rng.uniform(3.5, 6.5)))
        actors += [anomaly(kind, rng, self.camera, frames, begin)
                   for kind, begin in zip(programme, begins(rng, programme, frames))]
        return Take(actors, Light.draw(rng), frames, rng)

    def film(self, take: Take) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (picture (H, W, 3) uint8 RGB, mask (H, W) uint8 0 or 255) of every frame."""
        for t in range(take.frames):
            yield self._frame(take, t)

    def _frame(self, take: Take, t: int) -> tuple[np.ndarray, np.ndarray]:
        casts = [(actor, parts) for actor in take.actors if (parts := actor.parts(t)) is not None]
        shade = np.zeros((self.camera.height, self.camera.width), np.uint8)
        for _, parts in casts:
            draw_shadow(self.camera, self.site.sun, parts, shade)
        picture, mask = _darken(self.background, shade, take.light.shadow(t)), np.zeros_like(shade)
        drawn = [(draw(self.camera, parts), bool(actor.anomalous[t])) for actor, parts in casts]
        layers = [(sprite, anomalous) for sprite, anomalous in drawn if sprite is not None]
        # all props are composited in every frame, sorted by depth with the actors, for correct occlusion
        layers += [(sprite, False) for sprite in self.rigid]
        layers += [(Sprite.of(p.at(t / FPS, take.light.wind), p.left, p.top, p.z), False) for p in self.swaying]
        for sprite, anomalous in sorted(layers, key=lambda item: -item[0].z):
            _composite(picture, mask, sprite, anomalous)
        if self.site.mirrored:
            picture, mask = np.ascontiguousarray(picture[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
        gains = take.light.gains(t) / 255
        picture = cv2.multiply(picture, self.vignette, scale=float(gains.mean()))
        picture = cv2.multiply(picture, (*(gains / gains.mean()).tolist(), 0.0))
        return self._expose(picture, take.rng), mask

    def _expose(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Apply lens blur and sensor noise."""
        picture = cv2.GaussianBlur(picture, (3, 3), 0.55)
        dy, dx = (int(rng.integers(0, n + 1)) for n in (NOISE_MARGIN, NOISE_MARGIN))
        noise = self.noise[int(rng.integers(len(self.noise)))]
        window = noise[dy:dy + self.camera.height, dx:dx + self.camera.width]
        return cv2.add(picture, window, dtype=cv2.CV_8U)


NOISE_MARGIN = 64


def _noise_bank(camera: Camera, rng: np.random.Generator) -> list[np.ndarray]:
    """Four images of sensor noise, mostly luminance, to be cropped at random positions: drawing new noise for every
    frame would dominate the cost of rendering."""
    shape = (camera.height + NOISE_MARGIN, camera.width + NOISE_MARGIN)
    return [np.rint(rng.normal(0, 2.3, (*shape, 1)) + rng.normal(0, 1.1, (*shape, 3))).astype(np.int16)
            for _ in range(4)]


def _darken(background: np.ndarray, shade: np.ndarray, strength: float) -> np.ndarray:
    """A copy of the background with slightly blue cast shadows."""
    light = cv2.merge([cv2.convertScaleAbs(shade, alpha=-strength * c, beta=255.0) for c in (1.0, 0.97, 0.92)])
    return cv2.multiply(background, light, scale=1 / 255)


def _composite(picture: np.ndarray, mask: np.ndarray, sprite: Sprite, anomalous: bool) -> None:
    """Composite a sprite onto the picture in place, and update the mask of visible anomalies."""
    height, width = picture.shape[:2]
    h, w = sprite.colour.shape[:2]
    y0, x0, y1, x1 = (max(0, sprite.top), max(0, sprite.left), min(height, sprite.top + h), min(width, sprite.left + w))
    if y1 <= y0 or x1 <= x0:
        return
    cut = np.s_[y0 - sprite.top:y1 - sprite.top, x0 - sprite.left:x1 - sprite.left]
    through, view = sprite.through[cut], picture[y0:y1, x0:x1]
    view[:] = cv2.add(cv2.multiply(view, through, scale=1 / 255), sprite.colour[cut])
    mask[y0:y1, x0:x1][through[..., 0] < 128] = 255 if anomalous else 0
