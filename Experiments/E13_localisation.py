"""E13: localisation. RBDC and TBDC of the autoencoders' error maps and of the local memory's actors.

Reads finished runs with pixel masks at or beside their labels: `scores/maps/*.npy`, and the boxes of the local memory's
actors (the score of a box is the larger of its motion and appearance z-scores), which it writes as a CSV for
`pixelplay evaluate --detections`. Masks have no tracks: components are linked by overlap, and a box is compared with
the bounding box of a component, so small differences between boxes, maps and published tables mean nothing. Writes
E13_localisation.csv beside this file; rows of other runs are kept.

    python Experiments/E13_localisation.py --runs sample=outputs [ped2=outputs/ped2]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from common import EXTRACTION, named, write_rows

from pixelplay.data.manifest import Manifest
from pixelplay.evaluation.boxes import CORNERS
from pixelplay.evaluation.localisation import read_detections, read_regions, region_intervals
from pixelplay.evaluation.report import METRICS
from pixelplay.paths import RunPaths
from pixelplay.two_stream.actor_files import read_actors


def actor_boxes(path: Path, target: Path) -> Path:
    """Write the scored boxes of a local memory's actors as a CSV."""
    actors = read_actors(path)
    score = np.fmax(actors["motion_z"], actors["appearance_z"])
    table = pd.DataFrame(actors["boxes"], columns=list(CORNERS)).assign(Id=actors["Id"], score=score)
    table[np.isfinite(score)].to_csv(target, index=False)
    return target


def on_run(data: str, output: Path) -> list[dict]:
    """Rows (data, what, metric, value, low, high, truth)."""
    manifest = Manifest.load(output / EXTRACTION)
    truth, ids = read_regions(manifest.labels), manifest.split("test")["Id"].tolist()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        places = {p.stem: p for p in sorted((output / "scores" / "maps").glob("*.npy"))}
        actors = RunPaths(output).actors("local_memory")
        if actors.exists():
            places["local_memory (actors' boxes)"] = actor_boxes(actors, Path(scratch) / "actors.csv")
        for name, path in places.items():
            found, words = region_intervals(read_detections(path), ids, truth, source=str(path))
            about = words.partition(": ")[2]
            rows += [{"data": data, "what": name, "metric": METRICS[m], "value": f"{100 * i.value:.2f}",
                      "low": f"{100 * i.low:.2f}", "high": f"{100 * i.high:.2f}", "truth": about}
                     for m, i in found.items()]
            print(data, name, {m: round(100 * i.value, 1) for m, i in found.items()}, about, flush=True)
    return rows


def main() -> None:
    """Evaluate every run that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", default=["sample=outputs"], metavar="NAME=DIR", help="finished runs")
    rows = [r for name, run in named(parser.parse_args().runs).items() for r in on_run(name, run)]
    write_rows(Path(__file__).with_suffix(".csv"), rows, keep="data")


if __name__ == "__main__":
    main()
