"""A run of all six models on tiny videos, for the tests of `pixelplay watch`."""

from __future__ import annotations

from pathlib import Path

import av
import cv2

from pixelplay.pipeline import Options, Run
from pixelplay.sample.dataset import make_sample

MODELS = ("global_memory", "local_memory", "stae", "roadmap", "unet", "joint")


def make_live_run(root: Path) -> tuple[Path, list[Path]]:
    """(output folder, test videos); without repair: what a live camera gets is not repaired either."""
    sample = make_sample(root / "sample", size="tiny")
    for split, folder in (("training_videos", "train"), ("testing_videos", "test")):
        for place in sorted((sample / split).iterdir())[:2]:
            film(place, root / folder / f"door{place.name}.mp4")
    run = Run(Options(train=root / "train", test=root / "test", output=root / "out", profile="smoke", models=MODELS,
                      repair=False))
    run.extract()
    for name in MODELS:
        run.model(name)
    run.close_detector()
    return run.output, sorted((root / "test").iterdir())


def film(folder, target):
    """The pictures of a folder as a video."""
    target.parent.mkdir(parents=True, exist_ok=True)
    pictures = [cv2.imread(str(p)) for p in sorted(folder.glob("*.jpg"))]
    with av.open(str(target), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = *pictures[0].shape[:2], "yuv420p", 4_000_000
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
