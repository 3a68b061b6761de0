"""Full-size frames of a split, decoded ahead of the reader.

Reads the manifest's files; gives raw uint8 RGB frames row by row, in order, in constant memory. A frame that cannot
be decoded is replaced by the nearest earlier one of its video (mid grey where there is none) and reported.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

from pixelplay import environment
from pixelplay.data.decoding import image_size, probe, read_image, video_frames
from pixelplay.data.footage import Stream
from pixelplay.data.listing import VIDEO_SUFFIXES
from pixelplay.data.manifest import Manifest

A, B = TypeVar("A"), TypeVar("B")

AHEAD = 4
"""Frames decoded ahead for every worker."""
MOST_BYTES = 256 << 20
"""Bytes of frames one queue may hold: what bounds the memory for 4K video and many workers."""

SIZE_SAMPLES = 5
"""Images of every folder whose headers vote on the split's size."""


class Frame(NamedTuple):
    """One raw frame: its row in the split, (H, W, 3) uint8 RGB pixels, and whether it could be decoded."""

    row: int
    pixels: np.ndarray
    readable: bool


def full_size(manifest: Manifest, split: str) -> tuple[int, int] | None:
    """(H, W) most frames of a split have, by a few headers of every video; None for a split without readable frames."""
    votes: collections.Counter[tuple[int, int]] = collections.Counter()
    root = manifest.roots.get(split)
    for _, rows in manifest.split(split).groupby("video", sort=False):
        paths = rows["path"].to_numpy()
        if is_video(paths[0]):
            votes[probe(root / paths[0]).size] += len(paths)
            continue
        picks = np.unique(np.linspace(0, len(paths) - 1, SIZE_SAMPLES).astype(int))
        sizes = [size for size in (image_size(root / paths[i]) for i in picks) if size is not None]
        for size in sizes:
            votes[size] += len(paths) / len(sizes)
    # sorted before max: a tie must not depend on the order of the videos
    return max(sorted(votes), key=votes.__getitem__) if votes else None


def is_video(path: str) -> bool:
    """True for a video file's path, False for an image's."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def open_stream(manifest: Manifest, split: str, workers: int | None = None) -> Stream:
    """The raw full-size frames of a split as a `Stream`: sorted row numbers -> frames in that order."""
    frames = open_frames(manifest, split, workers)

    def stream(rows: np.ndarray) -> Iterator[np.ndarray]:
        for frame in frames(rows):
            yield frame.pixels

    return stream


def open_frames(manifest: Manifest, split: str, workers: int | None = None
                ) -> Callable[[np.ndarray], Iterator[Frame]]:
    """Like `open_stream`, but yields `Frame`s, which tell whether they could be decoded."""
    table = manifest.split(split)
    paths, videos, numbers = (table[c].to_numpy() for c in ("path", "video", "frame"))
    root, size = manifest.roots.get(split), None
    workers = workers or environment.cpu_count()

    def frames(rows: np.ndarray) -> Iterator[Frame]:
        nonlocal size
        rows = np.asarray(rows, dtype=np.int64)
        size = size or full_size(manifest, split) or (240, 320)
        for run in _runs(videos[rows]):
            part = rows[run]
            if is_video(paths[part[0]]):
                decoded = ahead(video_frames(root / paths[part[0]], numbers[part]), queue_length(size, workers))
            else:
                decoded = _images(root, paths, videos, part, workers, queue_length(size, workers))
            with contextlib.closing(decoded):
                for row, (pixels, readable) in zip(part.tolist(), decoded):
                    yield Frame(row, _fit(pixels, size), readable)

    return frames


def queue_length(size: tuple[int, int], workers: int) -> int:
    """How many frames of (H, W) pixels a queue may hold."""
    return max(2, min(AHEAD * workers, MOST_BYTES // (3 * size[0] * size[1])))


def _images(root: Path, paths: np.ndarray, videos: np.ndarray, rows: np.ndarray, workers: int, depth: int
            ) -> Iterator[tuple[np.ndarray | None, bool]]:
    with contextlib.closing(bounded_map(lambda row: read_image(root / paths[row]), rows.tolist(), workers,
                                        depth)) as images:
        last_row, last = -1, None
        for row, image in zip(rows.tolist(), images):
            if image is not None:
                last_row, last = row, image
                yield image, True
                continue
            # what replaces a frame must not depend on which rows were asked for: look back in the video itself
            for earlier in range(row - 1, last_row, -1):
                if videos[earlier] != videos[row]:
                    break
                found = read_image(root / paths[earlier])
                if found is not None:
                    last_row, last = earlier, found
                    break
            yield last, False


def _fit(pixels: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """A frame at the split's size; mid grey for None."""
    if pixels is None:
        return np.full((*size, 3), 128, np.uint8)
    if pixels.shape[:2] == size:
        return pixels
    return cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA)


def _runs(names: np.ndarray) -> list[slice]:
    """Slices of equal neighbouring names."""
    if len(names) == 0:
        return []
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def bounded_map(function: Callable[[A], B], items: Iterable[A], workers: int, depth: int | None = None) -> Iterator[B]:
    """`map` over a thread pool, in order, holding at most `depth` (AHEAD * workers) items or results at a time."""
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
    """Run a generator in a thread of its own, at most `depth` items ahead of the reader."""
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
        except BaseException as cause:  # noqa: BLE001  handed to the reader, who raises it
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
