"""Roadmap-lite: noise-tolerant frame prediction by multi-path ConvGRUs.

Reads `history` past frames; predicts the frame `horizon` later and its speed map. The score is the prediction error.

After Wang et al., "Robust Unsupervised Video Anomaly Detection by Multipath Frame Prediction" (TNNLS 2022): frame
prediction by ConvGRU paths at several resolutions, and a loss that tolerates background noise. Only the abstract and
the result tables were available: layers, constants, the form of the tolerance and the score are ours.
Ours: paths at 1/4, 1/8 and 1/16 of the resolution, each a recurrence over the frames, fused from coarse to fine into a
residual to the last frame and into speeds; a dead zone in loss and score, as wide as each pixel's noise on the training
frames and wider where the frame itself is noisy; sped-up inputs with a normal target (Astrid et al., BMVC 2021), so
that abnormal speed is not extrapolated. The score combines the deviation from the predicted speed with the error beyond
the dead zone, because a pixel error alone grows with the contrast of clothes.
"""

from __future__ import annotations

import dataclasses
import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelplay.autoencoders import blocks
from pixelplay.autoencoders.base import Autoencoder, TrainConfig
from pixelplay.flow.speed import CELL

TAU_LOW, TAU_HIGH = 2 / 255, 20 / 255
"""Narrowest and widest dead zone: compression noise, and swaying leaves."""


@dataclasses.dataclass(frozen=True)
class RoadmapConfig(TrainConfig):
    """Settings of Roadmap-lite in addition to the shared ones.

    Attributes:
        history: input frames, `step` apart.
        horizon: frames from the last input frame to the predicted one. Longer makes speed count more.
        widths: channels of the paths, fine to coarse.
        motion: extra weight of a moving pixel in the loss.
    """

    history: int = 4
    horizon: int = 4
    patch: int = 24
    widths: tuple[int, ...] = (24, 32, 48)
    motion: float = 4.0
    lr: float = 1e-3
    skip_p: float = 0.3

    @classmethod
    def profile(cls, name: str) -> RoadmapConfig:
        """smoke: a wiring test; lite: two CPU cores; full: a GPU."""
        return {
            "smoke": cls(height=32, widths=(4, 6, 8), history=3, steps=12, epoch_steps=6, batch=4,
                         precision="float32"),
            "lite": cls(),
            # E18 and E12: longer training lowers the held-out error without ranking better
            "full": cls(height=192, channels=3, widths=(64, 96, 128), steps=3000, epoch_steps=250,
                        warmup=150, ema=0.999, noise_p=0.4),
        }[name]


class Roadmap(Autoencoder):
    """See the module."""

    name = "roadmap"
    stage = "04_roadmap_lite"
    weight = 0.01
    title = "Roadmap-lite"
    colour = "#B97F00"
    explain = "the next frame was not the one predicted"
    Config = RoadmapConfig

    def network(self, size: tuple[int, int]) -> nn.Module:
        return MultiPath(self.config.channels, self.config.widths)

    @property
    def offsets(self) -> tuple[int, ...]:
        step, last = self.config.step, -self.config.horizon
        return (*(last - step * i for i in range(self.config.history - 1, -1, -1)), 0)

    @property
    def target_frames(self) -> tuple[int, ...]:
        return (self.config.history,)

    def loss(self, net, clip, target, generator, statistics):
        target_frame, tau = target.frames[:, -1], tolerance(statistics.noise)
        predicted, predicted_speed = net(clip.frames[:, :-1])
        weight = blocks.moving_weight(target_frame, target.frames[:, -2], tau, self.config.motion)
        error = blocks.dead_zone(predicted - target_frame, tau)
        losses = {
            # squared residuals are small compared with the absolute terms
            "tolerant": 10 * (weight * error).mean(),
            # keeps still pixels from drifting inside their dead zone
            "absolute": 0.1 * (predicted - target_frame).abs().mean(),
            "gradient": 0.1 * blocks.gradient_loss(predicted, target_frame),
            "speed": 0.05 * blocks.speed_loss(predicted_speed, target.speed[:, -1], self.config.motion),
        }
        return {"total": sum(losses.values()), **losses}

    def errors(self, net, clip, statistics):
        """Maps of the last frame: error of the squared speed, and squared error beyond the dead zone."""
        predicted, predicted_speed = net(clip.frames[:, :-1])
        tau = tolerance(statistics.noise, statistics.own.get("grain"), clip.frames)
        error = blocks.dead_zone(predicted - clip.frames[:, -1], tau)
        return torch.cat([blocks.speed_error(predicted_speed, clip.speed[:, -1]), blocks.cells(error)], 1)[:, None]

    def expected(self, net, clip, statistics):
        return net(clip.frames[:, :-1])[0][:, None]

    def after_fit(self, net, clips, statistics):
        """'grain': typical noise level of a training frame; 'skill': error on moving pixels relative to copying the
        last frame (below 1 = the network predicts motion)."""
        grain, model, copy = [], 0.0, 0.0
        for clip, _ in clips.batches(limit=200):
            frames = clip.frames
            (predicted, _), target_frame, last = net(frames[:, :-1]), frames[:, -1], frames[:, -2]
            grain.append(blocks.noise_level(frames.flatten(0, 1)).flatten())
            moving = (blocks.moving_weight(target_frame, last, tolerance(statistics.noise), 1.0) - 1).float()
            model += (moving * (predicted - target_frame) ** 2).sum()
            copy += (moving * (last - target_frame) ** 2).sum()
        return {"grain": torch.cat(grain).median(),
                "skill": model / copy if copy > 0 else torch.ones(())}

    @property
    def skill(self) -> float:
        """Error on moving pixels of normal frames relative to copying the last frame; NaN before `fit`."""
        return float(self.statistics.own.get("skill", torch.tensor(float("nan"))) if self.statistics else float("nan"))


