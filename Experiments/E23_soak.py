"""E23: half an hour in real time with every kind of failure: is an event lost, or reported twice?

Plays footage as a real-time camera, scored by `pixelplay watch`. Its stream is cut ten times, its process is killed
once (kill -9, restarted by the group), and the receiver of its alarms is down for two minutes. At the end every event
that began must have been reported once, and must have an end. Memory, lag and losses are recorded every ten seconds.

    python Experiments/E23_soak.py [--detector DIR] [--video PLACE ...] [--minutes M] [--fps F] [--models NAME ...]
"""

from __future__ import annotations

import argparse
import collections
import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from camera_server import CameraServer
from common import write_rows

from pixelplay.environment import hardware

HERE = Path(__file__).parent
CUTS, CUT, DOWN = 10, 3.0, 120.0
"""How often the stream is cut, for how many seconds it is refused then, and for how many the receiver is down."""


class Receiver:
    """A webhook that counts requests and can be switched off."""

    def __init__(self):
        self.got: collections.Counter[str] = collections.Counter()
        self.port = 0
        self.up()

    def up(self) -> None:
        """Listen."""
        got = self.got

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                got[f"{message['id']} {message['type']}"] += 1
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """No line for every alarm."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Answer)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def down(self) -> None:
        """Refuse connections."""
        self.server.shutdown()
        self.server.server_close()


def plan(seconds: float) -> list[tuple[float, str]]:
    """(second, what goes wrong), in order."""
    found = [(seconds * (i + 1) / (CUTS + 2), "cut") for i in range(CUTS)]
    found += [(0.45 * seconds, "kill"), (0.6 * seconds, "down"), (0.6 * seconds + min(DOWN, seconds / 15), "up")]
    return sorted(found)


def soak(args: argparse.Namespace, root: Path) -> tuple[list[dict], dict]:
    """One row every ten seconds, and the outcome."""
    receiver, rows = Receiver(), []
    with CameraServer(args.video, None, args.fps) as server:
        models = f"models = {json.dumps(args.models)}\n" if args.models else ""
        (root / "cameras.toml").write_text(
            f'[cameras.door]\naddress = "{server.address}"\ndetector = "{Path(args.detector).resolve()}"\n{models}'
            f'timeout = 5\n[[cameras.door.alarms]]\nwebhook = "http://127.0.0.1:{receiver.port}/"\n'
            'when = ["begin", "end"]\n')
        command = [sys.executable, "-m", "pixelplay", "watch", "--config", "cameras.toml"]
        with (root / "log.txt").open("w") as log, subprocess.Popen(command, cwd=root, stdout=log, stderr=log) as watch:
            while not list(root.glob("**/status.json")) and watch.poll() is None:
                time.sleep(0.5)
            begun, due = time.monotonic(), plan(60 * args.minutes)
            lost: collections.Counter[str] = collections.Counter()
            before: dict = {}
            while (now := time.monotonic() - begun) < 60 * args.minutes:
                while due and due[0][0] <= now:
                    what = due.pop(0)[1]
                    children = psutil.Process(watch.pid).children()
                    if what == "cut":
                        server.cut(CUT)
                    elif what == "kill":
                        os.kill(children[0].pid, signal.SIGKILL)
                    else:
                        getattr(receiver, what)()
                    print(f"{now:6.0f} s  {what}", flush=True)
                time.sleep(10 - now % 10)
                children = psutil.Process(watch.pid).children()
                status = json.loads(next(root.glob("**/status.json")).read_text())
                if status["frames"] < before.get("frames", 0):
                    lost.update({k: before[k] for k in COUNTED})
                before = status
                rows.append({"minute": f"{now / 60:.2f}", "lag_s": status["lag_s"], "pace": status["pace"],
                             "memory_mb": f"{sum(c.memory_info().rss for c in children) / 1e6:.0f}",
                             **{k: lost[k] + status[k] for k in COUNTED}})
                if len(rows) % 6 == 0:
                    print(rows[-1], flush=True)
            watch.send_signal(signal.SIGTERM)
            watch.wait()
        # what the last end of the program left in the queue comes at the next start
        subprocess.run([*command, "--camera", "door", "--seconds", "1"], cwd=root, check=False, timeout=300,
                       capture_output=True)
    receiver.down()
    return rows, outcome(root, receiver, rows)


COUNTED = ("frames", "left_out", "failed", "reconnected", "events")


def outcome(root: Path, receiver: Receiver, rows: list[dict]) -> dict:
    """The events that began, and their outcome."""
    lines = [json.loads(line) for path in root.glob("**/events.jsonl") for line in path.read_text().splitlines()]
    told = [f"{e['id']} {e['type']}" for e in lines if e["type"] in ("begin", "end") and e.get("alarm")]
    begins, ends = ([e["id"] for e in lines if e["type"] == kind] for kind in ("begin", "end"))
    clips = {p.stem for p in root.glob("**/clips/*.mp4")}
    lags, half = [r["lag_s"] for r in rows], [float(r["memory_mb"]) for r in rows[len(rows) // 4:]]
    return {
        "events": len(begins), "interrupted": sum(bool(e.get("interrupted")) for e in lines),
        "lost": sum(receiver.got[key] == 0 for key in told), "told twice": sum(receiver.got[key] > 1 for key in told),
        "unknown": len(set(receiver.got) - set(told)), "without an end": len(set(begins) - set(ends)),
        "ended twice": len(ends) - len(set(ends)), "without a clip": len(set(begins) - clips),
        "lag_median_s": round(float(np.median(lags)), 2), "lag_most_s": round(max(lags), 2),
        "memory_first_mb": half[0], "memory_last_mb": half[-1], "memory_most_mb": max(half),
        **{k: rows[-1][k] for k in COUNTED}}


def main() -> int:
    """Exit status: 0 if no event was lost or reported twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", type=Path, default=Path("outputs/detector"))
    parser.add_argument("--video", type=Path, nargs="+",
                        default=sorted(Path("outputs/sample/testing_videos").glob("*")))
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--models", nargs="+", default=[])
    parser.add_argument("--output", type=Path, help="keep what the watch wrote (default: a folder that is removed)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        if args.output:
            args.output.mkdir(parents=True, exist_ok=True)
        rows, found = soak(args, args.output or Path(root))
    print(json.dumps(found, indent=2))
    data = f"{hardware().name}; {args.minutes:g} minutes at {args.fps:g} frames a second; {args.models or 'all models'}"
    write_rows(HERE / "E23_soak.csv", [{"data": data, **row} for row in rows])
    write_rows(HERE / "E23_outcome.csv", [{"data": data, **found}], keep="data")
    return int(any(found[k] for k in ("lost", "told twice", "unknown", "without an end", "ended twice")))


if __name__ == "__main__":
    raise SystemExit(main())
