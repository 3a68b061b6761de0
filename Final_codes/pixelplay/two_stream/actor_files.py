"""Per-actor results of the local stream: one table of arrays for the report, the annotated video and localisation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pixelplay.arrays import read_arrays, write_arrays
from pixelplay.data.footage import Footage
from pixelplay.two_stream.actor_table import ActorTable
from pixelplay.two_stream.scoring import reason


def actor_arrays(footage: Footage, table: ActorTable, z: Mapping[str, np.ndarray], words: Mapping[str, str],
                 nearest: np.ndarray, train_ids: np.ndarray, train_boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Per-actor results of one split.

    Args:
        footage, table: the frames and their M actors.
        z: channel -> (M,) z-score of each actor, NaN = not measured.
        words: channel -> its phrase in `reason`.
        nearest: (M,) row of the nearest of T training crops, -1 = none.
        train_ids, train_boxes: (T,) frame Ids and (T, 4) boxes of the training crops.
    Returns:
        Arrays over the M actors, in frame order:
        Id (M,) str; boxes (M, 4) xyxy, original pixels; classes (M,) COCO number, -1 = foreground;
        detector_score (M,); speed (M,) mean, original pixels per frame;
        <channel>_z (M,) for every channel, NaN = not measured (appearance_z also where the crop was not embedded);
        motion_z (M,) largest z-score of the motion channels, NaN = no flow; reason (M,) str, '' = nothing stands out;
        nearest (M,), and train_Id (T,), train_boxes (T, 4) that it indexes.
    """
    names = list(z)
    reasons = [reason(dict(zip(names, values)), words, kind) for *values, kind in zip(*z.values(), table.classes)]
    motion = np.fmax.reduce([v for name, v in z.items() if name != "appearance"])
    return {"Id": footage.ids[table.position].astype(np.str_), "boxes": table.boxes, "classes": table.classes,
            "detector_score": table.scores, "speed": table.speed, **{f"{name}_z": v for name, v in z.items()},
            "motion_z": motion, "reason": np.array(reasons, dtype=np.str_), "nearest": nearest,
            "train_Id": train_ids.astype(np.str_), "train_boxes": train_boxes}


def write_actors(path: Path, actors: Mapping[str, np.ndarray]) -> None:
    """Write the arrays of `actor_arrays`."""
    write_arrays(path, **actors)


def read_actors(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of `write_actors`. Raises PixelPlayError if the file is missing or damaged."""
    return read_arrays(path, hint="run stage 02_two_stream_memory with model local_memory")
