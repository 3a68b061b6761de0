"""STAE: spatio-temporal autoencoder with a reconstruction and a prediction branch.

Reads windows of 2 x `length` frames and their speed maps; reconstructs the first half from itself and predicts the
second half from the first.

After Zhao et al., "Spatio-Temporal AutoEncoder for Video Anomaly Detection" (ACM MM 2017): one 3-D encoder, two
decoders, a prediction loss that weights the far future less.
Ours: speed as a channel of the volume; strided convolutions over cells of pixels instead of pooling at full resolution
(over ten times less compute); no normalisation layers; frames relative to the median background; weighted moving
pixels; sped-up inputs with a normal target (Astrid et al., BMVC 2021); a score dominated by the furthest predicted
frame.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelplay.autoencoders import blocks
from pixelplay.autoencoders.base import Autoencoder, TrainConfig
from pixelplay.autoencoders.statistics import TrainingStatistics
from pixelplay.autoencoders.windows import Clip
from pixelplay.errors import PixelPlayError
from pixelplay.flow.speed import CELL

SCALE = 8.0
"""Scales residuals to the background (about a tenth of the grey range) to order one."""
FASTEST = 8.0
"""Speeds are clipped here, in units of the typical speed, before the network sees them."""


@dataclasses.dataclass(frozen=True)
class STAEConfig(TrainConfig):
    """Settings of STAE in addition to the shared ones.

    Attributes:
        length: frames that are reconstructed, and frames that are predicted; a multiple of 4.
        widths: channels of the encoder at 1/4 of the resolution, at 1/8 and half the frame rate, and of the code.
        motion: extra weight of a moving pixel in the loss.
    """

    length: int = 8
    widths: tuple[int, ...] = (24, 48, 64)
    motion: float = 4.0
    batch: int = 8
    most_steps: int = 500
    lr: float = 3e-3
    skip_p: float = 0.2

    @classmethod
    def profile(cls, name: str) -> STAEConfig:
        """smoke: a wiring test; lite: two CPU cores; full: a GPU."""
        return {
            "smoke": cls(height=32, widths=(4, 8, 8), steps=12, epoch_steps=6, batch=4, precision="float32"),
            "lite": cls(),
            # E18 and E12: longer training lowers the held-out error without ranking better
            "full": cls(height=192, channels=1, widths=(48, 96, 128), steps=3000, epoch_steps=250, batch=16,
                        lr=1e-3, warmup=150, ema=0.999, noise_p=0.4),
        }[name]


class STAE(Autoencoder):
    """See the module."""

    name = "stae"
    stage = "03_stae"
    weight = 0.5
    title = "STAE"
    colour = "#009E73"
    explain = "the short clip could not be rebuilt from normal ones"
    Config = STAEConfig

    def network(self, size: tuple[int, int]) -> nn.Module:
        if self.config.length % 4:
            raise PixelPlayError(f"stae.length cannot be {self.config.length}", expected="a multiple of 4")
        return TwoBranch(self.config.widths, self.config.channels)

    @property
    def offsets(self) -> tuple[int, ...]:
        length, step = self.config.length, self.config.step
        return tuple((i - length + 1) * step for i in range(2 * length))

    @property
    def target_frames(self) -> tuple[int, ...]:
        return tuple(range(2 * self.config.length))

    @property
    def frame_weights(self) -> tuple[float, ...]:
        # anomalies show most in the furthest prediction; the other frames matter where it is missing (start of a video)
        # or its window contains unreliable frames
        return (*(0.01,) * (2 * self.config.length - 1), 1.0)

    def loss(self, net, clip, target, generator, statistics):
        predicted, predicted_speed = self._predict(net, clip, statistics)
        length, frames = self.config.length, target.frames
        motion = (frames[:, 1:] - frames[:, :-1]).abs()
        motion = torch.cat([motion[:, :1], motion], dim=1)
        # saturates at a tenth of the grey range, so that contrast does not add weight
        weight = 1 + self.config.motion * (motion / 0.1).clamp(max=1)
        square = (predicted - frames) ** 2
        # with the absolute term alone, the bare background is optimal wherever a walker's position is uncertain
        error = weight * (5 * square + 0.5 * ((square + 1e-4).sqrt() - 1e-2))
        moving = 1 + self.config.motion * target.speed.clamp(max=1)
        slip = 0.05 * moving * (predicted_speed - target.speed).abs()
        nearness = torch.linspace(1, 1 / length, length, device=error.device)
        of_frame = error.mean(dim=(0, 2, 3, 4)) + slip.mean(dim=(0, 2, 3, 4))
        rebuilt, predicted = of_frame[:length].mean(), (of_frame[length:] * nearness).sum() / nearness.sum()
        return {"total": rebuilt + predicted, "reconstruction": rebuilt, "prediction": predicted}

    def errors(self, net, clip, statistics):
        """Maps of every frame: error of the squared speed, and squared appearance error."""
        predicted, predicted_speed = self._predict(net, clip, statistics)
        appearance = blocks.cells(((predicted - clip.frames) ** 2).flatten(0, 1)).unflatten(0, predicted.shape[:2])
        return torch.cat([blocks.speed_error(predicted_speed, clip.speed), appearance], 2)

    def expected(self, net, clip, statistics):
        return self._predict(net, clip, statistics)[0]

    def _predict(self, net: nn.Module, clip: Clip, statistics: TrainingStatistics) -> tuple[Tensor, Tensor]:
        """Frames (B, 2 length, C, H, W) and speeds (B, 2 length, 1, H / 4, W / 4): reconstructed, then predicted, from
        the first half of the clip."""
        background, length = statistics.background, self.config.length
        frames, speed = net(clip.frames[:, :length] - background, clip.speed[:, :length])
        return frames + background, speed


class TwoBranch(nn.Module):
    """Frames (B, T, C, H, W) and speeds (B, T, 1, H / 4, W / 4) -> the same for 2 T frames: T reconstructed, T
    predicted. T is a multiple of 4, H and W of CELL.

    Cells of 4 x 4 pixels are folded into channels first and unfolded last, because convolutions at full resolution
    would take most of the time and add no information. The code is 1/4 as long and 1/8 as high and wide: with a 1/16
    code, a few hundred steps ended no better than the bare background.
    """

    def __init__(self, widths: tuple[int, ...], channels: int):
        super().__init__()
        a, b, c = widths
        inputs = channels * CELL ** 2 + 1
        self.encoder = nn.Sequential(
            nn.Conv3d(inputs, a, (3, 1, 1), 1, (1, 0, 0)), nn.SiLU(), nn.Conv3d(a, b, 3, 2, 1), nn.SiLU(),
            nn.Conv3d(b, c, 3, (2, 1, 1), 1), nn.SiLU(), nn.Conv3d(c, c, 3, 1, 1), nn.SiLU())
        self.reconstruct, self.predict = decoder(widths, inputs), decoder(widths, inputs)

    def forward(self, frames: Tensor, speed: Tensor) -> tuple[Tensor, Tensor]:
        # unscaled residuals are too small for a network without normalisation layers
        volume = torch.cat([F.pixel_unshuffle(frames * SCALE, CELL), speed.clamp(max=FASTEST)], 2)
        code = self.encoder(volume.transpose(1, 2))
        # odd sizes were rounded up when halved: crop what the decoders add
        height, width = speed.shape[-2:]
        predicted = torch.cat([branch(code).transpose(1, 2)[..., :height, :width].float()
                               for branch in (self.reconstruct, self.predict)], 1)
        return F.pixel_shuffle(predicted[:, :, :-1], CELL) / SCALE, F.softplus(predicted[:, :, -1:])


def decoder(widths: tuple[int, ...], outputs: int) -> nn.Module:
    """Mirror of the encoder: transposed convolutions, linear output."""
    a, b, c = widths
    return nn.Sequential(nn.ConvTranspose3d(c, b, (4, 3, 3), (2, 1, 1), 1), nn.SiLU(),
                         nn.ConvTranspose3d(b, a, 4, 2, 1), nn.SiLU(), nn.Conv3d(a, outputs, (3, 1, 1), 1, (1, 0, 0)))
