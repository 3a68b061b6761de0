"""Joint appearance and motion: what moves how, learnt from normal video.

Reads a frame and the frames before it; learns (i) to rebuild the frame from its own code, (ii) to foretell how fast
every place moves from the code of the past frames, (iii) **correspondence**: how fast a thing that looks like this
at this place usually moves, from the appearance code alone; and (iv) how dense normal codes lie.

After Nguyen and Meunier, "Anomaly Detection in Video Sequence with Appearance-Motion Correspondence" (ICCV 2019): a
frame decoder without skips, a motion decoder on the same code, errors divided by their training means, the
patch of largest motion error decides, log S_M + 0.2 log S_A; and after Chang et al., "Clustering Driven Deep
Autoencoder for Video Anomaly Detection" (ECCV 2020): a motion code of its own and clusters of the joined codes.
Ours: speed (flow magnitude) in pixels per frame, the same flow of the same two frames in training and at test and
never rescaled per frame; correspondence and past each foretell that speed, and both errors count; the density is a
diagonal Gaussian mixture fitted after training.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelplay.autoencoders import blocks, flow
from pixelplay.autoencoders.base import Autoencoder, TrainConfig
from pixelplay.autoencoders.density import fit_density, negative_log_likelihood

APPEARANCE_WEIGHT, DENSITY_WEIGHT = 0.2, 0.2


@dataclasses.dataclass(frozen=True)
class JointConfig(TrainConfig):
    """Settings of Joint beside the shared ones.

    Attributes:
        history: frames before the judged one that the motion code sees, `step` apart.
        span: frames between the two whose flow is the motion target; longer tells slow from slower.
        widths: channels of both encoders at 1/4, 1/8 ... of the resolution.
        clusters: Gaussians of the density.
        location_floor: added to a place's mean training error before dividing by it, in units of the mean over all
            places. Without it a step onto ground nobody walks on in training outweighs any oddity elsewhere.
        motion: extra weight of a moving cell in the motion losses.
    """

    height: int = 128
    history: int = 3
    step: int = 2
    span: int = 4
    patch: int = 24
    widths: tuple[int, ...] = (24, 32, 48)
    clusters: int = 32
    location_floor: float = 10.0
    motion: float = 4.0
    lr: float = 1e-3

    @classmethod
    def profile(cls, name: str) -> JointConfig:
        """smoke: a wiring test; lite: two CPU cores; full: a GPU."""
        return {
            "smoke": cls(height=32, widths=(4, 6, 8), clusters=4, steps=12, epoch_steps=6, batch=4,
                         precision="float32",
                         passes=1000.0),
            "lite": cls(),
            "full": cls(height=192, channels=3, widths=(48, 96, 128, 128), clusters=64, steps=6000, epoch_steps=500,
                        warmup=300, ema=0.999, noise_p=0.4,
                        passes=1000.0),
        }[name]


class Joint(Autoencoder):
    """See the module."""

    name = "joint"
    stage = "06_joint"
    Config = JointConfig

    def network(self, size: tuple[int, int]) -> nn.Module:
        return AppearanceMotion(self.config.channels, self.config.history, self.config.widths)

    @property
    def offsets(self) -> tuple[int, ...]:
        """The past frames, the frame the flow starts from (one of them or its own) and the judged frame."""
        past = {-self.config.step * (i + 1) for i in range(self.config.history)}
        return tuple(sorted(past | {-self.config.span, 0}))

    @property
    def scored(self) -> tuple[int, ...]:
        return (len(self.offsets) - 1,) * 3

    def frame_and_past(self, clip: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, C, H, W) -> judged frame (B, C, H, W) and gray past (B, history, H, W), relative to the background."""
        offsets, step = self.offsets, self.config.step
        past = [offsets.index(-step * (i + 1)) for i in range(self.config.history - 1, -1, -1)]
        relative = clip - background
        return relative[:, -1], relative[:, past].mean(2)

    def speed(self, clip: Tensor) -> Tensor:
        """(B, T, C, H, W) -> the motion target, the same in training and at test: mean speed over the last `span`
        frames in each cell (B, 1, H / 4, W / 4), in pixels of the network's input per frame."""
        start = self.offsets.index(-self.config.span)
        return blocks.cells(flow.flow_speed(clip[:, start], clip[:, -1])) / self.config.span

    def prepare(self, train, size):
        """And 'speed' (): usual speed of what moves in the training frames, the unit of the motion losses."""
        config = self.config
        return {**super().prepare(train, size),
                "speed": flow.usual_speed(self.speed, train, self.offsets, size, config.channels, config.max_gap)}

    def loss(self, net, clip, target, generator, prior):
        background = prior["background"]
        out = net(*self.frame_and_past(clip, background))
        frame, goal = out.frame + background, target[:, -1]
        speed = self.speed(target) / prior["speed"]
        # still cells are most of the picture; unweighted, "nothing moves" would be a good guess for everybody
        weight = 1 + self.config.motion * speed.clamp(max=1)
        losses = {
            "appearance": blocks.charbonnier(frame - goal).mean() + blocks.gradient_loss(frame, goal),
            "motion": 0.1 * (weight * (speed - out.next_speed).abs()).mean(),
            "correspondence": 0.1 * (weight * (speed - out.usual_speed).abs()).mean(),
        }
        return {"total": sum(losses.values()), **losses}

    def errors(self, net, clip, prior):
        """Three maps: how far the squared speed is from what this appearance usually has and from what the past
        foretold (squares: too fast weighs more than too slow), how badly the appearance is rebuilt, and how thin
        normal codes lie here, as exp of a z-score."""
        background = prior["background"]
        out = net(*self.frame_and_past(clip, background))
        speed = self.speed(clip) / prior["speed"]
        motion = (speed ** 2 - out.usual_speed ** 2).abs() + (speed ** 2 - out.next_speed ** 2).abs()
        appearance = blocks.cells((out.frame + background - clip[:, -1]) ** 2)
        maps = [motion, appearance]
        if "density_centre" in prior:
            nll = negative_log_likelihood(out.code.movedim(1, -1), prior)
            z = ((nll - prior["density_centre"]) / prior["density_scale"]).clamp(-3, 10)
            thin = z.exp()[:, None]
            maps.append(F.interpolate(thin, size=motion.shape[-2:], mode="nearest"))
        else:
            maps.append(torch.ones_like(motion))
        return torch.cat(maps, 1)

    def local(self, patches):
        patches = blocks.by_place(patches, self.prior["location"], self.config.location_floor)
        motion, appearance, thin = patches.unbind(1)
        score = motion * appearance.clamp_min(1e-6) ** APPEARANCE_WEIGHT * thin ** DENSITY_WEIGHT
        return score[:, None].expand(-1, 3, -1, -1)

    def reduce(self, patches):
        """log S = log S_M + 0.2 log S_A + 0.2 z at the patch of largest motion error S_M (Nguyen and Meunier; the
        density term is ours)."""
        patches = blocks.by_place(patches, self.prior["location"], self.config.location_floor)
        motion, appearance, thin = (p.flatten(1) for p in patches.unbind(1))
        worst = motion.argmax(1, keepdim=True)
        score = motion * appearance.clamp_min(1e-6) ** APPEARANCE_WEIGHT * thin ** DENSITY_WEIGHT
        return score.gather(1, worst).clamp_min(1e-12).expand(-1, 3)

    def after_fit(self, net, clips, prior):
        """The density of the joint code of normal frames, and the median and spread of its negative log-likelihood."""
        codes = [net(*self.frame_and_past(clip, prior["background"])).code.movedim(1, -1).flatten(0, 2)
                 for clip, _ in clips.batches(limit=200)]
        codes = torch.cat(codes)
        density = fit_density(codes, self.config.clusters, self.seed)
        nll = negative_log_likelihood(codes.cpu(), density)
        return {**density, "density_centre": nll.mean(), "density_scale": nll.std().clamp_min(1e-3)}


