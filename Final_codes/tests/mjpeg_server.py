"""A camera that speaks HTTP MJPEG on loopback, and misbehaves as it is told.

    with MjpegServer([[picture(i) for i in range(10)], ...]) as server:   # a list of parts for each connection
        Source(server.address)

A part is the bytes of a JPEG, or a number: seconds of silence (ended early when the server is closed). When a list is
at its end the connection is closed; when all lists are used up, new connections are refused.
"""

from __future__ import annotations

import contextlib
import socket
import threading

import cv2
import numpy as np


def picture(level: int, size: tuple[int, int] = (48, 64)) -> bytes:
    """A JPEG of one grey level."""
    return cv2.imencode(".jpg", np.full((*size, 3), level, np.uint8))[1].tobytes()


def textured(level: int, number: int = 0, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """An (H, W, 3) frame of a mean grey level with a pattern, and a corner that differs between numbers."""
    stripes = np.where(np.arange(size[1]) // 8 % 2, 30, -30)[None, :, None]
    frame = np.clip(np.full((*size, 3), level) + stripes, 0, 255).astype(np.uint8)
    frame[:8, :8] = 40 + 12 * (number % 16)
    return frame


def jpeg(frame: np.ndarray) -> bytes:
    """A frame as a part for the server."""
    return cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes()


class MjpegServer:
    """See the module."""

    def __init__(self, connections: list[list[bytes | float]]):
        self.connections, self.done = connections, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/video"
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> MjpegServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.listener.close()
        self.thread.join(timeout=5)

    def _serve(self) -> None:
        for parts in self.connections:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection, parts), daemon=True).start()
        self.listener.close()

    def _answer(self, connection: socket.socket, parts: list[bytes | float]) -> None:
        with connection, contextlib.suppress(OSError):  # the reader may go at any time
            self._talk(connection, parts)

    def _talk(self, connection: socket.socket, parts: list[bytes | float]) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
        for part in parts:
            if isinstance(part, bytes):
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(part)}\r\n\r\n"
                connection.sendall(head.encode() + part + b"\r\n")
            elif self.done.wait(part):
                return
