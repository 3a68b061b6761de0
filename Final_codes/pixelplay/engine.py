"""Parallel work on videos, on one machine or a cluster: `map_videos`.

Three engines: loky through joblib (processes of this machine, the default), Dask, and Ray through joblib (a cluster at
an address, or started on this machine). The engines schedule tasks and send functions to workers; Dask and Ray also
repeat the task of a dead worker. A task writes its results to a folder visible to all workers and returns a small
value, so a repeated task finds finished work.

Decoding, repair, speed maps and actors are spread; features, training and scores stay in the calling process, with its
threads or GPUs. The last bits of a network's sums depend on the number of threads (7e-6 of the largest score), so
scores from workers would depend on how many there are. A detector of objects stays, too: it lives in one process.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import logging
import math
import sys
import uuid
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from pixelplay import environment
from pixelplay.errors import PixelPlayError
from pixelplay.progress import tqdm

log = logging.getLogger(__name__)

A, B = TypeVar("A"), TypeVar("B")

PACKAGES = {"loky": "joblib", "dask": "distributed", "ray": "ray"}
"""Engine -> required package; extras have the names of the engines."""
MEMORY = 1.5e9
"""Memory of a worker process in bytes: libraries and a bounded number of frames."""
FEW = 600
"""Number of frames below which starting processes does not pay off."""
ATTEMPTS = 3
"""Number of times that Dask and Ray repeat a task whose worker died."""
DEATHS = {"BrokenProcessPool": "a worker process died", "KilledWorker": "worker processes died repeatedly",
          "RayActorError": "worker processes died repeatedly", "WorkerCrashedError": "a worker process died",
          "CancelledError": "the scheduler was lost", "CommClosedError": "the scheduler was lost"}
"""Name of an engine's exception -> meaning. Names, because the packages are optional."""
PROCESS = uuid.uuid4().hex
"""Identifies this process; process ids are not unique across containers."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """Backend for parallel work on videos.

    Attributes:
        name: 'loky', 'dask' or 'ray'.
        address: of a Dask scheduler (host:port) or a Ray cluster; None starts one on this machine.
        workers: number of processes; None for one per CPU, limited by memory (loky), or all available (Dask, Ray).
    """

    name: str = "loky"
    address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.name not in PACKAGES:
            raise PixelPlayError(f"there is no engine '{self.name}'", expected=" or ".join(PACKAGES))
        if self.address and self.name == "loky":
            raise PixelPlayError(f"the engine loky works on this machine only and takes no --address {self.address}",
                                 hint="add --engine dask or --engine ray, or leave --address out")
        if self.workers is not None and self.workers < 1:
            raise PixelPlayError(f"--workers cannot be {self.workers}", expected="1 or more processes")
        if importlib.util.find_spec(PACKAGES[self.name]) is None:
            raise PixelPlayError(f"the engine {self.name} needs the package {PACKAGES[self.name]}, which is not "
                                 "installed", hint=f'pip install "pixelplay[{self.name}]"')


_engine = Engine()


def use(engine: Engine) -> None:
    """Choose the engine of this process."""
    global _engine
    _engine = engine


def map_videos(function: Callable[[A], B], videos: Sequence[A], *, what: str, frames: int | None = None,
               here: bool = False) -> list[B]:
    """Compute `[function(video) for video in videos]` with the chosen engine.

    Args:
        function, videos: picklable by cloudpickle (closures are allowed).
        what: name of the work, for the progress bar and errors.
        frames: total number of frames; if small, loky works in this process unless `workers` is set.
        here: always work in this process, for functions that cannot be pickled.
    Returns:
        The results in the order of the videos.
    Raises:
        PixelPlayError: a worker process died (repeatedly for Dask and Ray), or the scheduler is missing or was lost.
        Exception: raised by the function.
    """
    engine = _engine
    count = _loky_workers(engine, len(videos), frames) if engine.name == "loky" else len(videos)
    if here or not videos or (engine.name == "loky" and count <= 1):
        return [function(video) for video in tqdm(videos, desc=what, unit="video")]
    threads = max(1, environment.cpu_count() // count) if engine.name == "loky" else 1
    task, results = _Task(function, threads), []
    try:
        with tqdm(total=len(videos), desc=what, unit="video") as bar:
            for result, records in _backend(engine, count, threads)(task, videos):
                for record in records:
                    logging.getLogger(record.name).handle(record)
                results.append(result)
                bar.update()
    except Exception as cause:
        died = next((DEATHS[kind.__name__] for kind in type(cause).__mro__ if kind.__name__ in DEATHS), None)
        if died is None:
            raise
        raise PixelPlayError(f"{died} during: {what}; it was killed, or memory ran out",
                             hint="run the same command again: it resumes with the missing videos; fewer --workers "
                             "need less memory") from cause
    return results


def _loky_workers(engine: Engine, videos: int, frames: int | None) -> int:
    """Number of loky processes; 1 = work in this process."""
    if engine.workers is not None:
        return min(engine.workers, videos)
    if frames is not None and frames < FEW:
        return 1
    free = environment.free_memory()
    room = math.inf if free is None else free // MEMORY
    return int(max(1, min(environment.cpu_count(), videos, room)))


def _backend(engine: Engine, count: int, threads: int) -> Callable[[Callable, Sequence], Iterable]:
    """A function (task, videos) that yields results in order."""
    import joblib

    if engine.name == "dask":
        return functools.partial(_by_dask, _dask_client(engine))
    if engine.name == "loky":
        # loky replaces workers whose memory has grown and reschedules their tasks: no reason to warn the user
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
        place = joblib.parallel_config("loky", inner_max_num_threads=threads)
        options: dict[str, Any] = {"n_jobs": count, "return_as": "generator"}
    else:
        _start_ray(engine)
        # restart dead actors and their tasks
        place = joblib.parallel_config("ray", ray_remote_args={"max_restarts": ATTEMPTS, "max_task_retries": ATTEMPTS})
        options = {"n_jobs": engine.workers or -1}

    def run(task: Callable, videos: Sequence) -> Iterable:
        with place:
            yield from joblib.Parallel(batch_size=1, **options)(map(joblib.delayed(task), videos))

    return run


def _by_dask(client: Any, task: Callable, videos: Sequence) -> Iterable:
    """Results from Dask, without joblib, whose backend waits for ever if the scheduler is lost."""
    try:
        yield from (future.result() for future in client.map(task, videos, pure=False))
    except (CancelledError, OSError):
        # otherwise the client keeps reconnecting and logs every attempt; the next call connects again
        for name in ("distributed", "distributed.client", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        _dask_client.cache_clear()
        client.close()
        raise


@functools.lru_cache(maxsize=1)
def _dask_client(engine: Engine) -> Any:
    """A client of the scheduler at the engine's address, or of one started on this machine for this process."""
    import distributed

    try:
        if engine.address is not None:
            return distributed.Client(engine.address)
        # nannies (the default) restart dead workers
        return distributed.Client(distributed.LocalCluster(
            n_workers=engine.workers or environment.cpu_count(), threads_per_worker=1, dashboard_address=None,
            silence_logs=logging.ERROR))
    except (OSError, ValueError) as cause:
        raise PixelPlayError(f"no Dask scheduler answers at {engine.address}: {cause}",
                             expected="host:port of a running `dask scheduler`") from cause


