"""Settings of the local stream, and its three profiles."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class LocalMemoryConfig:
    """Settings of the local stream.

    Attributes:
        detectors: any of 'yolov5s', 'faster-rcnn', 'yolox-nano', 'foreground' (`detectors.py`, `foreground.py`).
        detector_weights: weights file of the first detector that needs one; '' = its default.
        detector_sha256: expected digest of that file; '' = no check.
        classes: COCO classes to detect; 0 = person.
        confidence: lowest detector score.
        backbone, weights, sha256, batch: see `GlobalMemoryConfig`.
        longest: longest side of the frames that motion and foreground are measured on, in pixels.
        directions: optical flow to a past frame only (1), or also to a future frame (2).
        stride: crops are embedded in every n-th frame and their scores interpolated; motion is measured in every frame.
        ratio: share of the training crops that a bank keeps.
        floor: smallest number of crops in a bank; a shorter training set keeps its whole subsample.
        seeds, outliers: see `GlobalMemoryConfig`.
        appearance: weight of the appearance channel. Clothes and groups differ from day to day, and the shipped
            backbone separates people less well than CLIP.
        thumbnails: keep small pictures of the crops with the model, for the report's nearest training crops; switch
            off if training footage must not be shown.
    """

    detectors: tuple[str, ...] = ("foreground",)
    detector_weights: str = ""
    detector_sha256: str = ""
    classes: tuple[int, ...] = (0,)
    confidence: float = 0.3
    backbone: str = "efficientnet-lite0"
    weights: str = ""
    sha256: str = ""
    batch: int = 8
    longest: int = 480
    directions: int = 2
    stride: int = 8
    ratio: float = 0.1
    floor: int = 4000
    seeds: int = 3
    outliers: float = 0.005
    appearance: float = 0.3
    thumbnails: bool = True

    @classmethod
    def profile(cls, name: str) -> LocalMemoryConfig:
        """smoke: a wiring test; lite: two CPU cores, shipped weights only; full: a GPU, YOLOv5s and CLIP."""
        return {
            "smoke": cls(longest=160, directions=1, floor=64, ratio=0.02, outliers=0.0),
            "lite": cls(),
            "full": cls(detectors=("yolov5s", "foreground"), backbone="clip-rn101", batch=64, longest=640, stride=2,
                        appearance=1.0),
        }[name]
