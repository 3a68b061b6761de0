"""Decoding image files to uint8 RGB arrays.

Reads one file at a time, header first; returns (H, W, 3) uint8 RGB, or None if it cannot be decoded. Only regular files
are opened. OpenCV decodes JPEG, Pillow everything else; Experiments/E08_decoders.csv compares alternatives.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import re
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

# bound before ultralytics is imported: it replaces Image.open by a function that tries to install a plug-in for every
# damaged image
from PIL.Image import open as open_image

from pixelplay.errors import PixelPlayError

log = logging.getLogger(__name__)

MOST_PIXELS = 89_478_485
"""Largest number of pixels of a frame, equal to Pillow's limit; the environment variable PIXELPLAY_MOST_PIXELS
overrides it. It protects the memory against small files that declare huge images."""
BYTES_A_PIXEL = 8
"""Largest size of a stored pixel (16-bit RGBA): files larger than `BYTES_A_PIXEL * most_pixels()` are not read."""

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9

_warned: set[tuple[str, str]] = set()


@functools.cache
def most_pixels() -> int:
    """Largest number of pixels of a frame: PIXELPLAY_MOST_PIXELS, or `MOST_PIXELS`.

    Raises:
        PixelPlayError: the variable is no positive integer.
    """
    text = os.environ.get("PIXELPLAY_MOST_PIXELS", str(MOST_PIXELS))
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text):
        raise PixelPlayError(f"PIXELPLAY_MOST_PIXELS is {text!r}",
                             expected="a positive number of pixels, e.g. 400000000")
    if int(text) > MOST_PIXELS:
        # Pillow has its own limit
        Image.MAX_IMAGE_PIXELS = int(text)
    return int(text)


def read_image(path: Path, bits: int = 16) -> np.ndarray | None:
    """Decode an image file to (H, W, 3) uint8 RGB; None if it is missing, empty, truncated, too large or no image.

    Grey images are repeated in three channels, and alpha is dropped. 16-bit images are scaled from `bits` to 8 bits,
    floating-point images from [0, 1] to [0, 255].

    Args:
        bits: number of bits used in 16-bit images (see `used_bits`).
    """
    data = _content(Path(path))
    if data is None:
        return None
    if data[:2] == b"\xff\xd8":
        return _decode_jpeg(path, data)
    try:
        with open_image(io.BytesIO(data)) as image:
            if _too_large(path, *image.size):
                return None
            pixels = _to_rgb8(image, data, bits)
            if _has_more_pages(image):
                _warn_once(path, "only the first page of a file is read")
            return pixels
    except MemoryError:
        raise
    except Exception as cause:  # noqa: BLE001  Pillow's plug-ins raise any type of exception for damaged files
        log.debug("%s cannot be decoded: %s", path, cause)
        return None


def image_size(path: Path) -> tuple[int, int] | None:
    """(H, W) of an image from its header; None if the header is unreadable or declares too large an image."""
    if not Path(path).is_file():
        return None
    try:
        with open_image(path) as image:
            width, height = image.size
    except MemoryError:
        raise
    except Exception as cause:  # noqa: BLE001  as above
        log.debug("%s has no readable header: %s", path, cause)
        return None
    return None if width * height == 0 or _too_large(path, width, height) else (height, width)


def used_bits(path: Path) -> int | None:
    """Number of bits of the largest value in a 16-bit image, at least 8; None for other or unreadable images."""
    if image_size(path) is None:
        return None
    data = _content(Path(path))
    if data is None or data[:2] == b"\xff\xd8":
        return None
    try:
        with open_image(io.BytesIO(data)) as image:
            values = _wide_values(image, data)
            return None if values is None else min(16, max(8, int(values.max()).bit_length()))
    except MemoryError:
        raise
    except Exception as cause:  # noqa: BLE001  as above
        log.debug("%s cannot be decoded: %s", path, cause)
        return None


def _content(path: Path) -> bytes | None:
    """Content of a regular file within the size limit, None otherwise."""
    try:
        if not path.is_file():
            # reading a pipe could block for ever
            _warn_once(path, "missing, or no regular file")
            return None
        if path.stat().st_size > BYTES_A_PIXEL * most_pixels():
            _warn_once(path, "larger than any frame that is decoded; PIXELPLAY_MOST_PIXELS raises the limit")
            return None
        return path.read_bytes()
    except OSError as cause:
        _warn_once(path, f"cannot be read: {cause.strerror}")
        return None


def _too_large(path: Path, width: int, height: int) -> bool:
    if width * height <= most_pixels():
        return False
    _warn_once(path, f"declares {width} x {height} pixels, more than the {most_pixels()} that are decoded; the "
                    "environment variable PIXELPLAY_MOST_PIXELS raises the limit")
    return True


def _warn_once(path: Path, what: str) -> None:
    """Log a warning once per folder and reason: there may be thousands of such files."""
    key = str(Path(path).parent), what
    if key not in _warned:
        _warned.add(key)
        log.warning("%s: %s (reported once per folder)", path, what)


def _decode_jpeg(path: Path, data: bytes) -> np.ndarray | None:
    header = _jpeg_header(data)
    # libjpeg fills a truncated image with grey and only warns, so check for the end marker first; phones may append
    # data after it (a second image, a short video)
    if header is None or data.find(bytes((0xFF, _END)), header[2]) < 0 or _too_large(path, header[1], header[0]):
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as cause:
        log.debug("%s cannot be decoded: %s", path, cause)
        return None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def _jpeg_header(data: bytes) -> tuple[int, int, int] | None:
    """(H, W, offset of the first scan) of a JPEG; None if its header is incomplete."""
    at, size = 2, None
    while (found := _MARKER.search(data, at)) is not None:
        kind, at = found.group(1)[0], found.end()
        if kind in _BARE_MARKERS:
            continue
        if kind == _END:
            return None
        if kind in _FRAME_HEADERS:
            size = int.from_bytes(data[at + 3:at + 5], "big"), int.from_bytes(data[at + 5:at + 7], "big")
        if kind == _SCAN:
            return None if size is None else (*size, at)
        at += max(2, int.from_bytes(data[at:at + 2], "big"))
    return None


def _has_more_pages(image: Image.Image) -> bool:
    # Pillow counts the pages of a TIFF by reading all of them and fails if a later one is damaged
    return bool(image.tag_v2.next) if image.format == "TIFF" else getattr(image, "n_frames", 1) > 1


def _to_rgb8(image: Image.Image, data: bytes, bits: int) -> np.ndarray:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64) * (255.0 / ((1 << bits) - 1))
    elif image.mode == "F":
        values = np.asarray(image, dtype=np.float64) * 255.0
    elif bits < 16 and (wide := _wide_values(image, data)) is not None:
        values = wide * (255.0 / ((1 << bits) - 1))
    else:
        return np.array(image.convert("RGBA").convert("RGB") if image.mode == "P" else image.convert("RGB"))
    values = np.rint(np.clip(np.nan_to_num(values), 0, 255)).astype(np.uint8)
    return values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)


def _wide_values(image: Image.Image, data: bytes) -> np.ndarray | None:
    """(H, W) or (H, W, 3) values of a 16-bit image; None for other images."""
    if image.mode.startswith("I"):
        return np.asarray(image)
    if image.format != "PNG" or data[24] != 16:
        return None
    # Pillow reduces 16-bit colour to 8 bits, so OpenCV decodes it; Pillow loads first because it detects truncation
    image.load()
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return values if values.ndim == 2 else cv2.cvtColor(values[..., :3], cv2.COLOR_BGR2RGB)
