"""What an autoencoder expected to see at a test frame, as a picture.

Reads the weights a run saved and its footage; makes uint8 images. The network is run once on one window of the frame
and its first output taken: STAE's reconstruction, Roadmap-lite's prediction, U-Net's in-painted frame, Joint's rebuilt
frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pixelplay.autoencoders.base import Autoencoder
from pixelplay.data.footage import Footage
from pixelplay.registry import model_class
from pixelplay.visual.run_folder import RunFolder


def predictions(run: RunFolder, name: str, rows: Sequence[int]) -> list[np.ndarray | None]:
    """Expected pictures of some test rows, (h, w[, 3]) uint8; None each where the run kept no weights of this model
    or no window reaches the frame."""
    cls, folder = model_class(name), run.model_folder(name)
    if not issubclass(cls, Autoencoder) or not (folder / "card.json").exists():
        return [None] * len(rows)
    model, footage = cls.load(folder), run.footage("test")
    return [_expected(model, footage.of_videos([footage.videos[row]]), str(footage.ids[row])) for row in rows]


def _expected(model: Autoencoder, video: Footage, identifier: str) -> np.ndarray | None:
    position = int(np.flatnonzero(video.ids == identifier)[0])
    clips = model.clips(video)
    # the middle of the judged frames: for STAE the end of the reconstructed half, for the others their only one; near a
    # video's ends only others of them reach a frame
    middle = (len(model.scored) - 1) // 2
    for judged in sorted(range(len(model.scored)), key=lambda j: (abs(j - middle), j)):
        found = np.flatnonzero(clips.windows.rows[:, model.scored[judged]] == position)
        if len(found):
            break
    else:
        return None
    with torch.no_grad():
        made = model.expected(model.net, clips.take(clips.windows.rows[found[:1]]), model.prior)[0, judged]
    made = made.float().clamp(0, 1).mul(255).round().byte().cpu().numpy()
    return made[0] if len(made) == 1 else np.ascontiguousarray(made.transpose(1, 2, 0))
