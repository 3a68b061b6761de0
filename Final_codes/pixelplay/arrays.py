"""NumPy files with digests: every .npy and .npz of the project is written and read here.

Files are sealed (see `files`). A file that cannot be read raises a PixelPlayError that names it and how to recreate it.
Disk blocks of memory-mapped files are allocated before the first write, because a mapped write to a full disk kills the
process with SIGBUS.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pixelplay.errors import PixelPlayError
from pixelplay.files import check, clear_errors, sealed

AGAIN = "run its stage again"


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an .npy file atomically."""
    with sealed(path) as part, part.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def write_arrays(path: Path, *, compress: bool = False, **arrays: np.ndarray) -> None:
    """Write an .npz file atomically."""
    with sealed(path) as part, part.open("wb") as stream:
        (np.savez_compressed if compress else np.savez)(stream, **arrays)


@contextlib.contextmanager
def new_array(path: Path, shape: tuple[int, ...], dtype: type) -> Iterator[np.ndarray]:
    """Yield a memory-mapped array of zeros to fill; it gets its final name and seal when the block ends."""
    with sealed(path) as part:
        if 0 in shape:
            with part.open("wb") as stream:
                np.save(stream, np.zeros(shape, dtype))
            yield np.zeros(shape, dtype)
            return
        array = np.lib.format.open_memmap(part, "w+", dtype, shape)
        _allocate(part)
        yield array
        array.flush()


def scratch_array(shape: tuple[int, ...], dtype: type, folder: Path | None = None) -> np.memmap:
    """A temporary memory-mapped array of zeros, for data that may exceed the memory.

    Args:
        folder: where the file is created; None for the system's temporary folder. The file is unnamed and disappears
            with the array.
    """
    place = Path(folder or tempfile.gettempdir())
    with clear_errors(place / "scratch"):
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, prefix=".scratch-") as stream:
            stream.truncate(max(1, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize))
            _allocate(Path(stream.name))
            return np.memmap(stream, dtype, "r+", shape=shape)


def read_array(path: Path, *, mapped: bool = False, hint: str = AGAIN) -> np.ndarray:
    """Read or memory-map (read-only) an .npy file.

    Raises:
        PixelPlayError: missing, does not match its seal, or is no .npy file.
    """
    path = Path(path)
    check(path)
    try:
        if mapped:
            # empty arrays cannot be mapped and are loaded instead
            with contextlib.suppress(ValueError):
                return np.lib.format.open_memmap(path, mode="r")
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise PixelPlayError(f"{path} is missing", hint=hint) from None
    except (ValueError, EOFError, OSError) as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause}", expected="a complete .npy file", hint=hint) from cause


def read_arrays(path: Path, *, hint: str = AGAIN) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz file; errors as in `read_array`."""
    path = Path(path)
    check(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {k: stored[k] for k in stored.files}
    except FileNotFoundError:
        raise PixelPlayError(f"{path} is missing", hint=hint) from None
    except (ValueError, EOFError, OSError, AttributeError, TypeError, zipfile.BadZipFile,
            zlib.error) as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause}", expected="a complete .npz file", hint=hint) from cause


def _allocate(path: Path) -> None:
    """Allocate the disk blocks of a sparse file."""
    with path.open("r+b") as stream:
        size = os.fstat(stream.fileno()).st_size
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, size)
            return
        for start in range(0, size, 1 << 20):  # macOS: rewriting the content allocates the blocks
            stream.seek(start)
            block = stream.read(1 << 20)
            stream.seek(start)
            stream.write(block)
