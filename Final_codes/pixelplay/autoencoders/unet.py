"""U-Net: a masked in-painter, so that it cannot copy what it is asked to rebuild.

Reads the frames `step` before and after a frame, and the frame and its speed with a quarter of their blocks hidden;
rebuilds the hidden blocks: how it looks there, and how fast it moves. Four complementary masks hide every pixel
exactly once, so every pixel is judged by a network that did not see it.

The papers: U-Net (Ronneberger et al., MICCAI 2015) with its shallow skips hands the input, anomalies included, to the
output; memory-guided reconstruction (Park et al., CVPR 2020) therefore drops them, and future-frame prediction (Liu
et al., CVPR 2018) keeps them because they carry the past alone. Ours: no skip above 1/8 of the resolution, the task
of in-painting, everything relative to the median background, and speed beside appearance: errors of appearance
alone grow with the contrast of clothes more than with what somebody does. The score takes the patch of largest motion
error, as Nguyen and Meunier (ICCV 2019) do.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelplay.autoencoders import blocks, flow
from pixelplay.autoencoders.base import Autoencoder, TrainConfig

APPEARANCE_WEIGHT = 0.2


@dataclasses.dataclass(frozen=True)
class UNetConfig(TrainConfig):
    """Settings of U-Net beside the shared ones.

    Attributes:
        step: frames between the hidden frame and its neighbours; speed is measured from the earlier one.
        block: side of a hidden block in pixels at height 192; about as large as a person.
        widths: channels at 1/4, 1/8, 1/16 ... of the resolution; only the levels from 1/8 on have skips.
        location_floor: added to a place's mean training error before dividing by it, in units of the mean over all
            places. Without it a step onto ground nobody walks on in training outweighs any oddity elsewhere.
        motion: extra weight of moving pixels in the loss.
    """

    height: int = 128
    step: int = 4
    patch: int = 24
    block: int = 24
    widths: tuple[int, ...] = (24, 32, 48)
    location_floor: float = 10.0
    motion: float = 4.0
    lr: float = 1e-3

    @classmethod
    def profile(cls, name: str) -> UNetConfig:
        """smoke: a wiring test; lite: two CPU cores; full: a GPU."""
        return {
            "smoke": cls(height=32, widths=(4, 6, 8), steps=12, epoch_steps=6, batch=4, precision="float32",
                         passes=1000.0),
            "lite": cls(),
            "full": cls(height=192, channels=3, widths=(64, 128, 192, 256), steps=8000, epoch_steps=500, warmup=300,
                        ema=0.999, noise_p=0.4,
                        passes=1000.0),
        }[name]


class UNet(Autoencoder):
    """See the module."""

    name = "unet"
    stage = "05_unet"
    Config = UNetConfig

    def network(self, size: tuple[int, int]) -> nn.Module:
        return InPainter(self.config.channels, self.config.widths)

    @property
    def offsets(self) -> tuple[int, ...]:
        return (-self.config.step, 0, self.config.step)

    @property
    def scored(self) -> tuple[int, ...]:
        return (1, 1)

    def masks(self, size: tuple[int, int], shift: tuple[int, int], device: torch.device) -> Tensor:
        """(4, 1, H, W) complementary masks; blocks keep their share of the picture at any height."""
        return blocks.complementary_masks(size, self._block(size), shift=shift, device=device)

    def _block(self, size: tuple[int, int]) -> int:
        return max(blocks.CELL, round(self.config.block * size[0] / 192 / blocks.CELL) * blocks.CELL)

    def speed(self, clip: Tensor) -> Tensor:
        """(B, 3, C, H, W) -> (B, 1, H, W) speed of the middle frame, in pixels of the network's input per frame; the
        same in training and at test."""
        return flow.flow_speed(clip[:, 0], clip[:, 1]) / self.config.step

    def prepare(self, train, size):
        """And 'speed' (): usual speed of what moves in the training frames, the unit of speed."""
        config = self.config
        return {**super().prepare(train, size),
                "speed": flow.usual_speed(self.speed, train, self.offsets, size, config.channels, config.max_gap)}

    def loss(self, net, clip, target, generator, prior):
        background, goal, size = prior["background"], target[:, 1], tuple(clip.shape[-2:])
        # a new grid each step, by whole cells: no place is only ever seen at a block's border
        places = 2 * self._block(size) // blocks.CELL
        shift = (blocks.CELL * torch.randint(0, places, (2,), generator=generator)).tolist()
        choice = torch.randint(0, 4, (len(clip),), generator=generator).to(clip.device)
        hidden = self.masks(size, tuple(shift), clip.device)[choice]
        speed = self.speed(target) / prior["speed"]
        made, made_speed = net(clip - background, speed, hidden)
        made = made + background
        share, moving = hidden.mean(), 1 + self.config.motion * speed.clamp(max=1)
        losses = {
            "hidden": (hidden * moving * blocks.charbonnier(made - goal)).mean() / share,
            "seen": 0.1 * blocks.charbonnier(made - goal).mean(),
            "gradient": 0.5 * blocks.gradient_loss(made, goal),
            "structure": 0.05 * (1 - blocks.ssim(made, goal)).mean(),
            "speed": 0.1 * (hidden * moving * (made_speed - speed).abs()).mean() / share,
        }
        return {"total": sum(losses.values()), **losses}

    def errors(self, net, clip, prior):
        """Two maps: of the squared speed, in units of the usual one (squares: too fast weighs more than too slow), and
        of the appearance, squared."""
        speed = self.speed(clip) / prior["speed"]
        made, made_speed = self.in_paint(net, clip, speed, prior["background"])
        motion = (made_speed ** 2 - speed ** 2).abs()
        return torch.cat([blocks.cells(motion), blocks.cells((made - clip[:, 1]) ** 2)], 1)

    def in_paint(self, net: nn.Module, clip: Tensor, speed: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, C, H, W) frames and (B, 1, H, W) speed -> both of the middle frame, every pixel rebuilt by the mask
        that hid it: (B, C, H, W) and (B, 1, H, W)."""
        frame, pace = torch.zeros_like(clip[:, 1]), torch.zeros_like(speed)
        for hidden in self.masks(tuple(clip.shape[-2:]), (0, 0), clip.device):
            made, made_speed = net(clip - background, speed, hidden[None].expand(len(clip), -1, -1, -1))
            frame, pace = frame + hidden * made, pace + hidden * made_speed
        return frame + background, pace

    def local(self, patches):
        motion, appearance = blocks.by_place(patches, self.prior["location"], self.config.location_floor).unbind(1)
        return (motion * appearance.clamp_min(1e-6) ** APPEARANCE_WEIGHT)[:, None].expand(-1, 2, -1, -1)

    def reduce(self, patches):
        """log S = log S_M + 0.2 log S_A at the patch of largest motion error S_M."""
        motion, appearance = (p.flatten(1) for p in blocks.by_place(
            patches, self.prior["location"], self.config.location_floor).unbind(1))
        score = motion * appearance.clamp_min(1e-6) ** APPEARANCE_WEIGHT
        return score.gather(1, motion.argmax(1, keepdim=True)).clamp_min(1e-12).expand(-1, 2)


