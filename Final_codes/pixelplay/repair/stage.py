"""Stage 1 as a whole: find the frames, decode them once, recognise what is wrong with test frames, mend it.

Reads a `Manifest`. Writes into one folder what `pixelplay.data.extraction` writes, and beside it `norms.npz` (what the
training footage says is normal, see `norms`) and, for test footage, `repair.csv` (the plan: one row a test frame), the
manifest with flags and reliabilities, and `repair.json` last. Repaired rows of the working-size cache are written over
the raw ones, noisy ones with the help of their clean neighbours; full-size frames are repaired on the fly, each by
itself; the originals are never touched, training frames are left as they are. Everything is decided from training
statistics and from a test frame's own neighbours, so the norms alone are enough to repair other test footage later. The
plan is complete before the first row is overwritten, so a killed run mends the same rows again and ends in the same
files.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import enum
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pixelplay import environment
from pixelplay.config import config_hash
from pixelplay.data.extraction import Extraction, extract, open_raw_footage, to_working, write_rows
from pixelplay.data.footage import Footage
from pixelplay.data.manifest import FLAGS, Manifest
from pixelplay.data.reading import bounded_map, open_stream
from pixelplay.errors import PixelPlayError
from pixelplay.files import damaged, read_json, remove, seal, sealed, unseal, write_json
from pixelplay.progress import tqdm
from pixelplay.repair import noise
from pixelplay.repair.neighbours import TemporalFusion, clean_neighbours
from pixelplay.repair.norms import FILE as NORMS
from pixelplay.repair.norms import VERSION as NORMS_VERSION
from pixelplay.repair.norms import TrainingNorms
from pixelplay.repair.plan import empty_plan, look, make_plan, read_plan
from pixelplay.repair.repairer import Repairer, needs_background, needs_repair
from pixelplay.versions import ARTEFACTS

log = logging.getLogger(__name__)

PLAN = ("repair.json", "repair.csv")
"""What says which rows of the test cache are mended, and how."""
VERSION = ARTEFACTS["repair"].number


@dataclasses.dataclass(frozen=True)
class RepairConfig:
    """Settings of stage 1.

    Attributes:
        enabled: False leaves every frame as it is (only unreadable ones are flagged).
        background_frames: training frames a full-size background is the median of.
    """

    enabled: bool = True
    background_frames: int = 48


def prepare(manifest: Manifest, folder: Path, config: RepairConfig | None = None, *,
            norms: TrainingNorms | None = None, workers: int | None = None) -> Manifest:
    """Run stage 1 for the splits the manifest has: decode, recognise, mend. What is done already is kept.

    Args:
        manifest: from `find_dataset`: training footage, test footage, or both. Another test split leaves the training
            split's files as they are.
        folder: where everything goes.
        norms: what repair knows of the training footage, from an earlier run; learnt from the manifest's training split
            when None. Test frames are decoded at its working size.
        workers: threads; one a CPU when None.
    Returns:
        The manifest with flags and reliabilities, as saved in the folder.
    Raises:
        PixelPlayError: no frame of a split can be read, or there is test footage with neither training footage nor
            norms.
    """
    folder, config, workers = Path(folder), config or RepairConfig(), workers or environment.cpu_count()
    if norms is None and manifest.splits() == ["test"]:
        raise PixelPlayError(f"there is no training footage to judge the test footage of {manifest.roots['test']} by",
                             expected="training videos, or a detector that was fitted on some",
                             hint="name the training videos with --train DIR, or score with a fitted detector")
    if damaged(folder / name for name in PLAN):
        _forget(folder)
    extraction = _extract(manifest, folder, norms, workers)
    norms = _keep(folder, norms) if norms else _learn(manifest, extraction, config, workers)
    if "test" not in extraction.full_size:
        return _save(_flagged(manifest, extraction, None), folder)
    key = config_hash(extraction.keys["test"], norms.digest, config, VERSION)
    state = _state(folder, key)
    if state is State.STALE:
        # rows of the cache may be mended in another way: only decoding again gives the raw ones back
        _forget(folder)
        extraction, state = _extract(manifest, folder, norms, workers), State.DECODED
    if state is State.DECODED:
        plan = _write_plan(folder, key, *_decide(manifest, extraction, config, norms))
    else:
        plan = read_plan(folder / "repair.csv")
    repaired = _flagged(manifest, extraction, plan)
    if state is State.MENDED:
        log.info("frames are repaired already: %s", folder)
        return _save(repaired, folder)
    _mend(manifest, extraction, plan, norms, workers)
    _save(repaired, folder)
    _finish(folder, plan)
    return repaired


def open_footage(folder: Path, split: str, workers: int | None = None, *, as_filmed: bool = False) -> Footage:
    """The footage of a finished stage 1: repaired working-size frames, and full-size frames repaired on the fly.

    Args:
        as_filmed: full-size frames are only turned and moved back, for people to look at.
    Raises:
        PixelPlayError: stage 1 is not finished, or the split is not there.
    """
    folder, workers = Path(folder), workers or environment.cpu_count()
    raw = open_raw_footage(folder, split, workers)
    if split != "test":
        return raw
    about = _about(folder)
    if not about or not about["finished"]:
        raise PixelPlayError(f"{folder}: repair is not finished", hint="run stage 01_frame_extraction again")
    table, plan = Manifest.load(folder).split(split), read_plan(folder / "repair.csv")
    footage = dataclasses.replace(raw, flags=table["flags"].to_numpy(object),
                                  reliability=table["reliability"].to_numpy(np.float32),
                                  fingerprint=config_hash(raw.fingerprint, about["key"]))
    if len(plan) != len(footage):
        raise PixelPlayError(f"{folder / 'repair.csv'} plans {len(plan)} frames, the manifest names {len(footage)}",
                             expected="one row a test frame in both",
                             hint=f"delete {folder / 'repair.json'} and run stage 01_frame_extraction again")
    changed, rows_of = needs_repair(plan), list(plan.itertuples(index=False))
    if not changed.any():
        return footage
    repairer = _repairer(TrainingNorms.load(folder), raw.full_size)
    change = repairer.upright if as_filmed else repairer

    def stream(rows: np.ndarray) -> Iterator[np.ndarray]:
        rows = np.asarray(rows, dtype=np.int64)
        pairs = zip(rows.tolist(), raw.open_stream(rows))

        def work(pair: tuple[int, np.ndarray]) -> np.ndarray:
            return change(pair[1], rows_of[pair[0]]) if changed[pair[0]] else pair[1]

        with contextlib.closing(bounded_map(work, pairs, workers)) as mended:
            yield from mended

    return dataclasses.replace(footage, open_stream=stream)


def _extract(manifest: Manifest, folder: Path, known: TrainingNorms | None, workers: int) -> Extraction:
    return extract(manifest, folder, size=known.size if known else None, observe=noise.measure,
                   observe_key=f"noise {ARTEFACTS['noise'].number}", made_from={"test": PLAN}, workers=workers)


def _learn(manifest: Manifest, extraction: Extraction, config: RepairConfig, workers: int) -> TrainingNorms:
    """The norms of the training split: those in the folder where they are its, else learnt and kept there."""
    key = config_hash(extraction.keys["train"], config.background_frames, NORMS_VERSION)
    kept = _kept(extraction.folder)
    if kept is not None and kept.key == key:
        return kept
    return _keep(extraction.folder, TrainingNorms.learn(manifest, extraction, config.background_frames, key=key,
                                                        workers=workers))


def _kept(folder: Path) -> TrainingNorms | None:
    if not (folder / NORMS).exists():
        return None
    try:
        return TrainingNorms.load(folder)
    except PixelPlayError as mistake:
        log.warning("%s; it is made again", mistake.problem)
        return None


def _keep(folder: Path, found: TrainingNorms) -> TrainingNorms:
    """Have norms in the folder, so that it can be opened without what they came from."""
    kept = _kept(folder)
    if kept is None or kept.digest != found.digest:
        found.save(folder)
    return found


def _about(folder: Path) -> dict[str, Any]:
    return read_json(folder / "repair.json") if (folder / "repair.json").exists() else {}


class State(enum.Enum):
    """How far the test split of a folder is."""

    DECODED = "its cache holds raw frames, and nothing is planned"
    PLANNED = "the plan is written; some rows of the cache may be mended"
    MENDED = "every row is as planned"
    STALE = "planned or mended for other input, norms or settings"


def _state(folder: Path, key: str) -> State:
    about = _about(folder)
    if not about:
        return State.DECODED
    if about["key"] != key:
        return State.STALE
    return State.MENDED if about["finished"] else State.PLANNED


def _write_plan(folder: Path, key: str, plan: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    with sealed(folder / "repair.csv") as part:
        plan.to_csv(part, index=False, lineterminator="\n")
    write_json(folder / "repair.json", {"key": key, "finished": False, "notes": notes}, seal=True)
    return plan


def _finish(folder: Path, plan: pd.DataFrame) -> None:
    counts = collections.Counter(f for cell in plan["flags"] for f in cell.split("|") if f)
    found = {f: counts[f] for f in FLAGS if counts[f]}
    write_json(folder / "repair.json", {**_about(folder), "finished": True, "test_frames": len(plan),
                                        "mended": int(needs_repair(plan).sum()), "flags": found}, seal=True)
    if found:
        log.info("corrupted test frames: %s", ", ".join(f"{count} {flag}" for flag, count in found.items()))


def _decide(manifest: Manifest, extraction: Extraction, config: RepairConfig, known: TrainingNorms
            ) -> tuple[pd.DataFrame, list[str]]:
    """Make the plan; returns it and remarks."""
    unreadable = extraction.unreadable("test")
    if not config.enabled:
        return empty_plan(unreadable), ["repair is switched off"]
    test, raw = manifest.split("test"), extraction.pixels("test")
    names, numbers = test["video"].to_numpy(object), test["frame"].to_numpy(np.int64)
    seen = look(raw, names, numbers, known.scenes)
    plan = make_plan(seen, raw, extraction.observed("test"), unreadable, names, numbers, known)
    notes = [f"training videos {', '.join(s.videos)}: {s.reason}" for s in known.scenes if not s.usable]
    alone = [v for v in dict.fromkeys(names.tolist()) if (plan["scene"][names == v] < 0).all()]
    if alone:
        notes.append(f"test videos {', '.join(alone)} match no usable training background and are left as they are")
        log.warning(notes[-1])
    return plan, notes


def _flagged(manifest: Manifest, extraction: Extraction, plan: pd.DataFrame | None) -> Manifest:
    """The manifest with what is known of every frame."""
    table = manifest.table.copy()
    for split in extraction.full_size:
        own, known = table["split"] == split, plan if split == "test" else empty_plan(extraction.unreadable(split))
        for column in ("flags", "reliability"):
            table.loc[own, column] = known[column].to_numpy()
    return dataclasses.replace(manifest, table=table)


def _save(manifest: Manifest, folder: Path) -> Manifest:
    """Save a manifest where the folder's differs: the same dataset may lie elsewhere now (Kaggle mounts it so)."""
    known = Manifest.load(folder)
    if not known.table.equals(manifest.table) or (dataclasses.replace(known, table=None)
                                                  != dataclasses.replace(manifest, table=None)):
        manifest.save(folder)
    return manifest


