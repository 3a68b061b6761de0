"""Feature tables: embeddings computed once and kept on disk, one row per frame or crop.

Reads `Footage` and a `Backbone`; writes `<name>-<key>.npy` (N, dim) and its card `<name>-<key>.json`. The key covers
the backbone, its weights, the fingerprint of the footage (and so the repair settings) and every parameter that changes
a row, so seeds and experiments share tables. Chunks are written atomically: an interrupted run continues with the first
missing chunk, and several processes (`distributed`) share the chunks.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pixelplay import distributed
from pixelplay.arrays import new_array, read_array, write_array
from pixelplay.config import config_hash
from pixelplay.data.footage import Footage
from pixelplay.errors import PixelPlayError
from pixelplay.files import damaged, write_json
from pixelplay.progress import tqdm
from pixelplay.two_stream.backbones import Backbone
from pixelplay.versions import ARTEFACTS

log = logging.getLogger(__name__)

DTYPE = "float16"
"""Precision of the tables on disk."""

CHUNK = 256
"""Rows computed and written together. Batches never cross a chunk, so results do not depend on who computes which."""

SOURCES = ("full_size", "working")
"""Frames to embed: repaired frames at full size, or those of the working-size cache."""

Produce = Callable[[int, int], np.ndarray]
"""(start, stop) -> rows [start, stop) of a table, (stop - start, width) float."""

Crop = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Frame (H, W, 3) and box (4,) xyxy in its pixels -> uint8 RGB crop that keeps the aspect ratio."""


