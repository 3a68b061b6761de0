"""E26: peak memory of each scoring stage as the footage grows in number of videos and in length.

    python Experiments/E26_scoring_memory.py --scratch SCRATCH_FOLDER [--times 1 4 16] [--scratch-gb 0.05]

Renders the tiny embedded sample and scores its test videos with the shipped detector of the sample: once with 1, 4 and
16 copies of every video, once with every video played 1, 4 and 16 times in a row under rising frame numbers. An
appended byte makes every file unique, so that no copy reuses the cache of another. Each size runs in its own process,
with one worker. Writes E26_scoring_memory.csv: one row per size and stage, with the process's own memory (without
mapped files) and all of it, in MiB, and the bytes per frame between the smallest and the largest size.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from common import write_rows

from pixelplay.sample.dataset import make_sample

HERE = Path(__file__)
CODE = HERE.parents[1] / "Final_codes"
SCORE = """
import json, sys
from pathlib import Path
from peak_memory import PeakMemory
from pixelplay.pipeline import Options, Run

data, output, detector = map(Path, sys.argv[1:])
run = Run(Options(verb="score", test=data, output=output, detector=detector, workers=1))
rows = []
for stage, verb in [("01_frame_extraction", run.extract), *((name, lambda name=name: run.score_model(name))
                    for name in run.models), ("ensemble", run.ensemble), ("report", run.report)]:
    run.seconds.setdefault(stage, 0.0)
    with PeakMemory() as peak:
        verb()
    rows.append((stage, peak.own_mib, peak.mib))
print(json.dumps({"frames": len(run.manifest().table), "rows": rows}))
"""


def repeated(sample: Path, target: Path, times: int, way: str) -> Path:
    """The sample's test videos `times` over: as more 'videos', or each of `times` the 'length'."""
    for video in sorted(p for p in (sample / "testing_videos").iterdir() if p.is_dir()):
        paths = sorted(video.iterdir())
        first, last = (int(p.stem.rpartition("_")[2]) for p in (paths[0], paths[-1]))
        for copy in range(times):
            place = target / (f"{copy:02d}{video.name}" if way == "videos" else video.name)
            place.mkdir(parents=True, exist_ok=True)
            shift = copy * (last - first + 1) if way == "length" else 0
            for path in paths:
                number = int(path.stem.rpartition("_")[2]) + shift
                (place / f"frame_{number:06d}.jpg").write_bytes(path.read_bytes() + bytes([copy]))
    return target


def measure(data: Path, place: Path, scratch_gb: float) -> dict:
    """Peaks of every stage of one size."""
    environ = os.environ | {"PIXELPLAY_SCRATCH": str(place / "scratch"), "PIXELPLAY_SCRATCH_GB": str(scratch_gb),
                            "PIXELPLAY_DEVICE": "cpu", "PYTHONPATH": os.pathsep.join([str(CODE), str(HERE.parent)])}
    done = subprocess.run([sys.executable, "-c", SCORE, str(data), str(place / "run"),
                           str(CODE / "Final_models" / "sample")], env=environ, check=True, capture_output=True,
                          text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for copies and caches; it is emptied")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--ways", nargs="+", default=["videos", "length"], choices=("videos", "length"))
    parser.add_argument("--scratch-gb", type=float, default=0.05, help="bound of the scratch folder (default: 0.05)")
    parser.add_argument("--output", type=Path, default=HERE.with_suffix(".csv"))
    args = parser.parse_args()
    shutil.rmtree(args.scratch, ignore_errors=True)
    sample, rows = make_sample(args.scratch / "sample", size="tiny"), []
    for way in args.ways:
        first: dict[str, tuple[int, float]] = {}
        for times in args.times:
            place = args.scratch / f"{way}{times}"
            found = measure(repeated(sample, place / "data", times, way), place, args.scratch_gb)
            for stage, own, whole in found["rows"]:
                frames, least = first.setdefault(stage, (found["frames"], own))
                more = found["frames"] - frames
                rows.append({"way": way, "times": times, "frames": found["frames"], "stage": stage,
                             "own_mib": f"{own:.0f}", "resident_mib": f"{whole:.0f}",
                             "bytes_per_frame": round((own - least) * 2**20 / more) if more else ""})
                print(rows[-1], flush=True)
            shutil.rmtree(place)
    write_rows(args.output, rows)


if __name__ == "__main__":
    main()
