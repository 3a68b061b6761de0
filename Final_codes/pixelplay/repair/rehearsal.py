"""A rehearsal: training footage made noisy and repaired like test footage, to learn what repair leaves of noise.

Reads a finished stage 1; writes into its folder `rehearsal.npy` (working-size frames), `rehearsal.csv` (one row a
frame: position among the training frames, sigma found, reliability) and `rehearsal.json` last. A few short stretches of
training video have the competition's share of frames noised at fixed levels, encoded as JPEG and repaired with the
same functions as test frames. Models score a stretch as it was and as it became; the difference is what noise does to
their scores (`conditional`). Only training frames enter: it is the same for every test set, and left out where no test
frame is noisy.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pixelplay import environment
from pixelplay.arrays import read_array, read_arrays, write_array, write_arrays
from pixelplay.config import config_hash
from pixelplay.data.corruption import corrupt_frame, frame_rng, jpeg
from pixelplay.data.extraction import Extraction, to_working
from pixelplay.data.footage import Footage, segments
from pixelplay.data.manifest import Manifest
from pixelplay.data.reading import open_stream
from pixelplay.files import check, damaged, read_json, sealed, write_json
from pixelplay.repair import noise
from pixelplay.repair.background import Scene, full_picture, learn_scenes
from pixelplay.repair.mend import Mender
from pixelplay.repair.neighbours import Lender, clean_neighbours
from pixelplay.repair.noise import NoiseModel
from pixelplay.repair.reliability import reliability
from pixelplay.repair.stage import noise_levels, open_footage

log = logging.getLogger(__name__)

VERSION = 2
LEVELS = (20.0, 40.0)
"""Noise sigmas that are rehearsed, in grey levels; effects are taken as linear between and beyond them."""
SHARE = 0.4
"""Share of the frames that are noised."""
STRETCHES, LENGTH, SHORTEST = 4, 60, 16
"""How many stretches of training video, of how many frames, at most; the length below which one tells nothing."""
PER_STRETCH = 400
"""Training frames that are worth a stretch; two there are anyway. Every model scores them twice."""
SEED = 20
BACKGROUND_FRAMES = 24


@dataclasses.dataclass(frozen=True)
class Rehearsal:
    """M frames of training video twice.

    Attributes:
        before: as they are. after: noised and repaired; the same Ids, videos and frame numbers.
        sigma: (M,) noise found in `after` before repair, 0 where none was added.
    """

    before: Footage
    after: Footage
    sigma: np.ndarray


class _Row(NamedTuple):
    """A row of the plan of a frame that is only noisy."""

    scene: int
    sigma: float
    orientation: int = 0
    impulse: bool = False
    noise: bool = True
    gain: float = 1.0
    offset: float = 0.0
    dx: float = 0.0
    dy: float = 0.0


def choose_stretches(videos: np.ndarray, frames: np.ndarray) -> list[np.ndarray]:
    """Rows of at most `STRETCHES` stretches of at most `LENGTH` frames, spread evenly, none with a missing number."""
    pieces = []
    for part in segments(videos, frames):
        for start in range(part.start, part.stop, LENGTH):
            rows = np.arange(start, min(start + LENGTH, part.stop))
            if len(rows) >= SHORTEST:
                pieces.append(rows)
    count = min(len(pieces), STRETCHES, max(2, len(videos) // PER_STRETCH))
    picks = np.linspace(0, len(pieces) - 1, count).round().astype(int)
    return [pieces[k] for k in np.unique(picks)] if pieces else []


def added_noise(identifier: str) -> float:
    """Sigma a training frame is given, 0 for most: drawn from its Id alone."""
    drawn = frame_rng(SEED, identifier).random() / SHARE * len(LEVELS)
    return LEVELS[int(drawn)] if drawn < len(LEVELS) else 0.0


def add_noise(frame: np.ndarray, identifier: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> the same frame with its noise, after JPEG; the frame itself where it gets none."""
    sigma = added_noise(identifier)
    # another stream than the one that drew the level, or strength and pattern would be tied
    return jpeg(corrupt_frame(frame, "noise", sigma, frame_rng(SEED + 1, identifier))) if sigma else frame


