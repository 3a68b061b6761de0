"""Rerun one experiment or all: python Experiments/run.py E04 [arguments], or python Experiments/run.py all

Each experiment is a file `E0x_name.py` beside this one that writes its result CSV beside itself.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def main(argv: list[str]) -> int:
    """Exit status: 0 where all ran, 1 where one failed, 2 for an unknown name."""
    known = {p.stem.split("_")[0]: [] for p in sorted(HERE.glob("E[0-9][0-9]_*.py"))}
    for path in sorted(HERE.glob("E[0-9][0-9]_*.py")):
        known[path.stem.split("_")[0]].append(path)
    if not argv or (argv[0] != "all" and argv[0] not in known):
        print(__doc__ + "\nexperiments: " + ", ".join(p.stem for paths in known.values() for p in paths))
        return 0 if argv[:1] in ([], ["-h"], ["--help"]) else 2
    failed = []
    for path in [p for name, paths in known.items() if argv[0] in ("all", name) for p in paths]:
        start = time.perf_counter()
        print(f"== {path.stem}", flush=True)
        done = subprocess.run([sys.executable, str(path), *argv[1:]], check=False).returncode
        print(f"== {path.stem}: {'failed' if done else 'done'} in {time.perf_counter() - start:.0f} s", flush=True)
        failed += [path.stem] * bool(done)
    if failed:
        print("failed: " + ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