def tolerance(noise: Tensor, grain: Tensor | None = None, clip: Tensor | None = None) -> Tensor:
    """Half-width of the dead zone, (1, H, W), or (B, 1, H, W) for a clip: 2.5 robust standard deviations of the
    pixel's frame-to-frame change, plus twice the noise of the clip in excess of the training frames' `grain`.

    Args:
        noise: (1, H, W) from `windows.noise_floor`. grain: () typical `noise_level`. clip: (B, T, C, H, W).
    """
    tau = (2.5 * noise).clamp(TAU_LOW, TAU_HIGH)
    if clip is None or grain is None:
        return tau
    level = blocks.noise_level(clip.flatten(0, 1)).view(len(clip), -1).amax(1).view(-1, 1, 1, 1)
    # up to a tenth more than usual is texture, not camera noise
    excess = (level ** 2 - (1.1 * grain) ** 2).clamp_min(0)
    return (tau ** 2 + 4 * excess).sqrt()


class MultiPath(nn.Module):
    """Past (B, T, C, H, W) -> predicted frame (B, C, H, W), the last frame plus a residual from all paths, and its
    speed (B, 1, H / 4, W / 4), float32. H and W are multiples of CELL."""

    def __init__(self, channels: int, widths: tuple[int, ...]):
        super().__init__()
        self.pyramid = blocks.PixelPyramid(channels, widths)
        self.paths = nn.ModuleList(blocks.ConvGRUCell(width) for width in widths)
        self.fuse = nn.ModuleList(blocks.conv(fine + coarse, fine) for fine, coarse in itertools.pairwise(widths))
        self.head = nn.Sequential(blocks.conv(widths[0], widths[0]),
                                  nn.Conv2d(widths[0], channels * CELL ** 2 + 1, 3, 1, 1))

    def forward(self, past: Tensor) -> tuple[Tensor, Tensor]:
        batch, length = past.shape[:2]
        states = []
        # all frames are encoded in one call; only the recurrence loops over time
        for path, level in zip(self.paths, self.pyramid(past.flatten(0, 1))):
            level = level.view(batch, length, *level.shape[1:])
            state = torch.zeros(level[:, 0].shape, device=past.device)
            for t in range(length):
                state = path(level[:, t], state)
            states.append(state)
        fused = states[-1]
        for fuse, state in zip(reversed(self.fuse), reversed(states[:-1])):
            fused = fuse(torch.cat([blocks.double_size(fused, state), state.to(fused.dtype)], 1))
        predicted = self.head(fused).float()
        return past[:, -1] + F.pixel_shuffle(predicted[:, :-1], CELL), F.softplus(predicted[:, -1:])
