"""The feature cache: computed once, resumed after a kill, keyed by all that matters, the same from two processes."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from footage import make_footage

from pixelplay.distributed import share
from pixelplay.environment import Hardware
from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json
from pixelplay.two_stream import features
from pixelplay.two_stream.backbones import load_backbone
from pixelplay.two_stream.features import cached_table, crop_features, features_key, frame_features

CPU = Hardware("cpu", "float32", 1, "test")


@pytest.fixture(scope="module")
def lite():
    return load_backbone("efficientnet-lite0", hardware=CPU)


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setattr(features, "CHUNK", 5)
    return lambda folder, produce, count=23: cached_table(folder, "toy", "key", count, 3, produce)


def rows_of(start, stop):
    return np.arange(start, stop)[:, None] * np.array([1.0, 10.0, 100.0])


def test_rows_are_computed_once_in_order(table, tmp_path):
    asked = []

    def produce(start, stop):
        asked.append((start, stop))
        return rows_of(start, stop)

    first = table(tmp_path, produce)
    assert asked == [(0, 5), (5, 10), (10, 15), (15, 20), (20, 23)]
    np.testing.assert_array_equal(first, rows_of(0, 23))
    assert isinstance(first, np.memmap) and not first.flags.writeable
    np.testing.assert_array_equal(table(tmp_path, produce), first)
    assert len(asked) == 5
    assert [p.name for p in tmp_path.glob("[!.]*")] == ["toy-key.npy"]


def test_a_killed_run_goes_on_with_the_first_missing_chunk(table, tmp_path):
    asked = []

    def dies(start, stop):
        if start == 15:
            raise KeyboardInterrupt
        return rows_of(start, stop)

    def goes_on(start, stop):
        asked.append(start)
        return rows_of(start, stop)

    with pytest.raises(KeyboardInterrupt):
        table(tmp_path, dies)
    assert not (tmp_path / "toy-key.npy").exists()
    np.testing.assert_array_equal(table(tmp_path, goes_on), rows_of(0, 23))
    assert asked == [15, 20]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_few_rows(table, tmp_path, count):
    assert table(tmp_path, rows_of, count).shape == (count, 3)


def test_rows_that_overflow_the_kept_precision_are_named(table, tmp_path):
    with pytest.raises(PixelPlayError, match="row 7 is not finite as float16"):
        table(tmp_path, lambda a, b: 10_000.0 * rows_of(a, b) / 100)


def test_wrong_width_is_refused(table, tmp_path):
    with pytest.raises(ValueError, match="expected width 3"):
        table(tmp_path, lambda a, b: np.zeros((b - a, 2)))


def test_shares_cover_everything_once(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    for count in (0, 1, 2, 7, 100):
        parts = []
        for rank in range(3):
            monkeypatch.setenv("RANK", str(rank))
            parts += list(share(count))
        assert parts == list(range(count))


def test_frame_features_are_the_backbones_embeddings(lite, tmp_path):
    footage = make_footage(videos=2, frames=5, full_size=(60, 100))
    small = frame_features(footage, lite, tmp_path, source="working")
    np.testing.assert_allclose(small, lite.embed(footage.batch(np.arange(10))), atol=5e-4)
    large = frame_features(footage, lite, tmp_path, source="full_size", batch_size=4)
    np.testing.assert_allclose(large, lite.embed([f for _, f in footage.full_frames()]), atol=5e-4)
    assert np.abs(np.asarray(small) - large).max() > 1e-3
    cards = [read_json(p) for p in tmp_path.glob("*.json")]
    assert len(cards) == 2 and all(c["weights_hash"] == lite.weights_hash for c in cards)


def test_frames_are_read_through_one_stream_from_where_a_resumed_run_stands(lite, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "CHUNK", 4)
    footage, opened = make_footage(videos=2, frames=6), []

    def watched(rows):
        opened.append(list(rows))
        return footage.open_stream(rows)

    watched_footage = dataclasses.replace(footage, open_stream=watched)
    whole = np.array(frame_features(watched_footage, lite, tmp_path / "a"))
    assert opened == [list(range(12))]
    key = next((tmp_path / "a").glob("*.npy")).name
    parts = tmp_path / "b" / f".{key[:-4]}.chunks4"
    parts.mkdir(parents=True)
    np.save(parts / "0.npy", whole[:features.CHUNK])
    resumed = frame_features(watched_footage, lite, tmp_path / "b")
    np.testing.assert_array_equal(resumed, whole)
    assert opened[1:] == [list(range(4, 12))]


def test_crops_come_from_their_own_frames(lite, tmp_path):
    footage = make_footage(videos=2, frames=4)
    frame_of = np.array([0, 0, 3, 7])
    boxes = np.array([[0, 0, 20, 20], [10, 5, 40, 30], [30, 10, 60, 40], [5, 5, 30, 30]], np.float32)

    def crop(frame, box):
        x0, y0, x1, y1 = box.astype(int)
        return frame[y0:y1, x0:x1]

    found = crop_features(footage, frame_of, boxes, crop, lite, tmp_path, parameters="plain")
    frames = footage.batch(np.arange(8))
    expected = lite.embed([crop(frames[f], b) for f, b in zip(frame_of, boxes)])
    np.testing.assert_allclose(found, expected, atol=5e-4)
    none = crop_features(footage, frame_of[:0], boxes[:0], crop, lite, tmp_path, parameters="plain")
    assert none.shape == (0, lite.dim)
    with pytest.raises(ValueError, match="ascending"):
        crop_features(footage, frame_of[::-1], boxes, crop, lite, tmp_path)


def test_key_follows_everything_that_changes_a_row(lite):
    footage = make_footage(videos=2, frames=4)
    rough = dataclasses.replace(CPU, dtype="bfloat16")
    keys = [features_key(footage, lite, fit="squash"),
            features_key(footage, lite, fit="centre"),
            features_key(dataclasses.replace(footage, fingerprint="repaired"), lite, fit="squash"),
            features_key(footage.select(np.arange(4)), lite, fit="squash"),
            features_key(footage.select(np.arange(4, 8)), lite, fit="squash"),
            features_key(footage, load_backbone("efficientnet-lite0", hardware=rough), fit="squash"),
            features_key(footage, load_backbone("random-rn101", hardware=CPU), fit="squash")]
    assert len(set(keys)) == len(keys)
    same = load_backbone("efficientnet-lite0", hardware=CPU)
    again = features_key(make_footage(videos=2, frames=4), same, fit="squash")
    assert again == keys[0]


WORKER = """
import sys
from pathlib import Path
import numpy as np
import torch
from footage import make_footage
from pixelplay.environment import Hardware
from pixelplay import distributed
from pixelplay.two_stream import features
from pixelplay.two_stream.global_memory import GlobalMemory, GlobalMemoryConfig

