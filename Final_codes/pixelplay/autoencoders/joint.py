"""Joint: correspondence of appearance and motion, learnt from normal video.

Reads a frame and the frames before it; learns (i) to reconstruct the frame from its own code, (ii) to predict the speed
of every place from the code of the past frames, and (iii) **correspondence**: to predict the speed of every place from
the appearance code alone.

After Nguyen and Meunier, "Anomaly Detection in Video Sequence with Appearance-Motion Correspondence" (ICCV 2019): a
frame decoder without skip connections, a motion decoder on the same code, errors divided by their training means, the
maximum over patches as score; and after Chang et al., "Clustering Driven Deep Autoencoder for Video Anomaly Detection"
(ECCV 2020): a separate motion code.
Ours: speed maps (flow magnitude) in units of the typical training speed, measured in the same way for training and test
and never rescaled per frame; appearance and past both predict the speed, and both errors count. A density over the
joint codes, like the clusters of Chang et al., does not help (Experiments/E19).
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
    """Settings of Joint in addition to the shared ones.

    Attributes:
        history: frames before the scored one that the motion code sees, `step` apart.
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
        """The past frames and the scored one."""
        return tuple(-self.config.step * i for i in range(self.config.history, -1, -1))

    @property
    def target_frames(self) -> tuple[int, ...]:
        return (self.config.history,)

    def loss(self, net, clip, target, generator, statistics):
        background = statistics.background
        out = net(*frame_and_past(clip, background))
        frame, target_frame, speed = out.frame + background, target.frames[:, -1], target.speed[:, -1]
        losses = {
            "appearance": blocks.charbonnier(frame - target_frame).mean() + blocks.gradient_loss(frame, target_frame),
            "motion": 0.1 * blocks.speed_loss(out.next_speed, speed, self.config.motion),
            "correspondence": 0.1 * blocks.speed_loss(out.usual_speed, speed, self.config.motion),
        }
        return {"total": sum(losses.values()), **losses}

    def errors(self, net, clip, statistics):
        """Maps of the last frame: deviation of its squared speed from the one predicted from appearance and from the
        one predicted from the past, and the reconstruction error."""
        background, speed = statistics.background, clip.speed[:, -1]
        out = net(*frame_and_past(clip, background))
        motion = blocks.speed_error(out.usual_speed, speed) + blocks.speed_error(out.next_speed, speed)
        appearance = blocks.cells((out.frame + background - clip.frames[:, -1]) ** 2)
        return torch.cat([motion, appearance], 1)[:, None]

    def expected(self, net, clip, statistics):
        background = statistics.background
        return (net(*frame_and_past(clip, background)).frame + background)[:, None]


def frame_and_past(clip: Clip, background: Tensor) -> tuple[Tensor, Tensor]:
    """Scored frame (B, C, H, W) and gray past (B, history, H, W), relative to the background."""
    relative = clip.frames - background
    return relative[:, -1], relative[:, :-1].mean(2)


class Found(NamedTuple):
    """Output of `AppearanceMotion`; h = H / 4 and w = W / 4 cells, speeds in units of the typical one.

    Attributes:
        frame: (B, C, H, W) reconstruction relative to the background, from the appearance code.
        usual_speed: (B, 1, h, w) predicted from the appearance code.
        next_speed: (B, 1, h, w) predicted from the motion code.
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
    """List of levels, fine to coarse -> (B, outputs, h, w) at the finest level. Frames are decoded from the coarsest
    level only, because skips would copy the input to the output; speeds are not in the input, so skips are safe."""

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