class Found(NamedTuple):
    """What `AppearanceMotion` gives; cells are h = H / 4, w = W / 4, speeds in units of the usual one.

    Attributes:
        frame: (B, C, H, W) rebuilt frame relative to the background, from the appearance code.
        usual_speed: (B, 1, h, w) of such an appearance at this place, from the appearance code.
        next_speed: (B, 1, h, w) from the motion code.
        code: (B, D, h', w') both codes side by side.
    """

    frame: Tensor
    usual_speed: Tensor
    next_speed: Tensor
    code: Tensor


class AppearanceMotion(nn.Module):
    """(frame (B, C, H, W), past (B, history, H, W)), both relative to the background -> `Found`."""

    def __init__(self, channels: int, history: int, widths: tuple[int, ...]):
        super().__init__()
        self.appearance = blocks.PixelPyramid(channels + 2, widths)
        self.motion = blocks.PixelPyramid(history, widths)
        self.rebuild = Decoder(widths, channels * blocks.CELL ** 2, skips=False)
        self.foretell = Decoder(widths, 1, skips=True)
        self.correspond = Decoder(widths, 1, skips=True)

    def forward(self, frame: Tensor, past: Tensor) -> Found:
        appearance = self.appearance(torch.cat([frame, blocks.places(frame)], 1))
        motion = self.motion(past)
        return Found(F.pixel_shuffle(self.rebuild(appearance), blocks.CELL).float(),
                     F.softplus(self.correspond(appearance).float()), F.softplus(self.foretell(motion).float()),
                     torch.cat([appearance[-1], motion[-1]], 1).float())


class Decoder(nn.Module):
    """List of levels, fine to coarse -> (B, outputs, h, w) at the finest. Without skips from the coarsest alone: they
    would hand the input to an output that is compared with it. No appearance holds motion, so there they may stay."""

    def __init__(self, widths: tuple[int, ...], outputs: int, *, skips: bool):
        super().__init__()
        self.skips = skips
        self.up = nn.ModuleList(blocks.conv(coarse + (fine if skips else 0), fine)
                                for fine, coarse in itertools.pairwise(widths))
        self.head = nn.Conv2d(widths[0], outputs, 3, 1, 1)

    def forward(self, levels: list[Tensor]) -> Tensor:
        x = levels[-1]
        for up, level in zip(reversed(self.up), reversed(levels[:-1])):
            x = blocks.double_size(x)
            x = up(torch.cat([x, level], 1) if self.skips else x)
        return self.head(x)
