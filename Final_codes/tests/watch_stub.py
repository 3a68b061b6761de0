"""`pixelplay watch` without models: a scorer that calls bright frames anomalous."""

from __future__ import annotations

import av
import numpy as np
from mjpeg_server import textured

from pixelplay.fusion.events import Threshold
from pixelplay.scenes.description import LENGTH
from pixelplay.visual.people import Box
from pixelplay.watch import camera, command
from pixelplay.watch.paces import Pace
from pixelplay.watch.scorer import Scored


class FakeScorer:
    """Scores a frame by its brightness at once; above 100 is an event. An actor stands in the lower left corner."""

    def __init__(self, *_, **__):
        self.models, self.fps, self.delay, self.reach, self.full_size = {"unet": None}, 25.0, 0, 0, (48, 64)
        self.threshold = Threshold(3.0, 2.0, "begins above 3")
        self.pace = Pace(None, ("unet",))
        self.paces = [self.pace]

    def push(self, number, frame):
        score = 5.0 if frame.mean() > 100 else 0.0
        return [Scored(number, frame, score, {"unet": score}, "bright (U-Net, 5.0)", (Box((2, 20, 10, 40), score),),
                       None)]

    def finish(self):
        return []


def stub(setattr=setattr):
    """Put it in place of the models."""
    setattr(camera, "LiveScorer", FakeScorer)
    setattr(camera, "learnt_scenes", lambda detector: (np.zeros((0, LENGTH), np.float32), []))
    setattr(command.Detector, "find", lambda folder: None)


def film(path, levels):
    """A video of textured frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = 48, 64, "yuv420p", 2_000_000
        for i, level in enumerate(levels):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(textured(level, i), format="rgb24")))
        container.mux(stream.encode())
