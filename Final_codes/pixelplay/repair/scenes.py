"""Which scene a video shows, for what is usual in one scene and not in another.

Reads `Footage`; gives templates of the scenes of the training footage, and the scene of every frame of any footage.
What is learnt by scene keeps the templates beside it: a model recognises its scenes by itself, in footage of another
run or of a camera, and does not depend on how a run counts its own. Beside them it keeps what holds for all training
frames, for footage of none of its scenes.
"""

from __future__ import annotations

import numpy as np

from pixelplay.data.footage import Footage
from pixelplay.data.subsample import spread
from pixelplay.repair.background import KNOWN, SAMPLES, by_camera, learn_scenes
from pixelplay.repair.orientation import THUMB, edges, features, thumbnail

FEWEST = 100
"""Training frames below which a scene has nothing usual of its own: a few walkers would decide."""


def scene_templates(train: Footage) -> np.ndarray:
    """Descriptions of the scenes with something usual of their own.

    Returns:
        (K, D) float32, see `orientation.features`; K = 0 where all training frames show one scene. Left out are scenes
        that too few training frames are recognised to show, and those nothing can be told of (a moving camera).
    """
    readable = np.flatnonzero(train.reliability > 0)
    seen, none = (train.pixels, train.rows[readable], train.videos[readable]), (0, 3 * THUMB[0] * THUMB[1])
    if len(by_camera(*seen)) <= 1:
        return np.zeros(none, np.float32)
    templates = np.array([s.templates[0] for s in learn_scenes(*seen) if s.usable], np.float32).reshape(-1, none[1])
    shown = recognise(train, templates)
    return templates[[int((shown == k).sum()) >= FEWEST for k in range(len(templates))]]


def recognise(footage: Footage, templates: np.ndarray) -> np.ndarray:
    """The scene of every frame, from its video alone: (N,) int64 row of `templates`, -1 = none of them."""
    found = np.full(len(footage), -1, np.int64)
    for video in footage.video_names() if len(templates) else ():
        rows = np.flatnonzero(footage.videos == video)
        likeness = np.median([edges(templates, features(thumbnail(frame)))
                              for frame in footage.batch(spread(rows, SAMPLES // 4, rounded=True))], axis=0)
        if likeness.max() >= KNOWN:
            found[rows] = likeness.argmax()
    return found
