"""What an autoencoder expected to see at a test frame, as a picture.

Reads the weights a run saved and its footage; makes uint8 images. The network is run once on one window of the frame
and its first output taken: STAE's reconstruction, Roadmap-lite's prediction, U-Net's in-painted frame, Joint's rebuilt
frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pixelplay.autoencoders.base import Autoencoder
from pixelplay.autoencoders.windows import Clips
from pixelplay.data.footage import Footage
from pixelplay.environment import hardware
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
    clips = Clips(video, model.offsets, tuple(model.about["size"]), model.config.channels,
                  max_gap=model.config.max_gap, device=hardware().device)
    # the middle map: for STAE the end of the reconstructed half, for the others the only frame they judge
    place = model.scored[(len(model.scored) - 1) // 2]
    found = np.flatnonzero(clips.windows.rows[:, place] == position)
    if not len(found):
        return None
    clip = clips.take(clips.windows.rows[found[:1]])
    with torch.no_grad():
        made = _first_output(model, clip, place)
    made = made[0].float().clamp(0, 1).mul(255).round().byte().cpu().numpy()
    return made[0] if len(made) == 1 else np.ascontiguousarray(made.transpose(1, 2, 0))


def _first_output(model: Autoencoder, clip: Tensor, place: int) -> Tensor:
    """(1, C, H, W) in [0, 1]: the expected frame at index `place` of the clip."""
    if hasattr(model, "in_paint"):
        speed = model.speed(clip) / model.prior["speed"]
        return model.in_paint(model.net, clip, speed, model.prior["background"])[0]
    outputs: list = []
    handle = model.net.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        model.errors(model.net, clip, model.prior)
    finally:
        handle.remove()
    if isinstance(outputs[0], Tensor):
        return outputs[0]  # Roadmap-lite adds the last frame itself
    first = outputs[0][0]
    if first.ndim == 5:
        return first[:, place] + model.prior["background"]
    # a named tuple says that it is relative to the background
    return first + model.prior["background"] if hasattr(outputs[0], "_fields") else first
