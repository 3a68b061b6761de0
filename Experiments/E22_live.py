"""E22: what does live scoring cost, and does it keep up with a camera?

Reads a detector and footage of its scene; plays the footage as a camera. Three tables: processor time per frame by
part; by number of models, for streams and for the old way (every chunk scored again with its context); and lag, skipped
frames and pace of `pixelplay watch` on a real-time camera. Only ratios within one run are meaningful.

    python Experiments/E22_live.py [--detector DIR] [--video PLACE ...] [--frames N] [--seconds S] [--cameras N FPS]
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from camera_server import CameraServer, jpegs
from common import write_rows

from pixelplay.autoencoders.stream import AutoencoderStream
from pixelplay.detector import Detector
from pixelplay.environment import hardware
from pixelplay.flow.stream import SpeedStream
from pixelplay.fusion.live import LiveMember
from pixelplay.two_stream.local_stream import LocalStream
from pixelplay.two_stream.stream import GlobalStream
from pixelplay.watch import windows
from pixelplay.watch.scorer import LiveScorer

HERE = Path(__file__).parent
COLUMNS = ("name", "processor_ms", "clock_ms", "old_processor_ms", "old_clock_ms", "ratio", "frames", "left_out",
           "lag_median_s", "lag_95_s", "pace")
PARTS = [(SpeedStream, "_measure", "speed maps"), (LocalStream, "_take", "actors: flow and foreground"),
         (LocalStream, "_embed", "actors: crops embedded"), (LocalStream, "_judge", "actors: judged"),
         (GlobalStream, "finish", "global memory"), (AutoencoderStream, "_judge", None),
         (LiveMember, "push", "calibration and smoothing"), (LiveScorer, "_people", "boxes")]


def pictures(places: list[Path], size: tuple[int, int], count: int) -> list[np.ndarray]:
    """The first frames of some footage, at the detector's size."""
    found = (cv2.imdecode(np.frombuffer(part, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
             for place in places for part in jpegs(place, size))
    return list(itertools.islice(itertools.cycle(list(itertools.islice(found, count))), count))


def cost(scorer: LiveScorer, frames: list[np.ndarray]) -> tuple[float, float]:
    """Processor and wall-clock milliseconds per scored frame, without the first ones, which load and plan."""
    first, scored = min(48, len(frames) // 3), 0
    for number, frame in enumerate(frames):
        if number == first:
            clock, processor, scored = time.perf_counter(), time.process_time(), 0
        scored += len(scorer.push(number, frame))
    # scores come late: those of the first frames may come only now
    count = (scored + len(scorer.finish())) / 1000
    return (time.process_time() - processor) / count, (time.perf_counter() - clock) / count


def profile(detector: Detector, frames: list[np.ndarray]) -> dict[str, float]:
    """Part -> milliseconds of processor time a frame, in one thread."""
    total: dict[str, float] = collections.defaultdict(float)
    inside: list[str] = []
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in PARTS]

    def timed(function, part):
        def run(self, *args):
            name = part or self.model.title
            begun = time.thread_time()
            inside.append(name)
            try:
                return function(self, *args)
            finally:
                spent = time.thread_time() - begun
                inside.pop()
                total[name] += spent
                if inside:
                    total[inside[-1]] -= spent
        return run

    try:
        for (owner, name, function), (_, _, part) in zip(before, PARTS):
            setattr(owner, name, timed(function, part))
        scorer = LiveScorer(detector, threads=1)
        if scorer._speeds is not None:
            scorer._speeds._map = map
        # in this thread, so that what lies within another part is told from it
        scorer._pool = _Here()
        torch.set_num_threads(1)
        processor, _ = cost(scorer, frames)
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)
    parts = {k: 1000 * v / len(frames) for k, v in total.items()}
    return {**parts, "all, with the rest": processor}


class _Here:
    """A pool that does everything at once, in the thread that asks."""

    def submit(self, function, *args):
        found = function(*args)
        return type("Done", (), {"result": staticmethod(lambda: found)})


def by_models(detector: Detector, frames: list[np.ndarray]) -> list[dict]:
    """Cost of streams and of the old way by number of models, most weight first."""
    weights, rows = detector.weights(), []
    order = sorted(detector.names, key=lambda n: -weights[n])
    streams = {n: type(detector.model(n)) for n in order}
    for count in range(1, len(order) + 1):
        names = order[:count]
        processor, clock = cost(LiveScorer(detector, names), frames)
        before = {cls: cls.stream for cls in streams.values()}
        reach = max(detector.model(n).reach for n in names)
        try:
            for cls in before:
                cls.stream = lambda self: None
            # as `watch` did it: chunks of 50, all models with the context of the one that needs most
            windows.CHUNK = 50
            old, old_clock = cost(LiveScorer(detector, names), frames[:3 * (50 + reach)])
        finally:
            for cls, stream in before.items():
                cls.stream = stream
        rows.append({"what": "models", "name": ", ".join(names), "processor_ms": f"{processor:.1f}",
                     "clock_ms": f"{clock:.1f}", "old_processor_ms": f"{old:.1f}", "old_clock_ms": f"{old_clock:.1f}",
                     "ratio": f"{old / processor:.2f}"})
        print(rows[-1], flush=True)
    return rows


def as_cameras(detector: Path, places: list[Path], size: tuple[int, int] | None, fps: float, count: int,
               seconds: float) -> dict:
    """`pixelplay watch` on cameras by the clock: lag and losses, from status.json once a second."""
    seen: list[dict] = []
    with tempfile.TemporaryDirectory() as root, CameraServer(places, size, fps) as server:
        Path(root, "cameras.toml").write_text("".join(
            f'[cameras.c{i}]\naddress = "{server.address}"\ndetector = "{detector.resolve()}"\n' for i in range(count)))
        command = [sys.executable, "-m", "pixelplay", "watch", "--config", "cameras.toml"]
        with subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL) as watch:
            until = time.monotonic() + 30 + seconds
            while time.monotonic() < until:
                time.sleep(1)
                for path in Path(root).glob("**/status.json"):
                    seen.append(json.loads(path.read_text()) | {"path": path.name, "camera_dir": path.parent.name})
            watch.terminate()
    last = {s["camera"]: s for s in seen}
    # the first seconds load the models
    lags = [s["lag_s"] for s in seen[len(seen) // 3:]]
    frames = sum(s["frames"] for s in last.values())
    return {"what": "camera", "name": f"{count} x {fps:g} frames a second", "frames": frames,
            "left_out": sum(s["left_out"] for s in last.values()), "lag_median_s": f"{np.median(lags):.2f}",
            "lag_95_s": f"{np.quantile(lags, 0.95):.2f}", "pace": "; ".join(sorted({s["pace"] for s in last.values()}))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", type=Path, default=Path("outputs/detector"))
    parser.add_argument("--video", type=Path, nargs="+",
                        default=sorted(Path("outputs/sample/testing_videos").glob("*")))
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--cameras", type=float, nargs=2, default=(8, 5), metavar=("N", "FPS"))
    parser.add_argument("--only", choices=["profile", "models", "camera"], nargs="+",
                        default=["profile", "models", "camera"])
    args = parser.parse_args()
    detector = Detector.find(args.detector)
    size = detector.norms.full_size
    frames = pictures(args.video, size, args.frames)
    data = f"{hardware().name}; {size[1]} x {size[0]}; {args.video[0].parent.name}/{args.video[0].name}"
    rows = []
    if "profile" in args.only:
        rows += [{"what": "profile", "name": part, "processor_ms": f"{ms:.1f}"}
                 for part, ms in sorted(profile(detector, frames).items(), key=lambda item: -item[1])]
        print(*rows, sep="\n", flush=True)
    if "models" in args.only:
        rows += by_models(detector, frames)
    if "camera" in args.only:
        rows.append(as_cameras(detector.folder, args.video, size, detector.norms.fps, 1, args.seconds))
        count, fps = int(args.cameras[0]), args.cameras[1]
        rows.append(as_cameras(detector.folder, args.video, (180, 320), fps, count, args.seconds))
        print(*rows[-2:], sep="\n", flush=True)
    # a run of some of the tables leaves the others as they are
    write_rows(HERE / "E22_live.csv", [{"table": f"{data}; {row['what']}", **{k: row.get(k, "") for k in COLUMNS}}
                                       for row in rows], keep="table")


if __name__ == "__main__":
    main()
