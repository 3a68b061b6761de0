"""Live frames from a camera, a network stream or a video file.

Frames that cannot be decoded are dropped. A connection that ends or yields no frames is opened again, with increasing
delays. Frame numbers continue in the meantime, so that lost frames appear as a gap. If a stream has no frame rate
(HTTP MJPEG), it is measured from the arrival times of the first frames. Messages never contain the passwords of
addresses.
"""

from __future__ import annotations

import collections
import datetime
import logging
import queue
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from pixelplay.data.decoding import open_container, probe, video_frames
from pixelplay.data.ids import is_number
from pixelplay.errors import PixelPlayError

log = logging.getLogger(__name__)

PATIENCE = 4.0
"""Length of the queue of a live source, in seconds; if it is full, frames are dropped until it is empty."""
MEASURE = 2.0
"""Duration of the measurement of an unknown frame rate, in seconds."""
FAILURES = 25
"""Largest number of consecutive undecodable frames before the stream is connected again."""
PAUSES = (0.5, 30.0)
"""First and largest delay between attempts to connect, in seconds; it doubles after every failure."""
PROTOCOLS = "http,https,httpproxy,tls,tcp,udp,rtp,srtp,rtsp,rtsps,rtmp,rtmps,srt,crypto"
"""Protocols that FFmpeg may use for network addresses. Local files are excluded, so that a remote playlist cannot read
them."""
RATELESS = ("mpjpeg", "mjpeg", "image2pipe", "jpeg_pipe")
"""FFmpeg formats without a frame rate, for which FFmpeg reports 25."""
SECRETS = re.compile(r"(://)[^/?#\s]*@|([?&;](?:pass\w*|pwd|token|key|auth\w*|secret|user\w*|login)=)[^&;#\s'\"]*",
                     re.IGNORECASE)


def masked(text: object) -> str:
    """Replace user names, passwords and tokens in the addresses of a text by ***."""
    return SECRETS.sub(lambda m: "://***@" if m[1] else f"{m[2]}***", str(text))


class Lost(Exception):
    """The connection yields no more frames; the text gives the reason."""