torch.set_num_threads(1)
features.CHUNK = 4
folder = Path(sys.argv[1])
model = GlobalMemory(GlobalMemoryConfig(source="full_size", floor=8, folds=2, batch=2))
train, test = make_footage(videos=3, frames=5), make_footage(videos=2, frames=5, seed=9, name="test")
model.fit(train, folder)
model.save(folder)
scores, held_out = model.score(test, folder), model.held_out(train, folder)
if distributed.is_main():
    np.savetxt(folder / "scores.csv", scores.values, fmt="%r")
    np.savetxt(folder / "held_out.csv", held_out.values, fmt="%r")
(folder / f"rank{distributed.world()[0]}.txt").write_text(str(distributed.world()[1]))
"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """Starts `WORKER` on a folder, in one process or in several."""
    script, tests = tmp_path_factory.mktemp("worker") / "worker.py", Path(__file__).parent
    script.write_text(WORKER)
    environ = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    environ |= {"PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}", "OMP_NUM_THREADS": "1", "PIXELPLAY_DEVICE": "cpu"}

    def start(folder: Path, processes: int = 1) -> subprocess.Popen:
        launch = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--standalone"]
        return subprocess.Popen([sys.executable, *(launch if processes > 1 else []), str(script), str(folder)],
                                env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    return start


@pytest.fixture(scope="module")
def one_process(worker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    finish(worker(folder))
    return files_of(folder)


def finish(process: subprocess.Popen) -> None:
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == 0, errors[-2000:]


def files_of(folder: Path) -> dict[Path, bytes]:
    """Everything under a folder, but for the marks of the ranks."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*")
            if p.is_file() and not p.name.startswith("rank")}


@pytest.mark.slow
def test_two_processes_make_the_same_files_as_one(worker, one_process, tmp_path):
    finish(worker(tmp_path, processes=2))
    assert (tmp_path / "rank1.txt").read_text() == "2"
    assert len([p for p in one_process if p.suffix != ".digest"]) == 8
    assert files_of(tmp_path) == one_process


@pytest.mark.slow
def test_killed_and_started_again_makes_the_same_files(worker, one_process, tmp_path):
    process = worker(tmp_path)
    while not list(tmp_path.glob("features/.*.chunks4/[0-9].npy")):
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -9 and not (tmp_path / "scores.csv").exists()
    finish(worker(tmp_path))
    assert files_of(tmp_path) == one_process
