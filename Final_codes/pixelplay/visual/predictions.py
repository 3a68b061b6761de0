"""Predictions of a model for test frames, as pictures.

Reads the weights of a run and its footage; makes uint8 images (see `Model.expected_picture`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pixelplay.registry import model_class
from pixelplay.visual.run_folder import RunFolder


def predictions(run: RunFolder, name: str, rows: Sequence[int]) -> list[np.ndarray | None]:
    """Predictions for test rows, (h, w[, 3]) uint8. None if the run kept no weights of this model, the model predicts
    no picture, or no window covers the frame."""
    trained = run.paths.trained(name)
    if not (trained / "card.json").exists():
        return [None] * len(rows)
    model, footage = model_class(name).load(trained), run.footage("test")
    videos = [footage.of_videos([footage.videos[row]]) for row in rows]
    return [model.expected_picture(video, int(np.flatnonzero(video.ids == footage.ids[row])[0]))
            for video, row in zip(videos, rows)]
