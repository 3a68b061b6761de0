"""Frame extraction: every frame is decoded once into a memory-mapped cache at working size.

Reads a `Manifest` and its files. Writes, in one folder: `manifest.csv` and `manifest.json`; for each split it has
`<split>.npy` (N, h, w, 3) uint8 RGB, `<split>.state.npy` (N,) uint8 (1 = decoded, 2 = unreadable) and, where
frames are observed, `<split>.observed.npy` (N, k) float32; `extraction.json` last. A split's cache depends on that
split's files, the size and the observation alone: another test split leaves the training cache as it is. Memory does
not grow with N: rows are written through a plain file, and only a bounded number of frames is held. A killed
extraction goes on after the last finished chunk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from pixelplay import environment
from pixelplay.arrays import read_array
from pixelplay.config import config_hash
from pixelplay.data.footage import Footage
from pixelplay.data.manifest import RATE, Manifest
from pixelplay.data.reading import (
    UNKNOWN_SIZE,
    Frame,
    bounded_map,
    full_size,
    open_frames,
    open_stream,
    queue_length,
)
from pixelplay.errors import PixelPlayError
from pixelplay.files import adopt, atomic_path, clear_errors, damaged, flush, read_json, remove, write_json
from pixelplay.progress import tqdm

log = logging.getLogger(__name__)

WORKING_AREA = 192 * 320
"""Pixels of a working-size frame, roughly: 640 x 360 becomes 336 x 192."""
MULTIPLE = 16
CHUNK = 64
"""Frames between two checkpoints."""
PENDING, DECODED, UNREADABLE = 0, 1, 2
KINDS = ("npy", "observed.npy", "state.npy")
"""Arrays of a split, in the order they get their final names: once the state has its own, the split is finished."""
AGAIN = "run stage 01_frame_extraction"

Observe = Callable[[np.ndarray], np.ndarray]
"""A raw full-size frame (H, W, 3) uint8 RGB -> (k,) numbers worth keeping of it."""


@dataclasses.dataclass(frozen=True)
class Extraction:
    """What `extract` wrote.

    Attributes:
        folder: where it lies.
        size: (h, w) working size, the same for all splits.
        full_size: split -> (H, W) of its original frames.
        keys: split -> hash of its files, the size and the observation; a cache made from it keys on this.
    """

    folder: Path
    size: tuple[int, int]
    full_size: dict[str, tuple[int, int]]
    keys: dict[str, str]

    def pixels(self, split: str) -> np.ndarray:
        """(N, h, w, 3) uint8 RGB memory map."""
        return read_array(self.folder / f"{split}.npy", mapped=True, hint=AGAIN)

    def files(self) -> list[Path]:
        """Everything that was written."""
        arrays = [self.folder / f"{split}.{kind}" for split in self.full_size for kind in KINDS]
        marks = [self.folder / f".{split}.key.json" for split in self.full_size]
        return [*arrays, *marks, *(self.folder / n for n in ("extraction.json", "manifest.csv", "manifest.json"))]

    def unreadable(self, split: str) -> np.ndarray:
        """(N,) bool: rows that could not be decoded and hold their nearest earlier neighbour instead."""
        return read_array(self.folder / f"{split}.state.npy", hint=AGAIN) == UNREADABLE

    def observed(self, split: str) -> np.ndarray | None:
        """(N, k) float32 measurements, None where nothing was observed."""
        path = self.folder / f"{split}.observed.npy"
        return read_array(path, hint=AGAIN) if path.exists() else None

    @classmethod
    def load(cls, folder: Path) -> Extraction:
        """Read a finished extraction. Raises PixelPlayError where there is none."""
        folder = Path(folder)
        if not (folder / "extraction.json").exists():
            raise PixelPlayError(f"{folder} holds no finished extraction", hint="run stage 01_frame_extraction")
        about = read_json(folder / "extraction.json")
        try:
            return cls(folder, tuple(about["size"]), {k: tuple(v) for k, v in about["full_size"].items()},
                       dict(about["keys"]))
        except (KeyError, TypeError, ValueError, AttributeError) as cause:
            raise PixelPlayError(f"{folder / 'extraction.json'} is no extraction of this version: {cause!r}",
                                 hint=AGAIN) from cause


def working_size(original: tuple[int, int]) -> tuple[int, int]:
    """(h, w) in multiples of 16 with an area near 192 x 320 and the aspect ratio nearest to the original's.

    Never larger than the original (H, W) rounded up to 16. Of the sizes whose area is within 15 % of the wanted
    one, the one with the smallest error of the aspect ratio wins; ties go to the nearer area.
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
    """Resize (H, W, 3) uint8 to (h, w, 3) by area averaging, which also tames pixel noise."""
    if frame.shape[:2] == tuple(size):
        return frame
    return cv2.resize(frame, (size[1], size[0]), interpolation=cv2.INTER_AREA)


