"""Work video by video: the same bytes with any engine and any number of workers, and after a worker was killed."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pixelplay import engine, environment
from pixelplay.__main__ import main
from pixelplay.engine import Engine, map_videos
from pixelplay.errors import PixelPlayError
from pixelplay.sample.dataset import make_sample

CODE = Path(__file__).parents[1]
ENGINES = [pytest.param(name, marks=pytest.mark.skipif(importlib.util.find_spec(package) is None,
                                                       reason=f"the extra {name} is not installed"))
           for name, package in engine.PACKAGES.items()]
START = """
import os, signal, sys
from pathlib import Path
from pixelplay.flow import speed
from pixelplay.pipeline import Options, Run

def once(real, mark):
    def measure(job):
        if mark and not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return real(job)
    return measure

if __name__ == "__main__":
    data, output, engine, workers, mark = sys.argv[1:]
    speed._measure_video = once(speed._measure_video, mark)
    Run(Options(data=Path(data), output=Path(output), profile="smoke", models=("unet",), engine=engine,
                workers=int(workers))).extract()
"""


@pytest.fixture(autouse=True)
def this_process():
    yield
    engine.use(Engine())


@pytest.fixture(scope="module")
def stage_1(tmp_path_factory):
    """Runs stage 1 on the tiny sample in a process of its own; gives its exit status, words and files."""
    root = tmp_path_factory.mktemp("engine")
    make_sample(root / "sample", size="tiny")

    def start(name: str, engine_name: str, workers: int, mark: Path | str = "") -> tuple[int, str, dict[str, bytes]]:
        environ = os.environ | {"PYTHONPATH": str(CODE), "PIXELPLAY_DEVICE": "cpu", "RAY_DISABLE_IMPORT_WARNING": "1",
                                "PIXELPLAY_SCRATCH": str(root / f"scratch-{name}")}
        done = subprocess.run([sys.executable, "-c", START, str(root / "sample"), str(root / name), engine_name,
                               str(workers), str(mark)], env=environ, capture_output=True, text=True, check=False,
                              timeout=600)
        if "Ray does not start here" in done.stderr:
            pytest.skip("Ray gives its node 30 seconds to start, which this loaded machine does not keep")
        # frames are decoded with the digests that the files hold: equal files, equal frames
        return done.returncode, done.stderr[-3000:], {
            str(p.relative_to(root / name)): p.read_bytes() for p in (root / name).rglob("*")
            if p.is_file() and p.name != ".lock"}

    return start


@pytest.fixture(scope="module")
def alone(stage_1):
    """Files of a run in one process."""
    status, words, files = stage_1("alone", "loky", 1)
    assert status == 0, words
    assert sum("videos/" in name for name in files) > 20
    return files


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_two_workers_of_any_engine_write_the_bytes_of_one_process(stage_1, alone, name):
    status, words, files = stage_1(name, name, 2)
    assert status == 0, words
    assert files == alone


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_a_killed_worker_costs_a_repetition_and_no_byte(stage_1, alone, name, tmp_path):
    place = f"{name}-killed"
    status, words, files = stage_1(place, name, 2, tmp_path / "mark")
    assert (tmp_path / "mark").exists(), "no worker was killed"
    if name == "loky":  # the others run the task again
        assert status == 1 and "a worker process died during: train speed" in words
        status, words, files = stage_1(place, name, 2, tmp_path / "mark")
    assert status == 0, words
    left = {n for n in files if ".part" in n}  # of the killed process; the next run clears it away
    assert {n: c for n, c in files.items() if n not in left} == alone


def _twice(number: int) -> tuple[int, int]:
    logging.getLogger("pixelplay.test").warning("bad video %d", number)
    return 2 * number, os.getpid()


def test_results_keep_their_order_and_words_of_workers_come_home(caplog):
    engine.use(Engine(workers=2))
    found = map_videos(_twice, range(5), what="test")
    assert [number for number, _ in found] == [0, 2, 4, 6, 8] and os.getpid() not in {pid for _, pid in found}
    assert [r.getMessage() for r in caplog.records] == [f"bad video {i}" for i in range(5)]
    caplog.clear()
    engine.use(Engine())
    assert {pid for _, pid in map_videos(_twice, range(5), what="test", frames=20)} == {os.getpid()}, "few: no process"
    assert len(caplog.records) == 5


def test_errors_of_a_worker_come_home_whole():
    def fails(video):
        raise PixelPlayError(f"{video}.avi is damaged", expected="a video", hint="copy it again")

    engine.use(Engine(workers=2))
    with pytest.raises(PixelPlayError) as caught:
        map_videos(fails, ["a", "b"], what="test")
    # which of two workers fails first is nobody's promise
    assert caught.value.problem in ("a.avi is damaged", "b.avi is damaged")
    assert (caught.value.expected, caught.value.hint) == ("a video", "copy it again")


def test_workers_share_the_processors(monkeypatch):
    monkeypatch.setattr(environment, "cpu_count", lambda: 8)
    engine.use(Engine(workers=2))
    assert map_videos(lambda _: __import__("pixelplay.environment").environment.cpu_count(), [1, 2], what="test") == [
        4, 4]


@pytest.mark.parametrize(("memory", "workers"), [(None, 8), (engine.MEMORY * 3.5, 3), (0, 1)])
def test_memory_bounds_the_workers(monkeypatch, memory, workers):
    monkeypatch.setattr(environment, "cpu_count", lambda: 8)
    monkeypatch.setattr(environment, "free_memory", lambda: memory)
    assert engine._loky_workers(Engine(), 20, 10_000) == workers
    assert engine._loky_workers(Engine(workers=5), 20, 10_000) == 5


def test_a_killed_worker_is_one_clear_line():
    engine.use(Engine(workers=2))
    with pytest.raises(PixelPlayError, match="a worker process died during: test") as caught:
        map_videos(lambda _: os.kill(os.getpid(), signal.SIGKILL), [1, 2], what="test")
    assert "same command again" in caught.value.hint


def test_what_cannot_be_is_refused(monkeypatch, tmp_path, capsys):
    for wrong, words in (({"name": "spark"}, "no engine 'spark'"), ({"workers": 0}, "cannot be 0"),
                         ({"address": "host:1"}, "takes no --address")):
        with pytest.raises(PixelPlayError, match=words):
            Engine(**wrong)
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    assert main(["run", "--data", str(tmp_path), "--output", str(tmp_path / "out"), "--engine", "ray"]) == 2
    assert 'pip install "pixelplay[ray]"' in capsys.readouterr().err
