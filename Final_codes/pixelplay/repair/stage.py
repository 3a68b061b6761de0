"""Stage 1 as a whole: find the frames, decode them once, recognise what is wrong with test frames, mend it.

Reads a `Manifest`. Writes into one folder what `pixelplay.data.extraction` writes, and beside it `repair.csv` (the
plan: one row a test frame), `backgrounds.npz` (one full-size background a scene that needs one), the manifest with
flags and reliabilities, and `repair.json` last. Repaired rows of the working-size cache are written over the raw
ones, noisy ones with the help of their clean neighbours; full-size frames are repaired on the fly, each by itself;
the originals are never touched, training frames are left as they
are. Everything is decided from training statistics and from a test frame's own neighbours. The plan is complete
before the first row is overwritten, so a killed run mends the same rows again and ends in the same files.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from pixelplay import environment
from pixelplay.arrays import read_arrays, write_arrays
from pixelplay.config import config_hash
from pixelplay.data.extraction import Extraction, extract, open_raw_footage, to_working, write_rows
from pixelplay.data.footage import Footage
from pixelplay.data.manifest import FLAGS, Manifest
from pixelplay.data.reading import bounded_map, open_stream
from pixelplay.errors import PixelPlayError
from pixelplay.files import (
    check,
    damaged,
    read_json,
    remove,
    seal,
    sealed,
    sealed_files,
    unseal,
    write_json,
)
from pixelplay.repair import noise
from pixelplay.repair.background import Scene, full_picture, learn_scenes
from pixelplay.repair.mend import Mender, needs_background, needs_mending
from pixelplay.repair.neighbours import Lender, clean_neighbours
from pixelplay.repair.plan import changes, look, make_plan, noise_models, repeat_models

log = logging.getLogger(__name__)

OURS = ("manifest.", "extraction.", "repair.", "backgrounds.", "train.npy", "train.state", "train.observed", "test.npy",
        "test.state", "test.observed", ".train.key", ".test.key")
"""How the names of this stage's files begin; one of them damaged, and all are made again, because the cache holds
mended rows over raw ones."""
VERSION = 8
"""Part of every key: raise it when decisions or repairs change, so that older caches are made again."""


@dataclasses.dataclass(frozen=True)
class RepairConfig:
    """Settings of stage 1.

    Attributes:
        enabled: False leaves every frame as it is (only unreadable ones are flagged).
        background_frames: training frames a full-size background is the median of.
    """

    enabled: bool = True
    background_frames: int = 48


def prepare(manifest: Manifest, folder: Path, config: RepairConfig | None = None, *, workers: int | None = None
            ) -> Manifest:
    """Run stage 1: decode, recognise, mend. Returns at once where it is done already.

    Args:
        manifest: from `find_dataset`.
        folder: where everything goes.
        workers: threads; one a CPU when None.
    Returns:
        The manifest with the test frames' flags and reliabilities, as saved in the folder.
    Raises:
        PixelPlayError: no frame of the dataset can be read.
    """
    folder, config, workers = Path(folder), config or RepairConfig(), workers or environment.cpu_count()
    if damaged(p for p in sealed_files(folder) if p.name.startswith(OURS)):
        _forget(folder)
    about = read_json(folder / "repair.json") if (folder / "repair.json").exists() else {}
    extraction = extract(manifest, folder, observe=noise.measure, observe_key="noise 1", workers=workers)
    key = config_hash(extraction.key, config, VERSION)
    if about.get("extraction") == extraction.key:
        if about["key"] == key and about["finished"]:
            log.info("frames are repaired already: %s", folder)
            known = Manifest.load(folder)
            if known.roots != manifest.roots or known.labels != manifest.labels:
                # the same dataset under another path: Kaggle mounts it elsewhere in the next session
                known = dataclasses.replace(known, roots=manifest.roots, labels=manifest.labels)
                known.save(folder)
            return known
        if about["key"] != key:
            # rows of the cache may be mended in another way: only decoding again gives the raw ones back
            _forget(folder)
            extraction = extract(manifest, folder, observe=noise.measure, observe_key="noise 1", workers=workers)
            about = {}
    else:
        about = {}
    if about:
        plan = _read_plan(folder)
    else:
        plan, words = _decide(manifest, extraction, config, workers)
        with sealed(folder / "repair.csv") as part:
            plan.to_csv(part, index=False, lineterminator="\n")
        about = {"extraction": extraction.key, "key": key, "finished": False, "notes": words}
        write_json(folder / "repair.json", about, seal=True)
    _mend(manifest, extraction, plan, workers)
    table = manifest.table.copy()
    for name, empty in (("flags", ""), ("reliability", 1.0)):
        table[name] = empty
        table.loc[table["split"] == "test", name] = plan[name].to_numpy()
    if "train" in extraction.full_size:
        bad = table.index[table["split"] == "train"][extraction.unreadable("train")]
        table.loc[bad, "flags"], table.loc[bad, "reliability"] = "unreadable", 0.0
    repaired = dataclasses.replace(manifest, table=table)
    repaired.save(folder)
    counts = collections.Counter(f for cell in plan["flags"] for f in cell.split("|") if f)
    write_json(folder / "repair.json", {**about, "finished": True, "test_frames": len(plan),
                                        "mended": int(needs_mending(plan).sum()),
                                        "flags": {f: counts[f] for f in FLAGS if counts[f]}}, seal=True)
    if counts:
        log.info("corrupted test frames: %s", ", ".join(f"{counts[f]} {f}" for f in FLAGS if counts[f]))
    return repaired


def noise_levels(folder: Path) -> dict[str, float]:
    """Test Id -> sigma of the noise found in it before repair, in grey levels; 0 for frames that were not noisy, and
    for all where the folder has no plan (a dataset extracted elsewhere)."""
    if not (Path(folder) / "repair.csv").exists():
        return {}
    plan, ids = _read_plan(Path(folder)), Manifest.load(Path(folder)).split("test")["Id"]
    return dict(zip(ids, np.where(plan["noise"] | plan["impulse"], plan["sigma"], 0.0).tolist()))


def open_footage(folder: Path, split: str, workers: int | None = None, *, as_filmed: bool = False) -> Footage:
    """The footage of a finished stage 1: repaired working-size frames, and full-size frames repaired on the fly.

    Args:
        as_filmed: full-size frames are only turned and moved back, for people to look at.
    Raises:
        PixelPlayError: stage 1 is not finished, or the split is not there.
    """
    folder, workers = Path(folder), workers or environment.cpu_count()
    raw = open_raw_footage(folder, split, workers)
    if not (folder / "repair.json").exists() or not read_json(folder / "repair.json")["finished"]:
        raise PixelPlayError(f"{folder}: repair is not finished", mend="run stage 01_frame_extraction again")
    table = Manifest.load(folder).split(split)
    footage = dataclasses.replace(raw, flags=table["flags"].to_numpy(object),
                                  reliability=table["reliability"].to_numpy(np.float32))
    if split != "test":
        return footage
    plan = _read_plan(folder)
    if len(plan) != len(footage):
        raise PixelPlayError(f"{folder / 'repair.csv'} plans {len(plan)} frames, the manifest names {len(footage)}",
                             expected="one row a test frame in both",
                             mend=f"delete {folder / 'repair.json'} and run stage 01_frame_extraction again")
    mender = _mender(folder, Extraction.load(folder))
    mend = mender.upright if as_filmed else mender
    changed, rows_of = needs_mending(plan), list(plan.itertuples(index=False))

    def stream(rows: np.ndarray) -> Iterator[np.ndarray]:
        rows = np.asarray(rows, dtype=np.int64)
        pairs = zip(rows.tolist(), raw.open_stream(rows))

        def work(pair: tuple[int, np.ndarray]) -> np.ndarray:
            return mend(pair[1], rows_of[pair[0]]) if changed[pair[0]] else pair[1]

        with contextlib.closing(bounded_map(work, pairs, workers)) as mended:
            yield from mended

    return dataclasses.replace(footage, open_stream=stream,
                               fingerprint=config_hash(raw.fingerprint, read_json(folder / "repair.json")["key"]))


def _decide(manifest: Manifest, extraction: Extraction, config: RepairConfig, workers: int
            ) -> tuple[pd.DataFrame, list[str]]:
    """Make the plan and, where frames will be denoised, the full-size backgrounds; returns plan and remarks."""
    test = manifest.split("test")
    # a dataset without test footage has nothing to repair, one without training footage nothing to repair it by
    if not {"train", "test"} <= set(extraction.full_size) or not config.enabled:
        unreadable = extraction.unreadable("test") if "test" in extraction.full_size else np.zeros(0, bool)
        return _empty_plan(unreadable), [] if config.enabled else ["repair is switched off"]
    train = manifest.split("train")
    readable = np.flatnonzero(~extraction.unreadable("train"))
    pixels, videos = extraction.pixels("train"), train["video"].to_numpy(object)[readable]
    if len(readable) == 0:
        return _empty_plan(extraction.unreadable("test")), ["no training frame can be read"]
    scenes = learn_scenes(pixels, readable, videos)
    for scene in scenes:
        where = ", ".join(scene.videos[:4]) + (" ..." if len(scene.videos) > 4 else "")
        if not scene.usable:
            log.warning("no background for training video %s: %s; its frames are left as they are", where, scene.reason)
        elif not scene.allowed.all():
            log.info("scene of %s resembles its own mirror image: some flips cannot be told from it", where)
    models = noise_models(extraction.observed("train")[readable], videos, scenes)
    repeats = repeat_models(changes(pixels, readable, videos), videos, scenes)
    raw = extraction.pixels("test")
    names, numbers = test["video"].to_numpy(object), test["frame"].to_numpy(np.int64)
    seen = look(raw, names, numbers, scenes)
    plan = make_plan(seen, raw, extraction.observed("test"), extraction.unreadable("test"), names, numbers, scenes,
                     models, repeats)
    notes = [f"training videos {', '.join(s.videos)}: {s.reason}" for s in scenes if not s.usable]
    alone = [v for v in dict.fromkeys(names.tolist()) if (plan["scene"][names == v] < 0).all()]
    if alone:
        notes.append(f"test videos {', '.join(alone)} match no usable training background and are left as they are")
        log.warning(notes[-1])
    _save_backgrounds(manifest, extraction, config, plan, scenes, readable, workers)
    return plan, notes


def _empty_plan(unreadable: np.ndarray) -> pd.DataFrame:
    n = len(unreadable)
    return pd.DataFrame({"scene": np.full(n, -1), "orientation": np.zeros(n, np.int64), "sigma": np.zeros(n),
                         "impulse": np.zeros(n, bool), "noise": np.zeros(n, bool), "gain": np.ones(n),
                         "offset": np.zeros(n), "dx": np.zeros(n), "dy": np.zeros(n),
                         "flags": np.where(unreadable, "unreadable", "").astype(object),
                         "reliability": np.where(unreadable, 0.0, 1.0)})


def _read_plan(folder: Path) -> pd.DataFrame:
    path = folder / "repair.csv"
    check(path)
    try:
        return pd.read_csv(path, keep_default_na=False, dtype={"flags": str})
    except (OSError, ValueError) as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause}",
                             mend=f"delete {folder / 'repair.json'} and run stage 01_frame_extraction again") from cause


def _save_backgrounds(manifest: Manifest, extraction: Extraction, config: RepairConfig, plan: pd.DataFrame,
                      scenes: list[Scene], readable: np.ndarray, workers: int) -> None:
    stream, size = open_stream(manifest, "train", workers), extraction.full_size["test"]
    backgrounds = {str(k): full_picture(scenes[k], readable, stream, size, config.background_frames)
                   for k in sorted(set(plan["scene"][needs_background(plan)]))}
    write_arrays(extraction.folder / "backgrounds.npz", compress=True, **backgrounds)


def _mender(folder: Path, extraction: Extraction) -> Mender:
    path = folder / "backgrounds.npz"
    if not path.exists():
        return Mender({}, extraction.size)
    return Mender({int(k): v for k, v in read_arrays(path).items()}, extraction.size)


def _mend(manifest: Manifest, extraction: Extraction, plan: pd.DataFrame, workers: int) -> None:
    """Write the mended rows over the raw ones in the working-size cache.

    Noisy rows come second: they borrow from clean neighbours, which must have their final pixels by then, and never
    from each other, so that writing a row again gives the same row.
    """
    if not needs_mending(plan).any():  # normal footage alone has no test frames at all
        return
    mender, rows_of = _mender(extraction.folder, extraction), list(plan.itertuples(index=False))
    test = manifest.split("test")
    videos, frames = test["video"].to_numpy(object), test["frame"].to_numpy(np.int64)
    changed, borrowing = needs_mending(plan), needs_background(plan)
    clean = plan["flags"].isin(("", "vflip", "hflip", "rot180")).to_numpy() & (plan["scene"] >= 0).to_numpy()
    pixels, lenders = extraction.pixels("test"), threading.local()
    if changed.any():
        unseal(extraction.folder / "test.npy")

    def work(pair: tuple[int, np.ndarray]) -> np.ndarray:
        row, frame = pair
        small = to_working(mender(frame, rows_of[row]), extraction.size)
        if not borrowing[row]:
            return small
        if not hasattr(lenders, "lender"):
            lenders.lender = Lender()
        near = clean_neighbours(clean, videos, frames, row)
        return lenders.lender(small, [np.asarray(pixels[k]) for k in near])

    for rows, what in ((np.flatnonzero(changed & ~borrowing), "mend"), (np.flatnonzero(borrowing), "denoise")):
        if len(rows) == 0:
            continue
        pairs = zip(rows.tolist(), open_stream(manifest, "test", workers)(rows))
        with contextlib.closing(bounded_map(work, pairs, workers)) as mended:
            for row, frame in zip(tqdm(rows, desc=what, unit="frame"), mended):
                write_rows(extraction.folder / "test.npy", [row], [frame])
    if changed.any():
        seal(extraction.folder / "test.npy")


def _forget(folder: Path) -> None:
    """Let the next extraction start anew."""
    for name in ("extraction.json", "repair.json", "repair.csv", "backgrounds.npz", ".train.key.json",
                 ".test.key.json"):
        remove(folder / name)
