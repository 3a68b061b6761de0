"""Roadmap-lite: multi-path ConvGRU prediction of a frame, tolerant of noise.

Reads `history` past frames; predicts the frame `horizon` later; an anomaly is what cannot be predicted.

From Wang et al., "Robust Unsupervised Video Anomaly Detection by Multipath Frame Prediction" (TNNLS 2022): frame
prediction by ConvGRU paths at several resolutions, and a loss that tolerates background noise. Only the abstract and
the result tables were at hand: layers, constants, the form of the tolerance and the score are ours. Ours: paths
at 1/4, 1/8 and 1/16 of the resolution, each rolled over the frames, fused from coarse to fine into a residual to the
last frame; a dead zone as wide as each pixel's own noise on the training frames, in the loss and in the score,
wider where the frame itself is noisy. The score asks how wrong the prediction is beyond its dead zone, how far what is
there lies from where it was predicted, and how far it moved: a pixel error alone grows with the contrast of clothes.
"""

from __future__ import annotations

import dataclasses
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelplay.autoencoders import blocks, flow
from pixelplay.autoencoders.base import Autoencoder, TrainConfig

TAU_LOW, TAU_HIGH = 2 / 255, 20 / 255
"""Narrowest and widest dead zone: compression noise, swaying leaves."""
LEAST_SHIFT = 0.1
"""Pixels added to every displacement: below them a flow says nothing."""


@dataclasses.dataclass(frozen=True)
class RoadmapConfig(TrainConfig):
    """Settings of Roadmap-lite beside the shared ones.

    Attributes:
        history: frames the prediction is made from, `step` apart.
        horizon: frames from the last of them to the predicted one. Longer makes speed count more.
        widths: channels of the paths, fine to coarse.
        location_floor: added to a place's mean training error before dividing by it, in units of the mean over all
            places. Without it a step onto ground nobody walks on in training outweighs any oddity elsewhere.
        motion: extra weight of a moving pixel in the loss.
    """

    history: int = 4
    horizon: int = 4
    patch: int = 24
    widths: tuple[int, ...] = (24, 32, 48)
    location_floor: float = 10.0
    motion: float = 4.0
    lr: float = 1e-3

    @classmethod
    def profile(cls, name: str) -> RoadmapConfig:
        """smoke: a wiring test; lite: two CPU cores; full: a GPU."""
        return {
            "smoke": cls(height=32, widths=(4, 6, 8), history=3, steps=12, epoch_steps=6, batch=4,
                         precision="float32",
                         passes=1000.0),
            "lite": cls(),
            "full": cls(height=192, channels=3, widths=(64, 96, 128), steps=8000, epoch_steps=500,
                        warmup=300, ema=0.999, noise_p=0.4,
                        passes=1000.0),
        }[name]


