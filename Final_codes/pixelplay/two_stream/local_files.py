"""State of the local memory, and its files.

Reads and writes `weights.safetensors` (crops, background, channels) and then `card.json` (settings, calibrations,
origin of backbone and detectors). A crop in several banks is stored once, in the precision of its features.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from pixelplay.calibration import Calibration, Rarity
from pixelplay.cards import WEIGHTS, read_card, well_formed, write_weights_and_card
from pixelplay.two_stream.actor_table import Scene
from pixelplay.two_stream.channels import CHANNELS, Channel
from pixelplay.two_stream.foreground import Background


@dataclasses.dataclass(frozen=True)
class LocalFit:
    """State of a fitted local memory; T training crops are in at least one bank.

    Attributes:
        scene: background and settings of the flow.
        channels: motion channel by name; empty if no motion could be measured.
        crops: (T, dim) float16 features.
        members: for each seed, sorted rows of `crops` in its bank.
        calibrations, rarities: by channel, including 'appearance'.
        train_ids, train_boxes: (T,) frame and (T, 4) box of each crop, for the report.
    """

    scene: Scene
    channels: dict[str, Channel]
    crops: np.ndarray
    members: list[np.ndarray]
    calibrations: dict[str, Calibration]
    rarities: dict[str, Rarity]
    train_ids: np.ndarray
    train_boxes: np.ndarray

    @functools.cached_property
    def banks(self) -> list[np.ndarray]:
        """For each seed, its bank (K, dim) float32."""
        return [np.asarray(self.crops[m], np.float32) for m in self.members]


def write_memory(folder: Path, fit: LocalFit, card: dict[str, Any]) -> None:
    """Write both files; `card` holds further entries of the model card."""
    background = fit.scene.background
    tensors = {"background.medians": background.medians, "background.thresholds": background.thresholds,
               "background.thumbs": background.thumbs, "train_boxes": fit.train_boxes, "crops": fit.crops}
    tensors |= {f"{name}.{k}": v for name, channel in fit.channels.items() for k, v in channel.arrays().items()}
    tensors |= {f"members{i}": m for i, m in enumerate(fit.members)}
    write_weights_and_card(folder, save({k: np.ascontiguousarray(v) for k, v in tensors.items()}), {
        **card, "banks": len(fit.members), "train_ids": fit.train_ids.tolist(),
        "calibrations": {k: dataclasses.asdict(v) for k, v in fit.calibrations.items()},
        "rarities": {k: dataclasses.asdict(v) for k, v in fit.rarities.items()}})


def read_memory(folder: Path, name: str, version: int) -> tuple[LocalFit, dict[str, Any]]:
    """Read the files of `write_memory`. Raises PixelPlayError for another model or version, or a damaged file."""
    card = read_card(folder, model=name, version=version)
    with well_formed(folder):
        own = {k: card.pop(k) for k in ("banks", "train_ids", "calibrations", "rarities")}
        flow = card["flow"]
        t = load_file(Path(folder) / WEIGHTS)
        background = Background(t["background.medians"], t["background.thresholds"], t["background.thumbs"])
        return LocalFit(
            Scene(background, flow["baseline"], flow["dead_zone"], flow["tolerance"], flow["directions"]),
            {c.name: c.from_arrays(own_tensors) for c in CHANNELS if (own_tensors := _under(c.name, t))},
            t["crops"], [t[f"members{i}"] for i in range(own["banks"])],
            {k: Calibration.of_card(v) for k, v in own["calibrations"].items()},
            {k: Rarity(tuple(v["levels"]), v["excess"], v["videos"]) for k, v in own["rarities"].items()},
            np.array(own["train_ids"], dtype=object), t["train_boxes"]), card


def _under(name: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors named `name.*`, without that prefix."""
    return {k[len(name) + 1:]: v for k, v in tensors.items() if k.startswith(f"{name}.")}
