"""Frame extraction: decode and measure every video once.

Reads a `Manifest` and its files. Writes into one folder: `videos/<key>.npz` per video, with `state` (n,) uint8
(1 = decoded, 2 = unreadable), optional measurements `observed` (n, k) float32, and the digest of the working-size
frames; then `manifest.csv`, `manifest.json` and, last, `extraction.json`.

Keys hash the content of the video, the sizes and the measurement, so files are valid in any run, and a new test split
leaves the files of training videos unchanged. Frames are not stored but decoded again on access (see `clips`), which is
cheaper. An interrupted extraction resumes with the missing videos.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from pixelplay import environment
from pixelplay.arrays import read_arrays, write_arrays
from pixelplay.config import config_hash
from pixelplay.data import clips
from pixelplay.data.clips import Clip, ClipArray, RowFile, make_clip, scratch_folder
from pixelplay.data.footage import Footage
from pixelplay.data.manifest import RATE, Manifest
from pixelplay.data.reading import UNKNOWN_SIZE, Frame, Source, bounded_map, full_size, queue_length, runs, value_bits
from pixelplay.engine import map_videos
from pixelplay.errors import PixelPlayError
from pixelplay.files import damaged, read_json, remove, write_json

log = logging.getLogger(__name__)

WORKING_AREA = 192 * 320
"""Approximate number of pixels of a working-size frame: 640 x 360 becomes 336 x 192."""
MULTIPLE = 16
DECODED, UNREADABLE = 1, 2
VIDEOS = "videos"
"""Subfolder of the files per video."""
AGAIN = "run stage 01_frame_extraction"

Observe = Callable[[np.ndarray], np.ndarray]
"""A raw full-size frame (H, W, 3) uint8 RGB -> (k,) measurements."""


@dataclasses.dataclass(frozen=True)
class RawFrames:
    """Makes the raw working-size frames of one video; picklable.

    Attributes:
        source: files of the video.
        size: (h, w) working size.
    """

    source: Source
    size: tuple[int, int]

    def __call__(self, file: RowFile) -> None:
        self.observed(file, None)

    def observed(self, file: RowFile, observe: Observe | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Write every frame; returns `state` (n,) uint8 and the measurements, (n, k) float32 or None."""
        def work(frame: Frame) -> tuple[np.ndarray, bool, np.ndarray | None]:
            small = to_working(frame.pixels, self.size)
            return small, frame.readable, None if observe is None else np.asarray(observe(frame.pixels), np.float32)

        workers = self.source.workers or environment.cpu_count()
        frames = self.source.frames(np.arange(len(self.source)))
        states, seen = [], []
        depth = queue_length(self.source.size, workers)
        with contextlib.closing(bounded_map(work, frames, workers, depth)) as results:
            for row, (small, readable, observed) in enumerate(results):
                file.write(row, small)
                states.append(DECODED if readable else UNREADABLE)
                seen.append(observed)
        return np.array(states, np.uint8), None if observe is None else np.array(seen, np.float32)


