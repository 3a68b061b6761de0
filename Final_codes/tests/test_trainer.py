"""The trainer: exact resume, two processes as one, early stop, a loss that is not finite, a full disk."""

import dataclasses
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from footage import make_footage
from torch import nn

from pixelplay.autoencoders import trainer
from pixelplay.autoencoders.base import TrainConfig
from pixelplay.autoencoders.windows import Clips
from pixelplay.errors import PixelPlayError
from pixelplay.visual.training import read_losses

pytestmark = pytest.mark.slow

CONFIG = TrainConfig(batch=4, epoch_steps=4, lr=1e-2, warmup=2, patience=100, precision="float32", noise_p=0.5)


def clips():
    return Clips(make_footage(videos=6, frames=9, size=(16, 32)), (-2, -1, 0), (16, 32), 1)


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(2, 4, 3, 1, 1), nn.SiLU(), nn.Conv2d(4, 1, 3, 1, 1))


def loss(net, clip, target, generator):
    keep = torch.rand(len(clip.frames), 2, 1, 1, generator=generator) > 0.1
    total = ((net(clip.frames[:, :2, 0] * keep) - target.frames[:, 2]) ** 2).mean()
    return {"total": total, "half": total / 2}


def plain(net, clip, target, generator):
    return {"total": ((net(clip.frames[:, :2, 0]) - target.frames[:, 2]) ** 2).mean()}


def train(folder, *, steps=12, config=CONFIG, loss=loss, key="k"):
    return trainer.train(network(), loss, clips(), config, folder, steps=steps, seed=5, key=key, title="test")


def weights_of(done):
    return torch.cat([p.flatten() for p in done.net.parameters()])


def test_an_interrupted_run_ends_in_the_same_weights(tmp_path):
    whole = train(tmp_path / "whole")
    calls = []

    def killed(net, clip, target, generator):
        calls.append(1)
        if len(calls) == 11:  # well after the first checkpoint, before the next is written
            raise KeyboardInterrupt
        return loss(net, clip, target, generator)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", loss=killed)
    resumed = train(tmp_path / "cut")
    assert torch.equal(weights_of(resumed), weights_of(whole))
    assert resumed.curve["total"].tolist() == whole.curve["total"].tolist()
    assert resumed.curve["step"].tolist() == [4, 8, 12]


def test_it_learns_and_a_finished_run_is_not_trained_again(tmp_path):
    done = train(tmp_path, steps=40)
    assert done.curve["total"].iloc[-1] < 0.5 * done.curve["total"].iloc[0]
    assert (done.curve["half"] * 2 - done.curve["total"]).abs().max() < 1e-6
    assert pd.read_csv(tmp_path / "curve.csv").shape == done.curve.shape

    def never(*_):
        raise AssertionError("trained again")

    assert torch.equal(weights_of(train(tmp_path, steps=40, loss=never)), weights_of(done))


def test_the_curve_has_a_row_every_few_steps_and_the_held_out_error_at_each_epochs_end(tmp_path):
    config, seen = dataclasses.replace(CONFIG, epoch_steps=25), []

    def noted(net, clip, target, generator):
        found = loss(net, clip, target, generator)
        if torch.is_grad_enabled():
            seen.append(float(found["total"].detach()))
        return found

    curve = train(tmp_path, steps=35, config=config, loss=noted).curve
    assert curve["step"].tolist() == [10, 20, 25, 35]
    means = [np.mean(seen[a:b]) for a, b in ((0, 10), (10, 20), (20, 25), (25, 35))]
    assert np.allclose(curve["total"], means, rtol=1e-5)
    for column in ("held_out", "clips_per_second"):
        assert curve[column].notna().tolist() == [False, False, True, True]
    read = read_losses(tmp_path / "curve.csv")
    assert read["train"][0].tolist() == [10, 20, 25, 35] and read["held_out"][0].tolist() == [25, 35]
    assert len(train(tmp_path, steps=5000, config=dataclasses.replace(config, epoch_steps=100),
                     loss=lambda *_: {"total": torch.zeros((), requires_grad=True)}, key="long").curve
               ) <= 2 * trainer.CURVE_ROWS


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_not_used(tmp_path):
    train(tmp_path, key="old")
    whole = train(tmp_path, key="new")
    assert torch.equal(weights_of(whole), weights_of(train(tmp_path / "fresh", key="new")))
    (tmp_path / "checkpoint.pt").write_bytes(b"half a checkpoint")
    assert torch.equal(weights_of(train(tmp_path, key="new")), weights_of(whole))


