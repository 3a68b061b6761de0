"""Joint appearance and motion: what moves how, learnt from normal video.

Reads a frame and the frames before it; learns (i) to rebuild the frame from its own code, (ii) to foretell how fast
every place moves from the code of the past frames, and (iii) **correspondence**: how fast a thing that looks like this
at this place usually moves, from the appearance code alone.

After Nguyen and Meunier, "Anomaly Detection in Video Sequence with Appearance-Motion Correspondence" (ICCV 2019): a
frame decoder without skips, a motion decoder on the same code, errors divided by their training means, one patch
decides; and after Chang et al., "Clustering Driven Deep
Autoencoder for Video Anomaly Detection" (ECCV 2020): a motion code of its own.
Ours: speed maps (flow magnitude) in units of the usual training speed, measured the same way in training and at test
and never rescaled per frame; correspondence and past each foretell that speed, and both errors count. A density of the
joined codes, as the clusters of Chang et al. are, does not help (Experiments/E19).
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelplay.autoencoders import blocks
from pixelplay.autoencoders.base import Autoencoder, TrainConfig
from pixelplay.autoencoders.windows import Clip
from pixelplay.flow.speed import CELL


@dataclasses.dataclass(frozen=True)
class JointConfig(TrainConfig):
    """Settings of Joint beside the shared ones.

    Attributes:
        history: frames before the judged one that the motion code sees, `step` apart.
        widths: channels of both encoders at 1/4, 1/8 ... of the resolution.
        motion: extra weight of a moving cell in the motion losses.
    """

    height: int = 128
    history: int = 3
    step: int = 2
    patch: int = 24
    widths: tuple[int, ...] = (24, 32, 48)
    motion: float = 4.0
    lr: float = 1e-3

    @classmethod
    def profile(cls, name: str) -> JointConfig:
        """smoke: a wiring test; lite: two CPU cores; full: a GPU."""
        return {
            "smoke": cls(height=32, widths=(4, 6, 8), steps=12, epoch_steps=6, batch=4, precision="float32"),
            "lite": cls(),
            "full": cls(height=192, channels=3, widths=(48, 96, 128, 128), steps=6000, epoch_steps=500,
                        warmup=300, ema=0.999, noise_p=0.4),
        }[name]


class Joint(Autoencoder):
    """See the module."""

    name = "joint"
    stage = "06_joint"
    weight = 0.3
    title = "Joint"
    colour = "#D55E00"
    explain = "motion does not fit the appearance"
    Config = JointConfig
    version = 4

    def network(self, size: tuple[int, int]) -> nn.Module:
        return AppearanceMotion(self.config.channels, self.config.history, self.config.widths)

    @property
    def offsets(self) -> tuple[int, ...]:
        """The past frames and the judged one."""
        return tuple(-self.config.step * i for i in range(self.config.history, -1, -1))

    @property
    def target_frames(self) -> tuple[int, ...]:
        return (self.config.history,)

    def loss(self, net, clip, target, generator, statistics):
        background = statistics.background
        out = net(*frame_and_past(clip, background))
        frame, goal, speed = out.frame + background, target.frames[:, -1], target.speed[:, -1]
        losses = {
            "appearance": blocks.charbonnier(frame - goal).mean() + blocks.gradient_loss(frame, goal),
            "motion": 0.1 * blocks.speed_loss(out.next_speed, speed, self.config.motion),
            "correspondence": 0.1 * blocks.speed_loss(out.usual_speed, speed, self.config.motion),
        }
        return {"total": sum(losses.values()), **losses}

    def errors(self, net, clip, statistics):
        """Of the last frame: how far the squared speed is from what this appearance usually has and from what the past
        foretold, and how badly the appearance is rebuilt."""
        background, speed = statistics.background, clip.speed[:, -1]
        out = net(*frame_and_past(clip, background))
        motion = blocks.speed_error(out.usual_speed, speed) + blocks.speed_error(out.next_speed, speed)
        appearance = blocks.cells((out.frame + background - clip.frames[:, -1]) ** 2)
        return torch.cat([motion, appearance], 1)[:, None]

    def expected(self, net, clip, statistics):
        background = statistics.background
        return (net(*frame_and_past(clip, background)).frame + background)[:, None]


def frame_and_past(clip: Clip, background: Tensor) -> tuple[Tensor, Tensor]:
    """Judged frame (B, C, H, W) and gray past (B, history, H, W), relative to the background."""
    relative = clip.frames - background
    return relative[:, -1], relative[:, :-1].mean(2)


class Found(NamedTuple):
    """What `AppearanceMotion` gives; cells are h = H / 4, w = W / 4, speeds in units of the usual one.

    Attributes:
        frame: (B, C, H, W) rebuilt frame relative to the background, from the appearance code.
        usual_speed: (B, 1, h, w) of such an appearance at this place, from the appearance code.
        next_speed: (B, 1, h, w) from the motion code.
    """

    frame: Tensor
    usual_speed: Tensor
    next_speed: Tensor


class AppearanceMotion(nn.Module):
    """(frame (B, C, H, W), past (B, history, H, W)), both relative to the background -> `Found`. H and W are multiples
    of CELL."""

    def __init__(self, channels: int, history: int, widths: tuple[int, ...]):
        super().__init__()
        self.appearance = blocks.PixelPyramid(channels + 2, widths)
        self.motion = blocks.PixelPyramid(history, widths)
        self.rebuild = Decoder(widths, channels * CELL ** 2, skips=False)
        self.foretell = Decoder(widths, 1, skips=True)
        self.correspond = Decoder(widths, 1, skips=True)

    def forward(self, frame: Tensor, past: Tensor) -> Found:
        appearance = self.appearance(torch.cat([frame, blocks.places(frame)], 1))
        motion = self.motion(past)
        return Found(F.pixel_shuffle(self.rebuild(appearance), CELL).float(),
                     F.softplus(self.correspond(appearance).float()), F.softplus(self.foretell(motion).float()))


class Decoder(nn.Module):
    """List of levels, fine to coarse -> (B, outputs, h, w) at the finest. Without skips from the coarsest alone: they
    would hand the input to an output that is compared with it. No appearance holds motion, so there they may stay."""

    def __init__(self, widths: tuple[int, ...], outputs: int, *, skips: bool):
        super().__init__()
        self.skips = skips
        self.up = nn.ModuleList(blocks.conv(coarse + (fine if skips else 0), fine)
                                for fine, coarse in itertools.pairwise(widths))
        self.head = nn.Conv2d(widths[0], outputs, 3, 1, 1)

    def forward(self, levels: list[Tensor]) -> Tensor:
        x = levels[-1]
        for up, level in zip(reversed(self.up), reversed(levels[:-1])):
            x = blocks.double_size(x, level)
            x = up(torch.cat([x, level], 1) if self.skips else x)
        return self.head(x)
