"""The ensemble stage: score files and a sample submission in, checked submission files out.

Reads `scores/*.csv` and the sample submission (or the Ids of the manifest); writes `submission_two_stream.csv`,
`submission_quad_ensemble.csv`, `submission.csv` (those for which there are models) and `ensemble.json`, the table
behind them. Everything is computed and checked before the first file is written.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pixelplay.data.ids import canonical_id
from pixelplay.data.manifest import Manifest
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path, read_json, write_json
from pixelplay.fusion.ensemble import FAMILIES, Merged, Quality, find_files, keep_models, merge_all, read_members
from pixelplay.fusion.prior import equal_weights, prior_weights
from pixelplay.fusion.recipe import Frames, load_recipe
from pixelplay.fusion.scores import ScoreFile, check_ids, read_strings
from pixelplay.paths import RunPaths

log = logging.getLogger(__name__)

SAMPLE = "sample_submission.csv"
WEIGHTINGS = {"prior": prior_weights, "equal": equal_weights}


@dataclasses.dataclass(frozen=True)
class Sample:
    """Format of a submission: its two columns, and its Ids as written and unpadded, in order."""

    columns: tuple[str, str]
    written: tuple[str, ...]
    ids: tuple[str, ...]
    source: str


def merge(output: Path, *, recipe: str = "default", smoke: bool = False) -> dict[str, Path]:
    """Stage 7 of a run: merge `output/scores` into the submissions of `output`.

    Returns:
        submission name -> path, e.g. {'submission': output/submission.csv}.
    """
    paths = RunPaths(Path(output))
    return merge_files([paths.scores], paths.root / "submission.csv", recipe=recipe,
                       manifest=paths.extraction if paths.manifest.exists() else None, allow_smoke=smoke)[0]


def merge_files(places: Sequence[Path], target: Path, *, recipe: str = "default", sample: Path | None = None,
                manifest: Path | None = None, models: Sequence[str] | None = None, weights: str = "",
                allow_smoke: bool = False, quality: Quality | None = None) -> tuple[dict[str, Path], list[Merged]]:
    """Merge score files and write the submissions.

    Args:
        places: folders of score files, or score files.
        target: path of the submission of all models; the others are written beside it.
        sample: sample submission; None = the one beside the data, else the Ids of the manifest.
        manifest: folder of manifest.csv, for Ids and reliabilities; without it reliabilities are 1.
        models: names of the models to merge; None = all.
        weights: '' (the recipe's own), 'prior' or 'equal'.
        allow_smoke: accept scores of smoke runs.
    Returns:
        (submission name -> path, the merged scores with their tables).
    Raises:
        PixelPlayError: any check that fails; then nothing is written.
    """
    rule, target = load_recipe(recipe), Path(target)
    ends = {end: target.with_name(f"{target.stem}{end}{target.suffix}") for end in (*FAMILIES.values(), "")}
    files = find_files(places, parts=rule.parts, leave_out=[*ends.values(), *([sample] if sample else [])])
    known = Manifest.load(manifest) if manifest is not None else None
    wanted = read_sample(sample) if sample is not None else find_sample(known)
    if known is not None:
        check_same_frames(wanted, known.split("test")["Id"].to_numpy(object), Path(manifest) / "manifest.csv")
    frames = Frames.of_ids(wanted.ids) if manifest is None else Frames.of_stage(manifest, wanted.ids)
    members = read_members(rule.choose(keep_models(files, models)), frames, allow_smoke=allow_smoke)
    merged = merge_all(members, frames, rule, weights=weighting(weights), quality=quality)
    made = {}
    for result in merged:
        write_submission(ends[result.ending], wanted, frames, result.values)
        made[ends[result.ending].stem] = ends[result.ending]
    about = target.with_name("ensemble.json" if target.stem == "submission" else f"{target.stem}.ensemble.json")
    _remove_stale(about, made)
    write_json(about, {
        "recipe": rule.name, "about": rule.about, "weights": weights or "the recipe's own", "sample": wanted.source,
        "frames": len(frames), "unreliable_frames": int((frames.reliability < 1).sum()),
        "submissions": {ends[m.ending].stem: [dataclasses.asdict(r) for r in m.rows] for m in merged}})
    return made, merged


def _remove_stale(about: Path, made: dict[str, Path]) -> None:
    """Remove submissions that the last merge wrote here and this one did not: their models or recipe are gone."""
    before = read_json(about).get("submissions", {}) if about.exists() else {}
    for name in before:
        path = about.with_name(f"{name}.csv")
        if name not in made and path.exists():
            log.warning("%s is of an earlier merge and is removed", path)
            path.unlink()


def weighting(name: str) -> Callable[[Mapping[str, ScoreFile]], Mapping[str, float]] | None:
    """The weighting rule of a --weights value; None = the recipe's own. Raises PixelPlayError for an unknown name."""
    if not name:
        return None
    if name not in WEIGHTINGS:
        raise PixelPlayError(f"there are no weights called '{name}'", expected="one of " + ", ".join(WEIGHTINGS))
    return WEIGHTINGS[name]


def read_sample(path: Path) -> Sample:
    """Read a sample submission: two columns, the first called Id or ID. Raises PixelPlayError otherwise."""
    table = read_strings(path)
    if len(table.columns) != 2 or str(table.columns[0]).lower() != "id" or not len(table):
        raise PixelPlayError(f"{path} has the header {','.join(map(str, table.columns))} and {len(table)} rows",
                             expected="two columns, Id and Predicted, one row per test frame")
    written = table.iloc[:, 0].tolist()
    try:
        ids = tuple(map(canonical_id, written))
    except ValueError as cause:
        raise PixelPlayError(f"{path}: {cause}") from cause
    return Sample((str(table.columns[0]), str(table.columns[1])), tuple(written), ids, str(path))


def find_sample(manifest: Manifest | None) -> Sample:
    """The sample submission beside a dataset, or else the manifest's own test Ids.

    Raises:
        PixelPlayError: no manifest either.
    """
    if manifest is None:
        raise PixelPlayError("no sample submission and no manifest", expected="the Ids a submission must hold",
                             hint="give --sample sample_submission.csv, or --manifest FOLDER of stage 01")
    ids = manifest.split("test")["Id"].tolist()
    root = Path(manifest.roots.get("test", "")).resolve()
    for folder in [root, *list(root.parents)[:4]]:
        path = folder / SAMPLE
        if path.is_file():
            sample = read_sample(path)
            if set(sample.ids) == set(ids):
                return sample
            log.warning("%s belongs to other frames than the manifest and is not used", path)
    return Sample(("Id", "Predicted"), tuple(ids), tuple(ids), "manifest")


def check_same_frames(sample: Sample, manifest_ids: np.ndarray, path: Path) -> None:
    """Raise PixelPlayError unless the sample and the manifest hold the same Ids (in any order)."""
    mine = pd.Index(sample.ids)
    if mine.has_duplicates:
        raise PixelPlayError(f"{sample.source}: Id {mine[mine.duplicated()][0]} appears more than once")
    missing = mine[~mine.isin(manifest_ids)]
    extra = pd.Index(manifest_ids)[~pd.Index(manifest_ids).isin(mine)]
    if len(missing) or len(extra):
        raise PixelPlayError(f"{sample.source} and {path} disagree: {len(missing)} Ids are only in the sample"
                             f"{_first(missing)}, {len(extra)} only in the manifest{_first(extra)}",
                             expected="the same test frames in both",
                             hint="take the sample of this dataset, or run stage 01 on the right data")


def _first(ids: pd.Index) -> str:
    return f" (first: {', '.join(map(str, ids[:3]))})" if len(ids) else ""


def write_submission(path: Path, sample: Sample, frames: Frames, values: np.ndarray) -> None:
    """Write scores with the columns, Ids and order of the sample; read the file back and check it.

    Raises:
        PixelPlayError: the file does not hold exactly the sample's Ids with finite scores.
    """
    ordered = np.asarray(values, dtype=np.float64)[pd.Index(frames.ids).get_indexer(pd.Index(sample.ids))]
    with atomic_path(path) as part:
        pd.DataFrame({sample.columns[0]: sample.written, sample.columns[1]: ordered}).to_csv(
            part, index=False, lineterminator="\n")
        back = read_strings(part)
        check_ids(back.iloc[:, 0].to_numpy(object), sample.written, str(path))
        if not (back.iloc[:, 1].to_numpy(object).astype(np.float64) == ordered).all() or not np.isfinite(ordered).all():
            raise PixelPlayError(f"{path} did not keep its scores while it was written", hint="check the disk")
