"""What an autoencoder knows of its training frames beside its weights.

Made while a model is fitted, saved with the weights, handed to losses and errors.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor


@dataclasses.dataclass(frozen=True)
class TrainingStatistics:
    """Tensors on one device.

    Attributes:
        background: (C, H, W) float32 in [0, 1], per-pixel median.
        noise: (1, H, W) robust standard deviation of |x_t - x_{t-1}| per pixel, in [0, 1] units.
        baseline: () frames between those a speed is measured on.
        speed: () usual speed of what moves, in working-size pixels per frame.
        scenes: (K, D) by which K scenes are recognised; None where the training videos show one.
        scene_baseline, scene_speed: (K,) baseline and usual speed of each.
        location: (F, M, P, Q) usual error at each place, from `scorer.usual_errors`; None before it is measured.
        level: (F,) usual score of each judged frame; scene_level: (K, F) the same in each scene.
        own: what a network adds for itself once it is trained (see `Autoencoder.after_fit`).
    """

    background: Tensor
    noise: Tensor
    baseline: Tensor
    speed: Tensor
    scenes: Tensor | None = None
    scene_baseline: Tensor | None = None
    scene_speed: Tensor | None = None
    location: Tensor | None = None
    level: Tensor | None = None
    scene_level: Tensor | None = None
    own: dict[str, Tensor] = dataclasses.field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """Those that are there, by name; a network's own as 'own.NAME'."""
        named = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "own"}
        return ({k: v for k, v in named.items() if v is not None} | {f"own.{k}": v for k, v in self.own.items()})

    @classmethod
    def of_tensors(cls, tensors: dict[str, Tensor]) -> TrainingStatistics:
        """The opposite. Raises TypeError where one is missing or unknown."""
        own = {k[4:]: v for k, v in tensors.items() if k.startswith("own.")}
        return cls(**{k: v for k, v in tensors.items() if not k.startswith("own.")}, own=own)

    def to(self, device: str) -> TrainingStatistics:
        """All of it on a device."""
        return self.of_tensors({k: v.to(device) for k, v in self.tensors().items()})
