"""Arrays of frames (or maps) that are decoded on access, with a bounded cache on disk.

A `Clip` knows how to make the rows of one video, and their digest; `ClipArray` presents several clips as one array.
Decoded rows are cached in a scratch folder shared by all processes of a machine: one file per video, row after row
without header, named after its content. The cache holds at most `most_bytes` (or one video, if that is larger) and may
be deleted at any time. Files are read with `pread` rather than mapped, because mapped pages count as memory.

The scratch folder is `$PIXELPLAY_SCRATCH`, or `pixelplay-<user>` in the system's temporary folder ($TMPDIR).
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pixelplay.errors import PixelPlayError
from pixelplay.files import clear_errors, digest_of, state_of

log = logging.getLogger(__name__)

LEAST_BYTES, LARGEST = 1e9, 32e9
"""Bounds of the cache size in bytes. Training reads frames in random order: footage that exceeds the cache is decoded
repeatedly. The frames of the competition take 14 GB."""
OPEN = 32
"""Maximum number of open files per array."""

_checked: dict[Path, tuple[int, int, int]] = {}
_making = threading.RLock()
"""Held while a clip is made; reentrant, because making a clip may open another one."""


class RowFile:
    """The rows of one video in a file; reads and writes in any order, thread-safe."""

    handle = -1

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: type, *, new: bool = False):
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self.step = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        self.handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC if new else os.O_RDONLY, 0o600)

    def read(self, row: int) -> np.ndarray:
        """Return one row as a new array."""
        out = np.empty(self.shape, self.dtype)
        self.read_into(row, out)
        return out

    def read_into(self, row: int, out: np.ndarray) -> None:
        """Read one row into a contiguous array of its shape."""
        data = os.pread(self.handle, self.step, row * self.step)
        if len(data) != self.step:
            raise OSError(f"{self.path} ends before row {row}")
        out.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)

    def write(self, row: int, value: np.ndarray) -> None:
        """Write one row. Raises ValueError for another shape or dtype."""
        if value.shape != self.shape or value.dtype != self.dtype:
            raise ValueError(f"row {row} of {self.path} is {self.shape} {self.dtype}, not {value.shape} {value.dtype}")
        data = np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
        written = os.pwrite(self.handle, data, row * self.step)
        while written < self.step:  # a full disk writes a part first and fails on the next call
            written += os.pwrite(self.handle, data[written:], row * self.step + written)

    def close(self) -> None:
        """Close the file."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    def __del__(self) -> None:
        self.close()


Make = Callable[[RowFile], None]
"""Writes all rows of a video."""


@dataclasses.dataclass(frozen=True)
class Clip:
    """The rows of one video.

    Attributes:
        key: cache key of the video and its processing.
        count: number of rows.
        make: writes the rows; picklable.
        digest: BLAKE2b of the rows when first made; '' if they were never made.
        name: of the video, for error messages.
    """

    key: str
    count: int
    make: Make = dataclasses.field(compare=False, repr=False)
    digest: str = ""
    name: str = ""


class ClipArray:
    """Concatenated rows of several clips, (N, ...): a read-only array; indexing returns copies.

    Args:
        clips: in order.
        shape: of one row.
        dtype: of the rows.
    """

    def __init__(self, clips: Sequence[Clip], shape: tuple[int, ...], dtype: type):
        self.clips, self.dtype = list(clips), np.dtype(dtype)
        self.starts = np.concatenate([[0], np.cumsum([c.count for c in self.clips], dtype=np.int64)]).astype(np.int64)
        self.shape = (int(self.starts[-1]), *shape)
        self._files: collections.OrderedDict[int, RowFile] = collections.OrderedDict()
        self._lock = threading.Lock()

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, tuple):
            return self[index[0]][index[1:]] if isinstance(index[0], int | np.integer) else \
                self[index[0]][(slice(None), *index[1:])]
        if isinstance(index, int | np.integer):
            file, row = self._row(range(len(self))[int(index)])
            return file.read(row)
        if isinstance(index, slice):
            rows = np.arange(*index.indices(len(self)))
        else:
            rows = np.asarray(index)
            rows = np.flatnonzero(rows) if rows.dtype == bool else rows
            rows = np.where(rows < 0, rows + len(self), rows)
        out = np.empty((*rows.shape, *self.shape[1:]), self.dtype)
        flat = out.reshape(-1, *self.shape[1:])
        for place, number in enumerate(rows.ravel().tolist()):
            file, row = self._row(number)
            file.read_into(row, flat[place])
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def part(self, start: int, stop: int) -> ClipArray:
        """Rows `start` to `stop` as an array. Raises ValueError unless both are borders of clips."""
        first, last = (int(np.searchsorted(self.starts, edge)) for edge in (start, stop))
        if self.starts[first] != start or self.starts[last] != stop:
            raise ValueError(f"rows {start} to {stop} are no whole clips")
        return ClipArray(self.clips[first:last], self.shape[1:], self.dtype)

    def clip_around(self, row: int) -> tuple[int, int]:
        """First and last + 1 row of the clip that contains `row`."""
        place = int(np.searchsorted(self.starts, row, side="right")) - 1
        return int(self.starts[place]), int(self.starts[place + 1])

    def __getstate__(self) -> dict:
        return {"clips": self.clips, "dtype": self.dtype, "shape": self.shape}

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["clips"], state["shape"][1:], state["dtype"])

    def _row(self, number: int) -> tuple[RowFile, int]:
        place = int(np.searchsorted(self.starts, number, side="right")) - 1
        with self._lock:
            file = self._files.get(place)
            if file is None:
                file = self._files[place] = open_clip(self.clips[place], self.shape[1:], self.dtype)
                while len(self._files) > OPEN:
                    self._files.popitem(last=False)  # garbage collection closes it when no thread reads it
            self._files.move_to_end(place)
        return file, number - int(self.starts[place])


