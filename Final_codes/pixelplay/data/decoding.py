"""Decoding video files to uint8 RGB arrays.

Reads one file at a time; returns frames (H, W, 3) uint8 RGB, or None if a frame cannot be decoded. Frames are addressed
by their 0-based index in presentation order. PyAV decodes; Experiments/E08_decoders.csv compares alternatives.
"""

from __future__ import annotations

import array
import contextlib
import dataclasses
import functools
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from pixelplay.data.images import most_pixels
from pixelplay.errors import PixelPlayError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

log = logging.getLogger(__name__)

FORMATS = ("mov", "avi", "matroska", "mpeg", "mpegvideo", "mpegts", "asf", "flv", "ogg", "m4v", "h264", "hevc", "mjpeg",
           "mpjpeg", "ivf", "obu", "av1", "nut", "mxf", "gxf", "dv", "dhav", "vc1", "rm", "yuv4mpegpipe")
"""FFmpeg names of the accepted containers and raw streams. Playlists (HLS, ffconcat, DASH, SDP) are excluded, because
they open other files."""
USUAL_RATE = 25.0
"""Frames per second of a video that does not state a rate."""
PLAUSIBLE_RATES = (0.1, 1000.0)
"""Accepted frames per second; other values come from damaged headers or count ticks instead of frames."""
LEAST_BYTES = 16
"""Smallest size of a frame in a file, including its index entry. A header that states more frames than fit into the
file is ignored; smaller overstatements are accepted, because truncated files have them."""

HINT = "copy it again, or remove it from the folder"


@dataclasses.dataclass(frozen=True)
class VideoHeader:
    """Header of a video.

    Attributes:
        frames: number of frames.
        fps: average frames per second; 25.0 if missing or implausible.
        size: (H, W) in pixels as displayed.
    """

    frames: int
    fps: float
    size: tuple[int, int]


def import_av() -> ModuleType:
    """Import PyAV, which only video files need. Raises PixelPlayError if it is not installed."""
    try:
        import av
    except ImportError as cause:
        raise PixelPlayError(f"video files need PyAV, which cannot be imported: {cause}",
                             expected="the package av (folders of images are read without it)",
                             hint="pip install av") from cause
    return av


def probe(path: Path) -> VideoHeader:
    """Read the header of a video, its packets, and the orientation of its first frame.

    The number of frames is that of the header or the number of packets, whichever is larger: frames that are stated but
    missing are reported as unreadable. An impossible number in the header (see `LEAST_BYTES`) is ignored.

    Raises:
        PixelPlayError: the file is not regular, is no video, has an unknown codec or too large frames, or no frame can
            be decoded.
    """
    return _scan(*_identity(path))[0]


def _identity(path: Path) -> tuple[str, int, int]:
    """Cache key of a file: path, size, modification time."""
    try:
        stat = Path(path).stat()
        if not Path(path).is_file():
            raise PixelPlayError(f"{path} is no regular file", expected="a video file")
    except OSError as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause.strerror}", hint=HINT) from cause
    return str(path), stat.st_size, stat.st_mtime_ns


def open_container(address: str, **options: Any) -> InputContainer:
    """`av.open` for reading, tolerating metadata that is not UTF-8."""
    av = import_av()
    # PyAV 19 removed the argument and always tolerates such metadata
    old = int(av.__version__.split(".")[0]) < 19
    return av.open(address, **options, **({"metadata_errors": "ignore"} if old else {}))


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    """Open a video file; yields the container and its first video stream."""
    av = import_av()
    # 'file:' keeps FFmpeg from parsing 10:30.mp4 as a protocol; the allow lists keep a file from opening others
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}
    try:
        container = open_container(f"file:{path}", options=options)
    except av.error.FFmpegError as cause:
        raise PixelPlayError(f"{path} cannot be opened as a video: {cause.strerror}",
                             expected="a video file (mp4, avi, mov, mkv ...), not a playlist",
                             hint=HINT) from cause
    with container:
        if not container.streams.video:
            raise PixelPlayError(f"{path} holds no video stream", hint="remove it from the folder")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise PixelPlayError(f"{path} uses a codec that this FFmpeg does not support",
                                 hint="convert it, e.g. to H.264 in mp4, or remove it from the folder")
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > most_pixels():
            raise PixelPlayError(f"{path} declares frames of {width} x {height} pixels",
                                 expected=f"at most {most_pixels()} pixels",
                                 hint="copy it again; the environment variable PIXELPLAY_MOST_PIXELS raises the limit")
        # the frame size may also change within the stream
        stream.codec_context.options = {"max_pixels": str(min(most_pixels(), 2 ** 31 - 1))}
        yield container, stream


