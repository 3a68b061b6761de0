"""Displacement of every pixel: the motion target of Joint and U-Net, and the misplacement of Roadmap-lite.

Reads pairs of frames; gives displacements in pixels, never rescaled per frame: speed is what tells a bicycle from a
walker. The same function makes the target in training and at test.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from pixelplay.autoencoders.windows import CHUNK, find_windows, spread, to_network
from pixelplay.data.footage import Footage

BLUR = 1.0
"""Standard deviation in pixels of the blur before the flow: it follows edges, not noise and blocks."""
STILL = 0.1
"""Pixels per frame below which a place counts as still."""


def flow_speed(before: Tensor, after: Tensor) -> Tensor:
    """(B, C, H, W) pairs in [0, 1] -> (B, 1, H, W) displacement in pixels of each pixel of `after`, by dense inverse
    search (Kroeger et al., ECCV 2016). On the CPU whatever the device: a few milliseconds a pair."""
    def gray(x: Tensor) -> np.ndarray:
        return (x.detach().float().mean(1) * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()

    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    # people are a few pixels wide at the network's size: the preset's quarter resolution loses them
    search.setFinestScale(1)
    found = np.empty((len(after), 1, *after.shape[-2:]), np.float32)
    for i, (old, new) in enumerate(zip(gray(before), gray(after))):
        old, new = (cv2.GaussianBlur(x, (0, 0), BLUR) for x in (old, new))
        found[i, 0] = np.linalg.norm(search.calc(new, old, None), axis=-1)
    return torch.from_numpy(found).to(after.device)


def usual_speed(speed: Callable[[Tensor], Tensor], train: Footage, offsets: tuple[int, ...], size: tuple[int, int],
                channels: int, max_gap: int, most: int = 200) -> Tensor:
    """(): mean of what moves at all in at most `most` training windows; 1 where nothing moves.

    Args:
        speed: (B, T, C, H, W) clip -> speeds in pixels per frame.
        offsets, size, channels, max_gap: of the windows, as for `Clips`.
    """
    rows = find_windows(train, offsets, max_gap).rows
    rows, found = rows[spread(len(rows), most)], [torch.zeros(1)]
    for i in range(0, len(rows), CHUNK):
        part = rows[i:i + CHUNK]
        frames = to_network(train.batch(part.ravel()), size, channels).float() / 255
        found.append(speed(frames.view(*part.shape, *frames.shape[1:])).flatten())
    speeds = torch.cat(found)
    moving = speeds[speeds > STILL]
    return moving.mean() if len(moving) else torch.tensor(1.0)
