"""Heat of the error maps, and what a memory bank holds, for a run's pictures.

Reads a `RunFolder`; makes a function of a row, and arrays. Heat is in deviations above normal of held-out training
frames, so the same colour means the same in every frame and every video.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from pixelplay.calibration import Calibration, calibrate
from pixelplay.visual.run_folder import RunFolder

COLD, HOT = 3.0, 9.0
"""Deviations above normal at which heat begins and at which it is full."""


def heat_function(run: RunFolder) -> Callable[[int], np.ndarray | None] | None:
    """row -> (h, w) heat in [0, 1], the mean over the models with error maps; None where no model has any."""
    sources: list[tuple[np.ndarray, Calibration]] = []
    for name, file in run.members.items():
        maps = run.maps(name)
        if maps is not None and file.train_values is not None:
            log = file.about.get("kind") in ("error", "distance")
            sources.append((maps, calibrate(file.train_values, log=log)))
    if not sources:
        return None
    size = max((maps.shape[1:] for maps, _ in sources), key=lambda s: s[0] * s[1])

    def heat(row: int) -> np.ndarray:
        total = np.zeros(size, np.float32)
        for maps, calibration in sources:
            z = calibration(np.asarray(maps[row], dtype=np.float64))
            total += cv2.resize(z.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
        return np.clip((total / len(sources) - COLD) / (HOT - COLD), 0.0, 1.0)

    return heat


def bank(run: RunFolder, model: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Features of a global memory and which of them it remembers.

    Returns:
        (training features (N, D), rows of the first bank's vectors in order of picking (M,), test features (K, D)),
        or None where the run keeps no features or no bank of this model.
    """
    from pixelplay.two_stream.features import frame_features
    from pixelplay.two_stream.global_memory import GlobalMemory
    from pixelplay.two_stream.memory import nearest

    folder = run.model_folder(model)
    if model != GlobalMemory.name or not (folder / f"{model}.json").exists() or not (folder / "features").is_dir():
        return None
    memory = GlobalMemory.load(folder)
    train, test = (np.asarray(frame_features(run.footage(split), memory.backbone, folder / "features",
                                             source=memory.config.source, fit=memory.config.fit,
                                             batch_size=memory.config.batch), dtype=np.float32)
                   for split in ("train", "test"))
    # a bank holds copies of training rows: the row at distance 0 is the pick
    _, found = nearest(memory.banks[0].vectors, train)
    return train, np.asarray(found).reshape(-1), test
