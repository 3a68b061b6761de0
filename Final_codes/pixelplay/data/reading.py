"""Streams of full-size frames, decoded ahead of the reader.

Reads the files of a manifest; yields raw uint8 RGB frames in order, in constant memory. A frame that cannot be decoded
is reported and replaced by the nearest earlier frame of its video, or by mid grey if there is none.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

from pixelplay import environment
from pixelplay.data.decoding import probe, video_frames
from pixelplay.data.footage import Stream
from pixelplay.data.images import image_size, read_image, used_bits
from pixelplay.data.listing import VIDEO_SUFFIXES
from pixelplay.data.manifest import Manifest
from pixelplay.data.subsample import spread
from pixelplay.errors import PixelPlayError

log = logging.getLogger(__name__)

A, B = TypeVar("A"), TypeVar("B")

AHEAD = 4
"""Number of frames decoded ahead per worker."""
MOST_BYTES = 256 << 20
"""Maximum bytes of frames in one queue, which bounds the memory for 4K video and many workers."""

SAMPLES = 5
"""Number of images per folder that are sampled for the frame size and bit depth of a split."""
UNKNOWN_SIZE = (240, 320)
"""(H, W) of a split without any readable header among the samples."""
LEAST_SIDE = 8
"""Minimum height and width of a frame in pixels."""
DEEP_SUFFIXES = frozenset({".png", ".tif", ".tiff"})
"""Formats that may have 16 bits per value (Pillow scales .pgm and .ppm by their own maximum)."""


class Frame(NamedTuple):
    """One raw frame: row in the split, (H, W, 3) uint8 RGB pixels, and whether it could be decoded."""

    row: int
    pixels: np.ndarray
    readable: bool


def full_size(manifest: Manifest, split: str) -> tuple[int, int] | None:
    """The most common (H, W) of the frames of a split, from sampled headers of every video; None if none is readable.

    Raises:
        PixelPlayError: height or width is below `LEAST_SIDE`.
    """
    votes: collections.Counter[tuple[int, int]] = collections.Counter()
    root = manifest.roots.get(split)
    for paths in _paths(manifest, split):
        if is_video(paths[0]):
            votes[probe(root / paths[0]).size] += len(paths)
            continue
        sizes = [size for size in (image_size(root / path) for path in _sampled(paths)) if size is not None]
        for size in sizes:
            votes[size] += len(paths) / len(sizes)
    if not votes:
        return None
    # sort first, so that ties do not depend on the order of the videos
    size = max(sorted(votes), key=votes.__getitem__)
    if min(size) < LEAST_SIDE:
        raise PixelPlayError(f"the {split} frames below {root} are {size[1]} x {size[0]} pixels",
                             expected=f"at least {LEAST_SIDE} x {LEAST_SIDE}", hint="give footage that shows something")
    return size


def value_bits(manifest: Manifest, split: str) -> int:
    """Bit depth of the 16-bit images of a split, from sampled images of every video: 8, 10, 12, 14 or 16.

    Cameras with 10 or 12 bits store their values unscaled in 16-bit files. One depth for the whole split keeps dark
    frames dark. 16 if there are no such images.
    """
    root, needed = manifest.roots.get(split), []
    for paths in _paths(manifest, split):
        if Path(paths[0]).suffix.lower() in DEEP_SUFFIXES:
            needed += [bits for bits in (used_bits(root / path) for path in _sampled(paths)) if bits is not None]
    bits = next((b for b in (8, 10, 12, 14) if b >= max(needed, default=16)), 16)
    if bits < 16:
        log.info("16-bit images below %s hold values of %d bits: these are scaled to 8", root, bits)
    return bits


def _paths(manifest: Manifest, split: str) -> Iterator[np.ndarray]:
    """The paths of each video of a split."""
    for _, rows in manifest.split(split).groupby("video", sort=False):
        yield rows["path"].to_numpy()


def _sampled(paths: np.ndarray) -> np.ndarray:
    return spread(paths, SAMPLES)


def is_video(path: str) -> bool:
    """True for a video file's path, False for an image's."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