def open_clip(clip: Clip, shape: tuple[int, ...], dtype: type) -> RowFile:
    """Open the rows of a clip: from the cache if valid, else made again.

    Raises:
        PixelPlayError: the rows differ from the digest, because the video or a decoding library has changed.
    """
    path = scratch_folder() / f"{clip.key}.rows"
    with _making:
        try:
            file = RowFile(path, shape, dtype)
            if _is_right(path, clip, file.step):
                return file
            log.warning("%s is damaged: the frames of %s are decoded again", path, clip.name)
        except FileNotFoundError:
            pass
        digest = make_clip(clip, shape, dtype)
        if clip.digest and digest != clip.digest:
            path.unlink(missing_ok=True)
            raise PixelPlayError(f"the frames of {clip.name} are not those that stage 1 saw: the video was changed "
                                 "since, or is decoded by other libraries",
                                 hint="run stage 01_frame_extraction again")
        return RowFile(path, shape, dtype)


def make_clip(clip: Clip, shape: tuple[int, ...], dtype: type) -> str:
    """Write the rows of a clip into the scratch folder; returns their digest."""
    folder = scratch_folder()
    path, part = folder / f"{clip.key}.rows", folder / f".{clip.key}.{os.getpid()}.part"
    step = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    _make_room(folder, clip.count * step)
    with clear_errors(path):
        try:
            file = RowFile(part, shape, dtype, new=True)
            os.truncate(part, clip.count * step)
            clip.make(file)
            file.close()
            digest = digest_of(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    _checked[path] = state_of(path)
    return digest


def scratch_folder() -> Path:
    """Path of the scratch folder; creates it.

    Raises:
        PixelPlayError: the folder belongs to another user, or cannot be created.
    """
    place = os.environ.get("PIXELPLAY_SCRATCH")
    folder = Path(place or Path(tempfile.gettempdir()) / f"pixelplay-{os.getuid()}")
    with clear_errors(folder / "rows"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PixelPlayError(f"{folder} belongs to another user", hint="name a folder of your own in PIXELPLAY_SCRATCH")
    return folder


def most_bytes(folder: Path) -> float:
    """Size limit of the cache in bytes: `$PIXELPLAY_SCRATCH_GB`, else half of `free_bytes`, within bounds.

    Beyond it, the least recently used files are deleted.
    """
    named = os.environ.get("PIXELPLAY_SCRATCH_GB")
    return float(named) * 1e9 if named else min(max(free_bytes(folder) / 2, LEAST_BYTES), LARGEST)


def free_bytes(folder: Path) -> int:
    """Bytes available to the cache: free space on its disk plus its present size."""
    return shutil.disk_usage(folder).free + sum(size for _, size, _ in _kept(folder))


def _is_right(path: Path, clip: Clip, step: int) -> bool:
    """Whether a file holds the rows of a clip; its digest is checked once per process while the file is unchanged."""
    about = path.stat()
    if about.st_size != clip.count * step:
        return False
    if _checked.get(path) != state_of(path):
        if not clip.digest or digest_of(path) != clip.digest:
            return False
        _checked[path] = state_of(path)
    os.utime(path, ns=(max(about.st_atime_ns, time.time_ns()), about.st_mtime_ns))
    return True


def _make_room(folder: Path, needed: int) -> None:
    """Delete least recently used files until `needed` more bytes fit into `most_bytes`; open files stay readable."""
    kept, most = _kept(folder), most_bytes(folder)
    total = sum(size for _, size, _ in kept) + needed
    for _, size, path in sorted(kept):
        if total <= most:
            break
        path.unlink(missing_ok=True)
        _checked.pop(path, None)
        total -= size


def _kept(folder: Path) -> list[tuple[int, int, Path]]:
    """(last use in ns, bytes, path) of every file of rows."""
    found = []
    for path in folder.glob("*.rows"):
        try:
            about = path.stat()
        except FileNotFoundError:  # deleted by another process
            continue
        found.append((about.st_atime_ns, about.st_size, path))
    return found
