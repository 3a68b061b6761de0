"""Layers, losses and masks that the autoencoders share.

Tensors in, tensors out: frames are (B, C, H, W) float in [0, 1], losses are means over windows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelplay.flow.speed import CELL
from pixelplay.repair.noise import GAIN, KERNEL, NORMAL_MEDIAN

# ---- layers ---------------------------------------------------------------------------------------------------

def conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Module:
    """3x3 convolution and SiLU; 4x4 where it halves the size, so that every pixel counts equally often."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 4 if stride == 2 else 3, stride, 1), nn.SiLU())


def even(x: Tensor) -> Tensor:
    """(B, C, H, W) -> the same, with a row or column of zeros appended where a side is odd, so that a stride of 2
    covers everything."""
    height, width = x.shape[-2:]
    return F.pad(x, (0, width % 2, 0, height % 2)) if height % 2 or width % 2 else x


def double_size(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, H, W), nearest neighbour: its backward pass is deterministic on every device.

    Args:
        like: (..., H, W), the level that `x` was downsampled from; H is 2 h, or 2 h - 1 where `even` added a row.
    """
    height, width = like.shape[-2:]
    return x.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., :height, :width]


class PixelPyramid(nn.Module):
    """Encoder: pixels folded into cells of `CELL` px without loss, then one level per width, each half as large.

    (B, C, H, W) -> list of (B, widths[i], H / (CELL 2^i), W / (CELL 2^i)), rounded up; H and W are multiples of CELL.
    """

    def __init__(self, channels: int, widths: tuple[int, ...]):
        super().__init__()
        inputs = [channels * CELL * CELL, *widths[:-1]]
        self.levels = nn.ModuleList(
            nn.Sequential(conv(i, o, stride=1 if n == 0 else 2), conv(o, o))
            for n, (i, o) in enumerate(zip(inputs, widths)))

    def forward(self, x: Tensor) -> list[Tensor]:
        x, found = F.pixel_unshuffle(x, CELL), []
        for number, level in enumerate(self.levels):
            x = level(even(x) if number else x)
            found.append(x)
        return found


class ConvGRUCell(nn.Module):
    """Convolutional GRU (Ballas et al., ICLR 2016): (input, state), both (B, width, H, W) -> new state, float32.

    The state is float32 under mixed precision too: it is a sum over time, in which half precision loses small updates.
    """

    def __init__(self, width: int):
        super().__init__()
        self.gates = nn.Conv2d(2 * width, 2 * width, 3, 1, 1)
        self.candidate = nn.Conv2d(2 * width, width, 3, 1, 1)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        update, reset = torch.sigmoid(self.gates(torch.cat([x, state.to(x.dtype)], 1)).float()).chunk(2, 1)
        candidate = torch.tanh(self.candidate(torch.cat([x, (reset * state).to(x.dtype)], 1)).float())
        return torch.lerp(state, candidate, update)


def places(x: Tensor) -> Tensor:
    """(B, 2, H, W): row and column of every pixel of `x`, in [-1, 1], as position input (CoordConv)."""
    batch, _, h, w = x.shape
    row = torch.linspace(-1, 1, h, device=x.device, dtype=x.dtype).view(1, 1, h, 1).expand(batch, 1, h, w)
    column = torch.linspace(-1, 1, w, device=x.device, dtype=x.dtype).view(1, 1, 1, w).expand(batch, 1, h, w)
    return torch.cat([row, column], 1)


def cell_places(x: Tensor) -> Tensor:
    """(B, C, H, W) in cells -> (B, C, H CELL, W CELL): every pixel gets its cell's value."""
    return x.repeat_interleave(CELL, -2).repeat_interleave(CELL, -1)


# ---- losses and error maps ------------------------------------------------------------------------------------

