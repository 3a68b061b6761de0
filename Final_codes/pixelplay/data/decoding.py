"""Video files to uint8 RGB arrays.

Reads one file at a time; returns frames (H, W, 3) uint8 RGB as they are stored, or None where a frame cannot be
decoded. Frames are addressed by their 0-based index in presentation order. PyAV decodes:
Experiments/E08_decoders.csv compares it with the alternatives.
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
"""FFmpeg's names of the containers and raw streams that are read, whatever a file is called. Playlists (HLS, ffconcat,
DASH, SDP) are not among them: they would open other files."""
USUAL_RATE = 25.0
"""Frames a second of a video that does not say."""
PLAUSIBLE_RATES = (0.1, 1000.0)
"""Frames a second outside of which a header is damaged, or counts ticks rather than frames."""
LEAST_BYTES = 16
"""Bytes the smallest frame takes in a file, its entry in the index included. A header that promises more frames than
the file has room for is not believed; one of a file that was cut off is, up to there."""

MEND = "copy it again, or remove it from the folder"


@dataclasses.dataclass(frozen=True)
class VideoHeader:
    """What a container says of its video.

    Attributes:
        frames: number of frames it promises.
        fps: average frames a second, 25.0 where it does not say or what it says is not plausible.
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
                             hint="pip install av") from cause
    return av


def probe(path: Path) -> VideoHeader:
    """Read a video's header, its packets, and the orientation of its first frame.

    The number of frames is what the header promises or what the file holds, whichever is more: a frame that is
    promised and cannot be decoded is reported when it is read, it never goes missing. A promise the file has no room
    for (see `LEAST_BYTES`) does not count.
    Raises:
        PixelPlayError: no regular file, no video, an unknown codec, too large a picture, or no frame that can be
            decoded.
    """
    return _scan(*_identity(path))[0]


def _identity(path: Path) -> tuple[str, int, int]:
    """What caches about a file key on: path, size, time of change."""
    try:
        stat = Path(path).stat()
        if not Path(path).is_file():
            raise PixelPlayError(f"{path} is no regular file", expected="a video file")
    except OSError as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause.strerror}", hint=MEND) from cause
    return str(path), stat.st_size, stat.st_mtime_ns


def open_container(address: str, **options: Any) -> InputContainer:
    """`av.open` for reading, of a container whose title or other metadata need not be UTF-8."""
    av = import_av()
    # since version 19 PyAV reads such metadata by itself and does not know the argument
    old = int(av.__version__.split(".")[0]) < 19
    return av.open(address, **options, **({"metadata_errors": "ignore"} if old else {}))


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    """A video file and its first video stream, ready to be decoded."""
    av = import_av()
    # 'file:' keeps FFmpeg from reading 10:30.mp4 as a protocol, the white lists keep one file from opening others
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}
    try:
        container = open_container(f"file:{path}", options=options)
    except av.error.FFmpegError as cause:
        raise PixelPlayError(f"{path} cannot be opened as a video: {cause.strerror}",
                             expected="a video file with frames of its own (mp4, avi, mov, mkv ...), no playlist",
                             hint=MEND) from cause
    with container:
        if not container.streams.video:
            raise PixelPlayError(f"{path} holds no video stream", hint="remove it from the folder")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise PixelPlayError(f"{path} is coded in a way this FFmpeg does not know",
                                 hint="convert it, e.g. to H.264 in mp4, or remove it from the folder")
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > most_pixels():
            raise PixelPlayError(f"{path} declares frames of {width} x {height} pixels",
                                 expected=f"at most {most_pixels()} pixels",
                                 hint="copy it again; the environment variable PIXELPLAY_MOST_PIXELS raises the limit")
        # the size may change on the way as well
        stream.codec_context.options = {"max_pixels": str(min(most_pixels(), 2 ** 31 - 1))}
        yield container, stream


@functools.lru_cache(maxsize=16)
def _scan(path: str, size: int, modified: int) -> tuple[VideoHeader, np.ndarray | None]:
    """A video's header, and the sorted presentation times (int64) of its packets; None unless every packet has its
    own. Nothing is decoded but the first frame."""
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
        raise PixelPlayError(f"not one frame of {path} can be decoded", hint=MEND)
    shape = first.height, first.width
    frames = len(times)
    if promised > hidden and (promised - hidden) * LEAST_BYTES <= size:
        frames = max(frames, promised - hidden)
    elif promised - hidden > frames:
        log.warning("%s promises %d frames in %d bytes, which is not believed: it holds %d", path, promised, size,
                    frames)
    ordered = np.unique(np.frombuffer(times, dtype=np.int64)) if timed and times else np.empty(0, np.int64)
    return (VideoHeader(frames, fps, shape[::-1] if _quarter_turns(first) % 2 else shape),
            ordered if len(ordered) == len(times) > 0 else None)


def _rate(path: str, *rates: Fraction | None) -> float:
    """The first plausible one of some frame rates."""
    known = [float(rate) for rate in rates if rate]
    for rate in known:
        if PLAUSIBLE_RATES[0] <= rate <= PLAUSIBLE_RATES[1]:
            return rate
    if known:
        log.warning("%s says %g frames a second, which is not believed: %g is taken", path, known[0], USUAL_RATE)
    return USUAL_RATE


def _first_frame(path: str) -> av.VideoFrame | None:
    """The first frame that can be decoded."""
    error = import_av().error.FFmpegError
    with _opened(path) as (container, stream), contextlib.suppress(error):
        for packet in container.demux(stream):
            with contextlib.suppress(error):
                for frame in packet.decode():
                    return frame
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
    """Position of a time stamp among the sorted ones, None where it is not one of them."""
    if pts is None:
        return None
    rank = int(np.searchsorted(times, pts))
    return rank if rank < len(times) and times[rank] == pts else None
