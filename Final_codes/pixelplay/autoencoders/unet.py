"""U-Net: a masked in-painter, so that it cannot copy what it is asked to rebuild.

Reads the frames `step` before and after a frame, and the frame itself with a quarter of its blocks hidden; rebuilds
the hidden blocks. Four complementary masks hide every pixel exactly once, so every pixel is judged by a network
that did not see it.

The papers: U-Net (Ronneberger et al., MICCAI 2015) with its shallow skips hands the input, anomalies included, to the
output; memory-guided reconstruction (Park et al., CVPR 2020) therefore drops them, and future-frame prediction (Liu
et al., CVPR 2018) keeps them because they carry the past alone. Ours: no skip above 1/8 of the resolution, the task
of in-painting, everything relative to the median background, and errors relative to what is usual for such an
appearance.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelplay.autoencoders import blocks
from pixelplay.autoencoders.base import Autoencoder, TrainConfig


@dataclasses.dataclass(frozen=True)
class UNetConfig(TrainConfig):
    """Settings of U-Net beside the shared ones.

    Attributes:
        step: frames between the hidden frame and its neighbours.
        block: side of a hidden block in pixels at height 192; about as large as a person.
        widths: channels at 1/4, 1/8, 1/16 ... of the resolution; only the levels from 1/8 on have skips.
        familiarity: width of the network that expects the usual error.
        location_floor: added to a place's mean training error before dividing by it, in units of the mean over all
            places. Without it a step onto ground nobody walks on in training outweighs any oddity elsewhere.
        motion: extra weight of a moving pixel in the loss.
    """

    step: int = 4
    block: int = 24
    widths: tuple[int, ...] = (32, 48, 64)
    familiarity: int = 24
    location_floor: float = 3.0
    motion: float = 4.0
    lr: float = 1e-3

    @classmethod
    def profile(cls, name: str) -> UNetConfig:
        """smoke: a wiring test; lite: two CPU cores; full: a GPU."""
        return {
            "smoke": cls(height=32, widths=(4, 6, 8), familiarity=4, steps=12, epoch_steps=6, batch=4,
                         precision="float32"),
            "lite": cls(),
            "full": cls(height=192, channels=3, widths=(64, 128, 192, 256), familiarity=48, steps=8000,
                        epoch_steps=500, warmup=300, ema=0.999, noise_p=0.4),
        }[name]


class UNet(Autoencoder):
    """See the module."""

    name = "unet"
    stage = "05_unet"
    Config = UNetConfig

    def network(self, size: tuple[int, int]) -> nn.Module:
        return InPainter(self.config.channels, self.config.widths, self.config.familiarity)

    @property
    def offsets(self) -> tuple[int, ...]:
        return (-self.config.step, 0, self.config.step)

    @property
    def scored(self) -> tuple[int, ...]:
        return (1,)

    def masks(self, size: tuple[int, int], shift: tuple[int, int], device: torch.device) -> Tensor:
        """(4, 1, H, W) complementary masks; blocks keep their share of the picture at any height."""
        return blocks.complementary_masks(size, self._block(size), shift=shift, device=device)

    def _block(self, size: tuple[int, int]) -> int:
        return max(blocks.CELL, round(self.config.block * size[0] / 192 / blocks.CELL) * blocks.CELL)

    def loss(self, net, clip, target, generator, prior):
        background, goal, size = prior["background"], target[:, 1], tuple(clip.shape[-2:])
        # a new grid each step: block borders fall everywhere, so no place is only ever seen at a border
        cell = 2 * self._block(size)
        shift = torch.randint(0, cell, (2,), generator=generator).tolist()
        choice = torch.randint(0, 4, (len(clip),), generator=generator).to(clip.device)
        hidden = self.masks(size, tuple(shift), clip.device)[choice]
        made, usual = net(clip - background, hidden, goal - background)
        made = made + background
        weight = hidden * blocks.moving_weight(goal, background[None], 0.02, self.config.motion)
        share = hidden.mean()
        error = (made - goal) ** 2
        # familiarity learns on hidden pixels alone: seen ones are easy
        expected = _expected_where(blocks.cells(error), usual, F.avg_pool2d(hidden, blocks.CELL))
        losses = {
            "hidden": (weight * blocks.charbonnier(made - goal)).mean() / share,
            "seen": 0.1 * blocks.charbonnier(made - goal).mean(),
            "gradient": 0.5 * blocks.gradient_loss(made, goal),
            "structure": 0.1 * (1 - blocks.ssim(made, goal)).mean() / 2,
            "familiarity": 0.01 * expected,
        }
        return {"total": sum(losses.values()), **losses}

    def errors(self, net, clip, prior):
        made, usual = self.in_paint(net, clip, prior)
        error = blocks.cells((made - clip[:, 1]) ** 2)
        return blocks.relative_error(error, usual, prior["usual"]) if "usual" in prior else error

    def in_paint(self, net: nn.Module, clip: Tensor, prior: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(B, 3, C, H, W) -> (middle frame (B, C, H, W), every pixel rebuilt by the mask that hid it; log expected
        error (B, 1, H / 4, W / 4))."""
        background, size = prior["background"], tuple(clip.shape[-2:])
        masks = self.masks(size, (0, 0), clip.device)
        relative, whole = clip - background, torch.zeros_like(clip[:, 1])
        usual = None
        for hidden in masks:
            # what is usual does not depend on the mask: asked once
            made, found = net(relative, hidden[None].expand(len(clip), -1, -1, -1),
                              relative[:, 1] if usual is None else None)
            whole, usual = whole + hidden * made, found if usual is None else usual
        return whole + background, usual

    def reduce(self, patches):
        return blocks.by_place(patches, self.prior["location"], self.config.location_floor).amax(dim=(2, 3))

    def after_fit(self, net, clips, prior):
        """'usual': mean cell error of normal frames."""
        found = [blocks.cells((self.in_paint(net, clip, prior)[0] - clip[:, 1]) ** 2).mean()
                 for clip, _ in clips.batches(limit=200)]
        return {"usual": torch.stack(found).mean().clamp_min(1e-8)}