@functools.lru_cache(maxsize=1)
def _start_ray(engine: Engine) -> None:
    """Join the Ray cluster at the engine's address, or start one on this machine for this process."""
    import ray
    from ray.util.joblib import register_ray

    if not ray.is_initialized():
        here = {} if engine.address else {"num_cpus": engine.workers or environment.cpu_count(),
                                          "include_dashboard": False}
        try:
            ray.init(engine.address, log_to_driver=False, **here)
        except Exception as cause:  # a node that does not start within Ray's 30 seconds is a plain Exception
            where = f"no Ray cluster answers at {engine.address}" if engine.address else "Ray does not start here"
            raise PixelPlayError(f"{where}: {str(cause).splitlines()[0]}",
                                 expected="the address of a running `ray start --head`, or a machine that is not "
                                 "overloaded", hint="try again, or use --engine loky") from cause
    register_ray()


class _Task:
    """Wraps a function for a worker: sets its number of threads, and returns its log records with the result."""

    def __init__(self, function: Callable[[Any], Any], threads: int):
        self.function, self.threads, self.home = function, threads, PROCESS

    def __call__(self, video: Any) -> tuple[Any, list[logging.LogRecord]]:
        if self.home != PROCESS:
            _settle(self.threads)
        records: list[logging.LogRecord] = []
        collector = _Collector(records)
        package = logging.getLogger("pixelplay")
        package.addHandler(collector)
        before, package.propagate = (package.level, package.propagate), False
        package.setLevel(logging.INFO)
        try:
            return self.function(video), records
        finally:
            package.removeHandler(collector)
            package.setLevel(before[0])
            package.propagate = before[1]


class _Collector(logging.Handler):
    """Collects log records in picklable form, with formatted messages."""

    def __init__(self, records: list[logging.LogRecord]):
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), (), None
        self.records.append(record)


def _settle(threads: int) -> None:
    """Set the number of threads of a worker process."""
    import cv2

    environment.share_cpus(threads)
    environment.reuse_memory()
    cv2.setNumThreads(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
