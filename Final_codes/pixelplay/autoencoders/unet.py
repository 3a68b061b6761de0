"""U-Net: masked in-painting, so that the network cannot copy its target.

Reads the frames `step` before and after a frame, and the frame and its speed map with a quarter of their blocks hidden;
reconstructs appearance and speed of the hidden blocks. Four complementary masks hide every pixel exactly once, so every
pixel is scored by a network that did not see it.

U-Net (Ronneberger et al., MICCAI 2015) with its shallow skips passes the input, anomalies included, to the output.
Memory-guided reconstruction (Park et al., CVPR 2020) therefore drops the skips, and future-frame prediction (Liu et
al., CVPR 2018) keeps them because its input is the past only. Ours: no skip above 1/8 of the resolution,
in-painting as the task, frames relative to the median background, and speed beside appearance. Appearance errors weigh
half, because they grow with the contrast of clothes. The score is the maximum over patches, as in Nguyen and Meunier
(ICCV 2019).
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelplay.autoencoders import blocks
from pixelplay.autoencoders.base import Autoencoder, TrainConfig
from pixelplay.autoencoders.windows import Clip
from pixelplay.flow.speed import CELL

FASTEST = 8.0
"""Speeds are clipped here, in units of the typical speed, before the network sees them."""

@dataclasses.dataclass(frozen=True)
class UNetConfig(TrainConfig):
    """Settings of U-Net in addition to the shared ones.

    Attributes:
        step: frames between the hidden frame and its neighbours.
        block: side of a hidden block in pixels at height 192, about the size of a person.
        widths: channels at 1/4, 1/8, 1/16 ... of the resolution; only the levels from 1/8 on have skips.
        motion: extra weight of moving pixels in the loss.
    """

    height: int = 128
    step: int = 4
    patch: int = 24
    block: int = 24
    widths: tuple[int, ...] = (24, 32, 48)
    motion: float = 4.0
    lr: float = 1e-3

    @classmethod
    def profile(cls, name: str) -> UNetConfig:
        """smoke: a wiring test; lite: two CPU cores; full: a GPU."""
        return {
            "smoke": cls(height=32, widths=(4, 6, 8), steps=12, epoch_steps=6, batch=4, precision="float32"),
            "lite": cls(),
            "full": cls(height=192, channels=3, widths=(64, 128, 192, 256), steps=6000, epoch_steps=500, warmup=300,
                        ema=0.999, noise_p=0.4),
        }[name]


class UNet(Autoencoder):
    """See the module."""

    name = "unet"
    stage = "05_unet"
    weight = 0.1
    title = "U-Net"
    colour = "#C2689A"
    explain = "a masked region was not what its surroundings suggest"
    Config = UNetConfig

    def network(self, size: tuple[int, int]) -> nn.Module:
        return InPainter(self.config.channels, self.config.widths)

    @property
    def offsets(self) -> tuple[int, ...]:
        return (-self.config.step, 0, self.config.step)

    @property
    def target_frames(self) -> tuple[int, ...]:
        return (1,)

    def masks(self, size: tuple[int, int], shift: tuple[int, int], device: torch.device) -> Tensor:
        """(4, 1, H, W) complementary masks; blocks scale with the height."""
        return blocks.complementary_masks(size, self._block(size), shift=shift, device=device)

    def _block(self, size: tuple[int, int]) -> int:
        return max(CELL, round(self.config.block * size[0] / 192 / CELL) * CELL)

    def loss(self, net, clip, target, generator, statistics):
        background, target_frame, size = statistics.background, target.frames[:, 1], tuple(clip.frames.shape[-2:])
        # shift the grid by whole cells in each step, so that block borders move
        places = 2 * self._block(size) // CELL
        shift = (CELL * torch.randint(0, places, (2,), generator=generator)).tolist()
        choice = torch.randint(0, 4, (len(target_frame),), generator=generator).to(target_frame.device)
        hidden = self.masks(size, tuple(shift), target_frame.device)[choice]
        speed = target.speed[:, 1]
        predicted, predicted_speed = net(clip.frames - background, speed, hidden)
        predicted = predicted + background
        # of each window: in a frame narrower than two blocks, a mask may hide nothing
        share = hidden.mean((1, 2, 3), keepdim=True).clamp_min(1e-3)
        moving = 1 + self.config.motion * speed.clamp(max=1)
        slip = blocks.cells(hidden) * moving * (predicted_speed - speed).abs()
        losses = {
            "hidden": (hidden / share * blocks.cell_places(moving)
                       * blocks.charbonnier(predicted - target_frame)).mean(),
            "seen": 0.1 * blocks.charbonnier(predicted - target_frame).mean(),
            "gradient": 0.5 * blocks.gradient_loss(predicted, target_frame),
            "structure": 0.05 * (1 - blocks.ssim(predicted, target_frame)).mean(),
            "speed": 0.1 * (slip / share).mean(),
        }
        return {"total": sum(losses.values()), **losses}

    def errors(self, net, clip, statistics):
        """Maps of the middle frame: error of the squared speed, and squared appearance error."""
        predicted, predicted_speed = self.in_paint(net, clip, statistics.background)
        motion = blocks.speed_error(predicted_speed, clip.speed[:, 1])
        return torch.cat([motion, blocks.cells((predicted - clip.frames[:, 1]) ** 2)], 1)[:, None]

    def expected(self, net, clip, statistics):
        return self.in_paint(net, clip, statistics.background)[0][:, None]

    def in_paint(self, net: nn.Module, clip: Clip, background: Tensor) -> tuple[Tensor, Tensor]:
        """Middle frame (B, C, H, W) and its speed (B, 1, H / 4, W / 4); each pixel comes from the pass that hid it."""
        speed = clip.speed[:, 1]
        frame, pace = torch.zeros_like(clip.frames[:, 1]), torch.zeros_like(speed)
        for hidden in self.masks(tuple(frame.shape[-2:]), (0, 0), frame.device):
            masks = hidden[None].expand(len(frame), -1, -1, -1)
            predicted, predicted_speed = net(clip.frames - background, speed, masks)
            frame, pace = frame + hidden * predicted, pace + blocks.cells(hidden[None]) * predicted_speed
        return frame + background, pace


class InPainter(nn.Module):
    """(clip relative to the background (B, 3, C, H, W), speed (B, 1, H / 4, W / 4), mask (B, 1, H, W) with 1 = hidden)
    -> middle frame relative to the background (B, C, H, W) and its speed (B, 1, H / 4, W / 4), float32.

    The middle frame and its speed are visible where the mask is 0. The finest skip is at 1/8. H and W are multiples of
    CELL.
    """

    def __init__(self, channels: int, widths: tuple[int, ...]):
        super().__init__()
        self.pyramid = blocks.PixelPyramid(3 * channels + 2, widths)
        self.middle = blocks.conv(widths[-1], widths[-1])
        skips = [0, *widths[1:-1]]
        self.up = nn.ModuleList(blocks.conv(coarse + skip, fine)
                                for fine, coarse, skip in zip(widths[:-1], widths[1:], skips))
        self.head = nn.Sequential(blocks.conv(widths[0], widths[0]),
                                  nn.Conv2d(widths[0], channels * CELL ** 2 + 1, 3, 1, 1))

    def forward(self, clip: Tensor, speed: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        before, now, after = clip.unbind(1)
        pace = blocks.cell_places(speed.clamp(max=FASTEST))
        seen = torch.cat([before, now * (1 - hidden), after, pace * (1 - hidden), hidden], 1)
        levels = self.pyramid(seen)
        x = self.middle(levels[-1])
        for number in range(len(self.up) - 1, -1, -1):
            x = blocks.double_size(x, levels[number])
            if number > 0:
                x = torch.cat([x, levels[number]], 1)
            x = self.up[number](x)
        predicted = self.head(x).float()
        return F.pixel_shuffle(predicted[:, :-1], CELL), F.softplus(predicted[:, -1:])
