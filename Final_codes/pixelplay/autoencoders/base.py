"""What the autoencoders share: one class between a network file and the trainer, scorer and weight files.

Reads `Footage`; makes `Scores`, weights and a card. A new autoencoder is one file: a frozen Config that extends
`TrainConfig` and an `Autoencoder` that says which frames a window holds, how the network learns from it, and
which error maps it gives. Networks see clips (B, T, C, H, W) float32 in [0, 1] on the training device.
"""

from __future__ import annotations

import abc
import dataclasses
import logging
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from pixelplay.autoencoders import scorer, trainer, weights
from pixelplay.autoencoders.windows import Clips, background_median, noise_floor
from pixelplay.data.footage import Footage
from pixelplay.environment import hardware
from pixelplay.model import Model, Scores

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings every autoencoder has; each file extends it and sets its own defaults.

    Attributes:
        height: rows of the network's input in pixels; columns follow the footage's shape, both multiples of 16.
        channels: 1 = gray, 3 = RGB.
        step: distance between neighbouring window frames, in frames.
        batch: windows a step, over all processes together.
        steps: optimiser steps of the final model; a fold's model takes its share of the frames' share of them.
        epoch_steps: steps between checkpoints and between looks at the held-out normal error.
        lr, weight_decay, warmup: AdamW, cosine to zero; warm-up in steps.
        clip_norm: gradient norm limit.
        ema: decay of the averaged weights that score (0 = off).
        patience: epochs without a better held-out normal error before training stops.
        noise_p, noise_sigma: share of windows that get dense colour noise, its largest sigma in [0, 1] units; the
            target stays clean.
        skip_p: share of windows whose input is played 2 to 5 times too fast while the target stays normal
            (pseudo anomalies of Astrid et al., BMVC 2021).
        brightness: largest relative change of brightness, input and target alike.
        folds: cross-fitting folds by video for the held-out training scores.
        max_gap: largest hole in the frame numbers a window may bridge, in frames.
        patch: side of the scored patch in pixels at height 192; it shrinks and grows with the height.
        precision: 'auto' (the fastest native), 'float32', 'bfloat16' or 'float16'.
        compile: use torch.compile (pays on a GPU and long runs only).
    """

    height: int = 96
    channels: int = 1
    step: int = 2
    batch: int = 16
    steps: int = 800
    epoch_steps: int = 100
    lr: float = 5e-4
    weight_decay: float = 1e-4
    warmup: int = 50
    clip_norm: float = 1.0
    ema: float = 0.99
    patience: int = 5
    noise_p: float = 0.3
    noise_sigma: float = 0.15
    skip_p: float = 0.0
    brightness: float = 0.1
    folds: int = 2
    max_gap: int = 3
    patch: int = 16
    precision: str = "auto"
    compile: bool = False


class Autoencoder(Model):
    """Base of the four: fit, score, held_out, save and load by the shared trainer, scorer and weight files.

    A subclass sets name, stage, Config (with `Config.profile(name)`) and the members below up to `errors`.
    """

    family: ClassVar[str] = "quad"
    kind: ClassVar[str] = "error"
    sigma: ClassVar[float] = 8.0
    version: ClassVar[int] = 1
    """Raise it when the network changes so that older weights no longer mean the same."""

    def __init__(self, config: Any = None, *, seed: int = 0):
        super().__init__(config if config is not None else self.Config(), seed=seed)
        self.net: nn.Module | None = None
        self.prior: dict[str, Tensor] = {}
        self.about: dict[str, Any] = {}
        self.train_scores: tuple[np.ndarray, np.ndarray] | None = None

    # ---- what a subclass says -------------------------------------------------------------------------------

    @abc.abstractmethod
    def network(self, size: tuple[int, int]) -> nn.Module:
        """The untrained network for (H, W) inputs, both multiples of 16."""

    @property
    @abc.abstractmethod
    def offsets(self) -> tuple[int, ...]:
        """Frame numbers of a window's T frames relative to its anchor, ascending, e.g. (-6, -4, -2, 0)."""

    @property
    @abc.abstractmethod
    def scored(self) -> tuple[int, ...]:
        """For each of the K maps of `errors`, the index into `offsets` of the frame it is charged to. Several maps
        may be charged to one frame; each (window, map) pair that covers a frame enters its average."""

    @abc.abstractmethod
    def loss(self, net: nn.Module, clip: Tensor, target: Tensor, generator: torch.Generator,
             prior: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses of a batch; 'total' is minimised, the others are logged. Each is a mean of per-window values, so
        that two processes with half the batch each give the same gradient.

        Args:
            net: call it with its forward (never a sub-module: it may be wrapped for several GPUs).
            clip: (B, T, C, H, W) in [0, 1], augmented: what the network may see.
            target: (B, T, C, H, W) in [0, 1], clean and at normal speed: what it should give.
            generator: CPU generator for masks and the like, seeded by (seed, step, process).
            prior: see `prepare`.
        """

    @abc.abstractmethod
    def errors(self, net: nn.Module, clip: Tensor, prior: dict[str, Tensor]) -> Tensor:
        """(B, T, C, H, W) clean clip -> (B, K, h, w) non-negative error maps (any h, w; K as in `scored`). The
        scorer divides them by their mean over the training frames at the same place and map."""

    def reduce(self, patches: Tensor) -> Tensor:
        """(B, K, P, Q) patch means of the normalised error maps -> (B, K) positive raw scores; the largest patch."""
        return patches.amax(dim=(2, 3))

    def prepare(self, train: Footage, size: tuple[int, int]) -> dict[str, Tensor]:
        """Tensors learnt from the training frames before training, saved with the weights and handed to `loss` and
        `errors` on the device. Here: 'background' (C, H, W), the per-pixel median, and 'noise' (1, H, W), the robust
        standard deviation of |x_t - x_{t-1}| per pixel, both in [0, 1] units. Extend it with super()."""
        return {"background": background_median(train, size, self.config.channels),
                "noise": noise_floor(train, size, self.config.max_gap)}

    def after_fit(self, net: nn.Module, clips: Clips, prior: dict[str, Tensor]) -> dict[str, Tensor]:
        """More tensors for `prior`, learnt with the trained network (a density of its codes, say). Iterate with
        `for clip, _ in clips.batches(limit=...)`. Called before the location errors are measured."""
        return {}
