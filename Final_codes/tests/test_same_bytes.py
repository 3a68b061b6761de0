"""The same input, seed and versions give the same scores, wherever and however the run is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pixelplay.fusion.scores import read_table
from pixelplay.sample.dataset import make_sample

pytestmark = pytest.mark.slow
MODELS = ("global_memory", "unet")
START = """
import os, sys
from pathlib import Path
if sys.argv[3] == "one" and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
from pixelplay.pipeline import Options, Run
run = Run(Options(data=Path(sys.argv[1]), output=Path(sys.argv[2]), profile="smoke", models=tuple(sys.argv[4:])))
run.extract()
for name in run.models:
    run.model(name)
run.ensemble()
"""
THREADS = 2e-4
"""Bound on the difference of a score between one thread and two, as a share of the largest score of its file: sums are
added in another order, and the training steps carry that on. Measured on the sample (AMD EPYC, float32): 7e-6 in
global_memory.train.csv, 3e-8 in unet.train.csv, 2e-7 in submission.csv. The bound is thirty times the largest, because
other processors add in other orders again."""


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Starts a run on a sample; gives the content of its tables by name."""
    root, number = tmp_path_factory.mktemp("bytes"), iter(range(9))
    make_sample(root / "sample", size="tiny")

    def start(sample: str = "sample", threads: str = "one", **variables: str) -> dict[str, bytes]:
        output = root / f"run{next(number)}"
        environ = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
        environ |= {"PYTHONPATH": str(Path(__file__).parents[1]), "PIXELPLAY_DEVICE": "cpu", "PYTHONHASHSEED": "0",
                    "TZ": "UTC", "LC_ALL": "C"} | variables
        done = subprocess.run([sys.executable, "-c", START, str(root / sample), str(output), threads, *MODELS],
                              env=environ, capture_output=True, text=True, check=False, timeout=900)
        assert done.returncode == 0, done.stderr[-2000:]
        return {str(p.relative_to(output)): p.read_bytes() for p in [*output.rglob("scores/**/*.csv"),
                                                                     *output.rglob("submission*.csv")]}

    start.root = root
    return start


@pytest.fixture(scope="module")
def first(started):
    found = started()
    assert {f"smoke/scores/{m}.csv" for m in MODELS} < set(found) and len(found) >= 7
    return found


def test_hash_seed_time_zone_locale_and_order_of_files_do_not_matter(started, first):
    # a copy made backwards: the file system lists its files in another order, and all lie at another place
    for path in sorted((started.root / "sample").rglob("*"), reverse=True):
        if path.is_file():
            target = started.root / "copy" / path.relative_to(started.root / "sample")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    assert started("copy", PYTHONHASHSEED="4711", TZ="Asia/Kathmandu", LC_ALL="C.UTF-8") == first


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2 if hasattr(os, "sched_getaffinity") else True,
                    reason="needs two processors to compare two threads with one")
def test_two_threads_differ_from_one_by_rounding_alone(started, first, tmp_path):
    other = started(threads="two")
    assert set(other) == set(first)
    for name in first:
        tables = []
        for content in (first[name], other[name]):
            (tmp_path / "a.csv").write_bytes(content)
            tables.append(read_table(tmp_path / "a.csv"))
        assert tables[0][0].tolist() == tables[1][0].tolist()
        size = np.abs(tables[0][1]).max()
        assert np.abs(tables[0][1] - tables[1][1]).max() <= THREADS * size, name