@dataclasses.dataclass(frozen=True)
class Source:
    """The files of a split or of some of its videos: a picklable `Stream` of raw frames.

    Attributes:
        root: folder that the paths are relative to.
        paths, videos, numbers: (N,) file, video name and number of every frame.
        size: (H, W) that all frames are resized to.
        bits: see `value_bits`.
        workers: threads; None for one per CPU.
    """

    root: Path
    paths: np.ndarray
    videos: np.ndarray
    numbers: np.ndarray
    size: tuple[int, int]
    bits: int
    workers: int | None = None

    @classmethod
    def of(cls, manifest: Manifest, split: str, *, size: tuple[int, int] | None = None, bits: int | None = None,
           workers: int | None = None) -> Source:
        """The files of a split; `size` and `bits` are determined from them if not given."""
        table = manifest.split(split)
        paths, videos, numbers = (table[c].to_numpy() for c in ("path", "video", "frame"))
        return cls(manifest.roots.get(split, Path()), paths, videos, numbers,
                   size or full_size(manifest, split) or UNKNOWN_SIZE, bits or value_bits(manifest, split), workers)

    def __len__(self) -> int:
        return len(self.paths)

    def part(self, start: int, stop: int) -> Source:
        """Rows `start` to `stop`, renumbered from 0."""
        rows = slice(start, stop)
        return dataclasses.replace(self, paths=self.paths[rows], videos=self.videos[rows], numbers=self.numbers[rows])

    def __call__(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        for frame in self.frames(rows):
            yield frame.pixels

    def frames(self, rows: np.ndarray) -> Iterator[Frame]:
        """Yield the frames of sorted rows."""
        rows, workers = np.asarray(rows, dtype=np.int64), self.workers or environment.cpu_count()

        def read(row: int) -> np.ndarray | None:
            # resized in the worker, which bounds the number of frames of another, possibly huge size in memory
            image = read_image(self.root / self.paths[row], self.bits)
            return None if image is None else _fit(image, self.size)

        for run in runs(self.videos[rows]):
            part = rows[run]
            depth = queue_length(self.size, workers)
            if is_video(self.paths[part[0]]):
                decoded = ahead(video_frames(self.root / self.paths[part[0]], self.numbers[part]), depth)
            else:
                decoded = _images(read, self.videos, part, workers, depth)
            with contextlib.closing(decoded):
                for row, (pixels, readable) in zip(part.tolist(), decoded):
                    yield Frame(row, _fit(pixels, self.size), readable)


def open_stream(manifest: Manifest, split: str, workers: int | None = None) -> Stream:
    """The raw full-size frames of a split as a `Stream`: sorted row numbers -> frames in that order."""
    return Source.of(manifest, split, workers=workers)


def queue_length(size: tuple[int, int], workers: int) -> int:
    """Maximum number of frames of (H, W) pixels in a queue."""
    return max(2, min(AHEAD * workers, MOST_BYTES // (3 * size[0] * size[1])))


def _images(read: Callable[[int], np.ndarray | None], videos: np.ndarray, rows: np.ndarray, workers: int, depth: int
            ) -> Iterator[tuple[np.ndarray | None, bool]]:
    with contextlib.closing(bounded_map(read, rows.tolist(), workers, depth)) as images:
        last_row, last = -1, None
        for row, image in zip(rows.tolist(), images):
            if image is not None:
                last_row, last = row, image
                yield image, True
                continue
            # search backwards in the video, so that the replacement does not depend on the requested rows
            for earlier in range(row - 1, last_row, -1):
                if videos[earlier] != videos[row]:
                    break
                found = read(earlier)
                if found is not None:
                    last_row, last = earlier, found
                    break
            yield last, False


def _fit(pixels: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """Resize a frame to the size of the split; mid grey for None."""
    if pixels is None:
        return np.full((*size, 3), 128, np.uint8)
    if pixels.shape[:2] == size:
        return pixels
    return cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA)


def runs(names: np.ndarray) -> list[slice]:
    """Slices of equal neighbouring names."""
    if len(names) == 0:
        return []
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def bounded_map(function: Callable[[A], B], items: Iterable[A], workers: int, depth: int | None = None) -> Iterator[B]:
    """Ordered `map` over a thread pool with at most `depth` (default AHEAD * workers) pending items or results."""
    depth = depth or AHEAD * workers
    with ThreadPoolExecutor(workers) as pool:
        pending: collections.deque = collections.deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) >= depth:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def ahead(items: Iterator[A], depth: int) -> Iterator[A]:
    """Run a generator in another thread, at most `depth` items ahead of the reader."""
    ready: queue.Queue = queue.Queue(depth)
    stopped = threading.Event()

    def put(message: tuple) -> bool:
        while not stopped.is_set():
            try:
                ready.put(message, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put(("item", item)):
                    break
            put(("end", None))
        except BaseException as cause:  # noqa: BLE001  raised again in the reader
            put(("error", cause))
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        stopped.set()
        thread.join()
