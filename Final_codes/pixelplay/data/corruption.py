"""Seeded corruption of footage with known ground truth, for tests and experiments.

Reads clean frames; makes corrupted frames, a table of the corruption of every frame, or a whole dataset in the
competition's layout (`training_videos/NN/frame_%05d.jpg`, `testing_videos/...`) with that table as `corruption.csv`.
Every frame has its own random generator (seed and Id), so results do not depend on the order of processing. The
training split is never corrupted.
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from pixelplay.data.ids import canonical_id, frame_id, is_number, split_id
from pixelplay.data.manifest import Manifest
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path, write_json
from pixelplay.progress import tqdm

CHROMA = {"420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, "422": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
          "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444}

PIXEL_KINDS = ("vflip", "hflip", "rot180", "shift", "blur", "exposure", "noise", "uniform", "impulse", "blank")
"""Corruptions of one frame, in the order of an imaging chain: geometry, optics, sensor, outage."""
SEQUENCE_KINDS = ("duplicate", "frozen")
"""Corruptions that repeat an earlier frame."""
FILE_KINDS = ("unreadable",)
"""Corruptions of the file."""
KINDS = (*PIXEL_KINDS, *SEQUENCE_KINDS, *FILE_KINDS)


@dataclasses.dataclass(frozen=True)
class Fault:
    """One kind of corruption.

    Attributes:
        kind: one of `KINDS`. 'noise' is Gaussian, 'uniform' is uniform noise (both have the flag 'noise').
        rate: share of affected frames; for 'frozen' and 'duplicate', probability that a run starts at a frame.
        strength: noise: sigma in grey levels; uniform: half width; impulse: share of pixels; blur: sigma in pixels;
            shift: pixels; exposure: gain; blank: grey level; frozen: number of repeats; unreadable: share of the file
            that is kept; others: unused.
        group: faults of the same group are mutually exclusive; different groups are independent.
    """

    kind: str
    rate: float
    strength: float = 0.0
    group: str = "one"

    def __post_init__(self):
        if self.kind not in KINDS:
            raise PixelPlayError(f"there is no corruption '{self.kind}'", expected="one of " + ", ".join(KINDS))
        if not 0.0 <= self.rate <= 1.0:
            raise PixelPlayError(f"rate of '{self.kind}' is {self.rate}", expected="a share between 0 and 1")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Corruption of a test set.

    Attributes:
        faults: the corruptions with their rates and strengths.
        dropped: share of dropped frames; the first and last frame of a video are kept.
        quality: JPEG quality of all test frames, including clean ones; 0 writes PNG.
        chroma: JPEG chroma subsampling, '420', '422' or '444'.
    """

    faults: tuple[Fault, ...] = ()
    dropped: float = 0.0
    quality: int = 75
    chroma: str = "420"

    def __post_init__(self):
        if self.chroma not in CHROMA:
            raise PixelPlayError(f"chroma is {self.chroma!r}", expected="one of " + ", ".join(CHROMA))
        for group in {f.group for f in self.faults}:
            total = sum(f.rate for f in self.faults if f.group == group)
            if total > 1 + 1e-9:
                raise PixelPlayError(f"rates of group '{group}' add up to {total:.3f}", expected="at most 1")


