"""E17: how far do boxes alone go? The local stream's motion part on person tracks, without a picture.

Scores tables of tracked boxes through the classes the product uses: speed against what is usual in an actor's row and
for its size (`two_stream/motion.py`), and its rarity as in `two_stream/local_memory.py`. Every camera is learnt by
itself. `recorded` smooths to both sides, `live` with past frames alone. Labels fill the table alone.

Run:   python Experiments/E17_tracks.py TRACKS_FOLDER [--labels CSV] [--name NAME]
       TRACKS_FOLDER holds train.csv and test.csv (or .csv.gz), columns video, frame, id, x0, y0, x1, y1 in pixels, and
       frame_labels.csv (video, frame, label), which names the frames that are scored. A video is called
       <camera>_<anything>, or anything without an underscore for one camera.
Makes: Experiments/E17_tracks.csv (rows of other names stay)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from common import write_rows

from pixelplay.calibration import calibrate
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.bootstrap import frame_intervals
from pixelplay.fusion.smoothing import smooth
from pixelplay.two_stream.local_memory import HIGH, LocalMemory
from pixelplay.two_stream.motion import Actors, fit_speeds
from pixelplay.two_stream.scoring import Rarity

BOXES = {"x0", "y0", "x1", "y1"}
REACH = 5
"""Frames to either side over which a track's speed is measured."""
METRICS = ("ap", "micro_auc", "macro_auc")


def read_tracks(folder: Path, split: str) -> pd.DataFrame:
    """Boxes sorted by video, track and frame, with their camera and speed."""
    found = [p for p in (folder / f"{split}.csv", folder / f"{split}.csv.gz") if p.exists()]
    if not found:
        raise PixelPlayError(f"{folder} holds no {split}.csv", expected="train.csv and test.csv, or .csv.gz")
    table = pd.read_csv(found[0], dtype={"video": str})
    absent = {"video", "frame", "id", *BOXES} - set(table.columns)
    if absent:
        raise PixelPlayError(f"{found[0]} has no column {', '.join(sorted(absent))}",
                             expected="video, frame, id, x0, y0, x1, y1")
    table = table.sort_values(["video", "id", "frame"], kind="stable").reset_index(drop=True)
    return table.assign(camera=[v.split("_")[0] if "_" in v else "" for v in table["video"]], speed=speeds(table))


def speeds(table: pd.DataFrame) -> np.ndarray:
    """(n,) pixels a frame between the first and the last box of each track's stretch of `REACH` frames to either side.

    Args:
        table: sorted by video, track and frame. A track of one box has speed 0.
    """
    frames = table["frame"].to_numpy(np.int64)
    track = table.groupby(["video", "id"], sort=False).ngroup().to_numpy()
    centre = (table[["x0", "y0"]].to_numpy(np.float64) + table[["x1", "y1"]].to_numpy(np.float64)) / 2
    # one rising key over all tracks: a stretch cannot reach the next track
    key = frames - frames.min(initial=0) + track * (np.ptp(frames) + 2 * REACH + 2 if len(frames) else 0)
    first, last = np.searchsorted(key, key - REACH, "left"), np.searchsorted(key, key + REACH, "right") - 1
    moved = np.hypot(*(centre[last] - centre[first]).T)
    return moved / np.maximum(frames[last] - frames[first], 1)


def actors_of(table: pd.DataFrame, size: tuple[float, float]) -> Actors:
    """Boxes as the product's motion model wants them; size: (height, width) of the picture."""
    sides = np.maximum(table[["x1", "y1"]].to_numpy(np.float64) - table[["x0", "y0"]].to_numpy(np.float64), 1.0)
    return Actors(table["y1"].to_numpy(np.float64) / size[0], np.log(sides.prod(1) / (size[0] * size[1])),
                  np.zeros(len(table), np.int64), table[["speed"]].to_numpy(np.float64))


def camera_scores(train: pd.DataFrame, test: pd.DataFrame) -> pd.Series:
    """(video, frame) -> rarity of the fastest actor, for one camera's test frames."""
    every = pd.concat([train, test])
    size = float(every["y1"].max()), float(every["x1"].max())
    motion, held_out = fit_speeds(actors_of(train, size), train["video"].to_numpy(object))
    normal, found = (pd.Series(v).groupby([t["video"].to_numpy(object), t["frame"].to_numpy()]).max()
                     for v, t in ((held_out, train), (motion.score(actors_of(test, size)), test)))
    unit = calibrate(normal.to_numpy(), log=True, high=HIGH)
    return pd.Series(Rarity.fit(unit(normal.to_numpy()))(unit(found.to_numpy())), found.index)


def score(train: pd.DataFrame, test: pd.DataFrame, frames: pd.DataFrame) -> np.ndarray:
    """Rarities of `frames` (columns video, frame); 0 where nobody is.

    Raises:
        PixelPlayError: a camera without training tracks.
    """
    found = []
    for camera, some in test.groupby("camera", sort=False):
        own = train[train["camera"] == camera]
        if len(own) == 0:
            raise PixelPlayError(f"camera '{camera}' has test tracks and no training tracks",
                                 expected="training videos of every camera")
        found.append(camera_scores(own, some))
    return pd.concat(found).reindex(pd.MultiIndex.from_frame(frames[["video", "frame"]])).fillna(0.0).to_numpy()


def main() -> None:
    """One folder of tracks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracks", type=Path)
    parser.add_argument("--labels", type=Path, help="frame_labels.csv of TRACKS_FOLDER when left out")
    parser.add_argument("--name", default="", help="of the set in the table; the folder's when left out")
    args = parser.parse_args()
    frames = pd.read_csv(args.labels or args.tracks / "frame_labels.csv", dtype={"video": str})
    frames = frames.sort_values(["video", "frame"], kind="stable").reset_index(drop=True)
    rarities = score(read_tracks(args.tracks, "train"), read_tracks(args.tracks, "test"), frames)
    videos, numbers, truth = frames["video"].to_numpy(object), frames["frame"].to_numpy(), frames["label"].to_numpy()
    rows = []
    for protocol in ("recorded", "live"):
        values = smooth(rarities, videos, numbers, sigma=LocalMemory.sigma, causal=protocol == "live")
        around = frame_intervals(truth, values, videos)
        row = {"set": args.name or args.tracks.name, "frames": str(len(truth)), "anomalous": str(int(truth.sum())),
               "protocol": protocol}
        for metric in METRICS:
            row |= {metric: f"{100 * around[metric].value:.1f}", f"{metric}_low": f"{100 * around[metric].low:.1f}",
                    f"{metric}_high": f"{100 * around[metric].high:.1f}"}
        rows.append(row)
    write_rows(Path(__file__).with_suffix(".csv"), rows, keep="set")
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
