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

from pixelplay.environment import KAGGLE_INPUT, hardware, on_kaggle
from pixelplay.files import atomic_path
from pixelplay.paths import EXTRACTION
from pixelplay.pipeline import Options, Run
from pixelplay.preflight import preflight
from pixelplay.registry import MODELS, model_class
from pixelplay.schedule import in_words


def open_run(**parameters: object) -> Run:
    """Open the run the parameters cell describes, print it back with the hardware, return it.

    Args:
        parameters: fields of `pixelplay.pipeline.Options`, in lower or upper case; '' and None mean the default.
    Raises:
        PixelPlayError: something is missing that the run would need later; lists everything that is.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    given = {k.lower(): v for k, v in parameters.items() if v not in (None, "")}
    for key in ("data", "train", "test", "output", "labels", "detector"):
        if key in given:
            given[key] = Path(str(given[key]))
    given.setdefault("profile", "lite" if hardware().device == "cpu" else "full")
    options = dataclasses.replace(Options(), **given)
    for name, value in dataclasses.asdict(options).items():
        logging.info("%-10s %s", name, "default" if value is None else value)
    machine = hardware()
    logging.info("%-10s %s, %s %s", "hardware", machine.name, machine.dtype, machine.note)
    run = Run(options)
    logging.info("%-10s %s", "writing to", run.output)
    adopt_earlier(run)
    found = preflight(run, need_data=False)
    if not options.force:
        found.require()
    logging.info("%-10s %s", "preflight", "; ".join(f"{name}: {in_words(forecast.seconds)}" for name, forecast in
                                                    found.models.items()) or "nothing left to train")
    return run


def adopt_earlier(run: Run) -> list[str]:
    """Take over stage folders and score files of earlier notebooks that are attached as inputs on Kaggle.

    Folders this run may still write to are copied, since inputs are read-only; the others are linked. What is already
    in the run's output folder stays as it is, and a smoke run adopts smoke runs alone.

    Returns:
        Names of the folders and files adopted.
    """
    if not on_kaggle():
        return []
    mine = {cls.stage for cls in run.models.values()}
    adopted = []
    for stage in sorted({EXTRACTION, *(model_class(m).stage for m in MODELS)}):
        target = run.output / stage
        for earlier in _attached(stage, run.smoke):
            if target.exists() or earlier.resolve() == target.resolve():
                continue
            if stage in mine:
                _copy_missing(earlier, target)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(earlier, target_is_directory=True)
            adopted.append(stage)
    for name in ("scores", "detector"):
        for earlier in _attached(name, run.smoke):
            adopted += _copy_missing(earlier, run.output / name)
    logging.info("adopted from earlier notebooks: %s", ", ".join(adopted) or "nothing")
    return adopted


def _attached(name: str, smoke: bool) -> list[Path]:
    """Folders called `name` below Kaggle's input, at the depths it mounts notebooks' outputs at."""
    found = [p for depth in range(5) for p in KAGGLE_INPUT.glob("*/" * depth + name) if p.is_dir()]
    return sorted(p for p in found if (p.parent.name == "smoke") == smoke)


def _copy_missing(source: Path, target: Path) -> list[str]:
    """Copy files that `target` lacks, without the source's read-only modes; returns their names."""
    copied = []
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        new = target / path.relative_to(source)
        if not new.exists():
            new.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(new) as part:
                shutil.copyfile(path, part)
            copied.append(path.name)
    return copied


def contract_check(run: Run) -> None:
    """Log every score file of the run after reading it again against the manifest; raises where one is wrong."""
    from pixelplay.fusion.scores import read_scores

    expected = run.manifest().split("test")["Id"].tolist()
    for name in run.models:
        path = run.paths.score_file(name)
        if path.exists():
            scores = read_scores(path, expected)
            logging.info("%s: %d Ids, finite, in manifest order", path, len(scores.ids))


def artifacts(folder: Path) -> None:
    """Log the files of a folder with their sizes; hidden ones, such as digests, are left out."""
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            logging.info("%10.1f kB  %s", path.stat().st_size / 1e3, path)
