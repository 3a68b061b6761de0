"""A camera for experiments: footage in an endless loop over HTTP MJPEG, in real time, in its own process.

Reads a video or a folder of images. A client gets the frame that is due now: a slow reader loses no frames here but
falls behind, as with a real camera. The connection can be cut, and refused for a while.
"""

from __future__ import annotations

import multiprocessing
import socket
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from pixelplay.data.decoding import probe, video_frames


def jpegs(place: Path, size: tuple[int, int] | None, most: int = 1500) -> list[bytes]:
    """The frames of a video or a folder of pictures as JPEGs of `size` (height, width), their own where None."""
    if Path(place).is_dir():
        pictures = (cv2.imread(str(p)) for p in sorted(Path(place).iterdir()) if p.suffix in (".jpg", ".png"))
    else:
        count = min(most, probe(Path(place)).frames)
        pictures = (f[..., ::-1] for f, readable in video_frames(Path(place), np.arange(count)) if readable)
    return [cv2.imencode(".jpg", p if size is None else cv2.resize(p, size[::-1], interpolation=cv2.INTER_AREA))[1]
            .tobytes() for p in pictures]


class CameraServer:
    """Use it in a `with`.

    Args:
        places: footage, played one after the other; size: (height, width); fps: frames a second.
    """

    def __init__(self, places: list[Path], size: tuple[int, int] | None, fps: float):
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(places, size, fps, other), daemon=True)

    def __enter__(self) -> CameraServer:
        self.process.start()
        self.address = f"http://127.0.0.1:{self.pipe.recv()}/video"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.join()

    def cut(self, seconds: float) -> None:
        """End all connections, and refuse new ones for a while."""
        self.pipe.send(seconds)


def _serve(places: list[Path], size: tuple[int, int] | None, fps: float, pipe) -> None:
    parts = [part for place in places for part in jpegs(place, size)]
    listener = socket.create_server(("127.0.0.1", 0))
    pipe.send(listener.getsockname()[1])
    state = {"until": 0.0, "number": 0}

    def cuts() -> None:
        while True:
            state["until"] = time.monotonic() + pipe.recv()
            state["number"] += 1

    def talk(connection: socket.socket) -> None:
        number = state["number"]
        try:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
            due = time.monotonic()
            while state["number"] == number:
                part = parts[int(due * fps) % len(parts)]
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(part)}\r\n\r\n"
                connection.sendall(head.encode() + part + b"\r\n")
                due += 1 / fps
                time.sleep(max(0.0, due - time.monotonic()))
        except OSError:
            pass  # the reader may go at any time
        finally:
            connection.close()

    threading.Thread(target=cuts, daemon=True).start()
    while True:
        connection, _ = listener.accept()
        if time.monotonic() < state["until"]:
            connection.close()
        else:
            threading.Thread(target=talk, args=(connection,), daemon=True).start()
