"""`TrainingNorms`: the statistics of the training footage that repair needs.

Reads the training split of an extraction; makes one file, `norms.npz` (0.4 MB for the sample's camera of 640 x 360
pixels). Test frames of the same cameras are repaired with it alone, without training frames.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pixelplay.arrays import read_arrays, write_arrays
from pixelplay.data.extraction import Extraction
from pixelplay.data.manifest import RATE, Manifest
from pixelplay.errors import PixelPlayError
from pixelplay.repair.background import MEMORY, SceneNorms, full_picture, learn_scenes
from pixelplay.repair.noise import NoiseModel
from pixelplay.repair.timeline import RepeatModel, changes
from pixelplay.scenes.cameras import FEWEST
from pixelplay.versions import ARTEFACTS

log = logging.getLogger(__name__)

FILE = "norms.npz"
VERSION = ARTEFACTS["norms"].number


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingNorms:
    """Statistics of normal frames, for S scenes.

    Attributes:
        key: identifies the training footage and the settings.
        size: (h, w) working size that test frames are decoded at.
        full_size: (H, W) of the training frames.
        fps: frames per second of the training footage.
        scenes: S scenes, see `background.learn_scenes`.
        noise, repeats: S + 1 models; the last one, of all training frames, applies to unknown scenes.
        backgrounds: index of a usable scene -> (H, W, 3) uint8 RGB median of its training frames, scaled down if all
            backgrounds together exceed `background.MEMORY` bytes.
    """

    key: str
    size: tuple[int, int]
    full_size: tuple[int, int]
    fps: float
    scenes: list[SceneNorms]
    noise: list[NoiseModel]
    repeats: list[RepeatModel]
    backgrounds: dict[int, np.ndarray]

    @classmethod
    def learn(cls, manifest: Manifest, extraction: Extraction, background_frames: int, *, key: str = "",
              workers: int | None = None) -> TrainingNorms:
        """Learn the norms from the training split of an extraction that was observed with `noise.measure`.

        Args:
            manifest: names the training files that full-size backgrounds are read from.
            background_frames: maximum number of training frames in a full-size background.
            key: see the attribute.
        """
        train, readable = manifest.split("train"), np.flatnonzero(~extraction.unreadable("train"))
        pixels, videos = extraction.pixels("train"), train["video"].to_numpy(object)[readable]
        observed = extraction.observed("train")[readable]
        scenes = learn_scenes(pixels, readable, videos)
        for scene in scenes:
            where = ", ".join(scene.videos[:4]) + (" ..." if len(scene.videos) > 4 else "")
            if not scene.usable:
                log.warning("no background for training video %s: %s; its frames are left as they are", where,
                            scene.reason)
            elif not scene.allowed.all():
                log.info("scene of %s resembles its own mirror image: some flips cannot be detected", where)
        change = changes(pixels, readable, videos)
        own = [np.isin(videos.astype(str), np.array(s.videos, dtype=str)) for s in scenes]
        # a scene with few frames uses the models of all training frames
        enough = [rows if rows.sum() >= FEWEST else np.ones(len(rows), bool) for rows in own]
        usable = [k for k, scene in enumerate(scenes) if scene.usable]
        full_size = extraction.full_size["train"]
        stored = _limited(full_size, len(usable))
        stream = extraction.source(manifest, "train", workers)
        return cls(key, extraction.size, full_size, manifest.rates.get("train", RATE), scenes,
                   [NoiseModel.of(observed[rows]) for rows in enough] + [NoiseModel.of(observed)],
                   [RepeatModel.of(change[rows]) for rows in enough] + [RepeatModel.of(change)],
                   {k: full_picture(scenes[k], readable, stream, stored, background_frames) for k in usable})

    @functools.cached_property
    def digest(self) -> str:
        """Hash of the content: equal norms repair equally."""
        found = hashlib.blake2b(digest_size=16)
        for name, array in sorted(self._arrays().items()):
            found.update(f"{name} {array.dtype} {array.shape} ".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def backgrounds_at(self, size: tuple[int, int]) -> dict[int, np.ndarray]:
        """The backgrounds resized to test frames of (H, W) pixels."""
        return {k: picture if picture.shape[:2] == tuple(size)
                else cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
                for k, picture in self.backgrounds.items()}

    def save(self, folder: Path) -> Path:
        """Write `norms.npz`, sealed; returns its path."""
        path = Path(folder) / FILE
        # PNG is lossless and a third smaller than deflate on pixels
        write_arrays(path, compress=True, **{name: _png(array) if array.ndim == 3 else array
                                             for name, array in self._arrays().items()})
        return path

    @classmethod
    def load(cls, folder: Path) -> TrainingNorms:
        """Read what `save` wrote, bit for bit.

        Raises:
            PixelPlayError: missing, damaged, or of another version.
        """
        path = Path(folder) / FILE
        hint = "fit the detector again, or copy its folder again, whole"
        arrays = read_arrays(path, hint=hint)
        try:
            about = json.loads(arrays["about"].tobytes())
            if about["version"] != VERSION:
                raise ValueError(f"version {about['version']}")
            scenes = [SceneNorms(tuple(s["videos"]), arrays[f"{k}.rows"], _pixels(arrays[f"{k}.picture"]),
                                 arrays[f"{k}.template"], s["reason"], np.array(s["allowed"], dtype=bool),
                                 {name: (low, high) for name, (low, high) in s["normal"].items()})
                      for k, s in enumerate(about["scenes"])]
            return cls(about["key"], tuple(about["size"]), tuple(about["full_size"]), about["fps"], scenes,
                       [NoiseModel(**m) for m in about["noise"]], [RepeatModel(**m) for m in about["repeats"]],
                       {k: _pixels(arrays[f"{k}.background"]) for k, s in enumerate(scenes) if s.usable})
        except (KeyError, TypeError, ValueError, AttributeError, cv2.error) as cause:
            raise PixelPlayError(f"{path} does not fit this version: {cause!r}", expected=f"norms of version {VERSION}",
                                 hint=hint) from cause

    def _arrays(self) -> dict[str, np.ndarray]:
        about: dict[str, Any] = {
            "version": VERSION, "key": self.key, "size": self.size, "full_size": self.full_size, "fps": self.fps,
            "scenes": [{"videos": s.videos, "allowed": s.allowed.tolist(), "reason": s.reason, "normal": s.normal}
                       for s in self.scenes],
            "noise": [dataclasses.asdict(m) for m in self.noise],
            "repeats": [dataclasses.asdict(m) for m in self.repeats]}
        arrays = {"about": np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8)}
        for k, scene in enumerate(self.scenes):
            arrays |= {f"{k}.rows": scene.rows, f"{k}.picture": scene.picture, f"{k}.template": scene.template}
        return arrays | {f"{k}.background": picture for k, picture in self.backgrounds.items()}


def _limited(size: tuple[int, int], count: int) -> tuple[int, int]:
    """(H, W) at which `count` images take at most `MEMORY` bytes."""
    factor = min(1.0, (MEMORY / (3 * size[0] * size[1] * max(1, count))) ** 0.5)
    return (size[0], size[1]) if factor == 1 else (max(1, int(size[0] * factor)), max(1, int(size[1] * factor)))


def _png(picture: np.ndarray) -> np.ndarray:
    return cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].ravel()


def _pixels(png: np.ndarray) -> np.ndarray:
    picture = cv2.imdecode(png, cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("a picture cannot be decoded")
    return np.ascontiguousarray(picture[..., ::-1])