class InPainter(nn.Module):
    """(clip relative to the background (B, 3, C, H, W), speed (B, 1, H, W), mask (B, 1, H, W) with 1 = hidden) ->
    middle frame relative to the background (B, C, H, W) and its speed (B, 1, H, W), float32.

    The middle frame and the speed are shown where the mask is 0. The finest level the decoder is given is 1/8.
    """

    def __init__(self, channels: int, widths: tuple[int, ...]):
        super().__init__()
        self.pyramid = blocks.PixelPyramid(3 * channels + 2, widths)
        self.middle = blocks.conv(widths[-1], widths[-1])
        skips = [0, *widths[1:-1]]
        self.up = nn.ModuleList(blocks.conv(coarse + skip, fine)
                                for fine, coarse, skip in zip(widths[:-1], widths[1:], skips))
        self.head = nn.Sequential(blocks.conv(widths[0], widths[0]),
                                  nn.Conv2d(widths[0], (channels + 1) * blocks.CELL ** 2, 3, 1, 1))

    def forward(self, clip: Tensor, speed: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        before, now, after = clip.unbind(1)
        seen = torch.cat([before, now * (1 - hidden), after, speed * (1 - hidden), hidden], 1)
        levels = self.pyramid(seen)
        x = self.middle(levels[-1])
        for number in range(len(self.up) - 1, -1, -1):
            x = blocks.double_size(x)
            if number > 0:
                x = torch.cat([x, levels[number]], 1)
            x = self.up[number](x)
        made = F.pixel_shuffle(self.head(x), blocks.CELL).float()
        return made[:, :-1], F.softplus(made[:, -1:])
