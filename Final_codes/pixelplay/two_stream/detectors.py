"""Object detectors behind one interface: frames -> boxes.

Reads uint8 RGB frames and a weights file; makes `Detections` in pixels of the given frame. Three networks share the
interface: `yolov5s` (ultralytics, AGPL-3.0), `faster-rcnn` (torchvision, BSD-3-Clause) and `yolox-nano` (ONNX Runtime,
Apache-2.0); `foreground` needs no weights, see `foreground.py`. If the package or the weights of a detector are
missing, the error says how to get them; no detector silently replaces another.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch

from pixelplay.box_ops import clip_boxes, nms
from pixelplay.distributed import local_hardware
from pixelplay.environment import cpu_count
from pixelplay.errors import PixelPlayError
from pixelplay.pretrained import TABLE, Needs, check_sha256, obtain, require_package
from pixelplay.tensor_files import read_tensors

PERSON = 0
"""COCO class number of a person; others: 1 bicycle, 2 car, 3 motorcycle, 7 truck, 24 backpack, 36 skateboard."""


@dataclasses.dataclass(frozen=True)
class Detections:
    """Objects of one frame.

    Attributes:
        boxes: (n, 4) float32 xyxy in pixels of the original frame.
        scores: (n,) float32 confidence in [0, 1].
        classes: (n,) int16 COCO class number; -1 = moving foreground of unknown class.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def none(cls) -> Detections:
        """An empty result."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int16))


class Detector(abc.ABC):
    """Finds objects in single frames. `about()` is written to the model card."""

    name: ClassVar[str]
    needs: ClassVar[Needs]

    @abc.abstractmethod
    def __call__(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        """Detect objects in uint8 RGB frames (H, W, 3), whose sizes may differ -> detections, in the same order."""

    def _open(self, weights: str | Path | None, sha256: str | None, classes: tuple[int, ...],
              confidence: float) -> Path:
        """Find the weights file, check its digest before anything reads it, and store the settings."""
        path = Path(weights) if weights else obtain(self.name)
        if not path.is_file():
            raise PixelPlayError(f"detector {self.name}: {path} is not there", expected=TABLE[self.name].title,
                                 hint="correct the path, omit it to use the default weights, or choose detector "
                                      "'foreground', which needs none")
        self.sha256 = check_sha256(path, sha256)
        self.path, self.classes, self.confidence = path, classes, confidence
        return path

    def about(self) -> dict[str, Any]:
        """Name, weights, sha256, classes, confidence, licence."""
        return {"name": self.name, "weights": self.path.name, "sha256": self.sha256, "classes": list(self.classes),
                "confidence": self.confidence, "licence": TABLE[self.name].licence}


def load_detector(name: str, *, weights: str | Path | None = None, sha256: str | None = None,
                  classes: Sequence[int] = (PERSON,), confidence: float = 0.3) -> Detector:
    """Make a detector by name.

    Args:
        name: one of `DETECTORS` ('foreground' is fitted to training footage: `foreground.fit_background`).
        weights: local file; None = the one in `pretrained.TABLE`, cached or downloaded.
        sha256: expected hash of the weights; None = the known hash, if there is one.
        classes: COCO class numbers to keep.
        confidence: lowest score to keep.
    Raises:
        PixelPlayError: unknown name, missing package or weights, or weights with another hash.
    """
    _known(name)
    return DETECTORS[name](weights, sha256, tuple(int(c) for c in classes), float(confidence))


def detector_needs(name: str, *, weights: str | Path | None = None) -> Needs:
    """Packages and weights a detector needs; no weights if the user gives a file."""
    if name == "foreground":
        return Needs()
    _known(name)
    needs = DETECTORS[name].needs
    return dataclasses.replace(needs, weights=()) if weights else needs


def _known(name: str) -> None:
    if name not in DETECTORS:
        raise PixelPlayError(f"there is no detector '{name}'", expected="one of " + ", ".join(DETECTORS))


class YoloxNano(Detector):
    """YOLOX-nano (Ge et al., arXiv 2107.08430) through ONNX Runtime on the CPU."""

    name = "yolox-nano"
    needs = Needs(("onnxruntime",), ("yolox-nano",))
    IOU = 0.5

    def __init__(self, weights: str | Path | None, sha256: str | None, classes: tuple[int, ...], confidence: float):
        path = self._open(weights, sha256, classes, confidence)
        onnxruntime = require_package("onnxruntime", by="detector yolox-nano")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cpu_count()
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.side = int(self.session.get_inputs()[0].shape[-1])

    def __call__(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        found = []
        for frame in frames:
            image, ratio = letterbox(frame, self.side)
            # YOLOX is trained on BGR in [0, 255] without normalisation
            tensor = np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)[None], dtype=np.float32)
            raw = self.session.run(None, {self.input: tensor})[0][0]
            found.append(self._select(decode_yolox(raw, self.side), ratio, frame.shape[:2]))
        return found

    def _select(self, decoded: tuple[np.ndarray, np.ndarray], ratio: float, size: tuple[int, int]) -> Detections:
        boxes, scores = decoded
        scores = scores[:, list(self.classes)]
        best = scores.argmax(1)
        confidence = scores[np.arange(len(scores)), best]
        keep = np.flatnonzero(confidence >= self.confidence)
        if len(keep) == 0:
            return Detections.none()
        boxes, confidence = clip_boxes(boxes[keep] / ratio, size), confidence[keep]
        classes = np.asarray(self.classes, np.int16)[best[keep]]
        kept = nms(boxes, confidence, self.IOU)
        return Detections(boxes[kept], confidence[kept].astype(np.float32), classes[kept])


class Yolov5s(Detector):
    """YOLOv5s through ultralytics, which maintains the YOLOv5 line (AGPL-3.0).

    Weights: ultralytics' `yolov5su.pt`, a pickle of the whole network. Only its tensors are read (`read_tensors`) and
    loaded into a network built from ultralytics' `yolov5s.yaml`: no code in the file is executed.
    """

    name = "yolov5s"
    needs = Needs(("ultralytics",), ("yolov5s",))

    def __init__(self, weights: str | Path | None, sha256: str | None, classes: tuple[int, ...], confidence: float):
        tensors = read_tensors(path := self._open(weights, sha256, classes, confidence))
        ultralytics = require_package("ultralytics", by="detector yolov5s")
        self.net = ultralytics.YOLO("yolov5s.yaml", task="detect", verbose=False)
        _load(self.net.model, tensors, path, "YOLOv5s of ultralytics (yolov5su.pt); YOLOv5's first repository wrote "
                                             "another network under a similar name (yolov5s.pt)")

    def __call__(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        found = []
        for frame in frames:
            # ultralytics takes arrays as BGR and returns boxes in pixels of the array
            result = self.net.predict(np.ascontiguousarray(frame[:, :, ::-1]), conf=self.confidence, iou=0.45,
                                      classes=list(self.classes), imgsz=640, verbose=False)[0].boxes
            boxes = clip_boxes(result.xyxy.cpu().numpy().reshape(-1, 4), frame.shape[:2])
            found.append(Detections(boxes, result.conf.cpu().numpy().astype(np.float32),
                                    result.cls.cpu().numpy().astype(np.int16)))
        return found


class FasterRCNN(Detector):
    """Faster R-CNN with a ResNet-50 feature pyramid, version 2 (Ren et al. 2015; Li et al., arXiv 2111.11429), through
    torchvision (BSD-3-Clause). Practical on a GPU only."""

    name = "faster-rcnn"
    needs = Needs(("torchvision",), ("faster-rcnn",))

    def __init__(self, weights: str | Path | None, sha256: str | None, classes: tuple[int, ...], confidence: float):
        from torchvision.models import detection

        tensors = read_tensors(path := self._open(weights, sha256, classes, confidence))
        self.device = local_hardware().device
        self.net = detection.fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None,
                                                        box_score_thresh=confidence)
        _load(self.net, tensors, path, "torchvision's fasterrcnn_resnet50_fpn_v2")
        self.net.eval().requires_grad_(False).to(self.device)
        # torchvision numbers COCO's 91 original categories, 11 of which are unused
        names = detection.FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1.meta["categories"]
        used = np.array([name not in ("__background__", "N/A") for name in names])
        self.number = np.where(used, np.cumsum(used) - 1, -1).astype(np.int16)

    @torch.inference_mode()
    def __call__(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        batch = [torch.from_numpy(np.ascontiguousarray(f)).to(self.device).permute(2, 0, 1).float() / 255
                 for f in frames]
        found = []
        for frame, result in zip(frames, self.net(batch)):
            classes = self.number[result["labels"].cpu().numpy()]
            keep = np.isin(classes, self.classes)
            found.append(Detections(clip_boxes(result["boxes"].cpu().numpy()[keep], frame.shape[:2]),
                                    result["scores"].cpu().numpy()[keep], classes[keep]))
        return found


def _load(network: torch.nn.Module, tensors: dict[str, torch.Tensor], path: Path, expected: str) -> None:
    """Load every tensor, or raise PixelPlayError naming the first that does not fit."""
    try:
        network.load_state_dict(tensors)
    except RuntimeError as cause:
        raise PixelPlayError(f"{path} holds other weights: {str(cause).splitlines()[1].strip()[:200]}",
                             expected=expected, hint="omit the path to use the default weights") from cause


DETECTORS: dict[str, type[Detector]] = {d.name: d for d in (Yolov5s, FasterRCNN, YoloxNano)}


def letterbox(frame: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """Scale a frame (H, W, 3) into the upper left of a (side, side, 3) square, aspect ratio kept -> (image, ratio)."""
    ratio = min(side / frame.shape[0], side / frame.shape[1])
    size = (max(1, round(frame.shape[1] * ratio)), max(1, round(frame.shape[0] * ratio)))
    image = np.full((side, side, 3), 114, np.uint8)  # YOLOX's padding colour
    image[:size[1], :size[0]] = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)
    return image, ratio


def decode_yolox(raw: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Decode YOLOX's raw output.

    Args:
        raw: (A, 5 + C): box centre as an offset from its cell and log size, both in strides; objectness; class scores.
            A = cells of the grids at strides 8, 16 and 32, row by row.
        side: input side in pixels.
    Returns:
        boxes (A, 4) float32 xyxy in pixels of the input, scores (A, C) float32 = objectness * class score.
    """
    cells, strides = [], []
    for stride in (8, 16, 32):
        n = side // stride
        y, x = np.mgrid[:n, :n]
        cells.append(np.stack([x.ravel(), y.ravel()], 1))
        strides.append(np.full((n * n, 1), stride))
    cell, stride = np.concatenate(cells), np.concatenate(strides)
    centre = (raw[:, :2] + cell) * stride
    half = np.exp(raw[:, 2:4]) * stride / 2
    boxes = np.concatenate([centre - half, centre + half], 1)
    return boxes.astype(np.float32), (raw[:, 4:5] * raw[:, 5:]).astype(np.float32)