def cells(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 1, H / CELL, W / CELL): mean over channels and cells, float32."""
    return F.avg_pool2d(x.float().mean(1, keepdim=True), CELL)


def speed_error(predicted: Tensor, speed: Tensor) -> Tensor:
    """Absolute difference of squared speeds, elementwise: too fast costs more than too slow."""
    return (predicted.float() ** 2 - speed ** 2).abs()


def speed_loss(predicted: Tensor, speed: Tensor, extra: float) -> Tensor:
    """Mean absolute speed error, with weight up to 1 + extra on moving cells: most cells are still, so an unweighted
    loss favours predicting no motion."""
    return ((1 + extra * speed.clamp(max=1)) * (predicted.float() - speed).abs()).mean()


def charbonnier(residual: Tensor) -> Tensor:
    """Charbonnier loss sqrt(r^2 + eps^2) - eps, elementwise, eps = 0.01: |r| far from zero, smooth at zero."""
    return (residual.float() ** 2 + 1e-2 ** 2).sqrt() - 1e-2


def dead_zone(residual: Tensor, tolerance: Tensor | float) -> Tensor:
    """max(|r| - tolerance, 0)^2, elementwise: errors below the tolerance cost nothing."""
    return F.relu(residual.float().abs() - tolerance) ** 2


def gradient_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of gradient magnitudes (Mathieu et al., ICLR 2016): keeps edges sharp."""
    predicted, target = predicted.float(), target.float()
    return sum((predicted.diff(dim=d).abs() - target.diff(dim=d).abs()).abs().mean() for d in (-1, -2))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """(B, C, H, W) pairs in [0, 1] -> (B, C, h, w) structural similarity (Wang et al., 2004), uniform 7 x 7 windows."""
    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 7, 1)

    a, b = a.float(), b.float()
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a ** 2, mean(b * b) - mean_b ** 2
    cov = mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01 ** 2, 0.03 ** 2
    return ((2 * mean_a * mean_b + c1) * (2 * cov + c2)) / ((mean_a ** 2 + mean_b ** 2 + c1) * (var_a + var_b + c2))


def moving_weight(now: Tensor, before: Tensor, tolerance: Tensor | float, extra: float) -> Tensor:
    """(B, 1, H, W) loss weight: 1 on still pixels, up to 1 + extra where the frame changed by clearly more than the
    tolerance. It saturates, so that contrast does not add weight."""
    change = (now - before).abs().amax(dim=1, keepdim=True).float()
    return 1 + extra * ((change - tolerance) / 0.05).clamp(0, 1)


# ---- noise ----------------------------------------------------------------------------------------------------

def noise_level(frames: Tensor) -> Tensor:
    """(B, C, H, W) in [0, 1] -> (B, 1, 1, 1) standard deviation of the pixel noise.

    The estimator of `pixelplay.repair.noise`, without host synchronisation, for resized frames of any depth instead of
    camera frames whose finest noise JPEG has removed.
    """
    b, c, h, w = frames.shape
    kernel = torch.tensor(KERNEL, device=frames.device).view(1, 1, 3, 3)
    with torch.autocast(frames.device.type, enabled=False):
        response = F.conv2d(frames.float().reshape(b * c, 1, h, w), kernel).abs().flatten(1).median(1).values
    return (response / (NORMAL_MEDIAN * GAIN)).view(b, c).mean(1).view(b, 1, 1, 1)


# ---- masks ----------------------------------------------------------------------------------------------------

def complementary_masks(size: tuple[int, int], block: int, *, shift: tuple[int, int] = (0, 0),
                        device: torch.device | str = "cpu") -> Tensor:
    """(4, 1, H, W) float masks, 1 = hidden: exactly one of them hides a given pixel. Mask k hides every second block of
    every second row of blocks; `shift` moves the grid by (rows, columns) pixels."""
    row = (torch.arange(size[0], device=device) + shift[0]) // block % 2
    column = (torch.arange(size[1], device=device) + shift[1]) // block % 2
    number = 2 * row[:, None] + column[None, :]
    return torch.stack([(number == k).float() for k in range(4)])[:, None]