@dataclasses.dataclass(frozen=True)
class Extraction:
    """Result of `extract`.

    Attributes:
        folder: its folder.
        size: (h, w) working size, common to all splits.
        full_size: split -> (H, W) of the original frames.
        keys: split -> hash of its files, the size and the measurement; for cache keys.
        bits: split -> bit depth, see `reading.value_bits`.
        videos: split -> [(key, digest, number of frames), ...] of its videos, in order.
    """

    folder: Path
    size: tuple[int, int]
    full_size: dict[str, tuple[int, int]]
    keys: dict[str, str]
    bits: dict[str, int]
    videos: dict[str, list[tuple[str, str, int]]]

    def source(self, manifest: Manifest, split: str, workers: int | None = None) -> Source:
        """The files of a split as a stream of full-size frames."""
        return Source.of(manifest, split, size=self.full_size[split], bits=self.bits[split], workers=workers)

    def clips(self, source: Source, split: str) -> list[Clip]:
        """The raw working-size frames of every video of a split; `source` names all its files."""
        return [Clip(key, count, RawFrames(source.part(part.start, part.stop), self.size), digest,
                     f"{split} video {source.videos[part.start]}")
                for part, (key, digest, count) in zip(runs(source.videos), self.videos[split])]

    def pixels(self, split: str) -> ClipArray:
        """Raw working-size frames (N, h, w, 3) uint8 RGB, decoded on access."""
        return ClipArray(self.clips(self.source(Manifest.load(self.folder), split), split), (*self.size, 3), np.uint8)

    def record(self, key: str) -> Path:
        """Path of the file of a video."""
        return self.folder / VIDEOS / f"{key}.npz"

    def files(self) -> list[Path]:
        """All files of the extraction."""
        records = [self.record(key) for videos in self.videos.values() for key, _, _ in videos]
        return [*records, *(self.folder / n for n in ("extraction.json", "manifest.csv", "manifest.json"))]

    def unreadable(self, split: str) -> np.ndarray:
        """(N,) bool: rows that could not be decoded and show the nearest earlier frame."""
        return self._of_videos(split, "state") == UNREADABLE

    def observed(self, split: str) -> np.ndarray | None:
        """(N, k) float32 measurements, or None."""
        return self._of_videos(split, "observed")

    def _of_videos(self, split: str, name: str) -> np.ndarray | None:
        found = [read_arrays(self.record(key), hint=AGAIN).get(name) for key, _, _ in self.videos[split]]
        return None if found[0] is None else np.concatenate(found)

    @classmethod
    def load(cls, folder: Path) -> Extraction:
        """Read a finished extraction. Raises PixelPlayError if there is none."""
        folder = Path(folder)
        if not (folder / "extraction.json").exists():
            raise PixelPlayError(f"{folder} holds no finished extraction", hint="run stage 01_frame_extraction")
        about = read_json(folder / "extraction.json")
        try:
            return cls(folder, tuple(about["size"]), {k: tuple(v) for k, v in about["full_size"].items()},
                       dict(about["keys"]), dict(about["bits"]),
                       {k: [tuple(video) for video in v] for k, v in about["videos"].items()})
        except (KeyError, TypeError, ValueError, AttributeError) as cause:
            raise PixelPlayError(f"{folder / 'extraction.json'} is no extraction of this version: {cause!r}",
                                 hint=AGAIN) from cause


