"""Rerun one experiment or all.

    python Experiments/run.py                      lists the experiments and what each needs
    python Experiments/run.py E04 [arguments]      one, with its own arguments, if any
    python Experiments/run.py all                  every one that has what it needs; the others are listed

Each experiment is a file `E0x_name.py` beside this one; its header says what it reads and how to run it, and it writes
its CSV (and figure) beside itself. Arguments called DATA_FOLDER become $PIXELPLAY_DATA (the folder that holds ped2,
avenue_train, own_video and pixel_play), and SCRATCH_FOLDER becomes outputs/experiments/E0x.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
SCRATCH = HERE.parent / "outputs" / "experiments"
RUN = HERE.parent / "outputs" / "01_frame_extraction" / "manifest.csv"


def needs(path: Path) -> tuple[list[str], list[str]]:
    """(arguments an experiment must be given, what it needs and does not find here)."""
    text = path.read_text(encoding="utf-8")
    usage = re.search(rf"python Experiments/{path.name}(.*)", ast.get_docstring(ast.parse(text)) or "")
    wanted = re.sub(r"\[.*", "", usage.group(1)).split() if usage else []
    data, given, absent = os.environ.get("PIXELPLAY_DATA"), [], []
    for word in wanted:
        if word == "DATA_FOLDER":
            given.append(data or word)
        elif word == "SCRATCH_FOLDER":
            given.append(str(SCRATCH / path.stem.split("_")[0]))
    if ("DATA_FOLDER" in wanted or "PIXELPLAY_DATA" in text) and not data:
        absent.append("PIXELPLAY_DATA, the folder of the datasets")
    if '"sample=outputs"' in text and not RUN.exists():
        absent.append("a finished run in outputs (make demo), or --runs NAME=DIR")
    return given, absent


def main(argv: list[str]) -> int:
    """Exit status: 0 where all ran, 1 where one failed, 2 for an unknown name."""
    paths = sorted(HERE.glob("E[0-9][0-9]_*.py"))
    known = {p.stem.split("_")[0] for p in paths}
    if not argv or (argv[0] != "all" and argv[0] not in known):
        print(__doc__)
        for path in paths:
            given, absent = needs(path)
            print(f"  {path.stem:28}{'needs ' + '; '.join(absent) if absent else 'ready'}")
        return 0 if argv[:1] in ([], ["-h"], ["--help"]) else 2
    failed, left = [], []
    for path in [p for p in paths if argv[0] in ("all", p.stem.split("_")[0])]:
        given, absent = needs(path)
        if absent and argv[0] == "all":
            left.append(f"{path.stem}: needs {'; '.join(absent)}")
            continue
        start = time.perf_counter()
        arguments = argv[1:] or given
        print(f"== {path.stem} {' '.join(arguments)}", flush=True)
        done = subprocess.run([sys.executable, str(path), *arguments], check=False).returncode
        print(f"== {path.stem}: {'failed' if done else 'done'} in {time.perf_counter() - start:.0f} s", flush=True)
        failed += [path.stem] * bool(done)
    if left:
        print("left out:\n  " + "\n  ".join(left))
    if failed:
        print("failed: " + ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
