"""Whole models side by side, one process a GPU: the longest first, a failure of one contained.

Reads the options of a run whose stage 1 is done; each process trains and scores one model in the run's own folder,
as the run itself would, and writes what it says to `logs/<model>.txt`. Files carry the results: a model whose process
is killed goes on from its checkpoint when the run is called again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

POLL = 0.2
"""Seconds between two looks at the processes."""


@dataclasses.dataclass(frozen=True)
class Lane:
    """Where one model at a time runs.

    Attributes:
        name: for the log, e.g. 'GPU 0'.
        environment: variables its processes get, e.g. CUDA_VISIBLE_DEVICES.
        cpus: CPUs its processes may use.
    """

    name: str
    environment: dict[str, str]
    cpus: tuple[int, ...]


def gpu_lanes(gpus: Sequence[int]) -> list[Lane]:
    """A lane a GPU, the CPUs shared out evenly."""
    cpus = sorted(os.sched_getaffinity(0))
    return [Lane(f"GPU {gpu}", {"CUDA_VISIBLE_DEVICES": visible(gpu)},
                 tuple(cpus[i::len(gpus)]) or tuple(cpus)) for i, gpu in enumerate(gpus)]


def visible(gpu: int) -> str:
    """The name CUDA knows this process' GPU number by: the process may itself see only some."""
    shown = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return shown[gpu] if shown else str(gpu)


def side_by_side(jobs: dict[str, Any], lanes: Sequence[Lane], logs: Path, *, deadline: float | None = None,
                 done: Callable[[str, str, float], None]) -> dict[str, str]:
    """Run jobs, each in a process of its own, at most one a lane.

    Args:
        jobs: model -> keyword arguments of `pixelplay.options.Options`, in the order they are to start.
        logs: folder of the processes' output.
        deadline: `time.monotonic` moment at which what still runs is stopped; None = never.
        done: called with model, reason of its failure ('' where it finished) and seconds.
    Returns:
        model -> why it failed, of those that did or were not finished in time.
    """
    waiting, running, failed = list(jobs), {}, {}
    logs.mkdir(parents=True, exist_ok=True)
    try:
        while waiting or running:
            for lane in (lane for lane in lanes if lane.name not in running and waiting):
                model = waiting.pop(0)
                running[lane.name] = model, *_start(model, jobs[model], lane, logs), time.monotonic()
                log.info("%s: started on %s (%s)", model, lane.name, logs / f"{model}.txt")
            if deadline is not None and time.monotonic() > deadline:
                failed |= {name: "time was up" for name in (*waiting, *(r[0] for r in running.values()))}
                break
            time.sleep(POLL)
            for place, (model, process, stream, start) in list(running.items()):
                if process.poll() is None:
                    continue
                stream.close()
                del running[place]
                reason = "" if process.returncode == 0 else _reason(logs / f"{model}.txt", process.returncode)
                if reason:
                    failed[model] = reason
                done(model, reason, time.monotonic() - start)
    finally:
        for _, process, stream, _ in running.values():
            _stop(process)
            stream.close()
    return failed


def _start(model: str, options: Any, lane: Lane, logs: Path) -> tuple[subprocess.Popen, Any]:
    code = Path(__file__).resolve().parents[1]
    paths = [str(code), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | lane.environment | {"PYTHONPATH": os.pathsep.join(p for p in paths if p)}
    stream = (logs / f"{model}.txt").open("w", encoding="utf-8")
    job = json.dumps({"model": model, "cpus": lane.cpus, "options": options})
    process = subprocess.Popen([sys.executable, "-m", "pixelplay.workers"], env=environment, text=True,
                               stdin=subprocess.PIPE, stdout=stream, stderr=subprocess.STDOUT)
    with contextlib.suppress(BrokenPipeError):  # it died at once: its exit status tells
        process.stdin.write(job)
        process.stdin.close()
    return process, stream


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _reason(path: Path, status: int) -> str:
    """The last thing a failed process said, in one line."""
    lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1] if lines else "")
    said = said.removeprefix("error: ").strip()
    return f"killed by signal {-status}: {said}" if status < 0 else said or f"exit status {status}"


def _one_model() -> int:
    """What a process does: read a job from standard input, run the model, say why where it fails."""
    job = json.load(sys.stdin)
    with contextlib.suppress(AttributeError):  # a system without affinities shares all CPUs
        os.sched_setaffinity(0, job["cpus"])

    from pixelplay.errors import PixelPlayError
    from pixelplay.options import Options
    from pixelplay.pipeline import Run

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        Run(Options.read(job["options"])).model(job["model"])
    except PixelPlayError as mistake:
        print(f"error: {mistake}", file=sys.stderr)  # noqa: T201  this is a program of its own
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_one_model())