def extract(manifest: Manifest, folder: Path, *, size: tuple[int, int] | None = None, observe: Observe | None = None,
            observe_key: str | None = None, made_from: Mapping[str, Sequence[str]] | None = None,
            workers: int | None = None) -> Extraction:
    """Decode every frame of the manifest's splits once.

    Args:
        manifest: from `find_dataset`.
        folder: where the cache goes; an extraction of the same input and settings found there is returned at once,
            an interrupted one is gone on with, any other one is replaced, split by split.
        size: (h, w) working size; `working_size` of the training frames (else of the test frames) when None.
        observe: measures every raw full-size frame; called from several threads.
        observe_key: names `observe` and its settings; its module and name when None.
        made_from: split -> names of files in the folder that were made from its cache, or say that it was changed in
            place: they are removed before the split is decoded anew.
        workers: threads; one a CPU when None.
    Raises:
        PixelPlayError: empty manifest, or no frame of a split can be read.
    """
    folder = Path(folder)
    if len(manifest.table) == 0:
        raise PixelPlayError("the manifest holds no frames", hint="check the dataset's folder")
    known = {split: full_size(manifest, split) for split in manifest.splits()}
    if not any(known.values()):
        raise PixelPlayError(f"not one frame of {', '.join(str(manifest.roots[s]) for s in known)} can be read",
                             hint="check that the download or the unpacking finished")
    # the size of one split must not depend on the other
    full = {split: s or UNKNOWN_SIZE for split, s in known.items()}
    size = tuple(size or working_size(next(iter(full.values()))))
    if observe_key is None and observe is not None:
        observe_key = f"{observe.__module__}.{observe.__qualname__}"
    keys = {split: config_hash(split, manifest.fingerprints.get(split, ""), size, observe_key or "") for split in full}
    extraction = Extraction(folder, size, full, keys)
    last = [folder / name for name in ("extraction.json", "manifest.json", "manifest.csv")]
    done = not damaged(last) and all(path.exists() for path in last)
    if done and read_json(folder / "extraction.json").get("keys") == keys and not damaged(extraction.files()):
        log.info("frames are extracted already: %s", folder)
        return extraction
    remove(folder / "extraction.json")
    for split in full:
        _extract_split(manifest, split, extraction, observe, (made_from or {}).get(split, ()),
                       workers or environment.cpu_count())
        if extraction.unreadable(split).all():
            raise PixelPlayError(f"not one {split} frame below {manifest.roots[split]} can be decoded",
                                 expected="footage to learn from" if split == "train" else "footage to score",
                                 hint="check that the download or the unpacking finished")
    _flag_unreadable(manifest, extraction).save(folder)
    write_json(folder / "extraction.json", {"keys": keys, "size": size, "full_size": full,
                                            "observed": observe_key or ""}, seal=True)
    return extraction


def _extract_split(manifest: Manifest, split: str, extraction: Extraction, observe: Observe | None,
                   made_from: Sequence[str], workers: int) -> None:
    """Fill one split's arrays from the first pending row on, then give them their final names."""
    total, folder, key = len(manifest.split(split)), extraction.folder, extraction.keys[split]
    # the key is in the name, so what another input or size left behind is never gone on with
    partial = {kind: folder / f".{split}.{kind}.{key}.part" for kind in KINDS}
    final = {kind: folder / f"{split}.{kind}" for kind in partial}
    mark = folder / f".{split}.key.json"
    if not partial["state.npy"].exists():
        there = not damaged([mark]) and mark.exists() and final["state.npy"].exists()
        if there and read_json(mark)["key"] == key and not damaged(final.values()):
            return
        for old in [*(folder / name for name in made_from), mark, *final.values(), *folder.glob(f".{split}.*.part")]:
            remove(old)
        _check_space(folder, total * extraction.size[0] * extraction.size[1] * 3)
        create_array(partial["npy"], (total, *extraction.size, 3), np.uint8)
        create_array(partial["state.npy"], (total,), np.uint8)
    state = read_array(partial["state.npy"], hint=f"delete it and {AGAIN}")
    done = int(np.argmax(state == PENDING)) if (state == PENDING).any() else total

    def work(frame: Frame) -> tuple[np.ndarray, bool, np.ndarray | None]:
        small = to_working(frame.pixels, extraction.size)
        return small, frame.readable, None if observe is None else np.asarray(observe(frame.pixels), np.float32)

    frames = open_frames(manifest, split, workers)(np.arange(done, total))
    depth = queue_length(extraction.full_size[split], workers)
    with contextlib.closing(bounded_map(work, frames, workers, depth)) as results, \
            tqdm(total=total, initial=done, desc=f"extract {split}", unit="frame") as bar:
        chunk: list[tuple[np.ndarray, bool, np.ndarray | None]] = []
        for result in results:
            chunk.append(result)
            if len(chunk) == CHUNK or done + len(chunk) == total:
                _write_chunk(partial, done, total, chunk)
                done += len(chunk)
                bar.update(len(chunk))
                chunk = []
    write_json(mark, {"key": key}, seal=True)
    for kind in KINDS:
        if partial[kind].exists():
            adopt(partial[kind], final[kind])