def _expected_where(error: Tensor, usual: Tensor, share: Tensor) -> Tensor:
    """`expected_error_loss` over the cells that are hidden wholly."""
    inside = (share > 0.99).float()
    expected = usual.clamp(-16, 4)
    return (inside * (expected + error.detach() * (-expected).exp())).sum() / inside.sum().clamp_min(1)


class InPainter(nn.Module):
    """(clip relative to the background (B, 3, C, H, W), mask (B, 1, H, W) with 1 = hidden, goal (B, C, H, W)) ->
    (middle frame relative to the background (B, C, H, W) float32, log expected error (B, 1, H / 4, W / 4)).

    Only the second output sees `goal` (None without a goal). The finest level the decoder is given is 1/8.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], familiarity: int):
        super().__init__()
        self.pyramid = blocks.PixelPyramid(3 * channels + 1, widths)
        self.middle = blocks.conv(widths[-1], widths[-1])
        skips = [0, *widths[1:-1]]
        self.up = nn.ModuleList(blocks.conv(coarse + skip, fine)
                                for fine, coarse, skip in zip(widths[:-1], widths[1:], skips))
        self.head = nn.Sequential(blocks.conv(widths[0], widths[0]),
                                  nn.Conv2d(widths[0], channels * blocks.CELL ** 2, 3, 1, 1))
        self.familiarity = blocks.Familiarity(channels, familiarity)

    def forward(self, clip: Tensor, hidden: Tensor, goal: Tensor | None) -> tuple[Tensor, Tensor | None]:
        before, now, after = clip.unbind(1)
        seen = torch.cat([before, now * (1 - hidden), after, hidden], 1)
        levels = self.pyramid(seen)
        x = self.middle(levels[-1])
        for number in range(len(self.up) - 1, -1, -1):
            x = blocks.double_size(x)
            if number > 0:
                x = torch.cat([x, levels[number]], 1)
            x = self.up[number](x)
        made = F.pixel_shuffle(self.head(x), blocks.CELL)
        return made.float(), None if goal is None else self.familiarity(goal)
