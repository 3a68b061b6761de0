"""Statistics of the training frames that an autoencoder needs besides its weights.

Computed in `fit`, saved with the weights, passed to losses and errors.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor


@dataclasses.dataclass(frozen=True)
class TrainingStatistics:
    """Tensors, all on one device.

    Attributes:
        background: (C, H, W) float32 in [0, 1], per-pixel median.
        noise: (1, H, W) robust standard deviation of |x_t - x_{t-1}| per pixel, in [0, 1] units.
        baseline: () frames between the two frames of a speed measurement.
        speed: () typical speed of moving things, in working-size pixels per frame.
        scenes: (K, D) descriptors of K scenes; None if the training videos show one scene.
        scene_baseline, scene_speed: (K,) baseline and typical speed of each scene.
        location: (F, M, P, Q) typical error at each place, from `scorer.usual_errors`; None before it is measured.
        level: (F,) typical score of each target frame; scene_level: (K, F) the same per scene.
        own: further tensors of a network after training (see `Autoencoder.after_fit`).
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
        """The tensors that are set, by name; those of `own` as 'own.NAME'."""
        named = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "own"}
        return ({k: v for k, v in named.items() if v is not None} | {f"own.{k}": v for k, v in self.own.items()})

    @classmethod
    def of_tensors(cls, tensors: dict[str, Tensor]) -> TrainingStatistics:
        """Inverse of `tensors`. Raises TypeError if one is missing or unknown."""
        own = {k[4:]: v for k, v in tensors.items() if k.startswith("own.")}
        return cls(**{k: v for k, v in tensors.items() if not k.startswith("own.")}, own=own)

    def to(self, device: str) -> TrainingStatistics:
        """A copy on a device."""
        return self.of_tensors({k: v.to(device) for k, v in self.tensors().items()})