RECIPES = {
    # rates, strengths and JPEG setting measured on the competition's test set, where flips and noise never coincide
    "competition": Recipe((Fault("vflip", .102), Fault("noise", .244, 37.0), Fault("noise", .155, 27.0)), .0165),
    "clean-jpeg": Recipe(),
    "flips": Recipe((Fault("vflip", .1), Fault("hflip", .05), Fault("rot180", .05))),
    "flips-in-noise": Recipe((Fault("vflip", .1), Fault("hflip", .05), Fault("rot180", .05),
                              Fault("noise", .5, 37.0, "noise"))),
    "noise": Recipe((Fault("noise", .1, 15.0), Fault("noise", .1, 20.0), Fault("noise", .1, 27.0),
                     Fault("noise", .1, 37.0), Fault("uniform", .1, 35.0), Fault("impulse", .1, .05))),
    "camera": Recipe((Fault("duplicate", .02), Fault("frozen", .003, 15.0), Fault("blank", .01, 0.0),
                      Fault("exposure", .01, 2.0), Fault("exposure", .01, .4), Fault("blur", .01, 3.0),
                      Fault("shift", .01, 8.0), Fault("unreadable", .005)), .01),
    "everything": Recipe((Fault("vflip", .06), Fault("hflip", .02), Fault("rot180", .02),
                          Fault("noise", .1, 37.0, "noise"), Fault("noise", .1, 27.0, "noise"),
                          Fault("uniform", .05, 35.0, "noise"), Fault("impulse", .05, .05, "noise"),
                          Fault("duplicate", .02, 0.0, "camera"), Fault("frozen", .002, 15.0, "camera"),
                          Fault("blank", .01, 0.0, "camera"), Fault("exposure", .01, 2.0, "camera"),
                          Fault("exposure", .01, .4, "camera"), Fault("blur", .01, 3.0, "camera"),
                          Fault("shift", .01, 8.0, "camera"), Fault("unreadable", .005, 0.0, "camera")), .0165),
}


def recipe_named(name: str) -> Recipe:
    """The recipe registered under `name`. Raises PixelPlayError for an unknown name."""
    if name not in RECIPES:
        raise PixelPlayError(f"there is no recipe '{name}'", expected="one of " + ", ".join(RECIPES))
    return RECIPES[name]


def flag_of(kind: str) -> str:
    """The manifest flag that detection should assign to a corruption."""
    return "noise" if kind == "uniform" else kind


def frame_rng(seed: int, identifier: str) -> np.random.Generator:
    """The random generator of one frame, independent of the order of processing."""
    return np.random.default_rng([seed, zlib.crc32(identifier.encode())])


