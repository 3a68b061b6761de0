"""kill -9 at many moments of one run, the same command started again each time: the bytes of a run left alone.

A moment is counted, not timed: the n-th change of a file below the output folder, or the n-th training step. So every
run of the test kills at the same places, whatever the machine's load.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pixelplay.files import verify
from pixelplay.sample.dataset import make_sample

pytestmark = pytest.mark.slow
CODE = Path(__file__).parents[1]
PHASES = ("stage 1", "training", "scores", "merging")
"""In the order of a run. What is written elsewhere in the output folder, and every training step, is 'training'."""
KILLS = int(os.environ.get("PIXELPLAY_KILLS", "2"))
"""Kills in each phase, one after the other in the same folder."""
COMMAND = """
import atexit, json, os, runpy, signal, sys
from pathlib import Path
from torch.optim.optimizer import register_optimizer_step_post_hook

phases, (output, run_all), (phase, moment) = json.loads(sys.argv[1]), sys.argv[2:4], sys.argv[4:6]
own, seen = os.getpid(), dict.fromkeys(phases, 0)
last = phases.index(phase) if phase else len(phases)

def count(name):
    if os.getpid() != own:
        return  # a worker process
    seen[name] += 1
    # a later phase counts, too: less may be left of this one after earlier kills than a whole run has
    if phases.index(name) > last or (name == phase and seen[name] == int(moment)):
        os.kill(own, signal.SIGKILL)

def changes(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if not (set(mode or "") & set("wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR)):
            return
    elif event not in ("os.rename", "os.remove", "os.truncate"):
        return
    path = os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes)) else ""
    if not path.startswith(output + os.sep):
        return
    names = Path(path).relative_to(output).parts
    if names[-1] == ".lock" or "report" in names or "logs" in names:
        return
    if any("submission" in n for n in names):
        count("merging")
    elif "scores" in names:
        count("scores")
    else:
        count("stage 1" if "01_frame_extraction" in names else "training")

sys.addaudithook(changes)
register_optimizer_step_post_hook(lambda *_: count("training"))
atexit.register(lambda: Path(output + ".json").write_text(json.dumps(seen)))
sys.argv = [run_all, *sys.argv[6:]]
runpy.run_path(run_all, run_name="__main__")
"""


def tables(output: Path) -> dict[str, bytes]:
    """What a run is for: submissions and score files."""
    return {str(p.relative_to(output)): p.read_bytes()
            for p in [*output.rglob("submission*.csv"), *output.rglob("scores/**/*.csv")]}


def start(root: Path, name: str, phase: str = "", moment: int = 0) -> int:
    """The command, in a process of its own; its exit status."""
    output = root / name
    environ = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    environ |= {"PYTHONPATH": str(CODE), "PIXELPLAY_DEVICE": "cpu"}
    with (root / "words.txt").open("w") as words:
        return subprocess.run(
            [sys.executable, "-c", COMMAND, json.dumps(PHASES), str(output), str(CODE / "run_all.py"), phase,
             str(moment), "--data", str(root / "sample"), "--output", str(output), "--profile", "smoke",
             "--models", "unet"], env=environ, stdout=words, stderr=words, check=False, timeout=900).returncode


def test_the_same_command_ends_in_the_same_bytes_after_kills_at_any_moment(tmp_path):
    make_sample(tmp_path / "sample", size="tiny")
    assert start(tmp_path, "whole") == 0, (tmp_path / "words.txt").read_text()[-2000:]
    wanted, seen = tables(tmp_path / "whole"), json.loads((tmp_path / "whole.json").read_text())
    assert {"submission.csv", "unet.csv", "unet.train.csv"} <= {Path(name).name for name in wanted}
    rng = np.random.default_rng(15)
    for phase in PHASES:
        assert seen[phase] >= KILLS, seen
        for moment in rng.integers(1, seen[phase] + 1, KILLS).tolist():
            ended = start(tmp_path, "killed", phase, moment)
            assert ended == -signal.SIGKILL, (phase, moment, (tmp_path / "words.txt").read_text()[-2000:])
    assert start(tmp_path, "killed") == 0, (tmp_path / "words.txt").read_text()[-2000:]
    assert tables(tmp_path / "killed") == wanted
    wrong, sealed = verify(tmp_path / "killed")
    assert sealed and not wrong
    assert not list((tmp_path / "killed").rglob(".*.part*")), "what the kills left is cleared"
