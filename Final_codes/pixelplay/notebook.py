"""Functions for notebooks: open a run, adopt the outputs of earlier notebooks, try other settings.

Reads the parameters cell and, on Kaggle, the outputs of earlier notebooks attached as inputs; links them into the
output folder of this notebook, so that each notebook runs alone from the artifacts of earlier ones.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelplay.config import override
from pixelplay.environment import KAGGLE_INPUT, hardware, on_kaggle
from pixelplay.errors import PixelPlayError
from pixelplay.files import atomic_path
from pixelplay.options import Options
from pixelplay.paths import EXTRACTION
from pixelplay.pipeline import Run
from pixelplay.preflight import preflight
from pixelplay.registry import MODELS, model_class
from pixelplay.schedule import in_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 5
"""Number of files that `artifacts` lists."""


def open_run(**parameters: object) -> Run:
    """Open the run described by the parameters cell; print its options and the hardware.

    Args:
        parameters: fields of `pixelplay.options.Options`, in lower or upper case; '' and None mean the default. In
            `settings`, a key without a model name applies to every model of the notebook with that setting.
    Raises:
        PixelPlayError: requirements of the run are missing; lists all of them.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    given = {k.lower(): v for k, v in parameters.items() if v not in (None, "")}
    for key in ("data", "train", "test", "output", "labels", "detector"):
        if key in given:
            given[key] = Path(str(given[key]))
    given.setdefault("profile", "lite" if hardware().device == "cpu" else "full")
    given["settings"] = of_models(given.get("settings", {}), given.get("models", Options.models))
    options = dataclasses.replace(Options(), **given)
    for name, value in dataclasses.asdict(options).items():
        if value not in (getattr(Options(), name), (), {}) or name == "profile":
            logging.info("%-10s %s", name, value)
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


def of_models(settings: Mapping[str, Any], models: Sequence[str]) -> dict[str, str]:
    """Prefix settings with the names of the models that have them: {'steps': 400} -> {'stae.steps': '400'}.

    Raises:
        PixelPlayError: no model of the notebook has the setting.
    """
    named = {}
    for key, value in settings.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
        having = {m: [f.name for f in dataclasses.fields(model_class(m).Config)] for m in models}
        full = [key] if "." in key else [f"{m}.{key}" for m, fields in having.items() if key in fields]
        if models and not full:
            known = sorted({f for fields in having.values() for f in fields})
            raise PixelPlayError(f"no model here has a setting '{key}'", expected="one of " + ", ".join(known))
        named |= dict.fromkeys(full, text)
    return named


def adopt_earlier(run: Run) -> list[str]:
    """Adopt stage folders and score files of earlier notebooks that are attached as inputs on Kaggle.

    Folders that this run may write to are copied, because inputs are read-only; others are linked. Existing outputs of
    this run are kept, and a smoke run adopts only smoke runs.

    Returns:
        Names of the adopted folders and files.
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
    """Folders called `name` in Kaggle's input, at the depths where outputs of notebooks are mounted."""
    found = [p for depth in range(5) for p in KAGGLE_INPUT.glob("*/" * depth + name) if p.is_dir()]
    return sorted(p for p in found if (p.parent.name == "smoke") == smoke)


def _copy_missing(source: Path, target: Path) -> list[str]:
    """Copy files that are missing in `target`, without read-only permissions; returns their names."""
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
    """Check every score file of the run against the manifest and log it. Raises PixelPlayError for an invalid file."""
    from pixelplay.fusion.scores import read_scores

    expected = run.manifest().split("test")["Id"].tolist()
    for name in run.models:
        path = run.paths.score_file(name)
        if path.exists():
            scores = read_scores(path, expected)
            logging.info("%s: %d Ids, finite, in manifest order", path, len(scores.ids))


def artifacts(folder: Path) -> None:
    """Log the largest files of a folder and the total size, without hidden files such as digests."""
    files = [p for p in Path(folder).rglob("*") if p.is_file() and not p.name.startswith(".")]
    for path in sorted(files, key=lambda p: -p.stat().st_size)[:SHOWN]:
        logging.info("%10.1f kB  %s", path.stat().st_size / 1e3, path)
    logging.info("%10.1f kB  in %d files", sum(p.stat().st_size for p in files) / 1e3, len(files))


def describe(run: Run, name: str) -> None:
    """Log the window, the shape of the input, the number of parameters and the training steps of a fitted network."""
    model = run.models[name].load(run.paths.trained(name))
    height, width = model.about["size"]
    logging.info("window      frame numbers %s from its anchor", ", ".join(map(str, model.offsets)))
    logging.info("scored      %s", ", ".join(str(model.offsets[i]) for i in dict.fromkeys(model.target_frames)))
    logging.info("input       %d frames x %d channels x %d x %d pixels, and speed maps",
                 len(model.offsets), model.config.channels, height, width)
    logging.info("parameters  %s, trained for %d steps of %d windows", f"{model.about['parameters']:,}",
                 model.about["steps"], model.config.batch)


def try_setting(run: Run, name: str, **changes: Any) -> Figure | None:
    """Fit a model again with changed settings, score the test footage, and plot the scores of both.

    The second model uses a temporary folder; scores and detector of the run are not changed. Features that do not
    depend on the change come from the cache of the run. Returns None if the run scores with a finished detector.
    """
    from pixelplay.fusion.scores import read_scores
    from pixelplay.visual.plots import compare

    if not run.learns:
        logging.info("nothing to change: the run scores with a finished detector")
        return None
    train, test = run.footage("train"), run.footage("test")
    other = run.models[name](override(run.configs[name], changes), seed=run.options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) / name
        shutil.copytree(run.paths.work(name), work, ignore=shutil.ignore_patterns("main", "fold*", "maps", "*.lock"))
        other.fit(train, work)
        values = other.score(test, work).values
    after = ", ".join(f"{k} = {v}" for k, v in changes.items())
    return compare(run.output, {"as fitted": read_scores(run.paths.score_file(name), test.ids).values, after: values})


def try_smoothing(run: Run, sigma: float) -> Figure:
    """Fuse the scores of the run with another sigma of temporal smoothing (in frames), and plot both."""
    from pixelplay.fusion.recipe import Frames
    from pixelplay.fusion.recipes.default import fuse
    from pixelplay.visual.plots import compare
    from pixelplay.visual.run_folder import RunFolder

    found = RunFolder(run.output)
    members = {n: dataclasses.replace(f, about={**f.about, "sigma": sigma}) for n, f in found.members.items()}
    other = fuse(members, Frames.of_stage(run.paths.extraction), found.weights)
    return compare(found, {"as merged": found.final, f"sigma = {sigma}": other.values})
