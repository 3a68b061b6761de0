"""The manifest: one row per frame, written by stage 1. Later tables are joined to it by Id.

Reads and writes `manifest.csv` (Id, split, video, frame, path, flags, reliability), sorted by (split, video, frame)
with train before test, and `manifest.json` (roots, layout, frame rates, fingerprints, number of rows).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from pixelplay.config import config_hash
from pixelplay.data.ids import frame_id, natural_key
from pixelplay.errors import PixelPlayError
from pixelplay.files import check, read_json, sealed, write_json

COLUMNS = ("Id", "split", "video", "frame", "path", "flags", "reliability")
SPLITS = ("train", "test")
FLAGS = ("vflip", "hflip", "rot180", "noise", "impulse", "duplicate", "frozen", "blank", "exposure", "blur",
         "shift", "unreadable")
RATE = 25.0
"""Frames per second if the footage does not state a rate."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """All frames of one dataset.

    Attributes:
        table: DataFrame with `COLUMNS`; `path` is a POSIX path relative to the root of the split. Frames of a video
            file share its path and differ in `frame` (0-based index).
        roots: split -> folder that its paths are relative to.
        layout: name of the recognised layout, e.g. 'competition'.
        rates: split -> frames per second, for splits whose files state a rate.
        fingerprints: split -> hash of frame names, file sizes and sampled content; changes only with the input of the
            split.
        labels: path of ground truth found beside the data, or None. Only evaluation reads it.
        videos: split -> video -> hash of the content of its files, independent of their names.
    """

    table: pd.DataFrame
    roots: dict[str, Path]
    layout: str
    rates: dict[str, float] = dataclasses.field(default_factory=dict)
    fingerprints: dict[str, str] = dataclasses.field(default_factory=dict)
    labels: Path | None = None
    videos: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)

    def content(self, split: str, video: str) -> str:
        """Hash of the content of a video, for cache keys."""
        known = self.videos.get(split, {}).get(video)
        return known or config_hash(self.fingerprints.get(split, ""), split, video)

    @property
    def fps(self) -> float:
        """Frames per second of the training videos, else of the test videos, else `RATE`."""
        return next((self.rates[s] for s in SPLITS if s in self.rates), RATE)

    @property
    def fingerprint(self) -> str:
        """Hash of the fingerprints of all splits."""
        return config_hash(self.fingerprints)

    def splits(self) -> list[str]:
        """Names of the splits that have frames, training first."""
        return [s for s in SPLITS if (self.table["split"] == s).any()]

    def split(self, name: str) -> pd.DataFrame:
        """Rows of one split, index reset."""
        return self.table[self.table["split"] == name].reset_index(drop=True)

    def only(self, name: str) -> Manifest:
        """The manifest of one split."""
        def own(by_split: dict) -> dict:
            return {split: value for split, value in by_split.items() if split == name}

        return dataclasses.replace(self, table=self.split(name), roots=own(self.roots), rates=own(self.rates),
                                   fingerprints=own(self.fingerprints), labels=self.labels if name == "test" else None,
                                   videos=own(self.videos))

    def save(self, folder: Path) -> None:
        """Write manifest.csv and manifest.json, each atomically."""
        validate(self.table)
        with sealed(Path(folder) / "manifest.csv") as part:
            self.table.to_csv(part, index=False, float_format="%.6g", lineterminator="\n")
        write_json(Path(folder) / "manifest.json", {
            "roots": {k: str(v) for k, v in self.roots.items()}, "layout": self.layout,
            "rates": self.rates, "fingerprints": self.fingerprints, "labels": str(self.labels) if self.labels else None,
            "videos": self.videos, "rows": len(self.table)}, seal=True)

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read what `save` wrote, and validate it.

        Raises:
            PixelPlayError: a file is missing, damaged or of another version, or rows are missing.
        """
        folder = Path(folder)
        about, hint = read_json(folder / "manifest.json"), f"empty {folder} and run stage 01_frame_extraction"
        check(folder / "manifest.csv")
        try:
            rows, roots = int(about["rows"]), {k: Path(v) for k, v in about["roots"].items()}
            rest = (str(about["layout"]), {k: float(v) for k, v in about["rates"].items()},
                    {k: str(v) for k, v in about["fingerprints"].items()},
                    Path(about["labels"]) if about["labels"] else None,
                    {k: dict(v) for k, v in about["videos"].items()})
        except (KeyError, TypeError, ValueError, AttributeError) as cause:
            raise PixelPlayError(f"{folder / 'manifest.json'} is no manifest of this version: {cause!r}", hint=hint
                                 ) from cause
        try:
            table = pd.read_csv(folder / "manifest.csv", keep_default_na=False, index_col=False,
                                dtype={"Id": str, "split": str, "video": str, "frame": np.int64, "path": str,
                                       "flags": str, "reliability": np.float64})
        except OSError as cause:
            raise PixelPlayError(f"{folder / 'manifest.csv'} cannot be read: {cause.strerror}", hint=hint) from cause
        except (ValueError, OverflowError, pd.errors.ParserError, pd.errors.EmptyDataError) as cause:
            raise PixelPlayError(f"{folder / 'manifest.csv'} is damaged: {cause}", hint=hint) from cause
        validate(table)
        if len(table) != rows:
            raise PixelPlayError(f"{folder / 'manifest.csv'} holds {len(table)} rows", expected=f"{rows} as written",
                                 hint=hint)
        return cls(table, roots, *rest)


