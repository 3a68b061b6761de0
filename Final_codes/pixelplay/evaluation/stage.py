"""Evaluation stage: the models and submissions of a finished run against labels.

Reads `scores/*.csv`, `submission*.csv`, the manifest and the labels; writes `metrics.json`. A model's row is its score
alone through the default recipe (calibrated, smoothed), as it would be submitted; its raw score is under `raw_rows`.
The baseline is smoothed in the same way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pixelplay.arrays import read_array
from pixelplay.data.baseline import frame_difference_scores
from pixelplay.data.manifest import Manifest
from pixelplay.evaluation.bootstrap import DRAWS, Interval
from pixelplay.evaluation.labels import Labels, read_labels
from pixelplay.evaluation.localisation import region_intervals
from pixelplay.evaluation.masks import find_masks
from pixelplay.evaluation.report import Evaluation, Scored, evaluate, read_scored
from pixelplay.files import write_json
from pixelplay.fusion.ensemble import FAMILIES, find_files
from pixelplay.fusion.recipe import Frames, load_recipe
from pixelplay.fusion.recipes.default import SIGMA
from pixelplay.fusion.scores import ScoreFile, read_scores
from pixelplay.fusion.smoothing import smooth
from pixelplay.paths import RunPaths

BASELINE = "frame_difference"


def evaluate_run(output: Path, labels: Path | Labels, *, draws: int = DRAWS) -> dict[str, Any]:
    """Evaluate a run's output folder.

    Returns:
        The content of `metrics.json`: `rows` (models, frame_difference, submissions), `raw_rows`, `videos`, `labels`.
    Raises:
        PixelPlayError: labels that do not fit the test frames.
    """
    output = Path(output)
    processed, raw = scored_of_run(output)
    truth = labels if isinstance(labels, Labels) else read_labels(labels)
    known = Manifest.load(RunPaths(output).extraction).split("test")["Id"].tolist()
    extra, regions = regions_of_run(output, truth, draws=draws)
    found = evaluate(processed, truth, known_ids=known, draws=draws, extra=extra, regions=regions)
    bare = evaluate(raw, truth, known_ids=known, draws=draws) if raw else None
    metrics = found.as_json() | {"raw_rows": bare.as_json()["rows"] if bare else {}}
    write_json(output / "metrics.json", metrics)
    return metrics


def evaluation_of_run(output: Path, labels: Path | Labels, *, draws: int = DRAWS) -> Evaluation:
    """The same as an `Evaluation`, for figures; writes nothing."""
    truth = labels if isinstance(labels, Labels) else read_labels(labels)
    known = Manifest.load(RunPaths(Path(output)).extraction).split("test")["Id"].tolist()
    return evaluate(scored_of_run(Path(output))[0], truth, known_ids=known, draws=draws)


def scored_of_run(output: Path) -> tuple[list[Scored], list[Scored]]:
    """(single models through the default recipe, the baseline and the submissions; raw scores of the models)."""
    from pixelplay.repair.stage import open_footage

    test = open_footage(RunPaths(output).extraction, "test")
    frames = Frames.of_stage(RunPaths(output).extraction)
    difference = frame_difference_scores(test)
    smoothed = smooth(difference, test.videos, test.frames, test.reliability, sigma=SIGMA)
    processed = [Scored(BASELINE, test.ids, smoothed)]
    raw = [Scored(BASELINE, test.ids, difference)]
    files = find_files([output / "scores"]) if any((output / "scores").glob("*.csv")) else []
    for path in files:
        file = read_scores(path, frames.ids, any_order=True)
        raw.append(Scored(file.name, frames.ids, file.values))
        processed.append(Scored(file.name, frames.ids, score_alone(file, frames)))
    for end in (*FAMILIES.values(), ""):
        path = output / f"submission{end}.csv"
        if path.exists():
            processed.append(read_scored(path))
    return processed, raw


def regions_of_run(output: Path, labels: Labels, *, draws: int = DRAWS
                   ) -> tuple[dict[str, dict[str, Interval]], str]:
    """(model -> RBDC and TBDC of its maps, ground truth in words), if there are pixel masks at or beside the labels."""
    scored = output / "scores"
    maps = [p for p in sorted((scored / "maps").glob("*.npy")) if (scored / f"{p.stem}.csv").exists()]
    masks = find_masks(Path(labels.source)) if maps else None
    if masks is None:
        return {}, ""
    ids, rows, words = Manifest.load(RunPaths(output).extraction).split("test")["Id"].tolist(), {}, ""
    for path in maps:
        rows[path.stem], words = region_intervals(read_array(path, mapped=True), ids, masks, draws=draws,
                                                  source=str(path))
    return rows, words


def score_alone(file: ScoreFile, frames: Frames) -> np.ndarray:
    """(N,) score of a single model through the default recipe."""
    return load_recipe("default").fuse({file.name: file}, frames, None).values
