"""Decoding: image files and video files to uint8 RGB arrays.

Reads one file at a time; returns frames (H, W, 3) uint8 RGB as they are stored, or None where a frame cannot be
decoded. Video frames are addressed by their 0-based index in presentation order. PyAV decodes videos and OpenCV
JPEG images: Experiments/E08_decoders.csv compares them with the alternatives.
"""

from __future__ import annotations

import array
import contextlib
import dataclasses
import functools
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

# bound here, before anybody imports ultralytics: that replaces Image.open by one that wants to install a plug-in
# whenever a picture is damaged
from PIL.Image import open as open_image

from pixelplay.errors import PixelPlayError

if TYPE_CHECKING:
    import av

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class VideoHeader:
    """What a container says of its video.

    Attributes:
        frames: number of frames it promises.
        fps: average frames a second, 25.0 where it does not say.
        size: (H, W) in pixels as displayed.
    """

    frames: int
    fps: float
    size: tuple[int, int]


def import_av() -> ModuleType:
    """PyAV, imported where a video is opened: folders of images are read without it.

    Raises:
        PixelPlayError: it is not installed.
    """
    try:
        import av
    except ImportError as cause:
        raise PixelPlayError(f"video files need PyAV, which cannot be imported: {cause}",
                             expected="the package av (folders of images are read without it)",
                             mend="pip install av") from cause
    return av


def probe(path: Path) -> VideoHeader:
    """Read a video's header, its packets, and the orientation of its first frame.

    The number of frames is what the header promises or what the file holds, whichever is more: a frame that is
    promised and cannot be decoded is reported when it is read, it never goes missing.
    Raises:
        PixelPlayError: no video, or no frames.
    """
    return _scan(*_identity(path))[0]


def _identity(path: Path) -> tuple[str, int, int]:
    """What caches about a file key on: path, size, time of change."""
    stat = Path(path).stat()
    return str(path), stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=16)
def _scan(path: str, size: int, modified: int) -> tuple[VideoHeader, np.ndarray | None]:
    """A video's header, and the sorted presentation times (int64) of its packets; None unless every packet has its
    own. Nothing is decoded but the first frame."""
    mend = "copy it again, or remove it from the folder"
    av, times, timed, hidden = import_av(), array.array("q"), True, 0
    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise PixelPlayError(f"{path} holds no video stream", mend="remove it from the folder")
            stream = container.streams.video[0]
            fps, promised = float(stream.average_rate or stream.guessed_rate or 25.0), stream.frames
            shape = stream.codec_context.height, stream.codec_context.width
            for packet in container.demux(stream):
                if packet.size and packet.is_discard:
                    hidden += 1
                elif packet.size:
                    timed &= packet.pts is not None
                    times.append(packet.pts if packet.pts is not None else 0)
        with contextlib.suppress(av.error.FFmpegError), av.open(path) as container:
            first = next(container.decode(video=0), None)
            if first is not None and _quarter_turns(first) % 2:
                shape = shape[::-1]
    except av.error.FFmpegError as cause:
        raise PixelPlayError(f"{path} cannot be opened as a video: {cause.strerror}", mend=mend) from cause
    frames = max(promised - hidden, len(times))
    if frames <= 0:
        raise PixelPlayError(f"{path} holds no frames", mend=mend)
    ordered = np.unique(np.frombuffer(times, dtype=np.int64)) if timed and times else np.empty(0, np.int64)
    return VideoHeader(frames, fps, shape), ordered if len(ordered) == len(times) > 0 else None


def read_image(path: Path) -> np.ndarray | None:
    """Decode an image file to (H, W, 3) uint8 RGB; None where it is missing, empty, truncated or no image.

    Grey images are repeated in three channels, alpha is dropped, 16-bit values are divided by 257 and floating
    point values in [0, 1] multiplied by 255.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as cause:
        log.warning("%s cannot be read: %s", path, cause)
        return None
    if data[:2] == b"\xff\xd8":
        return _decode_jpeg(data)
    try:
        with open_image(io.BytesIO(data)) as image:
            return _to_rgb8(image)
    # Pillow's plugins raise these for damaged content; anything else is a defect and must surface
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None


def _decode_jpeg(data: bytes) -> np.ndarray | None:
    # libjpeg fills a truncated picture with grey and only warns, so the end marker is looked for first
    if b"\xff\xd9" not in data.rstrip(b"\0")[-4096:]:
        return None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def _to_rgb8(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64) / 257.0
    elif image.mode == "F":
        values = np.asarray(image, dtype=np.float64) * 255.0
    else:
        return np.array(image.convert("RGBA").convert("RGB") if image.mode == "P" else image.convert("RGB"))
    values = np.clip(np.nan_to_num(values), 0, 255)
    return np.repeat(np.rint(values).astype(np.uint8)[..., None], 3, axis=2)


def image_size(path: Path) -> tuple[int, int] | None:
    """(H, W) of an image from its header, None where it has no readable one."""
    try:
        with open_image(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def video_frames(path: Path, indices: np.ndarray) -> Iterator[tuple[np.ndarray | None, bool]]:
    """Decode some frames of a video file in one forward pass.

    Args:
        indices: sorted 0-based frame indices, repeats not allowed.
    Yields:
        (frame (H, W, 3) uint8 RGB, True) where the frame was decoded; (nearest earlier decoded frame or None,
        False) where it could not be.
    """
    wanted = iter(np.asarray(indices).tolist())
    target = next(wanted, None)
    last: av.VideoFrame | None = None
    if target is None:
        return
    with contextlib.closing(_numbered(path, target)) as numbered:
        for index, frame in numbered:
            while target is not None and target < index:
                yield (_rgb(last) if last is not None else None), False
                target = next(wanted, None)
            if target == index:
                yield _rgb(frame), True
                target = next(wanted, None)
            if target is None:
                return
            last = frame
    while target is not None:
        yield (_rgb(last) if last is not None else None), False
        target = next(wanted, None)


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    image, turns = frame.to_ndarray(format="rgb24"), _quarter_turns(frame)
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _quarter_turns(frame: av.VideoFrame) -> int:
    """Quarter turns to the left until a frame is upright: phones store sideways frames and a display matrix."""
    return round(getattr(frame, "rotation", 0) / 90) % 4


def _numbered(path: Path, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """(0-based index, frame not yet converted to RGB) in presentation order, from at most `first` on.

    Frames are counted; where the container times every packet, the index is the rank of the frame's time stamp
    instead, so a damaged packet in the middle does not renumber everything after it.
    """
    times = _scan(*_identity(path))[1]
    av, count = import_av(), 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if times is not None and first > 60:
                container.seek(int(times[min(first, len(times) - 1)]), stream=stream, backward=True)
            for packet in container.demux(stream):
                try:
                    decoded = packet.decode()
                except av.error.FFmpegError as cause:
                    log.warning("%s: a packet near frame %d is damaged: %s", path, count, cause.strerror)
                    continue
                for frame in decoded:
                    index = count if times is None else _rank(times, frame.pts)
                    if index is None or index < count:
                        continue
                    count = index + 1
                    yield index, frame
    except av.error.FFmpegError as cause:
        log.warning("%s: decoding stopped after frame %d: %s", path, count - 1, cause.strerror)


def _rank(times: np.ndarray, pts: int | None) -> int | None:
    """Position of a time stamp among the sorted ones, None where it is not one of them."""
    if pts is None:
        return None
    rank = int(np.searchsorted(times, pts))
    return rank if rank < len(times) and times[rank] == pts else None
