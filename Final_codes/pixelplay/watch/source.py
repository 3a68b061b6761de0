"""Where live frames come from: a camera, the address of a stream, or a video file.

A stream is not as reliable as a file: a frame that cannot be decoded is left out, a connection that ends or gives
nothing for a while is made anew with growing pauses, and the frame numbers keep counting meanwhile, so that whoever
reads them sees a gap. A stream that names no rate (HTTP MJPEG) has it measured from the arrival of its first frames.
Passwords in addresses are masked wherever an address is shown.
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
"""Seconds of a camera's frames that may wait before a stretch is left out."""
MEASURE = 2.0
"""Seconds over which the rate of a stream that names none is measured."""
FAILURES = 25
"""Frames in a row that may be unreadable before the connection is made anew."""
PAUSES = (0.5, 30.0)
"""Seconds before the second attempt to connect; doubled with each further one, up to the second number."""
PROTOCOLS = "http,https,httpproxy,tls,tcp,udp,rtp,srtp,rtsp,rtsps,rtmp,rtmps,srt,crypto"
"""What FFmpeg may open for an address of the network: a playlist from there names no file of this machine."""
RATELESS = ("mpjpeg", "mjpeg", "image2pipe", "jpeg_pipe")
"""FFmpeg's formats without a rate of their own; it says 25 of them."""
SECRETS = re.compile(r"(://)[^/?#\s]*@|([?&;](?:pass\w*|pwd|token|key|auth\w*|secret|user\w*|login)=)[^&;#\s'\"]*",
                     re.IGNORECASE)


def masked(text: object) -> str:
    """A text without the user names and passwords of the addresses in it."""
    return SECRETS.sub(lambda m: "://***@" if m[1] else f"{m[2]}***", str(text))


class Lost(Exception):
    """A connection that gives no more frames; its text says why."""


class Source:
    """Frames of a camera, a stream or a file. Open it in a `with`, where Ctrl-C ends the frames and not the program.

    Args:
        name: a camera's number, an address with ://, or a file.
        timeout: seconds without a frame after which a stream is connected anew.
        give_up: seconds without a frame after which it is given up.
    Attributes:
        fps: frames a second; known inside the `with`.
        started: when frame 0 came, local time; None for a file, which does not know.
        left_out: frames that came while the queue was full.
        failed: frames that could not be decoded.
        reconnected: how often the connection was made anew.
        given_up: whether the frames ended because the source was lost.
    Raises:
        PixelPlayError: no such file; on entering, it cannot be opened.
    """

    def __init__(self, name: str, *, timeout: float = 10.0, give_up: float = 300.0):
        self.name, self.shown, self.timeout, self.give_up = name, masked(name), timeout, give_up
        self.left_out, self.failed, self.reconnected, self.given_up = 0, 0, 0, False
        self.fps, self.started = 0.0, None
        self._stop, self._queue = threading.Event(), queue.Queue()
        self._first: list[tuple[int, np.ndarray]] = []
        self._mistake: BaseException | None = None
        # absolute: a name such as 10:30.mp4 would be taken for an address
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
        """(number of the frame at the source's rate, (H, W, 3) uint8 RGB), in order; numbers jump where frames were
        left out, unreadable or lost."""
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
                # a camera that hangs must not keep Ctrl-C waiting
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
        """Frames that came and were not taken yet."""
        return self._queue.qsize()

    def time_of(self, index: float) -> datetime.datetime | None:
        """When a recent frame came, local time; None for a file.

        Counted back from the newest frame: a camera's rate is never quite the one it names, and days add up.
        """
        if self.started is None:
            return None
        newest, arrived = self._newest
        return arrived + datetime.timedelta(seconds=(index - newest) / self.fps)

    # ---- inside -------------------------------------------------------------------------------------------------

    def _connect(self) -> Camera | Stream:
        return Camera(int(self.name)) if is_number(self.name) else Stream(self.name, self.timeout)

    def _measure(self) -> float:
        """Frames a second, from the second half of `MEASURE` seconds: what was buffered comes in a burst first."""
        begin, times = time.monotonic(), []
        while (now := time.monotonic()) - begin < MEASURE:
            try:
                frame = self._connection.read()
            except (Lost, EOFError):
                break  # the reader meets it again, and connects anew
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
        except Exception as mistake:  # noqa: BLE001 (raised again by whoever takes the frames)
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
                # numbers go on with the clock: what was missed is a gap
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
                # one long hole costs the models less than many short ones: none of them looks across a hole
                skipping = waiting.full() or (skipping and not waiting.empty())
                if skipping:
                    self.left_out += 1
                else:
                    waiting.put((index, frame))
            index += 1

    def _again(self, why: Lost, pause: float) -> bool:
        """Connect anew; False when the source is given up, or the frames are no longer wanted."""
        self._connection.close()
        log.warning("%s: %s; connecting again", self.shown, why)
        while not self._stop.is_set():
            left = self._last + self.give_up - time.monotonic()
            if left <= 0:
                self.given_up = True
                log.error("%s gave no frame for %.3g s: given up", self.shown, self.give_up)
                return False
            # the first attempt comes at once, unless the last connection gave nothing either
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
    """A connection to an address, through FFmpeg.

    Attributes:
        fps: the rate the stream names, or None.
    Raises:
        Lost: it cannot be opened, or ended; EOFError: a recording behind an address came to its end.
    """

    def __init__(self, address: str, timeout: float):
        options = {"rtsp_transport": "tcp"} if address.lower().startswith("rtsp") else {}
        # little is looked at before the first frame: what is buffered meanwhile is late
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
        # a stream of known length is a recording: its end is no loss
        self.finite = bool(self.container.duration or stream.frames)
        # every packet is a picture, and one that gives none is broken
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
        """End the connection."""
        self.container.close()


class Camera:
    """A camera of this machine, through OpenCV; attributes and errors as of `Stream`."""

    def __init__(self, number: int):
        # its own words of what every back end tried would hide ours
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
    """What FFmpeg says, without the address and its password."""
    if isinstance(cause, av.error.ExitError):
        return "nothing came in time"
    return masked(getattr(cause, "strerror", None) or cause)