def rehearse(folder: Path, workers: int | None = None) -> None:
    """Write the rehearsal of a finished stage 1 that found noise; nothing where it is there, or no scene is usable."""
    folder, workers = Path(folder), workers or environment.cpu_count()
    if not any(noise_levels(folder).values()):
        return
    extraction, manifest = Extraction.load(folder), Manifest.load(folder)
    key = _key(folder)
    there = not damaged(folder.glob("rehearsal.*")) and (folder / "rehearsal.json").exists()
    if there and read_json(folder / "rehearsal.json")["key"] == key:
        return
    train = manifest.split("train")
    readable = np.flatnonzero(~extraction.unreadable("train"))
    videos, frames = train["video"].to_numpy(object)[readable], train["frame"].to_numpy(np.int64)[readable]
    scenes = learn_scenes(extraction.pixels("train"), readable, videos)
    scene = _scene_of(videos, scenes)
    usable = scene >= 0
    stretches = [readable[usable][s] for s in choose_stretches(videos[usable], frames[usable])]
    if not stretches:
        log.info("no rehearsal of noise: no usable stretch of training video")
        return
    rows = np.concatenate(stretches)
    scene = scene[np.searchsorted(readable, rows)]
    stream = open_stream(manifest, "train", workers)
    pictures = {k: full_picture(scenes[k], readable, stream, extraction.full_size["train"], BACKGROUND_FRAMES)
                for k in np.unique(scene).tolist()}
    mender = Mender(pictures, extraction.size)
    model = NoiseModel.of(extraction.observed("train")[readable])
    table = train.iloc[rows]
    ids, videos, frames = (table[c].to_numpy() for c in ("Id", "video", "frame"))
    pixels = extraction.pixels("train")
    clean = np.array([added_noise(i) == 0 for i in ids])
    small, sigma, lender = np.stack([pixels[r] for r in rows]), np.zeros(len(rows)), Lender()
    for k, raw in zip(np.flatnonzero(~clean), stream(rows[~clean])):
        noisy = add_noise(raw, ids[k])
        sigma[k] = round(float(model.sigma(noise.measure(noisy)[None])[0]), 2)
        own = to_working(mender(noisy, _Row(int(scene[k]), sigma[k])), extraction.size)
        near = clean_neighbours(clean, videos, frames, int(k))
        small[k] = lender(own, [np.asarray(pixels[rows[n]]) for n in near])
    write_array(folder / "rehearsal.npy", small)
    with sealed(folder / "rehearsal.csv") as part:
        pd.DataFrame({"row": rows, "Id": ids, "scene": scene, "sigma": sigma, "reliability": [
            reliability(["noise"], s) if s else 1.0 for s in sigma.tolist()]}).to_csv(
                part, index=False, lineterminator="\n")
    write_arrays(folder / "rehearsal.backgrounds.npz", compress=True,
                 **{str(k): b for k, b in mender.backgrounds.items()})
    write_json(folder / "rehearsal.json", {"key": key, "frames": len(rows), "noisy": int((~clean).sum()),
                                           "levels": LEVELS, "stretches": len(stretches)}, seal=True)


def open_rehearsal(folder: Path, workers: int | None = None) -> Rehearsal | None:
    """The rehearsal of a finished stage 1; None where there is none."""
    folder, workers = Path(folder), workers or environment.cpu_count()
    if not (folder / "rehearsal.json").exists() or read_json(folder / "rehearsal.json")["key"] != _key(folder):
        return None
    check(folder / "rehearsal.csv")
    table = pd.read_csv(folder / "rehearsal.csv", dtype={"Id": str})
    train, rows, sigma = open_footage(folder, "train", workers), table["row"].to_numpy(), table["sigma"].to_numpy()
    raw = open_stream(Manifest.load(folder), "train", workers)
    pictures = read_arrays(folder / "rehearsal.backgrounds.npz")
    mender = Mender({int(k): picture for k, picture in pictures.items()}, train.size)

    def stream(wanted: np.ndarray) -> Iterator[np.ndarray]:
        for k, frame in zip(wanted, raw(rows[wanted])):
            yield (mender(add_noise(frame, table["Id"][k]), _Row(int(table["scene"][k]), float(sigma[k])))
                   if sigma[k] else frame)

    before = dataclasses.replace(train.select(rows), name="rehearsal-before")
    after = dataclasses.replace(
        before, name="rehearsal-after", pixels=read_array(folder / "rehearsal.npy", mapped=True),
        rows=np.arange(len(rows)), speeds=None, reliability=table["reliability"].to_numpy(np.float32),
        flags=np.where(sigma > 0, "noise", "").astype(object), open_stream=stream,
        fingerprint=config_hash(train.fingerprint, _key(folder)))
    return Rehearsal(before, after, sigma)


def _key(folder: Path) -> str:
    return config_hash(read_json(folder / "repair.json")["key"], VERSION, LEVELS, SHARE, STRETCHES, LENGTH, SEED)


def _scene_of(videos: np.ndarray, scenes: list[Scene]) -> np.ndarray:
    """(N,) position of each training frame's scene, -1 where it is of no use."""
    number = {v: k for k, s in enumerate(scenes) if s.usable for v in s.videos}
    return np.array([number.get(v, -1) for v in videos.tolist()], dtype=np.int64)