@functools.lru_cache(maxsize=16)
def _scan(path: str, size: int, modified: int) -> tuple[VideoHeader, np.ndarray | None]:
    """Header of a video, and the sorted presentation times (int64) of its packets, or None unless every packet has a
    unique time. Decodes only the first frame."""
    times, timed, hidden = array.array("q"), True, 0
    with _opened(path) as (container, stream):
        fps, promised = _rate(path, stream.average_rate, stream.guessed_rate), stream.frames
        try:
            for packet in container.demux(stream):
                if packet.size and packet.is_discard:
                    hidden += 1
                elif packet.size:
                    timed &= packet.pts is not None
                    times.append(packet.pts if packet.pts is not None else 0)
        except import_av().error.FFmpegError as cause:
            log.warning("%s: reading stopped after %d frames: %s", path, len(times), cause.strerror)
    first = _first_frame(path)
    if first is None:
        raise PixelPlayError(f"not one frame of {path} can be decoded", hint=HINT)
    shape = first.height, first.width
    frames = len(times)
    if promised > hidden and (promised - hidden) * LEAST_BYTES <= size:
        frames = max(frames, promised - hidden)
    elif promised - hidden > frames:
        log.warning("%s states %d frames in %d bytes, which is impossible: it holds %d", path, promised, size,
                    frames)
    ordered = np.unique(np.frombuffer(times, dtype=np.int64)) if timed and times else np.empty(0, np.int64)
    return (VideoHeader(frames, fps, shape[::-1] if _quarter_turns(first) % 2 else shape),
            ordered if len(ordered) == len(times) > 0 else None)


def _rate(path: str, *rates: Fraction | None) -> float:
    """The first plausible frame rate, else `USUAL_RATE`."""
    known = [float(rate) for rate in rates if rate]
    for rate in known:
        if PLAUSIBLE_RATES[0] <= rate <= PLAUSIBLE_RATES[1]:
            return rate
    if known:
        log.warning("%s states %g frames per second, which is implausible: using %g", path, known[0], USUAL_RATE)
    return USUAL_RATE


def _first_frame(path: str) -> av.VideoFrame | None:
    """The first frame that can be decoded, or None."""
    error = import_av().error.FFmpegError
    with _opened(path) as (container, stream), contextlib.suppress(error):
        for packet in container.demux(stream):
            with contextlib.suppress(error):
                for frame in packet.decode():
                    return frame
    return None


def video_frames(path: Path, indices: np.ndarray) -> Iterator[tuple[np.ndarray | None, bool]]:
    """Decode selected frames of a video file in one forward pass.

    Args:
        indices: sorted unique 0-based frame indices.
    Yields:
        (frame (H, W, 3) uint8 RGB, True) for a decoded frame; (nearest earlier decoded frame or None, False) for a
        frame that cannot be decoded.
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
    """Number of 90 degree turns to the left that make a frame upright (phones store rotated frames and a matrix)."""
    return round(getattr(frame, "rotation", 0) / 90) % 4


def _numbered(path: Path, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """(0-based index, frame not yet converted to RGB) in presentation order, starting at or before `first`.

    The index is the rank of the time stamp if every packet has one, so that a damaged packet does not shift the numbers
    after it; otherwise frames are counted.
    """
    times = _scan(*_identity(path))[1]
    error, count = import_av().error.FFmpegError, 0
    try:
        with _opened(path) as (container, stream):
            stream.thread_type = "AUTO"
            if times is not None and first > 60:
                container.seek(int(times[min(first, len(times) - 1)]), stream=stream, backward=True)
            for packet in container.demux(stream):
                try:
                    decoded = packet.decode()
                except error as cause:
                    log.warning("%s: a packet near frame %d is damaged: %s", path, count, cause.strerror)
                    continue
                for frame in decoded:
                    index = count if times is None else _rank(times, frame.pts)
                    if index is None or index < count:
                        continue
                    count = index + 1
                    yield index, frame
    except error as cause:
        log.warning("%s: decoding stopped after frame %d: %s", path, count - 1, cause.strerror)


def _rank(times: np.ndarray, pts: int | None) -> int | None:
    """Index of a time stamp in the sorted times; None if absent."""
    if pts is None:
        return None
    rank = int(np.searchsorted(times, pts))
    return rank if rank < len(times) and times[rank] == pts else None
