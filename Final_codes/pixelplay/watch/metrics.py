"""Health checks (/health) and Prometheus metrics (/metrics) over HTTP.

Reads the status.json of every camera, so it needs no connection to their processes.
"""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pixelplay.errors import PixelPlayError
from pixelplay.pretrained import require_package

STALE = 30.0
"""Age of status.json from which a camera is unhealthy, in seconds."""
COUNTERS = {"frames": "Frames that were scored", "left_out": "Frames left out: scoring was slower than the camera",
            "failed": "Frames that could not be decoded", "reconnected": "Connections made anew",
            "events": "Events that began", "notices": "Notices: changes of the scene or the stream",
            "alarms_held_back": "Events without an alarm: rate limit or quiet hours"}
GAUGES = {"lag_s": "Seconds between a frame and its score", "score": "Newest score, a rarity",
          "alarms_waiting": "Alarms that are not delivered"}


def statuses(folder: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Camera -> content of its status.json; {} if there is none yet."""
    found = {}
    for name in names:
        path = folder / name / "status.json"
        found[name] = json.loads(path.read_text()) if path.exists() else {}
    return found


def healthy(status: dict[str, Any]) -> bool:
    """Whether a camera's scores are up to date, or its footage has ended."""
    return bool(status) and (status["state"] == "ended" or time.time() - status["time"] < STALE)


class Metrics:
    """HTTP server in a thread. Use it as a context manager.

    Args:
        port: TCP port; 0 for any free port.
        folder: folder that contains the folders of the cameras.
        names: names of the cameras.
    Raises:
        PixelPlayError: prometheus-client is not installed, or the port cannot be used.
    """

    def __init__(self, port: int, folder: Path, names: Sequence[str]):
        client = require_package("prometheus_client", by="--metrics (pip install prometheus-client)")
        self.core = require_package("prometheus_client.core", by="--metrics")
        self.folder, self.names = folder, names
        registry = client.CollectorRegistry()
        registry.register(self)
        outer = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._send(200, client.CONTENT_TYPE_LATEST, client.generate_latest(registry))
                elif self.path == "/health":
                    found = statuses(outer.folder, outer.names)
                    well = all(map(healthy, found.values()))
                    self._send(200 if well else 503, "application/json", json.dumps(
                        {"healthy": well, "cameras": found}).encode())
                else:
                    self.send_error(404, "here are /health and /metrics")

            def _send(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Do not log requests."""

        try:
            self.server = http.server.ThreadingHTTPServer(("", port), Answer)
        except (OSError, OverflowError) as cause:
            raise PixelPlayError(f"--metrics {port}: the port cannot be used: {cause}",
                                 expected="a free port from 1024 to 65535") from cause
        self.port = self.server.server_address[1]

    def __enter__(self) -> Metrics:
        threading.Thread(target=self.server.serve_forever, daemon=True, name="metrics").start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def collect(self) -> Iterator[Any]:
        """Yield the metrics; prometheus-client calls this for every request."""
        found = statuses(self.folder, self.names)
        for table, family in ((COUNTERS, self.core.CounterMetricFamily), (GAUGES, self.core.GaugeMetricFamily)):
            for key, words in table.items():
                metric = family(f"pixelplay_{key.removesuffix('_s')}" + ("_seconds" if key.endswith("_s") else ""),
                                words, labels=["camera"])
                for name, status in found.items():
                    if status.get(key) is not None:
                        metric.add_metric([name], status[key])
                yield metric
        up = self.core.GaugeMetricFamily("pixelplay_up", "1 where a camera's scores are up to date", labels=["camera"])
        for name, status in found.items():
            up.add_metric([name], float(healthy(status)))
        yield up
