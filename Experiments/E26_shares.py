"""E26, shares: which part of the processor time of scoring is spread over workers, and which stays in one process.

    python Experiments/E26_shares.py --detector Final_codes/Final_models/ped2 --videos ped2/testing/frames --scratch DIR

Scores the footage with all models of a detector in one process with one thread. Extraction, repair, speed maps and
actors go through `map_videos`; features (embedded frames and crops) and the scores of the models do not. Writes
E26_shares.csv: a row a part, in processor milliseconds a frame. The last row is how many times as fast as with one
worker many workers can be, if what stays is not spread over threads (Amdahl's law).
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from common import write_rows

from pixelplay.pipeline import Options, Run
from pixelplay.two_stream import global_memory, local_memory

HERE = Path(__file__)


def timed(function: Callable, seconds: dict[str, float], part: str) -> Callable:
    """The function, with the processor time of its calls added up."""
    def call(*args, **settings):
        start = time.process_time()
        try:
            return function(*args, **settings)
        finally:
            seconds[part] = seconds.get(part, 0.0) + time.process_time() - start

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", type=Path, required=True)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the run; it is emptied")
    parser.add_argument("--name", default="", help="what the footage is called in the table (default: its folder)")
    args = parser.parse_args()
    shutil.rmtree(args.scratch, ignore_errors=True)
    seconds: dict[str, float] = {}
    local_memory.actor_table = timed(local_memory.actor_table, seconds, "actors")
    local_memory.crop_features = timed(local_memory.crop_features, seconds, "features of crops")
    global_memory.frame_features = timed(global_memory.frame_features, seconds, "features of frames")
    run = Run(Options(verb="score", detector=args.detector, test=args.videos, output=args.scratch, workers=1))
    timed(run.extract, seconds, "stage 1")()
    for name in run.models:
        run.seconds[name] = 0.0
        timed(run.score_model, seconds, name)(name)
    seconds["local_memory"] -= seconds["actors"] + seconds["features of crops"]
    seconds["global_memory"] -= seconds["features of frames"]
    frames, whole = len(run.manifest().table), sum(seconds.values())
    spread = ("stage 1", "actors")
    rows = [{"footage": args.name or args.videos.name, "frames": frames, "part": part, "spread": part in spread,
             "ms_per_frame": f"{1000 * value / frames:.1f}", "share": f"{value / whole:.3f}"}
            for part, value in seconds.items()]
    stays = sum(value for part, value in seconds.items() if part not in spread)
    rows.append({"footage": rows[0]["footage"], "frames": frames, "part": "most that workers can gain", "spread": "",
                 "ms_per_frame": "", "share": f"{whole / stays:.2f}"})
    for row in write_rows(HERE.with_suffix(".csv"), rows, keep="footage"):
        print(row)


if __name__ == "__main__":
    main()
