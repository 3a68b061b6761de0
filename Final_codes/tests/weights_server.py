"""A local HTTP server in place of the hubs: serves bytes, knows ranges, can break off half-way."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator


class Source:
    """What the server gives and what was asked of it.

    Attributes:
        files: path without the leading slash -> content.
        cut: answer with so many bytes of the body alone, then close the connection; None = all.
        ranges: knows the Range header.
        asked: (path, Range header or '') of every request.
    """

    def __init__(self, files: dict[str, bytes]):
        self.files, self.cut, self.ranges, self.address = files, None, True, ""
        self.asked: list[tuple[str, str]] = []


@contextlib.contextmanager
def serve(files: dict[str, bytes]) -> Iterator[Source]:
    """Serve `files` on the loopback address; `source.address` is the server's."""
    source = Source(files)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, asked = self.path.lstrip("/"), self.headers.get("Range", "")
            source.asked.append((name, asked))
            if name not in source.files:
                self.send_error(404)
                return
            body = source.files[name]
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and source.ranges else 0
            if start >= len(body) > 0 and start:
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            self.wfile.write(body[start:][:source.cut])

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        source.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield source
        finally:
            server.shutdown()
            thread.join()
