"""The local stream end to end on synthetic footage: contract, saving, resuming, degenerate input."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from card_mutations import mutations
from footage import make_footage

from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json, sha256_of, write_json
from pixelplay.two_stream import actor_table as tables
from pixelplay.two_stream.actor_files import read_actors, write_actors
from pixelplay.two_stream.actor_table import actor_table, embedded_frames, probe_scene
from pixelplay.two_stream.actors import ActorRules
from pixelplay.two_stream.detectors import Detections
from pixelplay.two_stream.foreground import fit_background
from pixelplay.two_stream.local_memory import LocalMemory, LocalMemoryConfig

pytestmark = pytest.mark.slow

SIZE = (96, 160)
CONFIG = dataclasses.replace(LocalMemoryConfig.profile("smoke"), stride=2, floor=16, batch=8, outliers=0.05)


def footage(videos: int, frames: int, **more):
    return make_footage(videos, frames, SIZE, **more)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A fitted model with its footage, folder and scores."""
    folder = tmp_path_factory.mktemp("local")
    train = footage(3, 16)
    test = footage(2, 16, seed=7, name="test", odd=[(0, 8), (0, 9)], gaps=[(1, 5)])
    model = LocalMemory(CONFIG)
    model.fit(train, folder)
    return model, train, test, folder, model.score(test, folder)


def test_every_frame_has_one_finite_score_and_the_named_parts(run):
    model, train, _, folder, scores = run
    held_out = model.held_out(train, folder)
    assert scores.values.shape == (32,) and np.isfinite(scores.values).all() and np.ptp(scores.values) > 0
    assert held_out.values.shape == (48,) and np.isfinite(held_out.values).all()
    seeds = {f"appearance.seed{k}" for k in range(3)}
    assert {"appearance", "speed", "velocity", "articulation"} | seeds <= set(scores.parts)
    assert all(np.isfinite(p).all() and len(p) == 32 for p in scores.parts.values())


def test_a_strange_object_raises_the_appearance_of_its_frames(run):
    appearance = run[4].parts["appearance"]
    assert appearance[8] > np.median(appearance)


def test_seeds_keep_different_crops(run):
    members = run[0].fitted.members
    assert not np.array_equal(members[0], members[1])


def test_saved_and_loaded_scores_are_the_same(run, tmp_path):
    model, _, test, folder, scores = run
    model.save(tmp_path)
    again = LocalMemory.load(tmp_path)
    assert again.config == model.config
    assert np.array_equal(again.score(test, folder).values, scores.values)


def test_the_score_is_the_weighted_sum_of_the_channels_rarities(run):
    model, _, _, _, scores = run
    weights = {"speed": 1.0, "velocity": 1.0, "articulation": 1.0, "appearance": model.config.appearance}
    assert set(model.fitted.rarities) == set(weights)
    expected = sum(w * model.fitted.rarities[n](model.fitted.calibrations[n](scores.parts[n]))
                   for n, w in weights.items())
    np.testing.assert_allclose(scores.values, expected)


