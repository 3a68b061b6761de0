"""E17: how far do boxes alone go? The local stream's channels on person tracks, without images.

Scores tables of tracked boxes with the product's classes: the channels of `two_stream/channels.py` that need only boxes
(speed and velocity, not articulation), and their rarities as in `two_stream/local_memory.py`. Each camera has its own
model. `recorded` smooths to both sides, `live` with past frames only. Labels fill the table only.

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

from pixelplay.calibration import Rarity, calibrate
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.bootstrap import frame_intervals
from pixelplay.fusion.smoothing import smooth
from pixelplay.two_stream.channels import Actors, Channel, Speed, Velocity, fit_channel
from pixelplay.two_stream.local_memory import HIGH, LocalMemory

BOXES = {"x0", "y0", "x1", "y1"}
REACH = 12
"""Frames to either side over which a track's velocity is measured: a second, in which a walking body sways once."""
CHANNELS: tuple[type[Channel], ...] = (Speed, Velocity)
METRICS = ("ap", "micro_auc", "macro_auc")


def read_tracks(folder: Path, split: str) -> pd.DataFrame:
    """Boxes sorted by video, track and frame, with their camera and velocity."""
    found = [p for p in (folder / f"{split}.csv", folder / f"{split}.csv.gz") if p.exists()]
    if not found:
        raise PixelPlayError(f"{folder} holds no {split}.csv", expected="train.csv and test.csv, or .csv.gz")
    table = pd.read_csv(found[0], dtype={"video": str})
    absent = {"video", "frame", "id", *BOXES} - set(table.columns)
    if absent:
        raise PixelPlayError(f"{found[0]} has no column {', '.join(sorted(absent))}",
                             expected="video, frame, id, x0, y0, x1, y1")
    table = table.sort_values(["video", "id", "frame"], kind="stable").reset_index(drop=True)
    table = table.assign(camera=[v.split("_")[0] if "_" in v else "" for v in table["video"]])
    table[["vx", "vy"]] = velocities(table)
    return table


def velocities(table: pd.DataFrame) -> np.ndarray:
    """(n, 2) pixels a frame between the first and the last box of each track within `REACH` frames to either side.

    Args:
        table: sorted by video, track and frame. A track of one box stands still.
    """
    frames = table["frame"].to_numpy(np.int64)
    track = table.groupby(["video", "id"], sort=False).ngroup().to_numpy()
    centre = (table[["x0", "y0"]].to_numpy(np.float64) + table[["x1", "y1"]].to_numpy(np.float64)) / 2
    # one rising key over all tracks: a stretch cannot reach the next track
    key = frames - frames.min(initial=0) + track * (np.ptp(frames) + 2 * REACH + 2 if len(frames) else 0)
    first, last = np.searchsorted(key, key - REACH, "left"), np.searchsorted(key, key + REACH, "right") - 1
    return (centre[last] - centre[first]) / np.maximum(frames[last] - frames[first], 1)[:, None]


def actors_of(table: pd.DataFrame, high: float) -> Actors:
    """Boxes as the product's channels want them; high: of the picture, in pixels."""
    velocity = table[["vx", "vy"]].to_numpy(np.float64) / high
    height = np.maximum(table["y1"].to_numpy(np.float64) - table["y0"].to_numpy(np.float64), 1.0) / high
    return Actors(table["y1"].to_numpy(np.float64) / high, height, velocity, np.hypot(*velocity.T),
                  np.full(len(table), np.nan))


def camera_scores(train: pd.DataFrame, test: pd.DataFrame) -> pd.Series:
    """(video, frame) -> sum of the rarities of each channel's highest actor, for one camera's test frames."""
    high = float(max(train["y1"].max(), test["y1"].max()))
    normal, shown, videos = actors_of(train, high), actors_of(test, high), train["video"].to_numpy(object)
    total = []
    for kind in CHANNELS:
        channel, held_out = fit_channel(kind, normal, videos)
        usual, found = (pd.Series(v).groupby([t["video"].to_numpy(object), t["frame"].to_numpy()]).max()
                        for v, t in ((held_out, train), (channel.score(shown), test)))
        unit = calibrate(usual.to_numpy(), log=True, high=HIGH)
        rarity = Rarity.fit(unit(usual.to_numpy()), len(np.unique(videos)))
        total.append(pd.Series(rarity(unit(found.to_numpy())), found.index))
    return sum(total[1:], total[0])


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
