"""What the local stream found out about every actor, for the report, the annotated video and localisation.

Makes, writes and reads one table of arrays.
"""

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
    """The M actors of a footage.

    Args:
        z: channel -> (M,) deviations above normal, NaN = not measured; words: channel -> what it says of an actor.
        nearest: (M,) row of the most similar of T training crops; train_ids, train_boxes: theirs.
    Returns:
        M actors in frame order: Id (M,) str; boxes (M, 4) xyxy, original pixels; classes (M,) COCO number, -1 =
        foreground; detector_score (M,); <channel>_z (M,) for every channel, appearance_z among them, NaN where the
        crop was not embedded (see `stride`); motion_z (M,) the largest of those that speak of motion, NaN where no flow
        could be measured; speed (M,) mean, original pixels per frame; reason (M,) words, '' where nothing stands out;
        nearest (M,) row of the most similar training crop in train_Id (T,) and train_boxes (T, 4), -1 where there is
        none.
    """
    names = list(z)
    reasons = [reason(dict(zip(names, values)), words, kind) for *values, kind in zip(*z.values(), table.classes)]
    motion = np.fmax.reduce([v for name, v in z.items() if name != "appearance"])
    return {"Id": footage.ids[table.position].astype(np.str_), "boxes": table.boxes, "classes": table.classes,
            "detector_score": table.scores, "speed": table.speed, **{f"{name}_z": v for name, v in z.items()},
            "motion_z": motion, "reason": np.array(reasons, dtype=np.str_), "nearest": nearest,
            "train_Id": train_ids.astype(np.str_), "train_boxes": train_boxes}


def write_actors(path: Path, actors: Mapping[str, np.ndarray]) -> None:
    """Write what `actor_arrays` made."""
    write_arrays(path, **actors)


def read_actors(path: Path) -> dict[str, np.ndarray]:
    """Read what `write_actors` wrote. Raises PixelPlayError where it is missing or damaged."""
    return read_arrays(path, hint="run stage 02_two_stream_memory with model local_memory")