def make_table(rows: list[tuple[str, str, int, str]]) -> pd.DataFrame:
    """Build a sorted manifest table from (split, video, frame, path) rows, without flags."""
    rows = sorted(rows, key=lambda r: (SPLITS.index(r[0]), natural_key(r[1]), r[2]))
    return pd.DataFrame({
        "Id": [frame_id(v, f) for _, v, f, _ in rows], "split": [r[0] for r in rows],
        "video": [r[1] for r in rows], "frame": np.array([r[2] for r in rows], dtype=np.int64),
        "path": [r[3] for r in rows], "flags": [""] * len(rows), "reliability": np.ones(len(rows))},
        columns=list(COLUMNS))


def validate(table: pd.DataFrame) -> None:
    """Raise PixelPlayError if a table is invalid (columns, values, unique Ids per split, order, flags)."""
    if tuple(table.columns) != COLUMNS:
        raise PixelPlayError(f"manifest has columns {list(table.columns)}", expected=", ".join(COLUMNS))
    wrong = table[~table["split"].isin(SPLITS) | ~table["reliability"].between(0, 1)]
    if len(wrong):
        raise PixelPlayError(f"manifest row of Id {wrong['Id'].iloc[0]} has split {wrong['split'].iloc[0]!r} and "
                             f"reliability {wrong['reliability'].iloc[0]}", expected="train or test, and 0 to 1")
    repeated = table[table.duplicated(["split", "Id"])]
    if len(repeated):
        raise PixelPlayError(f"manifest holds Id {repeated['Id'].iloc[0]} twice",
                             expected="each video and frame number once in a split",
                             hint="two files carry the same number: rename or remove one")
    for split in SPLITS:
        rows = table[table["split"] == split]
        backwards = (rows["video"].to_numpy()[1:] == rows["video"].to_numpy()[:-1]) & (np.diff(rows["frame"]) <= 0)
        if backwards.any():
            raise PixelPlayError(f"manifest is out of order at Id {rows['Id'].iloc[int(np.argmax(backwards)) + 1]}",
                                 hint="run stage 01_frame_extraction again")
    unknown = {f for cell in table["flags"].unique() for f in cell.split("|") if f} - set(FLAGS)
    if unknown:
        raise PixelPlayError(f"manifest has unknown flags {sorted(unknown)}", expected=", ".join(FLAGS))
