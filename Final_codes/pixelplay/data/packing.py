"""Arrays of half-precision numbers, packed: one file a video, written and read in blocks.

An .npz file of deflated blocks of rows, in each the low bytes of all numbers before the high ones: alike bytes lie
together. On speed maps this takes two thirds of the bytes at a tenth of a millisecond a frame; zstd is as small and
faster, and would be another package (Experiments/E21).
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
"""Rows of a block."""
LEVEL = 1
"""Of deflate: the highest one saves three per cent more."""


def pack(path: Path, rows: ClipArray, digest: str) -> None:
    """Write (N, ...) float16 rows in one step, with the digest of their bytes."""
    with sealed(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for start in range(0, len(rows), BLOCK):
            block = np.ascontiguousarray(rows[start:start + BLOCK])
            _add(archive, f"{start}", np.ascontiguousarray(block.view(np.uint8).reshape(-1, 2).T))
        _add(archive, "digest", np.array(digest))
        _add(archive, "shape", np.array(rows.shape[1:]))


def unpack(path: Path) -> Iterator[np.ndarray]:
    """The blocks of a packed file, in order: (n, ...) float16.

    Raises:
        PixelPlayError: missing, not what was sealed, or no such file.
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
    """The digest of a packed file's rows."""
    with np.load(path, allow_pickle=False) as stored:
        return str(stored["digest"])


@dataclasses.dataclass(frozen=True)
class Unpack:
    """Makes the rows of a clip from its packed file. It can be pickled."""

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