def test_a_loss_that_is_not_finite_stops_names_the_batch_and_keeps_the_checkpoint(tmp_path):
    calls = []

    def broken(net, clip, target, generator):
        calls.append(1)
        found = loss(net, clip, target, generator)
        return {k: v * float("nan") for k, v in found.items()} if len(calls) == 8 else found

    # one short video has no held-out windows, so every call is a training step
    with pytest.raises(PixelPlayError, match=r"not finite at step \d+, in the batch of windows at Ids \d+_\d+"):
        short = Clips(make_footage(videos=1, frames=9, size=(16, 32)), (-2, -1, 0), (16, 32), 1)
        trainer.train(network(), broken, short, CONFIG, tmp_path, steps=12, seed=5, key="k", title="test")
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 4 and all(torch.isfinite(v).all() for v in state["net"].values())


def test_early_stop_on_held_out_normal_error(tmp_path):
    config = dataclasses.replace(CONFIG, lr=0.0, patience=2, epoch_steps=2)
    done = train(tmp_path, steps=30, config=config)
    assert done.stopped == "early" and done.curve["step"].iloc[-1] < 30
    assert train(tmp_path, steps=30, config=config).curve["step"].tolist() == done.curve["step"].tolist()


def test_a_full_disk_is_said_plainly_and_the_old_checkpoint_stays(tmp_path, monkeypatch):
    train(tmp_path, steps=4, key="k")
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full(state, stream):
        stream.write(b"x")
        raise RuntimeError("PytorchStreamWriter failed writing file: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(PixelPlayError, match="no space left"):
        train(tmp_path, steps=8, key="other")
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not list(tmp_path.glob(".*.part*"))


def test_held_out_windows_share_no_frame_with_training_windows():
    for videos, frames in ((8, 10), (2, 40)):
        found = Clips(make_footage(videos=videos, frames=frames, size=(16, 32)), (-2, -1, 0), (16, 32), 1)
        training, held = trainer.held_out_windows(found)
        rows = found.windows.rows
        assert len(training) and len(held)
        assert not set(rows[training].ravel()) & set(rows[held].ravel())
    one = Clips(make_footage(videos=1, frames=1, size=(16, 32)), (-2, -1, 0), (16, 32), 1)
    assert [len(part) for part in trainer.held_out_windows(one)] == [1, 0]


def test_learning_rate_warms_up_and_ends_near_zero():
    factors = [trainer.schedule(s, 100, 10) for s in range(100)]
    assert factors[0] == 0.1 and max(factors) == 1.0 and factors[-1] < 0.001
    assert trainer.schedule(0, 1, 50) == 1.0


def test_settings_that_cannot_work_are_refused(tmp_path):
    empty = Clips(make_footage(videos=1, frames=3).select(np.zeros(3, bool)), (-1, 0), (16, 32), 1)
    with pytest.raises(PixelPlayError, match="no frames"):
        trainer.train(network(), loss, empty, CONFIG, tmp_path, steps=1, seed=0, key="k", title="test")
    with pytest.raises(PixelPlayError, match="precision"):
        trainer.make_accelerator("int3")


PROGRAM = """
    import sys, torch
    from pathlib import Path
    import test_trainer as t
    torch.set_num_threads(1)
    done = t.train(Path(sys.argv[1]), loss=t.plain)
    if int(__import__("os").environ.get("RANK", 0)) == 0:
        torch.save(t.weights_of(done), Path(sys.argv[1]) / "weights.pt")
"""


def test_two_processes_end_where_one_does(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1",
                   "PIXELPLAY_DEVICE": "cpu"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    subprocess.run([*launch, str(program), str(tmp_path)], env=environment, check=True, timeout=300)
    two = torch.load(tmp_path / "weights.pt", weights_only=True)
    # masks would be drawn per process, so the loss is one without
    one = weights_of(train(tmp_path / "one", loss=plain))
    start = torch.cat([p.flatten() for p in network().parameters()])
    assert (one - start).abs().max() > 1e-2
    assert (two - one).abs().max() < 1e-4
