"""Compressed float16 arrays: one file per video, written and read in blocks.

An .npz file of deflated blocks of rows. Each block stores the low bytes of all numbers before the high bytes (byte
shuffle), which groups similar bytes. This reduces speed maps to two thirds at 0.1 ms per frame; zstd is equally small
and faster, but needs another package (Experiments/E21).
"""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pixelplay.data.clips import ClipArray, RowFile
from pixelplay.errors import PixelPlayError
from pixelplay.files import check, sealed

BLOCK = 256
"""Rows per block."""
LEVEL = 1
"""Level of deflate; the highest level saves only three per cent more."""


def pack(path: Path, rows: ClipArray, digest: str) -> None:
    """Write (N, ...) float16 rows and the digest of their bytes atomically."""
    with sealed(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for start in range(0, len(rows), BLOCK):
            block = np.ascontiguousarray(rows[start:start + BLOCK])
            _add(archive, f"{start}", np.ascontiguousarray(block.view(np.uint8).reshape(-1, 2).T))
        _add(archive, "digest", np.array(digest))
        _add(archive, "shape", np.array(rows.shape[1:]))


def unpack(path: Path) -> Iterator[np.ndarray]:
    """Yield the blocks of a packed file in order: (n, ...) float16.

    Raises:
        PixelPlayError: missing, does not match its seal, or is no packed file.
    """
    check(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            shape = stored["shape"].tolist()
            for name in stored.files:
                if name.isdigit():
                    yield np.ascontiguousarray(stored[name].T).view(np.float16).reshape(-1, *shape)
    except FileNotFoundError:
        raise PixelPlayError(f"{path} is missing", hint="run stage 01_frame_extraction again") from None
    except (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile, zlib.error) as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause}", hint="run stage 01_frame_extraction again") from cause


def digest_in(path: Path) -> str:
    """The digest of the rows in a packed file."""
    with np.load(path, allow_pickle=False) as stored:
        return str(stored["digest"])


@dataclasses.dataclass(frozen=True)
class Unpack:
    """Makes the rows of a clip from its packed file; picklable."""

    path: Path

    def __call__(self, file: RowFile) -> None:
        row = 0
        for block in unpack(self.path):
            for values in block:
                file.write(row, values)
                row += 1


def _add(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, array, allow_pickle=False)