def _check_space(folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise PixelPlayError(f"{folder} has {free / 1e9:.1f} GB left", expected=f"{needed / 1e9:.1f} GB for the frames",
                             hint="free some space or choose another --output")


def _write_chunk(partial: dict[str, Path], start: int, total: int, chunk: Sequence) -> None:
    rows = np.arange(start, start + len(chunk))
    write_rows(partial["npy"], rows, [small for small, _, _ in chunk])
    if chunk[0][2] is not None:
        if not partial["observed.npy"].exists():
            create_array(partial["observed.npy"], (total, len(chunk[0][2])), np.float32)
        write_rows(partial["observed.npy"], rows, [observed for _, _, observed in chunk])
        flush(partial["observed.npy"])
    flush(partial["npy"])
    # the state goes last: a row counts as done only when everything else of it is on the disk
    write_rows(partial["state.npy"], rows, [np.uint8(DECODED if ok else UNREADABLE) for _, ok, _ in chunk])


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


def create_array(path: Path, shape: tuple[int, ...], dtype: type) -> None:
    """Make an .npy file of zeros without holding it in memory."""
    with atomic_path(path) as part:
        if 0 in shape:
            with part.open("wb") as stream:
                np.save(stream, np.zeros(shape, dtype))
        else:
            np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape).flush()


def write_rows(path: Path, rows: Sequence[int], values: Sequence[np.ndarray]) -> None:
    """Overwrite some rows of an .npy file in place, through the file: mapped pages would count as memory.

    Writing the same rows twice leaves the same file, so a caller that is killed half-way simply starts again.

    Args:
        path: array file (N, ...), C order.
        rows: row numbers.
        values: one array for every row, of the row's shape and dtype.
    Raises:
        ValueError: a value of another shape or dtype.
    """
    with clear_errors(Path(path)), Path(path).open("r+b") as stream:
        version = np.lib.format.read_magic(stream)
        shape, _, dtype = (np.lib.format.read_array_header_1_0 if version == (1, 0)
                           else np.lib.format.read_array_header_2_0)(stream)
        start, step = stream.tell(), int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        for row, value in zip(np.asarray(rows).tolist(), values):
            if value.shape != shape[1:] or value.dtype != dtype:
                raise ValueError(f"row {row} of {path} is {shape[1:]} {dtype}, not {value.shape} {value.dtype}")
            stream.seek(start + row * step)
            stream.write(value.tobytes())


def open_raw_footage(folder: Path, split: str, workers: int | None = None) -> Footage:
    """The footage of an extraction as it is, without repair.

    Args:
        folder: where `extract` wrote.
        split: 'train' or 'test'.
    Raises:
        PixelPlayError: no finished extraction, or a split it does not have.
    """
    folder = Path(folder)
    extraction, manifest = Extraction.load(folder), Manifest.load(folder)
    if split not in extraction.full_size:
        raise PixelPlayError(f"{folder} holds no {split} frames", expected=" or ".join(extraction.full_size),
                             hint=f"name them with --{split} DIR and run stage 01_frame_extraction")
    table, pixels = manifest.split(split), extraction.pixels(split)
    unreadable = extraction.unreadable(split)
    if not len(table) == len(pixels) == len(unreadable):
        raise PixelPlayError(f"{folder}: manifest.csv names {len(table)} {split} frames, {split}.npy holds "
                             f"{len(pixels)}, {split}.state.npy {len(unreadable)}", expected="one row a frame in each",
                             hint=f"delete {folder / 'extraction.json'} and {AGAIN}")
    return Footage(
        name=split, ids=table["Id"].to_numpy(object), videos=table["video"].to_numpy(object),
        frames=table["frame"].to_numpy(np.int64), reliability=(~unreadable).astype(np.float32),
        flags=np.where(unreadable, "unreadable", "").astype(object), pixels=pixels,
        rows=np.arange(len(table)), full_size=extraction.full_size[split],
        fps=manifest.rates.get(split, RATE), fingerprint=config_hash(extraction.keys[split], "raw"),
        open_stream=open_stream(manifest, split, workers))
