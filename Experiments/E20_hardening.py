"""E20: the effect of damaged and hostile input on a revision, counted by class.

    python Experiments/E20_hardening.py [--checkout FOLDER] [--revision NAME] [--every N]

Runs `Final_codes/tests/attacks.py` and, below, attacks that need a whole run: one damaged artefact, then the same run
again; a full disk; an output that cannot be written; two runs in one folder. All of them use the code of the checkout,
so that an old revision can be measured. A failure is a traceback, a hang, a lost Id, or a different result without a
message. Writes E20_hardening.csv, one row per class and revision. The full disks need root and Linux.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import write_rows

HERE = Path(__file__).resolve()
STAGES = """
import sys
from pathlib import Path
from pixelplay.errors import PixelPlayError
from pixelplay.pipeline import Options, Run
try:
    run = Run(Options(data=Path(sys.argv[1]), output=Path(sys.argv[2]), profile="smoke", models=("unet",)))
    run.extract()
    for name in run.models:
        run.model(name)
    run.ensemble()
except PixelPlayError as mistake:
    print("one clear error:", mistake)
    sys.exit(2)
"""
SAMPLE = "import sys; from pixelplay.sample.dataset import make_sample; make_sample(sys.argv[1], size='tiny')"
ARTEFACTS = ("*.npy", "*.npz", "*.csv", "*.json", "*.safetensors", "key.txt")
"""What is damaged of a finished run; submissions and what only people read are left out."""


def flip(data: bytes) -> bytes:
    """A bit in the last third: in numbers, not in a header."""
    out = bytearray(data)
    out[len(out) * 5 // 6] ^= 4
    return bytes(out)


DAMAGES = {"a flipped bit": flip, "a lost end": lambda data: data[:len(data) * 3 // 4],
           "nothing left": lambda data: b""}


def python(checkout: Path, code: str, *arguments: object, **options: object) -> subprocess.CompletedProcess:
    """A line of Python with the code of a checkout."""
    environ = {**os.environ, "PYTHONPATH": str(checkout / "Final_codes"), "TQDM_DISABLE": "1",
               "PIXELPLAY_DEVICE": "cpu"}
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], env=environ, text=True,
                          capture_output=True, check=False, timeout=600, **options)


def judged(done: subprocess.CompletedProcess) -> str:
    """Outcome of a run: 'result', 'error' (a single clear one), or the kind of failure."""
    return {0: "result", 2: "error"}.get(done.returncode,
                                         f"exit {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}")


def submissions(output: Path) -> dict[str, bytes]:
    """The submissions of a run by name."""
    return {p.name: p.read_bytes() for p in output.rglob("submission*.csv")}


def attacks(checkout: Path, place: Path) -> list[tuple[str, str, str]]:
    """(class, name, end) of `attacks.py`."""
    done = subprocess.run([sys.executable, str(HERE.parents[1] / "Final_codes/tests/attacks.py")], text=True,
                          capture_output=True, check=False, cwd=place,
                          env={**os.environ, "PYTHONPATH": str(checkout / "Final_codes"), "TQDM_DISABLE": "1"})
    return [(one["group"], one["name"], one["end"]) for one in map(json.loads, done.stdout.splitlines())]


def artefacts(checkout: Path, sample: Path, place: Path, every: int) -> list[tuple[str, str, str]]:
    """One file of a finished run damaged, the run repeated: the same submissions, or one clear error."""
    whole = place / "whole"
    done = python(checkout, STAGES, sample, whole)
    if done.returncode:
        raise RuntimeError(done.stderr)
    wanted, ends = submissions(whole), []
    paths = sorted({p for kind in ARTEFACTS for p in whole.rglob(kind)
                    if "submission" not in p.name and p.name not in ("ensemble.json", "curve.csv")})
    cases = [(path, words) for path in paths for words in DAMAGES]
    for path, words in cases[::every]:
        copy = Path(shutil.copytree(whole, place / "copy"))
        target = copy / path.relative_to(whole)
        target.write_bytes(DAMAGES[words](target.read_bytes()))
        done = python(checkout, STAGES, sample, copy)
        end = judged(done)
        if end == "result" and submissions(copy) != wanted:
            end = "another submission"
        ends.append(("a damaged artefact, run again", f"{words} of {path.relative_to(whole)}", end))
        shutil.rmtree(copy)
    return ends


def disks(checkout: Path, sample: Path, place: Path) -> list[tuple[str, str, str]]:
    """Full disks of several sizes, a read-only one, an output that is a file."""
    ends = []
    for size in ("1m", "4m", "6m", "8m", "10m", "12m", "16m", "ro"):
        disk = place / f"disk-{size}"
        disk.mkdir()
        options = "ro" if size == "ro" else f"size={size}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)
        try:
            end = judged(python(checkout, STAGES, sample, disk / "run"))
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)
        ends.append(("a read-only output; an output that is a file" if size == "ro" else "a full disk",
                     options, end))
    (place / "file").write_text("")
    ends.append(("a read-only output; an output that is a file", "a file",
                 judged(python(checkout, STAGES, sample, place / "file"))))
    return ends


def twice(checkout: Path, sample: Path, place: Path) -> list[tuple[str, str, str]]:
    """A second run in the folder of a first, started some seconds later: no traceback, and the right submissions."""
    environ = {**os.environ, "PYTHONPATH": str(checkout / "Final_codes"), "TQDM_DISABLE": "1",
               "PIXELPLAY_DEVICE": "cpu"}
    wanted, ends = submissions(place / "whole"), []
    for gap in (0, 1, 2, 3, 5, 8):
        output = place / f"twice-{gap}"
        with (place / "words").open("w") as words:
            first = subprocess.Popen([sys.executable, "-c", STAGES, str(sample), str(output)], env=environ,
                                     stdout=words, stderr=words)
            time.sleep(gap)
            second = python(checkout, STAGES, sample, output)
            first.wait()
        both = {judged(second), {0: "result", 2: "error"}.get(first.returncode, "traceback")}
        end = "result" if both <= {"result", "error"} and "result" in both else str(sorted(both))
        if end == "result" and submissions(output) != wanted:
            end = "another submission"
        ends.append(("two runs in one folder", f"{gap} s apart", end))
        shutil.rmtree(output, ignore_errors=True)
    return ends


def measure(checkout: Path, every: int) -> list[tuple[str, str, str]]:
    """(class, name, end) of everything that is tried."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        python(checkout, SAMPLE, place / "sample")
        ends = artefacts(checkout, place / "sample", place, every) + twice(checkout, place / "sample", place)
        if os.geteuid() == 0:
            ends += disks(checkout, place / "sample", place)
        return ends + attacks(checkout, place)


def main() -> None:
    """Measure and write the table; what failed goes to the screen by name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, default=HERE.parents[1], help="whose code is measured (default: this)")
    parser.add_argument("--revision", default="now", help="its name in the table (default: now)")
    parser.add_argument("--every", type=int, default=1, help="every n-th damage of artefacts (default: all)")
    args = parser.parse_args()
    tried, failed = collections.Counter(), collections.Counter()
    for kind, name, end in measure(args.checkout.resolve(), args.every):
        tried[kind] += 1
        if end not in ("result", "error"):
            failed[kind] += 1
            print(f"{kind}: {name[:80]}: {end}", flush=True)
    rows = [{"revision": args.revision, "class": kind, "tried": str(count), "failed": str(failed[kind])}
            for kind, count in sorted(tried.items())]
    for row in write_rows(HERE.with_suffix(".csv"), rows, keep="revision"):
        print(row)


if __name__ == "__main__":
    main()
