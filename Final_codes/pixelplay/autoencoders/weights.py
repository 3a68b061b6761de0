"""Trained weights: safetensors, a card, and the held-out training scores that calibrate them.

Reads and writes one folder a model: `weights.safetensors` (fp16: half the size, the same scores to three digits),
`card.json` (model, version, settings and their hash, size, data, hardware, minutes, loss curve, metrics, sha256,
command) and `train_scores.csv`. With them a test set is scored without any training.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from pixelplay.cards import read_card, well_formed, write_weights_and_card
from pixelplay.errors import PixelPlayError
from pixelplay.files import sealed, sha256_of

WEIGHTS, CARD, TRAIN_SCORES = "weights.safetensors", "card.json", "train_scores.csv"
HALF_LIMIT = 6e4
"""Tensors with a larger value, or with tiny positive ones fp16 cannot hold, stay float32."""


def write_weights(folder: Path, tensors: dict[str, Tensor], card: dict[str, Any], *, half: bool = True,
                  train_scores: tuple[np.ndarray, np.ndarray] | None = None) -> None:
    """Write weights, held-out training scores (ids, values) where known, and the card last, each in one step."""
    folder = Path(folder)
    ready = {k: _halve(v.detach().cpu().contiguous()) if half else v.detach().cpu().contiguous()
             for k, v in tensors.items()}
    if train_scores is not None:
        with sealed(folder / TRAIN_SCORES) as part, part.open("w", newline="", encoding="utf-8") as stream:
            rows = csv.writer(stream, lineterminator="\n")
            rows.writerow(["Id", "Predicted"])
            rows.writerows((i, f"{v:.6g}") for i, v in zip(*train_scores))
        card = {**card, "train_scores_sha256": sha256_of(folder / TRAIN_SCORES)}
    write_weights_and_card(folder / WEIGHTS, save(ready), folder / CARD, card)


def _halve(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point() or not tensor.numel():
        return tensor
    size = tensor.abs()
    small = size[size > 0].min() if (size > 0).any() else torch.tensor(1.0)
    # weights may lose their tiniest values, positive statistics (variances, noise floors) may not
    if size.max() > HALF_LIMIT or (tensor.min() >= 0 and small < 1e-4):
        return tensor.float()
    return tensor.half()


def read_weights(folder: Path, *, model: str, version: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors (float32) and card.

    Raises:
        PixelPlayError: no weights there; another model's or version's; content that differs from the card's sha256.
    """
    folder = Path(folder)
    card = read_card(folder / CARD, folder / WEIGHTS, model=model, version=version)
    with well_formed(folder / CARD, folder / WEIGHTS):
        tensors = load_file(folder / WEIGHTS)
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, card


def read_train_scores(folder: Path, card: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Held-out training scores (ids (N,) object, values (N,) float64) beside the weights, or None.

    Raises:
        PixelPlayError: the file is not the one the card describes.
    """
    path = Path(folder) / TRAIN_SCORES
    if "train_scores_sha256" not in card:
        return None
    if not path.exists() or sha256_of(path) != card["train_scores_sha256"]:
        raise PixelPlayError(f"{path} is missing or not the file the card describes", mend="copy the folder again")
    with well_formed(Path(folder) / CARD, path), path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))[1:]
        return np.array([r[0] for r in rows], object), np.array([float(r[1]) for r in rows])
