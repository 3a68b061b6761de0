"""Models in parallel, one process per GPU; a failure of one does not stop the others.

Reads the options of a run whose stage 1 is done. Each process trains and scores one model in the folder of the run and
writes its output to `logs/<model>.txt`. Results are exchanged as files; a killed process resumes from its checkpoint
when the run is started again.
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
"""Seconds between two polls of the processes."""


@dataclasses.dataclass(frozen=True)
class Lane:
    """A GPU or a set of CPUs that runs one model at a time.

    Attributes:
        name: for the log, e.g. 'GPU 0'.
        environment: environment variables of its processes, e.g. CUDA_VISIBLE_DEVICES.
        cpus: CPUs its processes may use.
    """

    name: str
    environment: dict[str, str]
    cpus: tuple[int, ...]


def gpu_lanes(gpus: Sequence[int]) -> list[Lane]:
    """One lane per GPU, with the CPUs divided evenly."""
    cpus = sorted(os.sched_getaffinity(0))
    return [Lane(f"GPU {gpu}", {"CUDA_VISIBLE_DEVICES": visible(gpu)},
                 tuple(cpus[i::len(gpus)]) or tuple(cpus)) for i, gpu in enumerate(gpus)]


def visible(gpu: int) -> str:
    """The CUDA_VISIBLE_DEVICES entry of a GPU of this process, which may itself be restricted to some GPUs."""
    shown = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return shown[gpu] if shown else str(gpu)


def side_by_side(jobs: dict[str, Any], lanes: Sequence[Lane], logs: Path, *, deadline: float | None = None,
                 done: Callable[[str, str, float], None]) -> dict[str, str]:
    """Run jobs in separate processes, at most one per lane.

    Args:
        jobs: model -> keyword arguments of `pixelplay.options.Options`, in starting order.
        logs: folder for the output of the processes.
        deadline: `time.monotonic` value at which remaining processes are stopped; None = never.
        done: called with the model, the reason of its failure ('' on success) and seconds.
    Returns:
        model -> reason, for models that failed or ran out of time.
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
    with contextlib.suppress(BrokenPipeError):  # the process died at once; its exit status is checked later
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
    """Reason of a failure in one line, from the output of the process."""
    lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1] if lines else "")
    reason = reason.removeprefix("error: ").strip()
    return f"killed by signal {-status}: {reason}" if status < 0 else reason or f"exit status {status}"


def _one_model() -> int:
    """Main function of a process: read a job from standard input and run the model."""
    job = json.load(sys.stdin)
    with contextlib.suppress(AttributeError):  # not every system has CPU affinities
        os.sched_setaffinity(0, job["cpus"])

    from pixelplay.errors import PixelPlayError
    from pixelplay.options import Options
    from pixelplay.pipeline import Run

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        Run(Options.read(job["options"])).model(job["model"])
    except PixelPlayError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  this is a program of its own
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_one_model())
