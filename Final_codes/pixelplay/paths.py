"""Where everything of a run lies, and what its first and last stages are called: the one place that knows.

Reads nothing but the registry (which stage a model belongs to); makes paths.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json, write_json

EXTRACTION = "01_frame_extraction"
REPORT = "07_ensemble_and_report"
LAYOUT = 3
"""Version of a run folder's layout; a folder of another one is refused."""


@dataclasses.dataclass(frozen=True)
class RunPaths:
    """The files of one run.

    Attributes:
        root: the output folder.
    """

    root: Path

    @property
    def extraction(self) -> Path:
        """Stage 1: manifest, and one file a video and what is known of it."""
        return self.root / EXTRACTION

    @property
    def manifest(self) -> Path:
        """One row a frame."""
        return self.extraction / "manifest.csv"

    @property
    def detector(self) -> Path:
        """The bundle that was learnt here, or a copy of the one that scores here."""
        return self.root / "detector"

    @property
    def scores(self) -> Path:
        """Score files; parts, error maps and actors in sub-folders."""
        return self.root / "scores"

    @property
    def logs(self) -> Path:
        """What failed models said."""
        return self.root / "logs"

    @property
    def receipt(self) -> Path:
        """Options, versions, seconds."""
        return self.root / "run.json"

    @property
    def layout(self) -> Path:
        """The version of this folder's layout; it travels with the frames."""
        return self.extraction / "layout.json"

    def work(self, model: str) -> Path:
        """Where a model keeps caches, checkpoints and curves: a folder of its own, whatever its stage is called."""
        from pixelplay.registry import model_class

        return self.root / model_class(model).stage / model

    def trained(self, model: str) -> Path:
        """Where the bundle keeps a model."""
        return self.detector / model

    def score_file(self, model: str) -> Path:
        """A model's raw scores of the test frames."""
        return self.scores / f"{model}.csv"

    def maps(self, model: str) -> Path:
        """A model's maps of where the anomaly is (N, h, w)."""
        return self.scores / "maps" / f"{model}.npy"

    def actors(self, model: str) -> Path:
        """A model's actors of the test frames."""
        return self.scores / "actors" / f"{model}.npz"

    @classmethod
    def around(cls, place: Path) -> RunPaths | None:
        """The run that a folder or a file of it belongs to (up to three folders up); None where there is none."""
        for folder in (Path(place), *list(Path(place).resolve().parents)[:3]):
            if cls(folder).manifest.is_file():
                return cls(folder)
        return None

    def claim(self) -> None:
        """Mark the folder with this layout's version before the first file is written.

        Raises:
            PixelPlayError: it holds a run of another layout.
        """
        self.require_layout()
        if not self.layout.exists():
            write_json(self.layout, {"layout": LAYOUT})

    def require_layout(self) -> None:
        """Raise PixelPlayError where the folder holds a run of another layout."""
        about = read_json(self.layout) if self.layout.exists() else {}
        found = about.get("layout") if isinstance(about, dict) else "unknown"
        if found != LAYOUT and (found is not None or self.manifest.exists() or self.receipt.exists()):
            raise PixelPlayError(f"{self.root} holds a run of another version of Pixel Play (layout {found or 1})",
                                 expected=f"layout {LAYOUT}", hint="give another --output, or delete the folder")
