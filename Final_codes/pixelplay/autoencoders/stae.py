"""STAE: spatio-temporal autoencoder with a reconstruction and a prediction branch.

Reads windows of 2 x `length` frames; reconstructs the first half from itself and predicts the second half from the
first. After Zhao et al., "Spatio-Temporal AutoEncoder for Video Anomaly Detection" (ACM MM 2017): one 3-D encoder,
two decoders, a prediction loss that weighs the far future less. Ours: strided convolutions over cells of pixels instead
of pooled ones at full resolution (over ten times less work), no normalisation layers, everything relative to the
median background, moving pixels weighted, too-fast inputs with a normal target (Astrid et al., BMVC 2021), and a
score from both branches at the worst patch.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelplay.autoencoders import blocks
from pixelplay.autoencoders.base import Autoencoder, TrainConfig
from pixelplay.errors import PixelPlayError

SCALE = 8.0
"""Brings residuals to the background (a tenth of the grey scale or so) to the order of one."""


@dataclasses.dataclass(frozen=True)
class STAEConfig(TrainConfig):
    """Settings of STAE beside the shared ones.

    Attributes:
        length: frames that are reconstructed, and as many that are predicted; a multiple of 4.
        widths: channels of the encoder at 1/4 of the resolution, at 1/8 and half the frame rate, and of the code.
        motion: extra weight of a moving pixel in the loss.
        location_floor: added to a place's mean training error before dividing by it, in units of the mean over all
            places; see `blocks.by_place`.
    """

    length: int = 8
    widths: tuple[int, ...] = (24, 48, 64)
    motion: float = 4.0
    location_floor: float = 3.0
    batch: int = 8
    steps: int = 500
    lr: float = 3e-3
    skip_p: float = 0.2

    @classmethod
    def profile(cls, name: str) -> STAEConfig:
        """smoke: a wiring test; lite: two CPU cores; full: a GPU."""
        return {
            "smoke": cls(height=32, widths=(4, 8, 8), steps=12, epoch_steps=6, batch=4, precision="float32",
                         passes=1000.0),
            "lite": cls(),
            "full": cls(height=192, channels=1, widths=(48, 96, 128), steps=6000, epoch_steps=500, batch=16,
                        lr=1e-3, warmup=300, ema=0.999, noise_p=0.4,
                        passes=1000.0),
        }[name]


class STAE(Autoencoder):
    """See the module."""

    name = "stae"
    stage = "03_stae"
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
    def scored(self) -> tuple[int, ...]:
        return tuple(range(2 * self.config.length))

    @property
    def map_weights(self) -> tuple[float, ...]:
        # an unusual speed shows the more the further the prediction reaches; the reconstruction is close to blind to it
        # and chiefly covers a video's first frames, which no prediction reaches
        length = self.config.length
        return (*(0.1,) * length, *((i + 1) / length for i in range(length)))

    def loss(self, net, clip, target, generator, prior):
        made = self._make(net, clip, prior)
        length = self.config.length
        motion = (target[:, 1:] - target[:, :-1]).abs()
        motion = torch.cat([motion[:, :1], motion], dim=1)
        # a tenth of the grey scale is a full step: more contrast does not make a pixel more moving
        weight = 1 + self.config.motion * (motion / 0.1).clamp(max=1)
        square = (made - target) ** 2
        # the absolute term alone has the bare background as its optimum wherever a walker is uncertain
        error = weight * (5 * square + 0.5 * ((square + 1e-4).sqrt() - 1e-2))
        nearness = torch.linspace(1, 1 / length, length, device=error.device)
        frames = error.mean(dim=(0, 2, 3, 4))
        rebuilt, predicted = frames[:length].mean(), (frames[length:] * nearness).sum() / nearness.sum()
        return {"total": rebuilt + predicted, "reconstruction": rebuilt, "prediction": predicted}

    def errors(self, net, clip, prior):
        return ((self._make(net, clip, prior) - clip) ** 2).mean(dim=2)

    def local(self, patches):
        return blocks.by_place(patches, self.prior["location"], self.config.location_floor)

    def reduce(self, patches):
        return self.local(patches).amax(dim=(2, 3))

    def _make(self, net: nn.Module, clip: Tensor, prior: dict[str, Tensor]) -> Tensor:
        """(B, 2 length, C, H, W): the reconstructed, then the predicted frames, from the first half of the clip."""
        background = prior["background"]
        return torch.cat(net(clip[:, :self.config.length] - background), dim=1) + background


class TwoBranch(nn.Module):
    """(B, T, C, H, W) -> reconstruction and prediction, each (B, T, C, H, W). T a multiple of 4, H and W of 8.

    Cells of 4 x 4 pixels are folded into channels first and unfolded last: convolutions at full resolution would
    take most of the time and see nothing a cell does not hold. The code is 1/4 as long and 1/8 as high and wide:
    measured with a 1/16 code, a few hundred steps ended no better than the bare background.
    """

    def __init__(self, widths: tuple[int, ...], channels: int):
        super().__init__()
        a, b, c = widths
        pixels = channels * blocks.CELL ** 2
        self.encoder = nn.Sequential(
            nn.Conv3d(pixels, a, (3, 1, 1), 1, (1, 0, 0)), nn.SiLU(), nn.Conv3d(a, b, 3, 2, 1), nn.SiLU(),
            nn.Conv3d(b, c, 3, (2, 1, 1), 1), nn.SiLU(), nn.Conv3d(c, c, 3, 1, 1), nn.SiLU())
        self.reconstruct, self.predict = decoder(widths, pixels), decoder(widths, pixels)

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        # residuals to the background are small: unscaled, they starve a network without normalisation layers
        code = self.encoder(F.pixel_unshuffle(clip * SCALE, blocks.CELL).transpose(1, 2))
        return tuple(F.pixel_shuffle(branch(code).transpose(1, 2).float(), blocks.CELL) / SCALE
                     for branch in (self.reconstruct, self.predict))


def decoder(widths: tuple[int, ...], pixels: int) -> nn.Module:
    """Mirror of the encoder: transposed convolutions, the last layer linear."""
    a, b, c = widths
    return nn.Sequential(nn.ConvTranspose3d(c, b, (4, 3, 3), (2, 1, 1), 1), nn.SiLU(),
                         nn.ConvTranspose3d(b, a, 4, 2, 1), nn.SiLU(), nn.Conv3d(a, pixels, (3, 1, 1), 1, (1, 0, 0)))
