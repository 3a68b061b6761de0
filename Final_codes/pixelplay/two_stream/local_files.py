"""What the local memory learns, and the files it is kept in.

Reads and writes `local_memory.safetensors` (banks, background, what is usual where) and, last, its card
`local_memory.json` (settings, calibrations, where backbone and detectors came from).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from pixelplay.calibration import Calibration
from pixelplay.cards import read_card, well_formed, write_weights_and_card
from pixelplay.two_stream.actor_table import Scene
from pixelplay.two_stream.foreground import Background
from pixelplay.two_stream.motion import SpeedModel
from pixelplay.two_stream.scoring import Rarity
from pixelplay.two_stream.usual import UsualModel


@dataclasses.dataclass(frozen=True)
class LocalFit:
    """Everything a local memory learns from T embedded training crops.

    Attributes:
        scene: background and settings of the flow.
        speeds: of actors.
        usual: distances of crops to each bank.
        banks: (K, dim) float32 crops of each seed.
        members: (K,) rows among the T crops that each bank keeps.
        calibrations, rarities: by part.
        train_ids, train_boxes: (T,) frame and (T, 4) box of each crop, for the report.
    """

    scene: Scene
    speeds: SpeedModel
    usual: UsualModel
    banks: list[np.ndarray]
    members: list[np.ndarray]
    calibrations: dict[str, Calibration]
    rarities: dict[str, Rarity]
    train_ids: np.ndarray
    train_boxes: np.ndarray


def write_memory(folder: Path, name: str, fit: LocalFit, card: dict[str, Any]) -> None:
    """Write both files; `card` holds what else is to be known of the model."""
    from safetensors.numpy import save

    background = fit.scene.background
    tensors = {"background.medians": background.medians, "background.thresholds": background.thresholds,
               "background.thumbs": background.thumbs, "train_boxes": fit.train_boxes}
    tensors |= {f"speeds.{k}": v for k, v in fit.speeds.arrays().items()}
    tensors |= {f"usual.{k}": v for k, v in fit.usual.arrays().items()}
    tensors |= {f"bank{i}": b for i, b in enumerate(fit.banks)} | {f"members{i}": m for i, m in enumerate(fit.members)}
    content = save({k: np.ascontiguousarray(v) for k, v in tensors.items()})
    write_weights_and_card(Path(folder) / f"{name}.safetensors", content, Path(folder) / f"{name}.json", {
        **card, "banks": len(fit.banks), "train_ids": fit.train_ids.tolist(),
        "calibrations": {k: dataclasses.asdict(v) for k, v in fit.calibrations.items()},
        "rarities": {k: dataclasses.asdict(v) for k, v in fit.rarities.items()}})


def read_memory(folder: Path, name: str, version: int) -> tuple[LocalFit, dict[str, Any]]:
    """What `write_memory` was given. Raises PixelPlayError for another model or version, or a damaged file."""
    from safetensors.numpy import load_file

    path, weights = Path(folder) / f"{name}.json", Path(folder) / f"{name}.safetensors"
    card = read_card(path, weights, model=name, version=version)
    with well_formed(path, weights):
        own = {k: card.pop(k) for k in ("banks", "train_ids", "calibrations", "rarities")}
        flow = card["flow"]
        t = load_file(weights)
        background = Background(t["background.medians"], t["background.thresholds"], t["background.thumbs"])
        return LocalFit(
            Scene(background, flow["baseline"], flow["dead_zone"], flow["tolerance"], flow["directions"]),
            SpeedModel.from_arrays(_under("speeds", t)), UsualModel.from_arrays(_under("usual", t)),
            [t[f"bank{i}"] for i in range(own["banks"])], [t[f"members{i}"] for i in range(own["banks"])],
            {k: Calibration.of_card(v) for k, v in own["calibrations"].items()},
            {k: Rarity(tuple(v["levels"]), v["excess"]) for k, v in own["rarities"].items()},
            np.array(own["train_ids"], dtype=object), t["train_boxes"]), card


def _under(name: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors `name.*`, without that prefix."""
    return {k[len(name) + 1:]: v for k, v in tensors.items() if k.startswith(f"{name}.")}
