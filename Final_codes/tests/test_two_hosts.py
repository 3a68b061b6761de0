"""Two machines and a folder that both see: Dask's scheduler and the run on one, the worker on the other.

The machines are two network namespaces of this one, joined by a virtual cable. Each has addresses and a scratch folder
of its own; what they share is the folder with the videos and the output, and the address of the scheduler.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pixelplay.sample.dataset import make_sample

CODE = Path(__file__).parents[1]
HERE, THERE = "10.233.77.1", "10.233.77.2"
PORT = 8786
RUN = """
import sys, time
from pathlib import Path
from pixelplay.errors import PixelPlayError
from pixelplay.flow import speed
from pixelplay.pipeline import Options, Run

def slow(real, mark):
    def measure(job):
        Path(mark).touch()
        time.sleep(600)
        return real(job)
    return measure

if __name__ == "__main__":
    data, output, address, mark = sys.argv[1:]
    if mark:
        speed._measure_video = slow(speed._measure_video, mark)
    away = {"engine": "dask", "address": address} if address else {"workers": 1}
    try:
        run = Run(Options(data=Path(data), output=Path(output), profile="smoke", models=("unet",), **away))
        run.extract()
        run.model("unet")
    except PixelPlayError as mistake:
        sys.exit(f"error: {mistake}")
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="the extra dask is not installed"),
    pytest.mark.skipif(shutil.which("ip") is None or not hasattr(os, "geteuid") or os.geteuid() != 0,
                       reason="network namespaces need Linux, root and iproute2"),
]


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no network namespaces here: ip {' '.join(words)}: {done.stderr.strip()}")


@pytest.fixture(scope="module")
def hosts():
    """Names of two namespaces that reach each other and nothing else."""
    names = [f"pixelplay-{side}-{os.getpid()}" for side in ("here", "there")]
    cables = [f"pp{side}{os.getpid() % 10 ** 8}" for side in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", cables[0], "netns", names[0], "type", "veth", "peer", "name", cables[1], "netns", names[1])
        for name, cable, address in zip(names, cables, (HERE, THERE)):
            ip("-n", name, "address", "add", f"{address}/24", "dev", cable)
            ip("-n", name, "link", "set", cable, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@pytest.fixture
def start(hosts, tmp_path):
    """Starts a Python program on a host, with a scratch folder of the host's own; what still runs at the end is ended.
    What it says goes to `said`."""
    begun: list[subprocess.Popen] = []

    def begin(host: int, *words: str) -> subprocess.Popen:
        environ = os.environ | {"PYTHONPATH": str(CODE), "PIXELPLAY_DEVICE": "cpu", "OMP_NUM_THREADS": "1",
                                "PIXELPLAY_SCRATCH": str(tmp_path / f"scratch-{host}")}
        said = tmp_path / f"said-{len(begun)}"
        with said.open("w") as stream:
            begun.append(subprocess.Popen(["ip", "netns", "exec", hosts[host], sys.executable, *words], env=environ,
                                          cwd=tmp_path, stdout=stream, stderr=subprocess.STDOUT))
        begun[-1].said = said
        return begun[-1]

    yield begin
    for process in begun:
        end(process)


def end(process: subprocess.Popen) -> None:
    """End a process; a Dask worker's nanny ends its worker when it is asked to."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()
        process.wait()


@pytest.fixture
def cluster(start, tmp_path):
    """Starts a scheduler on one host and a worker on the other."""
    def begin() -> tuple[subprocess.Popen, subprocess.Popen]:
        return (start(0, "-m", "distributed.cli.dask_scheduler", "--host", HERE, "--port", str(PORT),
                      "--no-dashboard"),
                start(1, "-m", "distributed.cli.dask_worker", f"tcp://{HERE}:{PORT}", "--host", THERE, "--nworkers",
                      "1", "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path / "dask")))

    return begin


def files_of(folder: Path) -> dict[str, bytes]:
    """What stage 1 found, and scores; curves and receipts of training hold seconds."""
    return {str(p.relative_to(folder)): p.read_bytes() for place in ("01_frame_extraction", "scores")
            for p in (folder / place).rglob("*") if p.suffix in (".npz", ".csv")}


def test_two_hosts_write_the_bytes_of_one_and_a_lost_scheduler_costs_a_repetition(start, cluster, tmp_path):
    sample = make_sample(tmp_path / "sample", size="tiny")
    alone = start(0, "-c", RUN, str(sample), str(tmp_path / "alone"), "", "")
    assert alone.wait(timeout=300) == 0, alone.said.read_text()
    alike = files_of(tmp_path / "alone" / "smoke")
    assert any(name.startswith("scores/") for name in alike) and sum("videos/" in name for name in alike) > 10

    both, mark = cluster(), tmp_path / "mark"
    lost = start(0, "-c", RUN, str(sample), str(tmp_path / "away"), f"{HERE}:{PORT}", str(mark))
    deadline = time.monotonic() + 300
    while not mark.exists() and lost.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert mark.exists(), lost.said.read_text()
    both[0].kill()
    assert lost.wait(timeout=120) == 1, lost.said.read_text()
    said = lost.said.read_text()
    assert "error: " in said and "run the same command again" in said and "Traceback" not in said
    end(both[1])

    cluster()
    run = start(0, "-c", RUN, str(sample), str(tmp_path / "away"), f"{HERE}:{PORT}", "")
    assert run.wait(timeout=300) == 0, run.said.read_text()
    assert list((tmp_path / "scratch-1").glob("*.rows")), "the other host did nothing"
    assert files_of(tmp_path / "away" / "smoke") == alike
