"""Whole models side by side, a process each: the same files as one after another, a failure contained."""

from __future__ import annotations

import dataclasses
import os
import time

import pytest

from pixelplay import workers
from pixelplay.pipeline import Options, Run
from pixelplay.sample.dataset import make_sample
from pixelplay.workers import Lane, gpu_lanes, side_by_side

CPUS = tuple(sorted(os.sched_getaffinity(0)))
LANES = [Lane(f"CPU {i}", {"PIXELPLAY_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}, CPUS[:1]) for i in range(2)]


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """A smoke run of two small autoencoders, with stage 1 done."""
    data = make_sample(tmp_path_factory.mktemp("data") / "sample", size="tiny")
    made = Options(data=data, output=tmp_path_factory.mktemp("side"), profile="smoke", models=("unet", "joint"))
    Run(made).extract()
    return made


@pytest.mark.slow
def test_two_processes_write_what_one_writes(options, tmp_path):
    said = []
    run = Run(options)
    run.run_side_by_side(["unet", "joint"], LANES, lambda name, reason: said.append((name, reason)))
    assert run.failed == {} and sorted(said) == [("joint", ""), ("unet", "")]
    assert set(run.seconds) == {"unet", "joint"} and run.finish()["failed"] == {}
    beside = {name: (run.paths.score_file(name)).read_bytes() for name in ("unet", "joint")}
    # one thread in either case: another number of threads rounds sums in another order
    alone = dataclasses.replace(options, output=tmp_path)
    Run(alone).extract()
    one = Run(alone)
    one.run_side_by_side(["unet", "joint"], LANES[:1])
    assert one.failed == {}
    assert beside == {name: (one.paths.score_file(name)).read_bytes() for name in beside}


def test_a_process_that_fails_is_told_and_the_others_go_on(options, tmp_path):
    good = dataclasses.replace(options, output=tmp_path / "empty").plain()  # where no stage 1 has run
    failed = side_by_side({"unet": good, "joint": {"nonsense": 1} | good}, LANES, tmp_path / "logs",
                          done=lambda *_: None)
    assert "is missing" in failed["unet"] and "nonsense" in failed["joint"]
    assert "Traceback" in (tmp_path / "logs" / "joint.txt").read_text()
    assert "Traceback" not in (tmp_path / "logs" / "unet.txt").read_text(), "a user's mistake is no traceback"


def test_what_still_runs_at_the_deadline_is_stopped(options, tmp_path, monkeypatch):
    started = []
    real = workers._start

    def start(model, *rest):
        started.append(real(model, *rest))
        return started[-1]

    monkeypatch.setattr(workers, "_start", start)
    failed = side_by_side({name: options.plain() for name in ("unet", "joint", "stae")}, LANES, tmp_path / "logs",
                          deadline=time.monotonic() - 1, done=lambda *_: None)
    assert set(failed.values()) == {"time was up"} and set(failed) == {"unet", "joint", "stae"}
    assert len(started) == 2 and all(process.poll() is not None for process, _ in started)


def test_every_gpu_gets_its_own_lane_and_its_share_of_the_cpus(monkeypatch):
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    lanes = gpu_lanes([0, 1])
    assert [lane.environment["CUDA_VISIBLE_DEVICES"] for lane in lanes] == ["0", "1"]
    assert sorted(lanes[0].cpus + lanes[1].cpus) == [0, 1, 2, 3]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-ab12")
    assert [lane.environment["CUDA_VISIBLE_DEVICES"] for lane in gpu_lanes([0, 1])] == ["2", "GPU-ab12"]
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: {5})
    assert [lane.cpus for lane in gpu_lanes([0, 1])] == [(5,), (5,)], "nobody is left without a CPU"


def test_options_survive_the_way_to_another_process(options):
    assert Options.read(options.plain()) == options
    rich = dataclasses.replace(options, settings={"unet.steps": "4"}, hours=2.5, detector=options.data)
    assert Options.read(rich.plain()) == rich