def test_damaged_or_foreign_weights_are_named(run, tmp_path):
    run[0].save(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(PixelPlayError, match="is not the file its card describes"):
        LocalMemory.load(tmp_path)
    about = {"model": "local_memory", "version": LocalMemory.version,
             "sha256": sha256_of(tmp_path / "weights.safetensors")}
    write_json(tmp_path / "card.json", about)
    with pytest.raises(PixelPlayError, match="do not describe a model: it has no 'banks'"):
        LocalMemory.load(tmp_path)
    write_json(tmp_path / "card.json", {"model": "stae", "version": 1})
    with pytest.raises(PixelPlayError, match="describes the model 'stae'"):
        LocalMemory.load(tmp_path)


def test_a_wrong_card_is_one_clear_error_or_says_nothing_that_counts(run, tmp_path):
    run[0].save(tmp_path)
    card = tmp_path / "card.json"
    (tmp_path / ".card.json.digest").unlink()
    loaded, refused = [], 0
    for what, bad in mutations(read_json(card), depth=2):
        card.write_text(json.dumps(bad))
        try:
            LocalMemory.load(tmp_path)
            loaded.append(what)
        except PixelPlayError as mistake:
            assert str(tmp_path) in str(mistake), (what, str(mistake))
            refused += 1
    assert refused > 50
    for part in ("('model',)", "('version',)", "('sha256',)", "('config',) is", "('seed',) is 'abc'", "the whole"):
        assert not any(w.startswith(part) for w in loaded), part


def test_held_out_after_loading_equals_that_of_the_fit(run, tmp_path):
    model, train, _, folder, _ = run
    model.save(tmp_path)
    again = LocalMemory.load(tmp_path).held_out(train, folder)
    assert np.array_equal(again.values, model.held_out(train, folder).values)


def test_an_actor_is_scored_like_a_frame_with_nobody_else(run):
    model, _, test, _, scores = run
    actors = scores.actors
    parts = {n.removesuffix("_z"): z for n, z in actors.items() if n.endswith("_z")}
    mine = model.actor_scores(parts)
    assert mine.shape == (len(actors["Id"]),) and np.isfinite(mine).all() and (mine >= 0).all() and np.ptp(mine) > 0
    embedded = embedded_frames(test, CONFIG.stride, 2)
    for i in np.flatnonzero(embedded & np.isin(test.ids, actors["Id"])):
        assert mine[actors["Id"] == test.ids[i]].max() <= scores.values[i] + 1e-9
    tenth = {name: np.array([rarity.levels[-1]]) for name, rarity in model.fitted.rarities.items()}
    assert model.actor_scores(tenth)[0] == pytest.approx(sum(model.weights.values()))  # a rarity of 1 in every channel
    assert model.actor_scores({name: np.array([np.nan]) for name in tenth}).tolist() == [0.0]


def test_the_actors_file_joins_to_the_frames_and_to_training_crops(run, tmp_path):
    _, train, test, _, scores = run
    write_actors(tmp_path / "actors.npz", scores.actors)
    actors = read_actors(tmp_path / "actors.npz")
    assert set(actors["Id"]) <= set(test.ids) and len(actors["Id"]) == len(actors["boxes"])
    embedded = np.isfinite(actors["appearance_z"])
    assert embedded.any() and (actors["nearest"][embedded] >= 0).all() and (actors["nearest"][~embedded] == -1).all()
    assert set(actors["train_Id"][actors["nearest"][embedded]]) <= set(train.ids)
    with pytest.raises(PixelPlayError, match="missing"):
        read_actors(tmp_path / "elsewhere.npz")


class Dying:
    """A detector that sees nobody, and ends the program at the frame `last`."""

    frames, last = 0, None

    def __call__(self, frames):
        self.frames += len(frames)
        if self.frames == self.last:
            raise KeyboardInterrupt
        return [Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int16))
                for _ in frames]

    def about(self):
        return {"detector": "nobody"}


def test_a_run_cut_off_in_the_middle_of_a_video_ends_in_the_same_table(tmp_path):
    train = footage(3, 10)
    scene = probe_scene(train, fit_background(train, SIZE), tolerance=2, directions=2)
    detector = Dying()
    whole = actor_table(train, tmp_path / "whole", scene, [detector], True, ActorRules())
    assert detector.frames == 30
    detector.frames, detector.last = 0, 15
    with pytest.raises(KeyboardInterrupt):
        actor_table(train, tmp_path / "cut", scene, [detector], True, ActorRules())
    detector.frames, detector.last = 0, None
    resumed = actor_table(train, tmp_path / "cut", scene, [detector], True, ActorRules())
    assert detector.frames == 20, "the finished video is not done again"
    for field in tables.FIELDS:
        assert np.array_equal(getattr(whole, field), getattr(resumed, field)), field