def cached_table(folder: Path, name: str, key: str, count: int, width: int, produce: Produce) -> np.ndarray:
    """A table of `count` rows, computed once, in chunks, by all processes together.

    Args:
        folder: where tables are kept; all processes must see the same folder.
        name, key: the file is `<name>-<key>.npy`; the key must change whenever a row would.
        produce: computes rows [start, stop), at most `CHUNK` of them, aligned to multiples of `CHUNK`. Each process
            calls it in ascending order, so it may read a stream.
    Returns:
        (count, width) float16 read-only memory map.
    Raises:
        PixelPlayError: `produce` returns rows that are not finite in float16 (names the first), or the disk is full.
    """
    path, parts = Path(folder) / f"{name}-{key}.npy", Path(folder) / f".{name}-{key}.chunks{CHUNK}"
    if damaged([path]) or not path.exists():
        pieces = -(-count // CHUNK)
        mine = [p for p in distributed.share(pieces)
                if damaged([parts / f"{p}.npy"]) or not (parts / f"{p}.npy").exists()]
        for piece in tqdm(mine, desc=f"{name} features", unit="chunk", disable=None):
            start, stop = piece * CHUNK, min((piece + 1) * CHUNK, count)
            rows = np.asarray(produce(start, stop))
            if rows.shape != (stop - start, width):
                raise ValueError(f"{name}: rows {start} to {stop} came as {rows.shape}, expected width {width}")
            with np.errstate(over="ignore"):  # the check below names the row
                rows = rows.astype(DTYPE)
            if not np.isfinite(rows).all():
                bad = start + int(np.argmin(np.isfinite(rows).all(axis=1)))
                raise PixelPlayError(f"{name} features: row {bad} is not finite as {DTYPE}",
                                     hint="choose another precision or backbone")
            write_array(parts / f"{piece}.npy", rows)
        distributed.barrier()
        if distributed.is_main():
            _join(path, parts, count, width, pieces)
        distributed.barrier()
    elif distributed.is_main():
        shutil.rmtree(parts, ignore_errors=True)  # left by a run that was killed after joining them
    table = read_array(path, mapped=True)
    if table.shape != (count, width):
        raise PixelPlayError(f"{path} holds {table.shape}", expected=f"{(count, width)}",
                             hint="delete the file; it will be made again")
    return table


def _join(path: Path, parts: Path, count: int, width: int, pieces: int) -> None:
    with new_array(path, (count, width), DTYPE) as whole:
        row = 0
        for piece in range(pieces):
            rows = read_array(parts / f"{piece}.npy")
            whole[row:row + len(rows)] = rows
            row += len(rows)
    shutil.rmtree(parts, ignore_errors=True)


def features_key(footage: Footage, backbone: Backbone, **parameters: object) -> str:
    """16 hex digits over everything that determines a table, precision included: bfloat16 rows differ from float32."""
    rows = footage.rows
    return config_hash(ARTEFACTS["features"].number, footage.fingerprint, footage.name, footage.size, footage.full_size,
                       [len(rows), *digest(rows)], backbone.name, backbone.weights_hash, backbone.hardware.dtype,
                       {**parameters, "normalise": True, "dtype": DTYPE})


def digest(numbers: np.ndarray) -> list[str]:
    """A hash of an array, as part of a table's key."""
    return [hashlib.sha256(np.ascontiguousarray(numbers).data).hexdigest()[:16]]


def frame_features(footage: Footage, backbone: Backbone, folder: Path, *, source: str = "full_size",
                   fit: str = "squash", batch_size: int = 16) -> np.ndarray:
    """Embed every frame of a `Footage`; the table is cached on disk.

    Args:
        source: see `SOURCES`.
        fit, batch_size: see `Backbone.embed`.
        (N, dim) read-only memory map in the order of the frames.
        (N, dim) read-only memory map in the footage's order.
    """
    if source not in SOURCES:
        raise ValueError(f"source is {source!r}, expected one of {SOURCES}")
    frames = _Frames(footage, np.arange(len(footage))) if source == "full_size" else None

    def produce(start: int, stop: int) -> np.ndarray:
        def take(part: range) -> Sequence[np.ndarray]:
            return footage.batch(np.asarray(part)) if frames is None else [frames.take(p) for p in part]

        return backbone.embed(_Pictures(range(start, stop), take), batch_size=batch_size, fit=fit)

    key = features_key(footage, backbone, kind="frame", source=source, fit=fit)
    table = cached_table(folder, f"{footage.name}-frames-{backbone.name}", key, len(footage), backbone.dim, produce)
    _card(folder, f"{footage.name}-frames-{backbone.name}-{key}", backbone, table)
    return table


def crop_features(footage: Footage, frame_of: np.ndarray, boxes: np.ndarray, crop: Crop, backbone: Backbone,
                  folder: Path, *, parameters: object = None, batch_size: int = 64) -> np.ndarray:
    """Embed the crop of every actor; the table is cached on disk.

    Args:
        frame_of: (M,) position of each actor's frame in the `Footage`, ascending.
        boxes: (M, 4) xyxy in pixels of the full-size frames.
        crop: cuts one actor out of its frame.
        parameters: everything that changes the output of `crop`; part of the key, as are the boxes.
    Returns:
        (M, dim) read-only memory map in the order of the boxes.
    """
    frame_of, boxes = np.asarray(frame_of, dtype=np.int64), np.asarray(boxes, dtype=np.float32)
    if len(frame_of) != len(boxes) or (np.diff(frame_of) < 0).any():
        raise ValueError("every box needs the position of its frame, in ascending order")
    frames = _Frames(footage, np.unique(frame_of))

    def produce(start: int, stop: int) -> np.ndarray:
        def take(part: range) -> Sequence[np.ndarray]:
            return [crop(frames.take(int(frame_of[actor])), boxes[actor]) for actor in part]

        return backbone.embed(_Pictures(range(start, stop), take), batch_size=batch_size)

    key = features_key(footage, backbone, kind="crop", crop=parameters, fit="squash",
                       boxes=digest(boxes) + digest(frame_of))
    table = cached_table(folder, f"{footage.name}-crops-{backbone.name}", key, len(boxes), backbone.dim, produce)
    _card(folder, f"{footage.name}-crops-{backbone.name}-{key}", backbone, table)
    return table


def _card(folder: Path, stem: str, backbone: Backbone, table: np.ndarray) -> None:
    path = Path(folder) / f"{stem}.json"
    if distributed.is_main() and (damaged([path]) or not path.exists()):
        write_json(path, {
            "backbone": backbone.name, "weights_hash": backbone.weights_hash, "source": backbone.source,
            "precision": backbone.hardware.dtype, "rows": table.shape[0], "parts": backbone.parts}, seal=True)


class _Pictures:
    """Images read lazily, slice by slice, in the thread that prepares batches; none is kept."""

    def __init__(self, rows: range, take: Callable[[range], Sequence[np.ndarray]]):
        self.rows, self.take = rows, take

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> Sequence[np.ndarray]:
        return self.take(self.rows[part])


class _Frames:
    """Full-size frames at ascending positions, read from one stream over the wanted positions."""

    def __init__(self, footage: Footage, wanted: np.ndarray):
        self.footage, self.wanted, self.position = footage, wanted, -1
        self.frame = np.empty((0, 0, 3), np.uint8)
        self.stream: Iterator[tuple[int, np.ndarray]] | None = None

    def take(self, position: int) -> np.ndarray:
        """The frame (H, W, 3) at a wanted position, not before the last one taken."""
        if self.stream is None:
            # the first chunk may start anywhere: after a resume, or in another process
            self.stream = self.footage.full_frames(self.wanted[np.searchsorted(self.wanted, position):])
        while self.position < position:
            self.position, self.frame = next(self.stream)
        return self.frame
