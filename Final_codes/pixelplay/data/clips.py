"""Frames (or maps of them) that are decoded when they are asked for, video by video, and look like one array.

What can be decoded again is not kept: a `Clip` knows how the rows of one video are made and what their digest is. Rows
that were asked for lie in a scratch folder, one plain file a video (row after row, no header), named after their
content. Every process of a machine shares it. It holds no more than `most_bytes` (or one video, where that is more) and
may be deleted at any time. Rows are read with plain reads, because the pages of a mapped file would count as memory.

The scratch folder is `$PIXELPLAY_SCRATCH`, or `pixelplay-<user>` in the system's place for temporary files ($TMPDIR).
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
from pixelplay.files import clear_errors, digest_of

log = logging.getLogger(__name__)

LEAST_BYTES, LARGEST = 1e9, 32e9
"""Between these lies what the scratch folder may hold. Training reads frames in random order: where its footage does
not fit, videos are decoded again and again. The competition's frames are 14 GB."""
OPEN = 32
"""Files that an array keeps open."""

_checked: dict[Path, tuple[int, int, int]] = {}
_making = threading.RLock()
"""Held while a clip is made; the same thread may need another clip to make it from."""


class RowFile:
    """The rows of one video in a file, to be written and read in any order, by several threads."""

    handle = -1

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: type, *, new: bool = False):
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self.step = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        self.handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC if new else os.O_RDONLY, 0o600)

    def read(self, row: int) -> np.ndarray:
        """One row, a copy."""
        out = np.empty(self.shape, self.dtype)
        self.read_into(row, out)
        return out

    def read_into(self, row: int, out: np.ndarray) -> None:
        """Fill a contiguous array of the row's shape."""
        data = os.pread(self.handle, self.step, row * self.step)
        if len(data) != self.step:
            raise OSError(f"{self.path} ends before row {row}")
        out.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)

    def write(self, row: int, value: np.ndarray) -> None:
        """Set one row. Raises ValueError: another shape or dtype."""
        if value.shape != self.shape or value.dtype != self.dtype:
            raise ValueError(f"row {row} of {self.path} is {self.shape} {self.dtype}, not {value.shape} {value.dtype}")
        data = np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
        written = os.pwrite(self.handle, data, row * self.step)
        while written < self.step:  # a full disk writes a part before it says so
            written += os.pwrite(self.handle, data[written:], row * self.step + written)

    def close(self) -> None:
        """Give the handle back."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    def __del__(self) -> None:
        self.close()


Make = Callable[[RowFile], None]
"""Writes every row of a video."""


@dataclasses.dataclass(frozen=True)
class Clip:
    """The rows of one video.

    Attributes:
        key: names their content: of the video, and of what is done with it.
        count: number of rows.
        make: writes them; it can be pickled.
        digest: BLAKE2b of the rows as `make` wrote them the first time; '' where that was never done.
        name: of the video, for errors.
    """

    key: str
    count: int
    make: Make = dataclasses.field(compare=False, repr=False)
    digest: str = ""
    name: str = ""


class ClipArray:
    """(N, ...) rows of several clips, one after the other: read-only, sliced and indexed like an array; what is asked
    for is copied.

    Args:
        clips: in order.
        shape: of one row.
    """

    def __init__(self, clips: Sequence[Clip], shape: tuple[int, ...], dtype: type):
        self.clips, self.dtype = list(clips), np.dtype(dtype)
        self.starts = np.concatenate([[0], np.cumsum([c.count for c in self.clips], dtype=np.int64)]).astype(np.int64)
        self.shape = (int(self.starts[-1]), *shape)
        self._files: collections.OrderedDict[int, RowFile] = collections.OrderedDict()
        self._lock = threading.Lock()

    @property
    def ndim(self) -> int:
        """Axes of the array."""
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
        """Rows from the clip that begins at `start` to the one that ends at `stop`. Raises ValueError: none does."""
        first, last = (int(np.searchsorted(self.starts, edge)) for edge in (start, stop))
        if self.starts[first] != start or self.starts[last] != stop:
            raise ValueError(f"rows {start} to {stop} are no whole clips")
        return ClipArray(self.clips[first:last], self.shape[1:], self.dtype)

    def clip_around(self, row: int) -> tuple[int, int]:
        """First row of the clip that holds a row, and the first after it."""
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
                    self._files.popitem(last=False)  # closed once no thread reads it
            self._files.move_to_end(place)
        return file, number - int(self.starts[place])


def open_clip(clip: Clip, shape: tuple[int, ...], dtype: type) -> RowFile:
    """A clip's rows: those in the scratch folder where they are right, else made again.

    Raises:
        PixelPlayError: they are not what they were, because the video (or a library that decodes it) has changed.
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
    """Write a clip's rows into the scratch folder; returns their digest."""
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
    _checked[path] = _state(path)
    return digest


def scratch_folder() -> Path:
    """Where decoded rows lie, made where it is missing.

    Raises:
        PixelPlayError: somebody else's folder is in its place, or it cannot be made.
    """
    place = os.environ.get("PIXELPLAY_SCRATCH")
    folder = Path(place or Path(tempfile.gettempdir()) / f"pixelplay-{os.getuid()}")
    with clear_errors(folder / "rows"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PixelPlayError(f"{folder} belongs to another user", hint="name a folder of your own in PIXELPLAY_SCRATCH")
    return folder


def most_bytes(folder: Path) -> float:
    """Bytes of the scratch folder beyond which the files that were not used for longest are deleted: those of
    `$PIXELPLAY_SCRATCH_GB`, else half of what its disk has for them, within bounds."""
    named = os.environ.get("PIXELPLAY_SCRATCH_GB")
    return float(named) * 1e9 if named else min(max(free_bytes(folder) / 2, LEAST_BYTES), LARGEST)


def free_bytes(folder: Path) -> int:
    """Bytes that the scratch folder's disk has for rows: what is free, and what rows take up already."""
    return shutil.disk_usage(folder).free + sum(size for _, size, _ in _kept(folder))


def _is_right(path: Path, clip: Clip, step: int) -> bool:
    """Whether a file holds a clip's rows; its digest is looked at once a process, as long as it stays as it is."""
    about = path.stat()
    if about.st_size != clip.count * step:
        return False
    if _checked.get(path) != _state(path):
        if not clip.digest or digest_of(path) != clip.digest:
            return False
        _checked[path] = _state(path)
    os.utime(path, ns=(max(about.st_atime_ns, time.time_ns()), about.st_mtime_ns))
    return True


def _state(path: Path) -> tuple[int, int, int]:
    about = path.stat()
    return about.st_size, about.st_mtime_ns, about.st_ino


def _make_room(folder: Path, needed: int) -> None:
    """Delete the files that were not used for longest until `needed` more bytes fit into `most_bytes`. Who has one open
    reads on in it."""
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
        except FileNotFoundError:  # another process was faster
            continue
        found.append((about.st_atime_ns, about.st_size, path))
    return found
