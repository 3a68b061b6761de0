"""What every notebook does before it begins: adopt earlier notebooks' outputs, say where it runs, open the run.

Reads the parameters cell and, on Kaggle, the outputs of earlier notebooks attached as inputs; links them into
this notebook's output folder, so that each notebook can run alone from the artifacts of the ones before.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import sys
from pathlib import Path

from pixelplay.environment import KAGGLE_INPUT, default_output, hardware, on_kaggle
from pixelplay.pipeline import EXTRACTION, Options, Run
from pixelplay.registry import MODELS, model_class


def open_run(**parameters: object) -> Run:
    """Open the run the parameters cell describes, print it back with the hardware, return it.

    Args:
        parameters: fields of `pixelplay.pipeline.Options`, in lower or upper case; '' and None mean the default.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    given = {k.lower(): v for k, v in parameters.items() if v not in (None, "")}
    for key in ("data", "train", "test", "output", "labels", "weights"):
        if key in given:
            given[key] = Path(str(given[key]))
    options = dataclasses.replace(Options(), **given)
    for name, value in dataclasses.asdict(options).items():
        logging.info("%-10s %s", name, "default" if value is None else value)
    machine = hardware()
    logging.info("%-10s %s, %s %s", "hardware", machine.name, machine.dtype, machine.note)
    adopt_earlier(options.output or default_output())
    return Run(options)


def adopt_earlier(output: Path) -> list[str]:
    """Link stage folders and copy score files of earlier notebooks found below Kaggle's input folder.

    Returns the names adopted. What is already in `output` stays as it is.
    """
    if not on_kaggle():
        return []
    adopted = []
    for manifest in sorted(KAGGLE_INPUT.rglob(f"{EXTRACTION}/manifest.csv")):
        earlier = manifest.parent.parent
        for stage in sorted({EXTRACTION, *(model_class(m).stage for m in MODELS)}):
            if (earlier / stage).is_dir() and not (output / stage).exists():
                output.mkdir(parents=True, exist_ok=True)
                if stage == EXTRACTION:  # gigabytes, and no later stage writes to it
                    (output / stage).symlink_to(earlier / stage, target_is_directory=True)
                else:  # a model cut off by the time limit goes on in its folder, and inputs are read-only
                    shutil.copytree(earlier / stage, output / stage)
                adopted.append(stage)
        for source in sorted((earlier / "scores").rglob("*")) if (earlier / "scores").is_dir() else []:
            target = output / source.relative_to(earlier)
            if source.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
                adopted.append(source.name)
    logging.info("adopted from earlier notebooks: %s", ", ".join(adopted) or "nothing")
    return adopted


def contract_check(run: Run) -> None:
    """Log every score file of the run after reading it again against the manifest; raises where one is wrong."""
    from pixelplay.fusion.scores import read_scores

    expected = run.manifest().split("test")["Id"].tolist()
    for name in run.models:
        path = run.scores_folder / f"{name}.csv"
        if path.exists():
            scores = read_scores(path, expected)
            logging.info("%s: %d Ids, finite, in manifest order", path, len(scores.ids))


def artifacts(folder: Path) -> None:
    """Log the files of a folder with their sizes."""
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            logging.info("%10.1f kB  %s", path.stat().st_size / 1e3, path)