def working_size(original: tuple[int, int]) -> tuple[int, int]:
    """Working size (h, w) for frames of (H, W): multiples of 16 with an area near `WORKING_AREA`.

    Never larger than the original rounded up to 16. Among sizes within 15 % of the wanted area, the one with the
    closest aspect ratio is chosen; ties go to the closer area.
    """
    height, width = original
    most_h, most_w = (-(-side // MULTIPLE) * MULTIPLE for side in (height, width))
    area = min(WORKING_AREA, most_h * most_w)
    sizes = [(h, w) for h in range(MULTIPLE, most_h + 1, MULTIPLE) for w in range(MULTIPLE, most_w + 1, MULTIPLE)]
    near = [s for s in sizes if abs(s[0] * s[1] / area - 1) <= 0.15]
    near = near or [min(sizes, key=lambda s: abs(np.log(s[0] * s[1] / area)))]

    def error(size: tuple[int, int]) -> tuple[float, float]:
        h, w = size
        return round(abs(np.log(w / h * height / width)), 3), abs(h * w - area)

    return min(near, key=error)


def to_working(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, 3) uint8 to (h, w, 3) by area averaging, which also reduces pixel noise."""
    if frame.shape[:2] == tuple(size):
        return frame
    return cv2.resize(frame, (size[1], size[0]), interpolation=cv2.INTER_AREA)


def extract(manifest: Manifest, folder: Path, *, size: tuple[int, int] | None = None, observe: Observe | None = None,
            observe_key: str | None = None, workers: int | None = None) -> Extraction:
    """Decode and measure every frame of a manifest once, video by video (see `engine`).

    Args:
        manifest: from `find_dataset`.
        folder: output folder; valid files in it are kept.
        size: (h, w) working size; None for `working_size` of the training frames (else of the test frames).
        observe: measurement of every raw full-size frame; called from several threads.
        observe_key: cache key of `observe` and its settings; None for its module and name.
        workers: threads per process; None for its share of the CPUs.
    Raises:
        PixelPlayError: the manifest is empty, or no frame of a split can be read.
    """
    folder = Path(folder)
    if len(manifest.table) == 0:
        raise PixelPlayError("the manifest holds no frames", hint="check the dataset's folder")
    known = {split: full_size(manifest, split) for split in manifest.splits()}
    if not any(known.values()):
        raise PixelPlayError(f"not one frame of {', '.join(str(manifest.roots[s]) for s in known)} can be read",
                             hint="check that the download or the unpacking finished")
    # the full size of one split must not depend on the other
    full = {split: s or UNKNOWN_SIZE for split, s in known.items()}
    size = tuple(size or working_size(next(iter(full.values()))))
    if observe_key is None and observe is not None:
        observe_key = f"{observe.__module__}.{observe.__qualname__}"
    keys = {split: config_hash(split, manifest.fingerprints.get(split, ""), size, observe_key or "") for split in full}
    last = [folder / name for name in ("extraction.json", "manifest.json", "manifest.csv")]
    done = not damaged(last) and all(path.exists() for path in last)
    if done and read_json(folder / "extraction.json").get("keys") == keys:
        kept = Extraction.load(folder)
        if not damaged(kept.files()):
            log.info("frames are extracted already: %s", folder)
            return kept
    remove(folder / "extraction.json")
    bits = {split: value_bits(manifest, split) for split in full}
    sources = {split: Source.of(manifest, split, size=full[split], bits=bits[split], workers=workers) for split in full}
    jobs = {split: _jobs(manifest, split, sources[split], folder, size, observe, observe_key or "") for split in full}
    every = [job for split in full for job in jobs[split]]
    missing = [job for job in every if damaged([job.record]) or not job.record.exists()]
    _check_space(sum(len(job.frames.source) for job in missing) * size[0] * size[1] * 3)
    map_videos(_extract_video, missing, what="extract", frames=sum(len(job.frames.source) for job in missing))
    extraction = Extraction(folder, size, full, keys, bits,
                            {split: [job.found() for job in jobs[split]] for split in full})
    for split in full:
        if extraction.unreadable(split).all():
            raise PixelPlayError(f"not one {split} frame below {manifest.roots[split]} can be decoded",
                                 expected="footage to learn from" if split == "train" else "footage to score",
                                 hint="check that the download or the unpacking finished")
    _flag_unreadable(manifest, extraction).save(folder)
    write_json(folder / "extraction.json", {
        "keys": keys, "size": size, "full_size": full, "bits": bits, "videos": extraction.videos,
        "observed": observe_key or ""}, seal=True)
    return extraction


@dataclasses.dataclass(frozen=True)
class _Job:
    """Extraction of one video."""

    name: str
    key: str
    record: Path
    frames: RawFrames
    observe: Observe | None

    def found(self) -> tuple[str, str, int]:
        """Key, digest and number of frames of the finished video."""
        return self.key, str(read_arrays(self.record, hint=AGAIN)["digest"]), len(self.frames.source)


def _jobs(manifest: Manifest, split: str, source: Source, folder: Path, size: tuple[int, int], observe: Observe | None,
          observe_key: str) -> list[_Job]:
    jobs = []
    for part in runs(source.videos):
        name = source.videos[part.start]
        key = config_hash("raw frames", manifest.content(split, name), source.numbers[part].tolist(), source.size,
                          source.bits, size, observe_key)
        jobs.append(_Job(f"{split} video {name}", key, folder / VIDEOS / f"{key}.npz",
                         RawFrames(source.part(part.start, part.stop), size), observe))
    return jobs


def _extract_video(job: _Job) -> None:
    """Decode and measure one video."""
    found: list = []
    clip = Clip(job.key, len(job.frames.source), lambda file: found.extend(job.frames.observed(file, job.observe)),
                name=job.name)
    digest = make_clip(clip, (*job.frames.size, 3), np.uint8)
    state, observed = found
    measured = {} if observed is None else {"observed": observed}
    write_arrays(job.record, state=state, digest=np.array(digest), **measured)


def _check_space(needed: int) -> None:
    """Raise PixelPlayError if the disk of the scratch folder is too small for the cache."""
    folder = scratch_folder()
    needed, free = min(needed, clips.most_bytes(folder)), clips.free_bytes(folder)
    if free < needed:
        raise PixelPlayError(f"{folder} has {free / 1e9:.1f} GB left", expected=f"{needed / 1e9:.1f} GB for the frames",
                             hint="free some space, name a folder on another disk in the environment variable "
                             "PIXELPLAY_SCRATCH, or allow less with PIXELPLAY_SCRATCH_GB")


def _flag_unreadable(manifest: Manifest, extraction: Extraction) -> Manifest:
    table = manifest.table.copy()
    for split in extraction.full_size:
        bad = table.index[table["split"] == split][extraction.unreadable(split)]
        table.loc[bad, "flags"] = "unreadable"
        table.loc[bad, "reliability"] = 0.0
        if len(bad):
            log.warning("%d of %d %s frames cannot be decoded (first: %s); the nearest earlier frame stands in",
                        len(bad), int((table["split"] == split).sum()), split, table["path"][bad[0]])
    return dataclasses.replace(manifest, table=table)


def open_raw_footage(folder: Path, split: str, workers: int | None = None) -> Footage:
    """Open the footage of an extraction without repair.

    Args:
        folder: of the extraction.
        split: 'train' or 'test'.
        workers: threads that decode; None for one per CPU.
    Raises:
        PixelPlayError: the extraction is not finished, or the split is missing.
    """
    folder = Path(folder)
    extraction, manifest = Extraction.load(folder), Manifest.load(folder)
    if split not in extraction.full_size:
        raise PixelPlayError(f"{folder} holds no {split} frames", expected=" or ".join(extraction.full_size),
                             hint=f"name them with --{split} DIR and run stage 01_frame_extraction")
    table, source = manifest.split(split), extraction.source(manifest, split, workers)
    named = [(len(source.videos[part])) for part in runs(source.videos)]
    if named != [count for _, _, count in extraction.videos[split]]:
        raise PixelPlayError(f"{folder}: manifest.csv names {len(table)} {split} frames in {len(named)} videos, "
                             f"extraction.json {sum(n for _, _, n in extraction.videos[split])} in "
                             f"{len(extraction.videos[split])}", expected="the same videos in both",
                             hint=f"delete {folder / 'extraction.json'} and {AGAIN}")
    unreadable = table["flags"].str.contains("unreadable", regex=False).to_numpy(bool)
    return Footage(
        name=split, ids=table["Id"].to_numpy(object), videos=table["video"].to_numpy(object),
        frames=table["frame"].to_numpy(np.int64), reliability=(~unreadable).astype(np.float32),
        flags=np.where(unreadable, "unreadable", "").astype(object),
        pixels=ClipArray(extraction.clips(source, split), (*extraction.size, 3), np.uint8),
        rows=np.arange(len(table)), full_size=extraction.full_size[split],
        fps=manifest.rates.get(split, RATE), fingerprint=config_hash(extraction.keys[split], "raw"),
        open_stream=source)
