"""STAE: spatio-temporal autoencoder with a reconstruction and a prediction branch.

Reads windows of 2 x `length` frames; reconstructs the first half from itself and predicts the second half from the
first. After Zhao et al., "Spatio-Temporal AutoEncoder for Video Anomaly Detection" (ACM MM 2017): one 3-D encoder,
two decoders, a prediction loss that weighs the far future less. Ours: strided instead of pooled convolutions (ten
times less work), GroupNorm, everything relative to the median background, moving pixels weighted, too-fast inputs
with a normal target (Astrid et al., BMVC 2021), and a score from both branches at the worst patch.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from pixelplay.autoencoders.base import Autoencoder, TrainConfig
from pixelplay.errors import PixelPlayError


@dataclasses.dataclass(frozen=True)
class STAEConfig(TrainConfig):
    """Settings of STAE beside the shared ones.

    Attributes:
        length: frames that are reconstructed, and as many that are predicted; a multiple of 4.
        widths: channels of the four encoder layers.
        motion: extra weight of a moving pixel in the loss.
    """

    length: int = 8
    widths: tuple[int, ...] = (16, 32, 48, 48)
    motion: float = 4.0
    skip_p: float = 0.2

    @classmethod
    def profile(cls, name: str) -> STAEConfig:
        """smoke: a wiring test; lite: two CPU cores; full: a GPU."""
        return {
            "smoke": cls(height=32, widths=(4, 8, 8, 8), steps=12, epoch_steps=6, batch=4, precision="float32"),
            "lite": cls(),
            "full": cls(height=192, channels=1, widths=(32, 64, 96, 96), steps=6000, epoch_steps=500, batch=16,
                        lr=4e-4, warmup=300, ema=0.999, noise_p=0.4),
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

    def loss(self, net, clip, target, generator, prior):
        made = self._make(net, clip, prior)
        length = self.config.length
        motion = (target[:, 1:] - target[:, :-1]).abs()
        motion = torch.cat([motion[:, :1], motion], dim=1)
        # a tenth of the grey scale is a full step: more contrast does not make a pixel more moving
        weight = 1 + self.config.motion * (motion / 0.1).clamp(max=1)
        error = weight * (((made - target) ** 2 + 1e-4).sqrt() - 1e-2)
        nearness = torch.linspace(1, 1 / length, length, device=error.device)
        frames = error.mean(dim=(0, 2, 3, 4))
        rebuilt, predicted = frames[:length].mean(), (frames[length:] * nearness).sum() / nearness.sum()
        return {"total": rebuilt + predicted, "reconstruction": rebuilt, "prediction": predicted}

    def errors(self, net, clip, prior):
        return ((self._make(net, clip, prior) - clip) ** 2).mean(dim=2)

    def _make(self, net: nn.Module, clip: Tensor, prior: dict[str, Tensor]) -> Tensor:
        """(B, 2 length, C, H, W): the reconstructed, then the predicted frames, from the first half of the clip."""
        background = prior["background"]
        past = (clip[:, :self.config.length] - background).transpose(1, 2)
        rebuilt, predicted = net(past)
        return torch.cat([rebuilt, predicted], dim=2).transpose(1, 2).float() + background


class TwoBranch(nn.Module):
    """(B, C, T, H, W) -> reconstruction and prediction, each (B, C, T, H, W). T a multiple of 4, H and W of 8."""

    def __init__(self, widths: tuple[int, ...], channels: int):
        super().__init__()
        a, b, c, d = widths
        self.encoder = nn.Sequential(block(channels, a, (1, 2, 2)), block(a, b, 2), block(b, c, 2), block(c, d, 1))
        self.reconstruct, self.predict = decoder(widths, channels), decoder(widths, channels)

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(clip)
        return self.reconstruct(code), self.predict(code)


def block(inputs: int, outputs: int, stride) -> nn.Module:
    """3x3x3 convolution, GroupNorm (batches are small), LeakyReLU."""
    return nn.Sequential(nn.Conv3d(inputs, outputs, 3, stride, 1, bias=False), nn.GroupNorm(min(8, outputs), outputs),
                         nn.LeakyReLU(0.1))


def decoder(widths: tuple[int, ...], channels: int) -> nn.Module:
    """Mirror of the encoder: transposed convolutions, the last one linear."""
    a, b, c, d = widths

    def up(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.ConvTranspose3d(inputs, outputs, 4, 2, 1, bias=False),
                             nn.GroupNorm(min(8, outputs), outputs), nn.LeakyReLU(0.1))

    return nn.Sequential(block(d, c, 1), up(c, b), up(b, a),
                         nn.ConvTranspose3d(a, channels, (3, 4, 4), (1, 2, 2), (1, 1, 1)))
