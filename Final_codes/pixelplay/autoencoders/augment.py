"""Augmentation of training clips on the device: sped-up inputs, dense colour noise, brightness.

Reads `Clips` and window positions; returns (clip, target): the network's input and what it should output. Every draw
comes from a generator seeded by (seed, step) for the global batch, of which a process then takes its slice: the result
depends neither on the number of processes nor on where training was interrupted.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from pixelplay.autoencoders.windows import Clip, Clips

BANK, MARGIN = 8, 16
"""Noise frames drawn once, and their margin over a frame, in pixels: a noisy frame takes one at a random offset. Fresh
noise for every clip would cost more than the network's forward pass on two cores."""


class Augment:
    """Builds augmented training batches.

    Args:
        clips: windows and frames.
        config: a TrainConfig (noise_p, noise_sigma, skip_p, brightness).
        seed: seed of every draw.
    """

    def __init__(self, clips: Clips, config, seed: int):
        self.clips, self.config, self.seed = clips, config, seed
        h, w = clips.size
        generator = torch.Generator().manual_seed(seed)
        fine = torch.randn(BANK, clips.channels, h + MARGIN, w + MARGIN, generator=generator)
        coarse = torch.randn(BANK, clips.channels, (h + MARGIN) // 2, (w + MARGIN) // 2, generator=generator)
        # compression and resizing correlate part of the noise between neighbouring pixels
        self.bank = ((fine + F.interpolate(coarse, size=fine.shape[-2:])) / 2 ** 0.5).to(clips.device)

    def batch(self, step: int, windows: np.ndarray, mine: slice = slice(None)) -> tuple[Clip, Clip]:
        """Clip and target for this process's slice `mine` of the global batch `windows`."""
        config, draw = self.config, np.random.default_rng([self.seed, step])
        count, length = len(windows), self.clips.windows.rows.shape[1]
        speed = np.where(draw.random(count) < config.skip_p, draw.integers(2, 6, count), 1)
        gain = 1 + config.brightness * draw.uniform(-1, 1, (count, 1, 1, 1, 1))
        noisy = (draw.random((count, 1)) < config.noise_p) & (draw.random((count, length)) < 0.5)
        sigma = draw.uniform(0, config.noise_sigma, (count, length)) * noisy
        places = draw.integers(0, [BANK, MARGIN, MARGIN], (count, length, 3))

        windows, speed, sigma, places = windows[mine], speed[mine], sigma[mine], places[mine]
        gain = torch.as_tensor(gain[mine], dtype=torch.float32, device=self.clips.device)
        taken = self.clips.take(self.clips.windows.rows[windows])
        target = Clip((taken.frames * gain).clamp_(0, 1), taken.speed)
        clip = Clip(*(x.clone() for x in target)) if (speed > 1).any() or sigma.any() else target
        fast = np.flatnonzero(speed > 1)
        if len(fast):
            rows, factor = self._fast_rows(windows[fast], speed[fast])
            taken = self.clips.take(rows)
            clip.frames[fast] = (taken.frames * gain[fast]).clamp_(0, 1)
            clip.speed[fast] = taken.speed * torch.as_tensor(factor, dtype=torch.float32, device=self.clips.device
                                                             ).view(-1, 1, 1, 1, 1)
        h, w = self.clips.size
        for b, t in zip(*np.nonzero(sigma)):
            k, y, x = places[b, t]
            noisy = clip.frames[b, t] + float(sigma[b, t]) * self.bank[k, :, y:y + h, x:x + w]
            clip.frames[b, t] = noisy.clamp_(0, 1)
        return clip, target

    def _fast_rows(self, windows: np.ndarray, speed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(b, T) rows of windows played `speed` times too fast, less if their segment is too short, and the (b,)
        factors."""
        line, anchors, offsets = self.clips.timeline, self.clips.windows.anchors[windows], self.clips.offsets
        # the network sees past frames only, so only the past needs room
        room = (line.at[anchors] - line.first[anchors]) // max(1, -int(offsets.min()))
        factor = np.clip(room, 1, speed)
        return line.look(anchors, offsets * factor[:, None])[0], factor
