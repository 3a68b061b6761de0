"""Options of a run, filled by the command line, a notebook or `pixelplay.fit`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pixelplay.registry import MODELS


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a run.

    Attributes:
        verb: 'run' (fit on training footage and score test footage), 'fit' or 'score'.
        data: folder that contains a known dataset at any depth. Alternatively `train` and `test`, each a folder of
            videos or of frame folders. Default: Kaggle's input on Kaggle, the embedded sample elsewhere.
        detector: bundle to score with; required by 'score'. With it, 'run' fits nothing.
        output: output folder; default /kaggle/working on Kaggle, ./outputs elsewhere.
        profile: 'smoke' (tests the wiring), 'lite' (two CPU cores) or 'full' (a GPU).
        models: names from the registry, in any order.
        labels: ground truth for the final metrics; None uses labels found beside the data.
        seed: of everything random.
        repair: False leaves corrupted frames as they are (for comparisons).
        recipe: name of the ensemble's fusion recipe (see pixelplay/fusion).
        settings: 'model.setting' -> value, checked against the Config of the model.
        force: continue despite problems found by the preflight.
        hours: time budget of the run; training steps are scaled to fit it. None = no limit.
        engine, address, workers: parallel work on videos, see `pixelplay.engine.Engine`.
    """

    verb: str = "run"
    data: Path | None = None
    detector: Path | None = None
    train: Path | None = None
    test: Path | None = None
    output: Path | None = None
    profile: str = "lite"
    models: tuple[str, ...] = tuple(MODELS)
    labels: Path | None = None
    seed: int = 0
    repair: bool = True
    recipe: str = "default"
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    force: bool = False
    hours: float | None = None
    engine: str = "loky"
    address: str | None = None
    workers: int | None = None

    def plain(self) -> dict[str, Any]:
        """The options as JSON values."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Options:
        """Options from the result of `plain`."""
        paths = {k: Path(v) if plain[k] else None for k, v in plain.items()
                 if k in ("data", "detector", "train", "test", "output", "labels")}
        return cls(**plain | paths | {"models": tuple(plain["models"])})
