"""Stage 1: decode the frames, detect corrupted test frames, repair them.

Reads a `Manifest`. Writes the files of `pixelplay.data.extraction` into one folder and, beside them, `norms.npz` (see
`norms`). For test footage it adds one file per video in `videos/` (plan and digest of the repaired frames),
`repair.csv` (the whole plan, one row per test frame), the manifest with flags and reliabilities, and `repair.json`
last.

Frames are repaired whenever they are decoded: working-size frames with temporal fusion, full-size frames one by one.
Originals and training frames stay unchanged. Decisions depend only on the training norms and on the frame's own video,
so videos are planned independently, and the norms alone suffice to repair other test footage later.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pixelplay import environment
from pixelplay.arrays import read_arrays, write_arrays
from pixelplay.config import config_hash
from pixelplay.data.clips import Clip, ClipArray, RowFile, make_clip, open_clip
from pixelplay.data.extraction import UNREADABLE, VIDEOS, Extraction, extract, open_raw_footage, to_working
from pixelplay.data.footage import Footage
from pixelplay.data.manifest import FLAGS, Manifest
from pixelplay.data.reading import Source, bounded_map, runs
from pixelplay.engine import map_videos
from pixelplay.errors import PixelPlayError
from pixelplay.files import damaged, read_json, sealed, write_json
from pixelplay.repair import noise
from pixelplay.repair.neighbours import TemporalFusion, clean_neighbours
from pixelplay.repair.norms import FILE as NORMS
from pixelplay.repair.norms import VERSION as NORMS_VERSION
from pixelplay.repair.norms import TrainingNorms
from pixelplay.repair.plan import SCHEMA, empty_plan, make_plan, measure_frames, read_plan
from pixelplay.repair.repairer import Repairer, needs_background, needs_repair
from pixelplay.versions import ARTEFACTS

log = logging.getLogger(__name__)

AGAIN = "run stage 01_frame_extraction again"
VERSION = ARTEFACTS["repair"].number


@dataclasses.dataclass(frozen=True)
class RepairConfig:
    """Settings of stage 1.

    Attributes:
        enabled: if False, frames stay as they are and only unreadable ones are flagged.
        background_frames: maximum number of training frames in a full-size background.
    """

    enabled: bool = True
    background_frames: int = 48


def prepare(manifest: Manifest, folder: Path, config: RepairConfig | None = None, *,
            norms: TrainingNorms | None = None, workers: int | None = None) -> Manifest:
    """Run stage 1 on the splits of a manifest. Finished work is kept.

    Args:
        manifest: from `find_dataset`: training footage, test footage, or both. A new test split leaves the files of the
            training split unchanged.
        folder: output folder.
        norms: from an earlier run; learnt from the training split if None. They set the working size of test frames.
        workers: threads per process; None for its share of the CPUs.
    Returns:
        The manifest with flags and reliabilities, as saved in the folder.
    Raises:
        PixelPlayError: no frame of a split can be read, or test footage has neither training footage nor norms.
    """
    folder, config = Path(folder), config or RepairConfig()
    if norms is None and manifest.splits() == ["test"]:
        raise PixelPlayError(f"there is no training footage for the test footage of {manifest.roots['test']}",
                             expected="training videos, or a fitted detector",
                             hint="name the training videos with --train DIR, or score with a fitted detector")
    extraction = extract(manifest, folder, size=norms.size if norms else None, observe=noise.measure,
                         observe_key=f"noise {ARTEFACTS['noise'].number}", workers=workers)
    norms = _keep(folder, norms) if norms else _learn(manifest, extraction, config, workers)
    if "test" not in extraction.full_size:
        return _save(_flagged(manifest, extraction, None), folder)
    key = config_hash(extraction.keys["test"], norms.digest, config, VERSION)
    jobs = _jobs(manifest, extraction, config, norms, workers)
    missing = [job for job in jobs if damaged([job.record]) or not job.record.exists()]
    map_videos(_repair_video, missing, what="repair", frames=sum(job.raw.count for job in missing))
    plan = pd.concat([_read_record(job.record)[0] for job in jobs], ignore_index=True)
    repaired = _flagged(manifest, extraction, plan)
    written = [folder / "repair.json", folder / "repair.csv"]
    if not missing and not damaged(written) and all(p.exists() for p in written) and _about(folder)["key"] == key:
        log.info("frames are already repaired: %s", folder)
        return _save(repaired, folder)
    with sealed(folder / "repair.csv") as part:
        plan.to_csv(part, index=False, lineterminator="\n")
    _save(repaired, folder)
    _finish(folder, key, plan, jobs, _notes(manifest, config, norms, plan))
    return repaired


def open_footage(folder: Path, split: str, workers: int | None = None, *, as_filmed: bool = False) -> Footage:
    """Open the footage of a finished stage 1, with frames repaired as they are decoded.

    Args:
        as_filmed: full-size frames are only aligned (flips and shifts undone), for display.
    Raises:
        PixelPlayError: stage 1 is not finished, or the split is missing.
    """
    folder = Path(folder)
    raw = open_raw_footage(folder, split, workers)
    if split != "test":
        return raw
    about = _about(folder)
    if not about or not about["finished"]:
        raise PixelPlayError(f"{folder}: repair is not finished", hint=AGAIN)
    table, plan = Manifest.load(folder).split(split), read_plan(folder / "repair.csv")
    footage = dataclasses.replace(raw, flags=table["flags"].to_numpy(object),
                                  reliability=table["reliability"].to_numpy(np.float32),
                                  fingerprint=config_hash(raw.fingerprint, about["key"]))
    if len(plan) != len(footage):
        raise PixelPlayError(f"{folder / 'repair.csv'} plans {len(plan)} frames, the manifest names {len(footage)}",
                             expected="one row per test frame in both",
                             hint=f"delete {folder / 'repair.json'} and {AGAIN}")
    changed = needs_repair(plan)
    if not changed.any():
        return footage
    norms, clips = folder / NORMS, []
    for part, clip, (key, digest) in zip(runs(raw.videos), raw.pixels.clips, about["videos"]):
        repaired = RepairedFrames(clip, folder / VIDEOS / f"{key}.npz", norms, about["norms"])
        clips.append(Clip(key, clip.count, repaired, digest, clip.name) if changed[part].any() else clip)
    TrainingNorms.load(folder)  # report damage here, not in the middle of a model
    return dataclasses.replace(
        footage, pixels=ClipArray(clips, raw.pixels.shape[1:], np.uint8),
        open_stream=RepairedStream(raw.open_stream, plan, norms, about["norms"], as_filmed))


@dataclasses.dataclass(frozen=True, eq=False)
class RepairedStream:
    """Repaired full-size frames: a picklable `Stream`.

    Attributes:
        source: stream of the raw frames.
        plan: N rows, for the same frames.
        norms, digest: file of the norms, and their expected digest.
        as_filmed: frames are only aligned.
    """

    source: Source
    plan: pd.DataFrame
    norms: Path
    digest: str
    as_filmed: bool

    def part(self, start: int, stop: int) -> RepairedStream:
        """Rows `start` to `stop`, renumbered from 0."""
        return dataclasses.replace(self, source=self.source.part(start, stop),
                                   plan=self.plan.iloc[start:stop].reset_index(drop=True))

    def __call__(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        rows = np.asarray(rows, dtype=np.int64)
        repairer = _repairer(self.norms, self.digest, self.source.size)
        change = repairer.upright if self.as_filmed else repairer
        changed, rows_of = self._rows
        pairs = zip(rows.tolist(), self.source(rows))

        def work(pair: tuple[int, np.ndarray]) -> np.ndarray:
            return change(pair[1], rows_of[pair[0]]) if changed[pair[0]] else pair[1]

        with contextlib.closing(bounded_map(work, pairs, self.source.workers or environment.cpu_count())) as repaired:
            yield from repaired

    @functools.cached_property
    def _rows(self) -> tuple[np.ndarray, list]:
        return needs_repair(self.plan), list(self.plan.itertuples(index=False))


@dataclasses.dataclass(frozen=True)
class RepairedFrames:
    """Makes the repaired working-size frames of one test video; picklable.

    Attributes:
        raw: raw frames of the video.
        record: file with the plan of the video.
        norms, digest: file of the norms, and their expected digest.
    """

    raw: Clip
    record: Path
    norms: Path
    digest: str

    def __call__(self, file: RowFile) -> None:
        self.write_all(file, _read_record(self.record)[0])

    def write_all(self, file: RowFile, plan: pd.DataFrame) -> None:
        """Write every frame as planned.

        Noisy frames come last: temporal fusion reads clean neighbours, which must have their final pixels.
        """
        source, size = self.raw.make.source, self.raw.make.size
        repairer = _repairer(self.norms, self.digest, source.size)
        raw, rows_of = open_clip(self.raw, (*size, 3), np.uint8), list(plan.itertuples(index=False))
        changed, noisy = needs_repair(plan), needs_background(plan)
        clean = plan["flags"].isin(("", "vflip", "hflip", "rot180")).to_numpy() & (plan["scene"] >= 0).to_numpy()
        for row in np.flatnonzero(~changed).tolist():
            file.write(row, raw.read(row))

        def repair(pair: tuple[int, np.ndarray]) -> np.ndarray:
            return to_working(repairer(pair[1], rows_of[pair[0]]), size)

        local = threading.local()  # temporal fusion is not thread-safe

        def denoise(pair: tuple[int, np.ndarray]) -> np.ndarray:
            if not hasattr(local, "fusion"):
                local.fusion = TemporalFusion()
            near = clean_neighbours(clean, source.videos, source.numbers, pair[0])
            return local.fusion(repair(pair), [file.read(k) for k in near])

        workers = source.workers or environment.cpu_count()
        for rows, work in ((np.flatnonzero(changed & ~noisy), repair), (np.flatnonzero(noisy), denoise)):
            with contextlib.closing(bounded_map(work, zip(rows.tolist(), source(rows)), workers)) as repaired:
                for row, frame in zip(rows.tolist(), repaired):
                    file.write(row, frame)


@functools.lru_cache(maxsize=2)
def _norms(path: Path, digest: str) -> TrainingNorms:
    """The norms, read once per process. Raises PixelPlayError: the file now holds others."""
    known = TrainingNorms.load(path.parent)
    if known.digest != digest:
        raise PixelPlayError(f"{path} is not what the test footage was repaired with", hint=AGAIN)
    return known


@functools.lru_cache(maxsize=2)
def _repairer(norms: Path, digest: str, full_size: tuple[int, int]) -> Repairer:
    known = _norms(norms, digest)
    return Repairer(known.backgrounds_at(full_size), known.size)


def _learn(manifest: Manifest, extraction: Extraction, config: RepairConfig, workers: int | None) -> TrainingNorms:
    """The norms of the training split: loaded from the folder if they belong to it, else learnt and saved."""
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
    except PixelPlayError as error:
        log.warning("%s; learning it again", error.problem)
        return None


def _keep(folder: Path, found: TrainingNorms) -> TrainingNorms:
    """Save norms in the folder if it holds others; it must be usable on its own."""
    kept = _kept(folder)
    if kept is None or kept.digest != found.digest:
        found.save(folder)
    return found


def _about(folder: Path) -> dict[str, Any]:
    return read_json(folder / "repair.json") if (folder / "repair.json").exists() else {}


@dataclasses.dataclass(frozen=True)
class _Job:
    """Repair of one test video."""

    raw: Clip
    record: Path
    observed: Path
    enabled: bool
    norms: Path
    digest: str

    @property
    def key(self) -> str:
        """Cache key of the repaired frames and of their record."""
        return self.record.stem


def _jobs(manifest: Manifest, extraction: Extraction, config: RepairConfig, norms: TrainingNorms, workers: int | None
          ) -> list[_Job]:
    jobs = []
    for clip in extraction.clips(extraction.source(manifest, "test", workers), "test"):
        key = config_hash("repair", clip.key, norms.digest, config.enabled, VERSION)
        jobs.append(_Job(clip, extraction.folder / VIDEOS / f"{key}.npz", extraction.record(clip.key), config.enabled,
                         extraction.folder / NORMS, norms.digest))
    return jobs


def _repair_video(job: _Job) -> None:
    """Plan and repair one test video; write its record."""
    unreadable = read_arrays(job.observed)["state"] == UNREADABLE
    if job.enabled:
        norms, source = _norms(job.norms, job.digest), job.raw.make.source
        raw = ClipArray([job.raw], (*job.raw.make.size, 3), np.uint8)
        measurements = measure_frames(raw, source.videos, source.numbers, norms.scenes)
        observed = read_arrays(job.observed)["observed"]
        plan = make_plan(measurements, raw, observed, unreadable, source.videos, source.numbers, norms)
    else:
        plan = empty_plan(unreadable)
    digest = job.raw.digest
    if needs_repair(plan).any():
        repaired = RepairedFrames(job.raw, job.record, job.norms, job.digest)
        clip = Clip(job.key, job.raw.count, functools.partial(repaired.write_all, plan=plan), name=job.raw.name)
        digest = make_clip(clip, (*job.raw.make.size, 3), np.uint8)
    columns = {name: plan[name].to_numpy(str if name == "flags" else None) for name in SCHEMA}
    write_arrays(job.record, digest=np.array(digest), **columns)


def _read_record(path: Path) -> tuple[pd.DataFrame, str]:
    """The plan of a video, and the digest of its repaired frames."""
    kept = read_arrays(path, hint=AGAIN)
    plan = pd.DataFrame({name: kept[name] for name in SCHEMA}, columns=list(SCHEMA))
    return plan.assign(flags=plan["flags"].astype(object)), str(kept["digest"])


def _notes(manifest: Manifest, config: RepairConfig, norms: TrainingNorms, plan: pd.DataFrame) -> list[str]:
    """Messages about videos that cannot be repaired."""
    if not config.enabled:
        return ["repair is switched off"]
    names = manifest.split("test")["video"].to_numpy(object)
    notes = [f"training videos {', '.join(s.videos)}: {s.reason}" for s in norms.scenes if not s.usable]
    unmatched = [names[part.start] for part in runs(names) if (plan["scene"][part] < 0).all()]
    if unmatched:
        notes.append(f"test videos {', '.join(unmatched)} match no usable training background and are left as they are")
        log.warning(notes[-1])
    return notes


def _finish(folder: Path, key: str, plan: pd.DataFrame, jobs: list[_Job], notes: list[str]) -> None:
    counts = collections.Counter(f for cell in plan["flags"] for f in cell.split("|") if f)
    found = {f: counts[f] for f in FLAGS if counts[f]}
    write_json(folder / "repair.json", {
        "key": key, "finished": True, "notes": notes, "norms": jobs[0].digest, "test_frames": len(plan),
        "videos": [(job.key, _read_record(job.record)[1]) for job in jobs],
        "mended": int(needs_repair(plan).sum()), "flags": found}, seal=True)
    if found:
        log.info("corrupted test frames: %s", ", ".join(f"{count} {flag}" for flag, count in found.items()))


def _flagged(manifest: Manifest, extraction: Extraction, plan: pd.DataFrame | None) -> Manifest:
    """The manifest with flags and reliabilities filled in."""
    table = manifest.table.copy()
    for split in extraction.full_size:
        rows, known = table["split"] == split, plan if split == "test" else empty_plan(extraction.unreadable(split))
        for column in ("flags", "reliability"):
            table.loc[rows, column] = known[column].to_numpy()
    return dataclasses.replace(manifest, table=table)


def _save(manifest: Manifest, folder: Path) -> Manifest:
    """Save the manifest if it differs from the saved one: Kaggle may mount the same dataset at another path."""
    known = Manifest.load(folder)
    if not known.table.equals(manifest.table) or (dataclasses.replace(known, table=None)
                                                  != dataclasses.replace(manifest, table=None)):
        manifest.save(folder)
    return manifest
