"""The trainer of the autoencoders, on Hugging Face Accelerate.

Reads training `Clips`; writes `checkpoint.pt` (weights, averaged weights, optimiser, step; replaced each epoch) and
`curve.csv` (step, losses, held-out normal error, clips per second); returns the network with averaged weights. Runs on
CPU, one GPU or several (`accelerate launch`), in fp16 or bf16 where native. Every random draw follows from (seed,
step): an interrupted run ends in the same weights as an uninterrupted one, and so do several processes and one, up to
rounding. A step that does not fit in memory is repeated in parts, with the same result.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from pixelplay.autoencoders.augment import Augment
from pixelplay.autoencoders.parts import InParts
from pixelplay.autoencoders.windows import Clips
from pixelplay.data.subsample import spread
from pixelplay.environment import hardware
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path, damaged, sealed
from pixelplay.progress import tqdm

log = logging.getLogger(__name__)

Loss = Callable[[nn.Module, Tensor, Tensor, torch.Generator], dict[str, Tensor]]
MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
VALIDATION_WINDOWS = 128
VALIDATION_STEP = 1 << 30
"""Offset of the step numbers that seed validation draws: the same draws every epoch, and none that training uses."""
CURVE_STEPS, CURVE_ROWS = 10, 200
"""Steps averaged in one row of the curve, and approximate limit on its rows."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """Result of a training.

    Attributes:
        net: network with the averaged (EMA) weights, in eval mode, on its device.
        curve: one row every few steps and at the end of each epoch: step, and each loss averaged since the row before.
            At the end of an epoch also held_out (NaN without held-out windows) and clips_per_second, NaN elsewhere.
        seconds: training time, over all interruptions.
        stopped: 'finished' or 'early'.
        windows_at_once: windows per part of a batch that fit in this process's memory.
    """

    net: nn.Module
    curve: pd.DataFrame
    seconds: float
    stopped: str
    windows_at_once: int


def make_accelerator(precision: str) -> Accelerator:
    """The Accelerator for this machine; 'auto' = the fastest precision that the device supports natively."""
    machine = hardware()
    if precision == "auto":
        precision = machine.dtype
    if precision not in MIXED:
        raise PixelPlayError(f"precision cannot be '{precision}'", expected="auto, " + ", ".join(MIXED))
    if precision == "float16" and machine.device == "cpu":
        raise PixelPlayError("float16 training needs a GPU", expected="auto, float32 or bfloat16 on a CPU")
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != MIXED[precision]:
        AcceleratorState._reset_state()  # process-wide, and it refuses a second precision
    return Accelerator(mixed_precision=MIXED[precision], cpu=machine.device == "cpu")


def held_out_windows(clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Positions of (training, held-out) windows: a tenth of the videos; with fewer than six, the last tenth of each.

    No held-out window shares a frame with a training window; the second array is empty if that leaves none. Windows
    with an unreadable frame are in neither, because they contain a substitute.
    """
    videos = clips.footage.videos
    names, found = list(dict.fromkeys(videos.tolist())), clips.windows
    if len(names) >= 6:
        held = {names[i] for i in spread(len(names), max(1, round(len(names) / 10)) + 2)[1:-1]}
        aside = np.array([v in held for v in videos.tolist()], bool)
    else:
        aside = np.zeros(len(videos), bool)
        for name in names:
            rows = np.flatnonzero(videos == name)
            aside[rows[-(len(rows) // 10):]] = len(rows) >= 10
    inside = aside[found.rows]
    readable = found.weight > 0
    return np.flatnonzero(readable & ~inside.any(axis=1)), np.flatnonzero(readable & inside.all(axis=1))


def train(net: nn.Module, loss: Loss, clips: Clips, config: Any, folder: Path, *, steps: int, seed: int,
          key: str, title: str) -> Trained:
    """Train `net`, or resume where an earlier call in this folder stopped.

    Args:
        loss: (net, clip, target, generator) -> losses with 'total', each a mean over windows.
        config: a TrainConfig.
        folder: holds checkpoint.pt and curve.csv; created.
        steps: total optimiser steps. seed: of every draw.
        key: hash of everything that determines the weights; a checkpoint with another key is ignored.
        title: for the progress bar.
    Raises:
        PixelPlayError: no window to train on; a loss that is not finite (the last good checkpoint is kept); out of
            memory for a single window, or, with several processes, for a process's share of a batch.
    """
    accelerator = make_accelerator(config.precision)
    training, held = held_out_windows(clips)
    if not len(training):
        training, held = np.flatnonzero(clips.windows.weight > 0), np.zeros(0, np.int64)
    if not len(training):
        raise PixelPlayError(f"{title}: no frames of the training footage can be learned from",
                             expected="at least two training videos whose frames can be read",
                             hint="add training videos")
    run = _Run(net, config, steps, key, Path(folder) / "checkpoint.pt", accelerator, title)
    run.resume()
    augment = Augment(clips, config, seed)
    order = _Order(training, config.batch, seed)
    ranks, rank = accelerator.num_processes, accelerator.process_index
    if config.batch % ranks:
        raise PixelPlayError(f"batch {config.batch} cannot be shared by {ranks} processes",
                             hint=f"set batch to a multiple of {ranks}")
    mine = slice(rank * config.batch // ranks, (rank + 1) * config.batch // ranks)
    bar = tqdm(total=steps, initial=run.step, desc=title, unit="step", disable=not accelerator.is_main_process)

    def make(step: int) -> tuple[Tensor, Tensor]:
        return augment.batch(step, order.windows(step), mine)

    with bar:
        while run.step < steps and not run.stopped:
            begin, until = run.step, min(run.step + config.epoch_steps, steps)
            started, found = time.perf_counter(), []
            run.wrapped.train()
            for step, (clip, target) in zip(range(begin, until), clips.ahead(make, list(range(begin, until)))):
                found.append(run.descend(loss, clip, target, _mix(seed, step, rank)))
                bar.update()
            losses = _over_processes(found, accelerator)
            _check_finite(losses["total"], begin, order, clips, title)
            speed = (until - begin) * config.batch / (time.perf_counter() - started)
            error = _held_out_error(run, loss, augment, held, config, seed)
            run.end_epoch(losses, error, speed, time.perf_counter() - started)
            bar.set_postfix(loss=f"{losses['total'].mean():.4g}", held_out=f"{error:.4g}", clips_s=f"{speed:.0f}")
    run.averaged.eval()
    share = config.batch // ranks
    return Trained(run.averaged, pd.DataFrame(run.curve), run.seconds, run.stopped or "finished",
                   min(share, run.parts.most or share))


class _Order:
    """Windows of each step: consecutive permutations of all windows, each seeded by (seed, its number)."""

    def __init__(self, windows: np.ndarray, batch: int, seed: int):
        self.pool, self.batch, self.seed, self.known = windows, batch, seed, {}

    def windows(self, step: int) -> np.ndarray:
        places = np.arange(step * self.batch, (step + 1) * self.batch)
        rounds, where = np.divmod(places, len(self.pool))
        return self.pool[[self._permutation(int(r))[i] for r, i in zip(rounds, where)]]

    def _permutation(self, number: int) -> np.ndarray:
        if number not in self.known:
            self.known = {k: v for k, v in self.known.items() if k >= number - 1}
            self.known[number] = np.random.default_rng([self.seed, 7, number]).permutation(len(self.pool))
        return self.known[number]


STATE = ("step", "seconds", "stopped", "curve", "epochs")
"""Plain attributes that the checkpoint stores."""


class _Run:
    """State of one training: weights, averaged weights, optimiser, step; and its checkpoint."""

    def __init__(self, net: nn.Module, config: Any, steps: int, key: str, path: Path, accelerator: Accelerator,
                 title: str):
        self.config, self.steps, self.key, self.path, self.accelerator = config, steps, key, path, accelerator
        self.title = title
        self.net = net.to(accelerator.device)
        self.averaged = copy.deepcopy(self.net).eval().requires_grad_(False)
        decayed = [p for p in net.parameters() if p.ndim > 1]
        rest = [p for p in net.parameters() if p.ndim <= 1]
        optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": config.weight_decay},
                                       {"params": rest, "weight_decay": 0.0}], lr=config.lr)
        self.parts = InParts(torch.compile(self.net) if config.compile else self.net, title)
        self.wrapped, self.optimizer = accelerator.prepare(self.parts, optimizer)
        self.step, self.seconds, self.stopped = 0, 0.0, ""
        self.curve: list[dict[str, float]] = []
        self.epochs: list[float] = []
        """Held-out error at the end of each epoch."""

    def resume(self) -> None:
        """Load the checkpoint of the same run, if there is a readable one."""
        if damaged([self.path]) or not self.path.exists():
            return
        try:
            state = torch.load(self.path, map_location=self.accelerator.device, weights_only=True)
        except (RuntimeError, EOFError, ValueError, OSError, LookupError, pickle.UnpicklingError) as cause:
            log.warning("%s cannot be read (%s): training starts again", self.path, cause)
            return
        if state["key"] != self.key:
            log.info("%s belongs to other settings or footage: training starts again", self.path)
            return
        self.net.load_state_dict(state["net"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        for name in STATE:
            setattr(self, name, state[name])
        log.info("training goes on at step %d of %d (%s)", self.step, self.steps, self.path)

    def descend(self, loss: Loss, clip: Tensor, target: Tensor, seed: int) -> dict[str, Tensor]:
        """One optimiser step: learning rate, gradient clipping, weight averaging. Returns the losses, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * schedule(self.step, self.steps, self.config.warmup)
        losses = self._gradient(loss, clip, target, seed)
        while losses is None:
            self.parts.halve(len(clip.frames))
            losses = self._gradient(loss, clip, target, seed)
        self.accelerator.clip_grad_norm_(self.net.parameters(), self.config.clip_norm)
        self.optimizer.step()
        # a smaller decay at first, to forget the random initialisation faster
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.net.parameters()), 1 - decay)
            for mean, now in zip(self.averaged.buffers(), self.net.buffers()):
                mean.copy_(now)
        self.step += 1
        return losses

    def _gradient(self, loss: Loss, clip: Tensor, target: Tensor, seed: int) -> dict[str, Tensor] | None:
        """Losses of a batch, with gradients in the parameters; None when out of memory."""
        self.optimizer.zero_grad(set_to_none=True)
        try:
            with self.accelerator.autocast():
                losses = loss(self.wrapped, clip, target, torch.Generator().manual_seed(seed))
            self.accelerator.backward(losses["total"])
        except torch.cuda.OutOfMemoryError as cause:
            if self.accelerator.num_processes > 1:
                # the other processes wait in the all-reduce of this gradient, so this one cannot repeat the step
                raise PixelPlayError(f"{self.title}: out of memory in process {self.accelerator.process_index}",
                                     hint="set a smaller batch or height; one process alone takes a batch in parts"
                                     ) from cause
            return None
        return {name: value.detach() for name, value in losses.items()}

    def end_epoch(self, losses: dict[str, np.ndarray], error: float, speed: float, seconds: float) -> None:
        """Record the epoch, decide on early stopping, write checkpoint and curve.

        Args:
            losses: (n,) each, over the epoch's n steps.
        """
        begin, every = self.step - len(losses["total"]), max(CURVE_STEPS, math.ceil(self.steps / CURVE_ROWS))
        for first in range(begin, self.step, every):
            last = min(first + every, self.step)
            means = {name: float(values[first - begin:last - begin].mean()) for name, values in losses.items()}
            self.curve.append({"step": last, **means, "held_out": float("nan"), "clips_per_second": float("nan")})
        self.curve[-1] |= {"held_out": error, "clips_per_second": speed}
        self.epochs.append(error)
        self.seconds += seconds
        errors = self.epochs
        best = int(np.nanargmin(errors)) if not np.isnan(errors).all() else len(errors) - 1
        if len(errors) - 1 - best >= self.config.patience and self.step < self.steps:
            self.stopped = "early"
            log.info("held-out normal error has not improved for %d epochs: stopped at step %d of %d",
                     self.config.patience, self.step, self.steps)
        if self.accelerator.is_main_process:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            scaler = self.accelerator.scaler
            state = {"key": self.key, "net": self.net.state_dict(), "averaged": self.averaged.state_dict(),
                     "optimizer": self.optimizer.state_dict(), "scaler": scaler.state_dict() if scaler else {},
                     **{name: getattr(self, name) for name in STATE}}
            # a Python stream reports disk errors clearly
            with sealed(self.path) as part, part.open("wb") as stream:
                torch.save(state, stream)
            with atomic_path(self.path.with_name("curve.csv")) as part:
                pd.DataFrame(self.curve).to_csv(part, index=False, lineterminator="\n")
        self.accelerator.wait_for_everyone()


def schedule(step: int, steps: int, warmup: int) -> float:
    """Learning rate factor: linear warm-up over `warmup` steps (at most a tenth of all), then cosine to zero."""
    warmup = min(warmup, steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _mix(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


def _over_processes(steps: list[dict[str, Tensor]], accelerator: Accelerator) -> dict[str, np.ndarray]:
    """Losses of n steps -> (n,) each, averaged over all processes, in a single transfer from the device."""
    table = torch.stack([torch.stack([value.float() for value in losses.values()]) for losses in steps])
    return dict(zip(steps[0], accelerator.reduce(table, "mean").double().cpu().numpy().T))


def _check_finite(totals: np.ndarray, begin: int, order: _Order, clips: Clips, title: str) -> None:
    """Raise if the loss (n,) of a step was not finite in any process; the checkpoint before these steps is kept."""
    bad = np.flatnonzero(~np.isfinite(totals))
    if not len(bad):
        return
    step = begin + int(bad[0])
    ids = clips.footage.ids[clips.windows.anchors[order.windows(step)]]
    raise PixelPlayError(
        f"{title}: the loss was not finite at step {step}, in the batch of windows at Ids {', '.join(ids[:8])}"
        + (" ..." if len(ids) > 8 else ""),
        expected="finite losses", hint=f"lower lr or use precision=float32; the checkpoint of step {begin} is kept, "
        "and the same call goes on from there")


@torch.no_grad()
def _held_out_error(run: _Run, loss: Loss, augment: Augment, held: np.ndarray, config: Any, seed: int) -> float:
    """Mean total loss of the averaged weights on the held-out normal windows, with the same draws every epoch."""
    if not len(held):
        return float("nan")
    net, picks, total = InParts(run.averaged, run.title), spread(held, VALIDATION_WINDOWS), 0.0
    net.most = run.parts.most
    for number, i in enumerate(range(0, len(picks), config.batch)):
        windows, step = picks[i:i + config.batch], VALIDATION_STEP + number
        clip, target = augment.batch(step, windows)
        with run.accelerator.autocast():
            losses = loss(net, clip, target, torch.Generator().manual_seed(_mix(seed, step, 0)))
        total += float(losses["total"]) * len(windows)
    return total / len(picks)