def test_a_missing_frame_is_no_speed(tmp_path):
    even, gappy = footage(2, 14, speed=2.0), footage(2, 14, speed=2.0, gaps=[(0, 6)])
    scene = probe_scene(even, fit_background(even, SIZE), tolerance=2, directions=1)
    for taken in (even, gappy):
        table = actor_table(taken, tmp_path, scene, [], True, ActorRules())
        if taken is even:
            usual = table.speed[table.measured].max()
    # the synthetic blobs move one step over the gap, so a flow divided by the gap can only be slower
    assert table.speed[table.measured].max() <= usual * 1.5


@pytest.mark.parametrize("case", ["one_frame", "nobody", "one_video"])
def test_degenerate_footage_is_scored(case, tmp_path):
    config = dataclasses.replace(CONFIG, seeds=1, stride=8)
    train = {"one_frame": lambda: footage(2, 1), "nobody": lambda: footage(2, 6, blobs=0),
             "one_video": lambda: footage(1, 10)}[case]()
    test = footage(1, 6, seed=3, name="test")
    model = LocalMemory(config)
    model.fit(train, tmp_path)
    for scores, count in ((model.score(test, tmp_path), 6), (model.held_out(train, tmp_path), len(train))):
        assert len(scores.values) == count and np.isfinite(scores.values).all()
    model.save(tmp_path)
    assert len(LocalMemory.load(tmp_path).score(test, tmp_path).values) == 6


def test_no_training_frame_is_a_users_mistake(tmp_path):
    with pytest.raises(PixelPlayError, match="no training frame"):
        LocalMemory(CONFIG).fit(footage(0, 0), tmp_path)
    with pytest.raises(PixelPlayError, match="fit or load"):
        LocalMemory(CONFIG).score(footage(1, 2), tmp_path)


def test_grey_footage_and_large_frames(tmp_path):
    train = footage(2, 4, full_size=(1080, 1920))
    grey = np.repeat(train.pixels.mean(3, keepdims=True).astype(np.uint8), 3, axis=3)
    train = train.with_pixels(grey)
    scene = probe_scene(train, fit_background(train, (90, 160)), tolerance=2, directions=1)
    table = actor_table(train, tmp_path, scene, [], True, ActorRules())
    assert len(table) and (table.boxes <= [1920, 1080, 1920, 1080]).all() and table.boxes[:, 2].max() > 160


def test_evaluated_frames_reach_both_ends_of_every_segment():
    keep = embedded_frames(footage(1, 10, gaps=[(0, 3)]), 4, 1)
    assert np.flatnonzero(keep).tolist() == [0, 3, 4, 8, 9]


def test_evaluated_frames_are_the_reliable_ones():
    noisy = footage(1, 12)
    noisy.reliability[[0, 4, 5, 11]] = 0.9
    noisy.reliability[8:11] = 0.8
    assert np.flatnonzero(embedded_frames(noisy, 4, 1)).tolist() == [1, 6, 11]


def test_two_processes_write_the_same_table(tmp_path):
    code = (f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "from pathlib import Path\nfrom footage import make_footage\n"
            "from pixelplay.two_stream.actor_table import *\nfrom pixelplay.two_stream.actors import ActorRules\n"
            "from pixelplay.two_stream.foreground import fit_background\n"
            "train = make_footage(3, 6, (96, 160))\n"
            "scene = probe_scene(train, fit_background(train, (96, 160)), tolerance=2, directions=1)\n"
            f"table = actor_table(train, Path({str(tmp_path)!r}), scene, [], True, ActorRules())\n"
            "np.save(Path(sys.argv[1]), table.velocity)")
    import socket
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    outs = [tmp_path / f"{rank}.npy" for rank in range(2)]
    started = [subprocess.Popen([sys.executable, "-c", code, str(out)], env={
        **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}) for rank, out in enumerate(outs)]
    assert [p.wait(timeout=300) for p in started] == [0, 0]
    train = footage(3, 6)
    scene = probe_scene(train, fit_background(train, SIZE), tolerance=2, directions=1)
    alone = actor_table(train, tmp_path / "alone", scene, [], True, ActorRules()).velocity
    assert all(np.array_equal(np.load(out), alone) for out in outs)
