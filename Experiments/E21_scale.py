"""E21: how does the cost of stage 1 grow with the footage: seconds, memory, bytes kept, bytes of scratch.

    python Experiments/E21_scale.py --scratch SCRATCH_FOLDER [--size tiny] [--times 1 4 16] [--scratch-gb 0.1]

Renders the embedded sample and copies it 1, 4 and 16 times; an appended byte makes every file unique, so that no copy
reuses the cache of another. Stage 1 (decode, repair, speed maps) runs over each in its own process, with one worker and
a scratch folder smaller than the largest copy needs. Writes E21_scale.csv and E21_scale.png. Seconds are processor
seconds, because other work on the machine disturbs them less.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from matplotlib.figure import Figure

from pixelplay.evaluation.figures import COLOURS
from pixelplay.sample.dataset import make_sample

HERE = Path(__file__)
STAGE_1 = """
import json, resource, sys, time
from pathlib import Path
from pixelplay.pipeline import Options, Run

run = Run(Options(data=Path(sys.argv[1]), output=Path(sys.argv[2]), models=("unet",), workers=1))
before = resource.getrusage(resource.RUSAGE_SELF)
manifest = run.extract()
after = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"frames": len(manifest.table), "seconds": after.ru_utime + after.ru_stime - before.ru_utime
                  - before.ru_stime, "start_mib": before.ru_maxrss / 1024, "peak_mib": after.ru_maxrss / 1024}))
"""


def copies(sample: Path, target: Path, times: int) -> Path:
    """A dataset whose videos are those of a sample, `times` over."""
    for number in range(times):
        for side in ("training_videos", "testing_videos"):
            for video in sorted(p for p in (sample / side).iterdir() if p.is_dir()):
                place = target / side / f"{number:02d}{video.name}"
                place.mkdir(parents=True)
                for path in video.iterdir():
                    (place / path.name).write_bytes(path.read_bytes() + bytes([number]))
    return target


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def measure(data: Path, place: Path, scratch_gb: float) -> dict:
    """Stage 1 over a dataset, in a process of its own."""
    environ = os.environ | {"PIXELPLAY_SCRATCH": str(place / "scratch"), "PIXELPLAY_SCRATCH_GB": str(scratch_gb),
                            "PYTHONPATH": str(HERE.parents[1] / "Final_codes")}
    done = subprocess.run([sys.executable, "-c", STAGE_1, str(data), str(place / "run")], env=environ, check=True,
                          capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return found | {"kept_bytes": size_of(place / "run/01_frame_extraction"),
                    "scratch_bytes": size_of(place / "scratch")}


def figure(rows: list[dict]) -> Figure:
    """Seconds, memory and bytes against frames."""
    fig = Figure(figsize=(10, 3), layout="constrained")
    frames = [int(r["frames"]) for r in rows]
    panels = (("processor seconds", [("seconds", 1, "stage 1")]),
              ("memory, MiB", [("peak_mib", 1, "peak"), ("start_mib", 1, "before stage 1")]),
              ("disk, MB", [("kept_bytes", 1e-6, "kept"), ("scratch_bytes", 1e-6, "scratch, bounded")]))
    for axes, (title, lines) in zip(fig.subplots(1, 3), panels):
        for (name, factor, label), colour in zip(lines, COLOURS):
            axes.plot(frames, [factor * float(r[name]) for r in rows], marker="o", color=colour, label=label)
        axes.set(title=title, xlabel="frames", ylim=(0, None), xlim=(0, None))
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    return fig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for copies and caches; it is emptied")
    parser.add_argument("--size", default="tiny", help="of the sample (default: tiny)")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--scratch-gb", type=float, default=0.1, help="bound of the scratch folder (default: 0.1)")
    args = parser.parse_args()
    shutil.rmtree(args.scratch, ignore_errors=True)
    sample, rows = make_sample(args.scratch / "sample", size=args.size), []
    for times in args.times:
        place = args.scratch / str(times)
        row = measure(copies(sample, place / "data", times), place, args.scratch_gb)
        rows.append({"times": times, **{k: f"{v:.1f}" if isinstance(v, float) else v for k, v in row.items()},
                     "kept_per_frame": round(row["kept_bytes"] / row["frames"])})
        print(rows[-1], flush=True)
        shutil.rmtree(place)
    with HERE.with_suffix(".csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    figure(rows).savefig(HERE.with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