def _repairer(known: TrainingNorms, full_size: tuple[int, int]) -> Repairer:
    return Repairer(known.backgrounds_at(full_size), known.size)


def _mend(manifest: Manifest, extraction: Extraction, plan: pd.DataFrame, known: TrainingNorms,
          workers: int) -> None:
    """Write the mended rows over the raw ones in the working-size cache.

    Noisy rows come second: they borrow from clean neighbours, which must have their final pixels by then, and never
    from each other, so that writing a row again gives the same row.
    """
    if not needs_repair(plan).any():
        return
    repairer, rows_of = _repairer(known, extraction.full_size["test"]), list(plan.itertuples(index=False))
    test = manifest.split("test")
    videos, frames = test["video"].to_numpy(object), test["frame"].to_numpy(np.int64)
    changed, borrowing = needs_repair(plan), needs_background(plan)
    clean = plan["flags"].isin(("", "vflip", "hflip", "rot180")).to_numpy() & (plan["scene"] >= 0).to_numpy()
    pixels, fusions = extraction.pixels("test"), threading.local()
    unseal(extraction.folder / "test.npy")

    def work(pair: tuple[int, np.ndarray]) -> np.ndarray:
        row, frame = pair
        small = to_working(repairer(frame, rows_of[row]), extraction.size)
        if not borrowing[row]:
            return small
        if not hasattr(fusions, "fusion"):
            fusions.fusion = TemporalFusion()
        near = clean_neighbours(clean, videos, frames, row)
        return fusions.fusion(small, [np.asarray(pixels[k]) for k in near])

    for rows, what in ((np.flatnonzero(changed & ~borrowing), "mend"), (np.flatnonzero(borrowing), "denoise")):
        if len(rows) == 0:
            continue
        pairs = zip(rows.tolist(), open_stream(manifest, "test", workers)(rows))
        with contextlib.closing(bounded_map(work, pairs, workers)) as mended:
            for row, frame in zip(tqdm(rows, desc=what, unit="frame"), mended):
                write_rows(extraction.folder / "test.npy", [row], [frame])
    seal(extraction.folder / "test.npy")


def _forget(folder: Path) -> None:
    """Let the next extraction decode the test split anew."""
    for name in (*PLAN, "extraction.json", ".test.key.json"):
        remove(folder / name)
