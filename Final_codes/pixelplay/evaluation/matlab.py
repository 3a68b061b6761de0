"""Strict reader of MATLAB files with numeric arrays and cell arrays of them, the form of labels and masks.

Reads version 5 to 7 files (MathWorks, "MAT-File Format"); makes arrays. Every size is checked before it is used:
SciPy's reader crashes the process on some damaged files.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import numpy as np

from pixelplay.errors import PixelPlayError

MOST_BYTES = 4 << 30
"""Bytes of one variable, unpacked: more than the label file of an hour's full-size masks needs."""
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _CLASSES = 1, {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}


def read_mat(path: Path) -> dict[str, np.ndarray]:
    """Name -> array, for every numeric variable and every cell array (object) of numeric ones; others are skipped.

    Raises:
        PixelPlayError: not a MATLAB file of version 5 to 7, or a damaged one.
    """
    expected = "a MATLAB file of version 5 to 7 (save -v7)"
    if not path.is_file():
        raise PixelPlayError(f"{path} is no file", expected=expected)
    try:
        return _variables(path.read_bytes())
    except (OSError, ValueError, zlib.error, struct.error) as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause}", expected=expected) from cause


def _variables(data: bytes) -> dict[str, np.ndarray]:
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or data[124:126] not in (b"\x00\x01", b"\x01\x00"):
        raise ValueError("it does not begin like one")
    found, at = {}, 128
    while at < len(data):
        kind, body, at = _element(data, at, order, padded=False)
        if kind == _COMPRESSED:
            unpacked = zlib.decompressobj()
            body = unpacked.decompress(body, MOST_BYTES)
            if not unpacked.eof:
                raise ValueError("a compressed variable is cut off or too large")
            kind, body, _ = _element(body, 0, order)
        if kind == _MATRIX:
            name, value = _matrix(body, order)
            if value is not None:
                found[name] = value
    return found


def _element(data: bytes, at: int, order: str, *, padded: bool = True) -> tuple[int, bytes, int]:
    """(type, content, offset of the next element) of the element at an offset."""
    kind, size = struct.unpack_from(f"{order}II", data, at)
    if kind >> 16:  # small data element: up to four bytes are stored in the tag itself
        kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
    else:
        start = at + 8
        end = start + size + (-size % 8 if padded else 0)
    if start + size > len(data) or (start == at + 4 and size > 4):
        raise ValueError("an element is longer than what holds it")
    return kind, data[start:start + size], end


def _matrix(data: bytes, order: str) -> tuple[str, np.ndarray | None]:
    """(name, value) of a matrix; the value is None for unsupported classes."""
    _, flags, at = _element(data, 0, order)
    _, sizes, at = _element(data, at, order)
    _, name, at = _element(data, at, order)
    word, = struct.unpack_from(f"{order}I", flags)
    shape = [int(n) for n in np.frombuffer(sizes, f"{order}i4")]
    if len(shape) < 2 or min(shape) < 0:
        raise ValueError(f"a matrix of sizes {shape}")
    label, count = name.decode("ascii", "replace"), math.prod(shape)
    if word & 0xFF == _CELL:
        if count * 8 > len(data) - at:
            raise ValueError(f"{label} promises more cells than there are")
        cells = np.empty(count, dtype=object)
        for k in range(count):
            kind, body, at = _element(data, at, order)
            value = _matrix(body, order)[1] if kind == _MATRIX and body else np.zeros((0, 0))
            if value is None:
                raise ValueError(f"{label} holds cells that are no numbers")
            cells[k] = value
        return label, cells.reshape(shape, order="F")
    if word & 0xFF not in _CLASSES:
        return label, None
    kind, body, _ = _element(data, at, order)
    if kind not in _TYPES or word & 0x800:
        raise ValueError(f"{label} is no array of real numbers")
    values = np.frombuffer(body, f"{order}{_TYPES[kind]}")
    if len(values) != count:
        raise ValueError(f"{label} holds {len(values)} numbers instead of {count}")
    # small integers are stored in fewer bytes than their class has
    return label, values.astype(_CLASSES[word & 0xFF]).reshape(shape, order="F")
