"""A weights file and its model card.

Weights are stored as safetensors, so loading them runs no code. The card is JSON: model, version, seed, settings,
origin, and the sha256 of the weights. A damaged or mismatched pair raises one error that names the file.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError

from pixelplay.config import override
from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json, sealed, sha256_of, write_json

C = TypeVar("C")
AGAIN = "fit the model again, or copy its folder again"


WEIGHTS, CARD = "weights.safetensors", "card.json"


def write_weights_and_card(folder: Path, content: bytes, about: dict[str, Any]) -> None:
    """Write safetensors bytes and then the card with their sha256 and size, each atomically."""
    weights = Path(folder) / WEIGHTS
    with sealed(weights) as part:
        part.write_bytes(content)  # safetensors' own save_file would make the file unreadable for others
    write_json(Path(folder) / CARD, {**about, "sha256": sha256_of(weights), "bytes": weights.stat().st_size},
               seal=True)


def read_card(folder: Path, *, model: str, version: int) -> dict[str, Any]:
    """Read and check the card of the weights in a folder.

    Raises:
        PixelPlayError: either file is missing; the card is no JSON object, belongs to another model or version, or has
            a seed that is no integer; or the weights do not match its sha256.
    """
    card, weights = Path(folder) / CARD, Path(folder) / WEIGHTS
    if not card.exists() or not weights.exists():
        raise PixelPlayError(f"{folder} holds no weights of {model}", expected=f"{WEIGHTS} and {CARD}",
                             hint="name a detector such as Final_codes/Final_models/ped2, or fit one")
    about = read_json(card)
    if not isinstance(about, dict):
        raise PixelPlayError(f"{card} holds no object", expected='{"model": ..., "version": ..., ...}', hint=AGAIN)
    if about.get("model") != model:
        raise PixelPlayError(f"{card} describes the model '{about.get('model')}'", expected=f"'{model}'",
                             hint="name the folder of the right model")
    if about.get("version") != version:
        raise PixelPlayError(f"{card.parent} holds {model} weights of version {about.get('version')}",
                             expected=f"version {version}", hint="train again, or use the release they came with")
    if sha256_of(weights) != about.get("sha256"):
        raise PixelPlayError(f"{weights} is not the file its card describes (sha256 differs)", hint=AGAIN)
    if type(about.get("seed", 0)) is not int:
        raise PixelPlayError(f"{card}: the seed is {about['seed']!r}", expected="a whole number", hint=AGAIN)
    return about


def config_of(about: dict[str, Any], default: C) -> C:
    """The settings in a card. Raises ValueError for a missing one, PixelPlayError for an invalid or unknown one."""
    missing = {f.name for f in dataclasses.fields(default)} - set(about["config"])
    if missing:
        raise ValueError(f"the settings {', '.join(sorted(missing))} are missing")
    return override(default, about["config"])


@contextlib.contextmanager
def well_formed(folder: Path) -> Iterator[None]:
    """Turn errors from parsing a card and its tensors (missing or malformed entries) into PixelPlayError."""
    card, weights = Path(folder) / CARD, Path(folder) / WEIGHTS
    try:
        yield
    except PixelPlayError as cause:
        if str(card.parent) in cause.problem:
            raise
        raise PixelPlayError(f"{card}: {cause.problem}", expected=cause.expected, hint=cause.hint) from cause
    except SafetensorError as cause:
        raise PixelPlayError(f"{weights} cannot be read: {cause}", hint=AGAIN) from cause
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as cause:
        words = f"it has no {cause}" if isinstance(cause, KeyError) else str(cause).splitlines()[-1].strip()
        raise PixelPlayError(f"{card} and {weights.name} do not describe a model: {words}",
                             expected="the card and weights of one release", hint=AGAIN) from cause