class Source:
    """The frames of a camera, a stream or a file.

    Use it as a context manager. Within it, Ctrl-C and SIGTERM end the frames instead of the program.

    Args:
        name: camera number, address with ://, or video file.
        timeout: seconds without a frame after which a stream is connected again.
        give_up: seconds without a frame after which the source is given up.
    Attributes:
        fps: frames per second; valid after entering.
        started: local time at which frame 0 arrived; None for a file.
        left_out: number of frames dropped because the queue was full.
        failed: number of frames that could not be decoded.
        reconnected: number of new connections after the first.
        given_up: whether the frames ended because the source was lost.
    Raises:
        PixelPlayError: the file does not exist; on entering, the source cannot be opened.
    """

    def __init__(self, name: str, *, timeout: float = 10.0, give_up: float = 300.0):
        self.name, self.shown, self.timeout, self.give_up = name, masked(name), timeout, give_up
        self.left_out, self.failed, self.reconnected, self.given_up = 0, 0, 0, False
        self.fps, self.started = 0.0, None
        self._stop, self._queue = threading.Event(), queue.Queue()
        self._first: list[tuple[int, np.ndarray]] = []
        self._mistake: BaseException | None = None
        # absolute, because FFmpeg takes a relative name such as 10:30.mp4 for an address
        self.file = Path(name).absolute() if not is_number(name) and "://" not in name else None
        if self.file is not None and not self.file.is_file():
            raise PixelPlayError(f"{name} is no video file", expected="a camera's number, an address with ://, or "
                                 "a video file", hint="check the path for spelling and mount point")

    def __enter__(self) -> Source:
        if self.file is not None:
            self.fps = probe(self.file).fps
        else:
            try:
                self._connection = self._connect()
            except Lost as cause:
                raise PixelPlayError(
                    f"{'camera ' if is_number(self.name) else ''}{self.shown} cannot be opened: {cause}",
                    expected="a camera's number, the address of a stream, or a video file",
                    hint="check that it is connected, that no other program uses it, that user name and password are "
                    "right, and that the address plays in another program") from cause
            self._last = time.monotonic()
            self.fps = self._connection.fps or self._measure()
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, lambda *_: self._stop.set()) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (frame number at the source's rate, (H, W, 3) uint8 RGB) in order.

        Numbers of dropped, undecodable or lost frames are skipped. Errors of the reader thread are raised here.
        """
        if self.file is not None:
            for i, (frame, readable) in enumerate(video_frames(self.file, np.arange(probe(self.file).frames))):
                if self._stop.is_set():
                    return
                if readable:
                    yield i, frame
                else:
                    self.failed += 1
            return
        waiting = self._queue = queue.Queue(max(2, round(PATIENCE * self.fps), len(self._first)))
        threading.Thread(target=self._run, args=(waiting,), daemon=True).start()
        while not self._stop.is_set():
            try:
                # short, so that Ctrl-C also works while the camera sends nothing
                item = waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            if item is None:
                if self._mistake is not None:
                    raise self._mistake
                return
            yield item

    @property
    def waiting(self) -> int:
        """Number of frames in the queue."""
        return self._queue.qsize()

    def time_of(self, index: float) -> datetime.datetime | None:
        """Local time at which a recent frame arrived; None for a file.

        The time is relative to the newest frame, because the error of a nominal frame rate accumulates over days.
        """
        if self.started is None:
            return None
        newest, arrived = self._newest
        return arrived + datetime.timedelta(seconds=(index - newest) / self.fps)

    # ---- inside -------------------------------------------------------------------------------------------------

    def _connect(self) -> Camera | Stream:
        return Camera(int(self.name)) if is_number(self.name) else Stream(self.name, self.timeout)

    def _measure(self) -> float:
        """Measure the frame rate in the second half of `MEASURE` seconds; buffered frames arrive in a burst before."""
        begin, times = time.monotonic(), []
        while (now := time.monotonic()) - begin < MEASURE:
            try:
                frame = self._connection.read()
            except (Lost, EOFError):
                break  # the reader thread fails in the same way and connects again
            if frame is None:
                self.failed += 1
            else:
                self._keep_time()
                self._first.append((len(self._first) + self.failed, frame))
                if now - begin >= MEASURE / 2:
                    times.append(time.monotonic())
        if len(times) < 2 or times[-1] == times[0]:
            log.warning("%s names no rate, and too few frames came to measure it: 25 frames a second are assumed",
                        self.shown)
            return 25.0
        found = float(np.clip((len(times) - 1) / (times[-1] - times[0]), 0.1, 240))
        log.info("%s names no rate; measured: %.3g frames a second", self.shown, found)
        return found

    def _keep_time(self) -> None:
        self._last = time.monotonic()
        self._arrived = datetime.datetime.now().astimezone()
        if self.started is None:
            self.started, self._clock = datetime.datetime.now().astimezone(), self._last

    def _run(self, waiting: queue.Queue) -> None:
        try:
            self._read(waiting)
        except Exception as mistake:  # noqa: BLE001 (`frames` raises it again)
            self._mistake = mistake
        finally:
            self._connection.close()
        while not self._stop.is_set():
            try:
                return waiting.put(None, timeout=0.2)
            except queue.Full:
                continue

    def _read(self, waiting: queue.Queue) -> None:
        for pair in self._first:
            self._newest = pair[0], self._arrived
            waiting.put(pair)
        index, failures, skipping, pause = len(self._first) + self.failed, 0, False, PAUSES[0]
        while not self._stop.is_set():
            try:
                frame = self._connection.read()
                failures = failures + 1 if frame is None else 0
                if failures > FAILURES:
                    raise Lost(f"{failures} frames in a row cannot be decoded")
            except EOFError:
                return
            except Lost as cause:
                if not self._again(cause, pause):
                    return
                # the numbers follow the clock, so that lost frames become a gap
                if self.started is not None:
                    index = max(index + 1, round((time.monotonic() - self._clock) * self.fps))
                failures, pause = 0, min(2 * pause, PAUSES[1])
                continue
            if frame is None:
                self.failed += 1
                if self.failed == 1:
                    log.warning("%s: frame %d cannot be decoded; such frames are left out", self.shown, index)
            else:
                pause = PAUSES[0]
                self._keep_time()
                self._newest = index, self._arrived
                # one long gap is better than many short ones, because no model uses frames across a gap
                skipping = waiting.full() or (skipping and not waiting.empty())
                if skipping:
                    self.left_out += 1
                else:
                    waiting.put((index, frame))
            index += 1

    def _again(self, why: Lost, pause: float) -> bool:
        """Connect again; returns False if the source is given up or was closed."""
        self._connection.close()
        log.warning("%s: %s; connecting again", self.shown, why)
        while not self._stop.is_set():
            left = self._last + self.give_up - time.monotonic()
            if left <= 0:
                self.given_up = True
                log.error("%s gave no frame for %.3g s: given up", self.shown, self.give_up)
                return False
            # the first attempt is immediate, unless the previous connection yielded no frame
            if pause > PAUSES[0] and self._stop.wait(min(pause / 2, left)):
                return False
            try:
                self._connection = self._connect()
            except Lost as cause:
                log.warning("%s: %s", self.shown, cause)
                pause = min(2 * pause, PAUSES[1])
                continue
            self.reconnected += 1
            return True
        return False


class Stream:
    """A connection to a network address through FFmpeg.

    Args:
        address: address with ://.
        timeout: longest time to connect and to wait for data, in seconds.
    Attributes:
        fps: nominal frame rate, or None.
        finite: whether the address is a recording of known length.
    Raises:
        Lost: the stream cannot be opened, or has ended.
        EOFError: a recording has ended.
    """

    def __init__(self, address: str, timeout: float):
        options = {"rtsp_transport": "tcp"} if address.lower().startswith("rtsp") else {}
        # a short analysis of the stream, because it delays the first frames
        options |= {"protocol_whitelist": "file" if address.lower().startswith("file:") else PROTOCOLS}
        options |= {"analyzeduration": "1000000", "fpsprobesize": "0"}
        try:
            self.container = open_container(address, timeout=(timeout, timeout), options=options)
        except (av.error.FFmpegError, OSError, ValueError) as cause:
            raise Lost(_words(cause)) from cause
        if not self.container.streams.video:
            self.container.close()
            raise Lost("there is no picture in it")
        stream = self.container.streams.video[0]
        named = stream.average_rate or stream.guessed_rate
        self.fps = float(named) if named and self.container.format.name not in RATELESS else None
        if self.fps is not None and not 0.1 <= self.fps <= 240:
            self.fps = None
        # the end of a stream of known length is not a lost connection
        self.finite = bool(self.container.duration or stream.frames)
        # in MJPEG every packet is a frame: a packet without one is corrupt
        self._single = stream.codec_context.name == "mjpeg"
        self._packets, self._ready = self.container.demux(stream), collections.deque()

    def read(self) -> np.ndarray | None:
        """The next frame (H, W, 3) uint8 RGB; None for one that cannot be decoded."""
        try:
            while not self._ready:
                packet = next(self._packets)
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    return None
                if not frames and self._single and packet.size:
                    return None
                self._ready.extend(frames)
            frame = self._ready.popleft()
            return None if frame.is_corrupt else frame.to_ndarray(format="rgb24")
        except (StopIteration, av.error.EOFError) as cause:
            if self.finite:
                raise EOFError from cause
            raise Lost("the stream ended") from cause
        except (av.error.FFmpegError, OSError) as cause:
            raise Lost(_words(cause)) from cause

    def close(self) -> None:
        """Close the connection."""
        self.container.close()


class Camera:
    """A local camera through OpenCV; attributes and errors as in `Stream`."""

    def __init__(self, number: int):
        # OpenCV's log of all attempted back ends would hide our error message
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self.capture = cv2.VideoCapture(number)
        if not self.capture.isOpened():
            raise Lost("there is none, or another program uses it")
        said = float(self.capture.get(cv2.CAP_PROP_FPS))
        self.fps = said if 1 <= said <= 240 else None

    def read(self) -> np.ndarray | None:
        """The next frame (H, W, 3) uint8 RGB; None for one that cannot be decoded."""
        there, frame = self.capture.read()
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if there else None

    def close(self) -> None:
        """Release the camera."""
        self.capture.release()


def _words(cause: Exception) -> str:
    """FFmpeg's error message without passwords."""
    if isinstance(cause, av.error.ExitError):
        return "nothing came in time"
    return masked(getattr(cause, "strerror", None) or cause)
