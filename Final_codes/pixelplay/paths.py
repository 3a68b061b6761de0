"""Paths of all files of a run, and the names of its first and last stages.

Reads the registry (stage of a model); makes paths.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json, write_json

EXTRACTION = "01_frame_extraction"
REPORT = "07_ensemble_and_report"
LAYOUT = 3
"""Version of the layout of a run folder; other versions are refused."""


@dataclasses.dataclass(frozen=True)
class RunPaths:
    """The files of one run.

    Attributes:
        root: the output folder.
    """

    root: Path

    @property
    def extraction(self) -> Path:
        """Stage 1: manifest, and files per video."""
        return self.root / EXTRACTION

    @property
    def manifest(self) -> Path:
        """The manifest, one row per frame."""
        return self.extraction / "manifest.csv"

    @property
    def detector(self) -> Path:
        """The bundle fitted by this run, or a copy of the one it scores with."""
        return self.root / "detector"

    @property
    def scores(self) -> Path:
        """Score files, with parts, error maps and actors in subfolders."""
        return self.root / "scores"

    @property
    def logs(self) -> Path:
        """Output and tracebacks of models."""
        return self.root / "logs"

    @property
    def receipt(self) -> Path:
        """Options, versions and seconds of the run."""
        return self.root / "run.json"

    @property
    def layout(self) -> Path:
        """Version of the layout; part of stage 1, so that it is copied with it."""
        return self.extraction / "layout.json"

    def work(self, model: str) -> Path:
        """Folder of a model's caches, checkpoints and curves."""
        from pixelplay.registry import model_class

        return self.root / model_class(model).stage / model

    def trained(self, model: str) -> Path:
        """Folder of a model in the bundle."""
        return self.detector / model

    def score_file(self, model: str) -> Path:
        """Raw scores of a model on the test frames."""
        return self.scores / f"{model}.csv"

    def maps(self, model: str) -> Path:
        """Anomaly maps of a model, (N, h, w)."""
        return self.scores / "maps" / f"{model}.npy"

    def actors(self, model: str) -> Path:
        """Actors of a model in the test frames."""
        return self.scores / "actors" / f"{model}.npz"

    @classmethod
    def around(cls, place: Path) -> RunPaths | None:
        """The run that contains a folder or file, at most three levels up; None if there is none."""
        for folder in (Path(place), *list(Path(place).resolve().parents)[:3]):
            if cls(folder).manifest.is_file():
                return cls(folder)
        return None

    def claim(self) -> None:
        """Write the layout version into the folder, before any other file.

        Raises:
            PixelPlayError: the folder holds a run of another layout.
        """
        self.require_layout()
        if not self.layout.exists():
            write_json(self.layout, {"layout": LAYOUT})

    def require_layout(self) -> None:
        """Raise PixelPlayError if the folder holds a run of another layout."""
        about = read_json(self.layout) if self.layout.exists() else {}
        found = about.get("layout") if isinstance(about, dict) else "unknown"
        if found != LAYOUT and (found is not None or self.manifest.exists() or self.receipt.exists()):
            raise PixelPlayError(f"{self.root} holds a run of another version of Pixel Play (layout {found or 1})",
                                 expected=f"layout {LAYOUT}", hint="give another --output, or delete the folder")