class Roadmap(Autoencoder):
    """See the module."""

    name = "roadmap"
    stage = "04_roadmap_lite"
    Config = RoadmapConfig

    def network(self, size: tuple[int, int]) -> nn.Module:
        return MultiPath(self.config.channels, self.config.widths)

    @property
    def offsets(self) -> tuple[int, ...]:
        step, last = self.config.step, -self.config.horizon
        return (*(last - step * i for i in range(self.config.history - 1, -1, -1)), 0)

    @property
    def scored(self) -> tuple[int, ...]:
        return (self.config.history,) * 3

    def loss(self, net, clip, target, generator, prior):
        goal, tau = target[:, -1], tolerance(prior["noise"])
        made = net(clip[:, :-1])
        weight = blocks.moving_weight(goal, target[:, -2], tau, self.config.motion)
        error = blocks.dead_zone(made - goal, tau)
        losses = {
            # tenfold: squares of residuals are small beside the absolute terms
            "tolerant": 10 * (weight * error).mean(),
            # keeps still places from drifting inside their dead zone
            "absolute": 0.1 * (made - goal).abs().mean(),
            "gradient": 0.1 * blocks.gradient_loss(made, goal),
        }
        return {"total": sum(losses.values()), **losses}

    def errors(self, net, clip, prior):
        """Three maps: the tolerated squared error; the displacement in pixels from the prediction to what is there; and
        that from the last frame of the history."""
        made, goal, last = net(clip[:, :-1]), clip[:, -1], clip[:, -2]
        error = blocks.dead_zone(made - goal, tolerance(prior["noise"], prior.get("grain"), clip))
        shifts = [blocks.cells(flow.flow_speed(start, goal)) + LEAST_SHIFT for start in (made, last)]
        return torch.cat([blocks.cells(error), *shifts], 1)

    def local(self, patches):
        """Product of the error and both squared displacements at each place."""
        patches = blocks.by_place(patches, self.prior["location"], self.config.location_floor)
        error, missed, moved = patches.unbind(1)
        return (error * missed ** 2 * moved ** 2)[:, None].expand(-1, 3, -1, -1)

    def reduce(self, patches):
        return self.local(patches).amax(dim=(2, 3)).clamp_min(1e-12)

    def after_fit(self, net, clips, prior):
        """'grain': usual noise level of a training frame; 'skill': error on moving pixels over that of copying the last
        frame (below 1 = the network predicts motion)."""
        grain, model, copy = [], 0.0, 0.0
        for clip, _ in clips.batches(limit=200):
            made, goal, last = net(clip[:, :-1]), clip[:, -1], clip[:, -2]
            grain.append(blocks.noise_level(clip.flatten(0, 1)).flatten())
            moving = (blocks.moving_weight(goal, last, tolerance(prior["noise"]), 1.0) - 1).float()
            model += (moving * (made - goal) ** 2).sum()
            copy += (moving * (last - goal) ** 2).sum()
        return {"grain": torch.cat(grain).median(),
                "skill": model / copy if copy > 0 else torch.ones(())}

    @property
    def skill(self) -> float:
        """Error on moving pixels of normal frames over that of copying the last frame; NaN before `fit`."""
        return float(self.prior.get("skill", torch.tensor(float("nan"))))


def tolerance(noise: Tensor, grain: Tensor | None = None, clip: Tensor | None = None) -> Tensor:
    """Half-width of the dead zone, (1, H, W), or (B, 1, H, W) for a clip: 2.5 robust standard deviations of the
    pixel's own frame-to-frame change, and twice the noise a clip has beyond the training frames' `grain`.

    Args:
        noise: (1, H, W) from `windows.noise_floor`. grain: () usual `noise_level`. clip: (B, T, C, H, W).
    """
    tau = (2.5 * noise).clamp(TAU_LOW, TAU_HIGH)
    if clip is None or grain is None:
        return tau
    level = blocks.noise_level(clip.flatten(0, 1)).view(len(clip), -1).amax(1).view(-1, 1, 1, 1)
    # a tenth more than usual is a busier picture, not a noisier camera
    excess = (level ** 2 - (1.1 * grain) ** 2).clamp_min(0)
    return (tau ** 2 + 4 * excess).sqrt()


class MultiPath(nn.Module):
    """Past (B, T, C, H, W) -> prediction (B, C, H, W) float32: the last frame and a change that every path had a say
    in. H and W are multiples of 16."""

    def __init__(self, channels: int, widths: tuple[int, ...]):
        super().__init__()
        self.pyramid = blocks.PixelPyramid(channels, widths)
        self.paths = nn.ModuleList(blocks.ConvGRUCell(width) for width in widths)
        self.fuse = nn.ModuleList(blocks.conv(fine + coarse, fine) for fine, coarse in itertools.pairwise(widths))
        self.head = nn.Sequential(blocks.conv(widths[0], widths[0]),
                                  nn.Conv2d(widths[0], channels * blocks.CELL ** 2, 3, 1, 1))

    def forward(self, past: Tensor) -> Tensor:
        batch, length = past.shape[:2]
        states = []
        # all frames are encoded in one call; only the recurrence loops
        for path, level in zip(self.paths, self.pyramid(past.flatten(0, 1))):
            level = level.view(batch, length, *level.shape[1:])
            state = torch.zeros(level[:, 0].shape, device=past.device)
            for t in range(length):
                state = path(level[:, t], state)
            states.append(state)
        fused = states[-1]
        for fuse, state in zip(reversed(self.fuse), reversed(states[:-1])):
            fused = fuse(torch.cat([blocks.double_size(fused), state.to(fused.dtype)], 1))
        return past[:, -1] + F.pixel_shuffle(self.head(fused), blocks.CELL).float()
