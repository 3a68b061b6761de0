"""What a model expected to see at a test frame, as a picture.

Reads the weights a run saved and its footage; makes uint8 images (see `Model.expected_picture`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pixelplay.registry import model_class
from pixelplay.visual.run_folder import RunFolder


def predictions(run: RunFolder, name: str, rows: Sequence[int]) -> list[np.ndarray | None]:
    """Expected pictures of some test rows, (h, w[, 3]) uint8; None each where the run kept no weights of this model,
    the model expects no picture, or no window reaches the frame."""
    trained = run.paths.trained(name)
    if not (trained / "card.json").exists():
        return [None] * len(rows)
    model, footage = model_class(name).load(trained), run.footage("test")
    videos = [footage.of_videos([footage.videos[row]]) for row in rows]
    return [model.expected_picture(video, int(np.flatnonzero(video.ids == footage.ids[row])[0]))
            for video, row in zip(videos, rows)]
