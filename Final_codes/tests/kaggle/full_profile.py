"""The road a competitor takes, on this machine: `make kaggle` runs it first.

The competition's data in small, the `full` profile with every network at its true size, CLIP's RN101 and YOLOv5s with
random weights; only the training steps are cut. All seven stages, then the ensemble script.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from competition import check_scores, check_submission, make_competition
from weights import make_weights

REPOSITORY = Path(__file__).resolve().parents[3]
SCRATCH = REPOSITORY / "outputs" / "kaggle"
STEPS = {"steps": 2}
"""What is cut in each of the four autoencoders."""


def main() -> int:
    """Run both programs; raises where one fails or wrote something wrong."""
    from pixelplay.autoencoders.base import Autoencoder
    from pixelplay.config import override
    from pixelplay.registry import MODELS, model_class

    classes = {name: model_class(name) for name in MODELS}
    cuts = {name: STEPS if issubclass(cls, Autoencoder) else {} for name, cls in classes.items()}
    settings = [f"{name}.{key}={value}" for name, cut in cuts.items() for key, value in cut.items()]
    place = SCRATCH / "full"
    shutil.rmtree(place, ignore_errors=True)
    mount = make_competition(place / "input" / "pixel-play-26")
    working = place / "working"
    working.mkdir()
    check_preflight(run(place, "run_all.py", "--profile", "full", "--force", "--set", *settings))
    check_submission(working / "submission.csv", mount)
    check_scores(working / "scores", list(classes), mount)
    used = json.loads((working / "run.json").read_text())["configs"]
    for name, cls in classes.items():
        wanted = override(cls.Config.profile("full"), cuts[name])
        assert used[name] == json.loads(json.dumps(dataclasses.asdict(wanted))), f"{name}: other settings than full's"
    (working / "submission.csv").unlink()
    run(place, "ensemble.py")
    check_submission(working / "submission.csv", mount)
    print(f"full profile: {len(classes)} models, submission right")
    shutil.rmtree(place)
    return 0


def run(place: Path, program: str, *arguments: str) -> str:
    """Run a program of this project where Kaggle's folders are `place`'s -> what it printed; raises where it fails."""
    folders = {"PIXELPLAY_KAGGLE_INPUT": str(place / "input"), "PIXELPLAY_KAGGLE_WORKING": str(place / "working"),
               "PIXELPLAY_WEIGHTS": str(make_weights(SCRATCH / "weights"))}
    print("$", program, *arguments, flush=True)
    start, shown = time.perf_counter(), []
    with subprocess.Popen([sys.executable, REPOSITORY / "Final_codes" / program, *arguments], cwd=place / "working",
                          env=os.environ | folders, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            shown.append(line)
    assert process.returncode == 0, f"{program} ended with status {process.returncode}"
    print(f"({program}: {time.perf_counter() - start:.0f} s)", flush=True)
    return "".join(shown)


def check_preflight(shown: str) -> None:
    """Nothing stands in the way of a run but the GPU that this machine may lack. Raises AssertionError."""
    problems = [line for line in shown.splitlines() if line.startswith("continuing despite")]
    assert all("GPU" in line for line in problems) and len(problems) <= 1, "\n".join(problems)


if __name__ == "__main__":
    sys.exit(main())
