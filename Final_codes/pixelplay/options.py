"""What a run is asked to do: one dataclass, filled by the command line, a notebook or `pixelplay.fit`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pixelplay.registry import MODELS


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run is asked to do.

    Attributes:
        verb: 'run' learns from training footage and scores test footage; 'fit' only learns, 'score' only scores.
        data: folder that holds a known dataset somewhere below it; or give `train` and `test`, each a folder of
            videos or of frame folders. Without any: Kaggle's input on Kaggle, the embedded sample elsewhere.
        detector: the bundle to score with; needed by 'score', and 'run' then learns nothing, too.
        output: where everything is written; /kaggle/working or ./outputs when None.
        profile: 'smoke' (wiring only), 'lite' (two CPU cores) or 'full' (a GPU).
        models: names from the registry, in any order.
        labels: ground truth for the final table; what lies beside the data when None.
        repair: False leaves corrupted frames as they are (for comparisons).
        recipe: how the ensemble merges (see pixelplay/fusion).
        settings: 'model.setting' -> value, checked against the model's Config.
        force: go on in spite of what the preflight finds.
        hours: budget of the whole run; training steps are scaled to fit it. None = no limit.
        engine, address, workers: where work on single videos is done, see `pixelplay.engine.Engine`.
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
        """The options as JSON knows them."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Options:
        """Options from what `plain` gave."""
        paths = {k: Path(v) if plain[k] else None for k, v in plain.items()
                 if k in ("data", "detector", "train", "test", "output", "labels")}
        return cls(**plain | paths | {"models": tuple(plain["models"])})