def corrupt_frame(frame: np.ndarray, kind: str, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Corrupt one frame.

    Args:
        frame: (H, W, 3) uint8 RGB; not changed.
        kind: one of `PIXEL_KINDS`.
        strength: see `Fault`.
        rng: for noise and the direction of a shift.
    Returns:
        (H, W, 3) uint8 copy.
    Raises:
        ValueError: `kind` is not in `PIXEL_KINDS`.
    """
    if kind not in PIXEL_KINDS:
        raise ValueError(f"'{kind}' does not change a single picture; known: {', '.join(PIXEL_KINDS)}")
    if kind == "vflip":
        return frame[::-1].copy()
    if kind == "hflip":
        return frame[:, ::-1].copy()
    if kind == "rot180":
        return frame[::-1, ::-1].copy()
    if kind == "shift":
        angle = rng.uniform(0.0, 2 * np.pi)
        move = np.float32([[1, 0, strength * np.cos(angle)], [0, 1, strength * np.sin(angle)]])
        return cv2.warpAffine(frame, move, (frame.shape[1], frame.shape[0]), borderMode=cv2.BORDER_REPLICATE)
    if kind == "blur":
        return cv2.GaussianBlur(frame, (0, 0), strength)
    if kind == "blank":
        return np.full_like(frame, np.clip(strength, 0, 255))
    if kind == "impulse":
        # one draw per pixel: a dead sensor cell or a lost packet affects all three channels
        u = rng.random(frame.shape[:2])
        out = frame.copy()
        out[u < strength / 2] = 0
        out[u > 1 - strength / 2] = 255
        return out
    if kind == "exposure":
        return np.clip(frame.astype(np.float32) * strength + .5, 0, 255).astype(np.uint8)
    if kind == "noise":
        noise = rng.standard_normal(frame.shape, dtype=np.float32) * np.float32(strength)
    else:
        noise = (rng.random(frame.shape, dtype=np.float32) * 2 - 1) * np.float32(strength)
    return np.clip(frame + noise + .5, 0, 255).astype(np.uint8)


def encode(frame: np.ndarray, quality: int = 75, chroma: str = "420") -> bytes:
    """Encode a frame (H, W, 3) uint8 RGB as JPEG, or as PNG if `quality` is 0."""
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    if quality == 0:
        return cv2.imencode(".png", bgr)[1].tobytes()
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality,
                                      cv2.IMWRITE_JPEG_SAMPLING_FACTOR, CHROMA[chroma]])[1].tobytes()


def jpeg(frame: np.ndarray, quality: int = 75, chroma: str = "420") -> np.ndarray:
    """Encode and decode a frame: (H, W, 3) uint8 RGB with compression artefacts."""
    data = np.frombuffer(encode(frame, quality, chroma), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def plan_corruption(ids: Sequence[str], recipe: Recipe, rng: np.random.Generator) -> pd.DataFrame:
    """Draw the corruption of every frame.

    Args:
        ids: Ids in manifest order, any number of videos.
        recipe: rates and strengths.
        rng: random generator.
    Returns:
        DataFrame with one row per Id: `Id`; `kind`, '|'-separated in order of application, '' for clean frames;
        `strength`, '|'-separated, one per kind; `source`, the Id of the frame that is shown (an earlier Id, with its
        corruption, for frozen and duplicate frames); `dropped`, bool.
    """
    keys = [split_id(i) for i in ids]
    names = np.array([frame_id(v, f) for v, f in keys], dtype=object)
    faults = _draw_faults(len(keys), recipe, rng)
    dropped = rng.random(len(keys)) < recipe.dropped
    changes = np.array([a[0] != b[0] for a, b in itertools.pairwise(keys)], dtype=bool)
    first, last = np.append(True, changes)[:len(keys)], np.append(changes, True)[:len(keys)]
    source, repeat = _repeat_frames(faults, first)
    damage = [_damage(own) for own in faults]
    shown = [(*damage[row], *(((kind, 0.0),) if kind else ())) for row, kind in zip(source, repeat)]
    return pd.DataFrame({
        "Id": names, "kind": ["|".join(kind for kind, _ in row) for row in shown],
        "strength": ["|".join(f"{strength:g}" for _, strength in row) for row in shown],
        "source": names[source], "dropped": dropped & ~first & ~last})


def _draw_faults(count: int, recipe: Recipe, rng: np.random.Generator) -> list[list[Fault]]:
    """Draw the faults of each of N frames, with one draw per frame and group."""
    groups = sorted({f.group for f in recipe.faults})
    draws = {group: rng.random(count) for group in groups}
    hit: list[list[Fault]] = [[] for _ in range(count)]
    for group in groups:
        low = 0.0
        for fault in (f for f in recipe.faults if f.group == group):
            for i in np.flatnonzero((draws[group] >= low) & (draws[group] < low + fault.rate)):
                hit[i].append(fault)
            low += fault.rate
    return hit


def _repeat_frames(faults: list[list[Fault]], first: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Resolve frozen and duplicate frames.

    Args:
        faults: of each frame.
        first: (N,) bool, first frames of videos; repetition stops there.
    Returns:
        (N,) int64 row of the frame that is shown, and the kind of repetition ('' if none).
    """
    source, repeat = np.arange(len(faults)), [""] * len(faults)
    for i, own in enumerate(faults):
        runs = [f for f in own if f.kind in SEQUENCE_KINDS]
        if not runs or first[i] or repeat[i]:
            continue
        for k in range(i, min(i + max(int(runs[0].strength), 1), len(faults))):
            if first[k]:
                break
            source[k], repeat[k] = source[i - 1], runs[0].kind
    return source, repeat


def _damage(faults: list[Fault]) -> list[tuple[str, float]]:
    """(kind, strength) of the corruptions of one frame, in order of application."""
    order = sorted((f for f in faults if f.kind not in SEQUENCE_KINDS), key=lambda f: KINDS.index(f.kind))
    # a blank frame or a broken file hides all other corruptions
    order = [f for f in order if f.kind in ("blank", "unreadable")][-1:] or order
    return [(f.kind, f.strength) for f in order]


def apply_plan(frame: np.ndarray, row: pd.Series | dict, seed: int) -> np.ndarray:
    """Apply one row of a plan to a frame, without compression.

    Args:
        frame: (H, W, 3) uint8 RGB clean frame of `row['source']`.
        row: a row of `plan_corruption`.
        seed: of the dataset; with `row['source']` it determines the noise, so frozen frames are identical.
    """
    rng = frame_rng(seed, row["source"])
    for kind, strength in zip(row["kind"].split("|"), row["strength"].split("|")):
        if kind in PIXEL_KINDS:
            frame = corrupt_frame(frame, kind, float(strength), rng)
    return frame


def frame_path(split: str, identifier: str, suffix: str) -> str:
    """Path of a frame in the competition's layout, relative to the folder of the dataset."""
    video, number = split_id(identifier)
    folder = video.zfill(2) if is_number(video) else video
    return f"{'training' if split == 'train' else 'testing'}_videos/{folder}/frame_{number:05d}{suffix}"


def corrupt_dataset(manifest: Manifest, output: Path, recipe: Recipe, seed: int = 0, *, with_train: bool = True
                    ) -> pd.DataFrame:
    """Write a corrupted copy of a dataset in the competition's layout, with its ground truth.

    Test frames are corrupted, dropped or only encoded, according to the recipe; training frames are encoded with the
    same setting. `corruption.csv` holds the plan, `corruption.json` recipe and seed. A table of labels (`Id,label`) is
    reduced to the kept frames; other label files are copied. Repeated calls write the same files.

    Args:
        with_train: False writes the test split only.
    Returns:
        The plan (see `plan_corruption`).
    Raises:
        PixelPlayError: the output folder holds something else, or lies inside the input.
    """
    from pixelplay.data.reading import open_stream

    output = Path(output)
    if any(output.resolve().is_relative_to(Path(r).resolve()) for r in manifest.roots.values()):
        raise PixelPlayError(f"output {output} lies inside the data it is made from", hint="choose another folder")
    if output.exists() and any(output.iterdir()) and not (output / "corruption.json").exists():
        raise PixelPlayError(f"output {output} is not empty", expected="a new folder or one made by this command",
                             hint="choose another folder")
    write_json(output / "corruption.json", {"recipe": dataclasses.asdict(recipe), "seed": seed,
                                            "of": manifest.fingerprint})
    train, test = manifest.split("train"), manifest.split("test")
    plan = plan_corruption(test["Id"], recipe, np.random.default_rng(seed))
    suffix = ".png" if recipe.quality == 0 else ".jpg"
    copied = np.arange(len(train) if with_train else 0)
    stream = open_stream(manifest, "train")(copied)
    for name, frame in tqdm(zip(train["Id"], stream), total=len(copied), desc="copy training frames"):
        _write(output / frame_path("train", name, suffix), encode(frame, recipe.quality, recipe.chroma))
    shown: dict[str, np.ndarray] = {}
    stream = open_stream(manifest, "test")(np.arange(len(test)))
    for row, frame in tqdm(zip(plan.to_dict("records"), stream), total=len(plan), desc="corrupt test frames"):
        source = shown.get(row["source"], frame)
        shown = {row["source"]: source}
        if row["dropped"]:
            continue
        data = encode(apply_plan(source, row, seed), recipe.quality, recipe.chroma)
        if "unreadable" in row["kind"]:
            data = data[:max(16, int(len(data) * float(row["strength"].split("|")[0])))]
        _write(output / frame_path("test", row["Id"], suffix), data)
    with atomic_path(output / "corruption.csv") as part:
        plan.to_csv(part, index=False, lineterminator="\n")
    _copy_labels(manifest.labels, output, plan.loc[~plan["dropped"], "Id"])
    return plan


def _write(target: Path, data: bytes) -> None:
    with atomic_path(target) as part:
        part.write_bytes(data)


def _copy_labels(labels: Path | None, output: Path, kept: pd.Series) -> None:
    """Copy labels; a table is reduced to the kept Ids."""
    if labels is None or not Path(labels).exists():
        return
    labels = Path(labels)
    if labels.is_dir():
        shutil.copytree(labels, output / labels.name, dirs_exist_ok=True)
    elif labels.suffix == ".csv":
        table = pd.read_csv(labels, dtype=str)
        own = table.iloc[:, 0].map(canonical_id)
        with atomic_path(output / labels.name) as part:
            table[own.isin(set(kept))].to_csv(part, index=False, lineterminator="\n")
    else:
        shutil.copy2(labels, output / labels.name)
