"""Detectors: frames -> boxes of objects, behind one small interface.

Reads uint8 RGB frames and a weights file; makes `Detections` in pixels of the frame it was given. Three detectors
share the interface: `yolov5s` (ultralytics, AGPL-3.0), `yolox-nano` (ONNX Runtime, Apache-2.0) and `foreground`
(no weights, see `foreground.py`). A detector whose weights are not there says so and how to get them; none is
ever replaced by another.
"""

from __future__ import annotations

import abc
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from pixelplay.errors import PixelPlayError
from pixelplay.files import sha256_of

PERSON = 0
"""COCO's class number of a person; 1 bicycle, 2 car, 3 motorcycle, 7 truck, 24 backpack, 36 skateboard."""


@dataclasses.dataclass(frozen=True)
class Detections:
    """Objects of one frame.

    Attributes:
        boxes: (n, 4) float32 xyxy in pixels of the original frame.
        scores: (n,) float32 confidence in [0, 1].
        classes: (n,) int16 COCO class number; -1 = moving foreground of no known class.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def none(cls) -> Detections:
        """No object."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int16))


class Detector(abc.ABC):
    """Finds objects in single frames. `about()` goes into the model card."""

    name: ClassVar[str]

    @abc.abstractmethod
    def __call__(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        """uint8 RGB frames (H, W, 3), sizes may differ -> their detections, in order."""

    @abc.abstractmethod
    def about(self) -> dict[str, Any]:
        """What was used: name, weights, sha256, classes, confidence."""


def load_detector(name: str, *, weights: str | Path | None = None, sha256: str | None = None,
                  classes: Sequence[int] = (PERSON,), confidence: float = 0.3) -> Detector:
    """Make a detector by name.

    Args:
        name: 'yolov5s' or 'yolox-nano' ('foreground' is fitted to training footage: `foreground.fit_background`).
        weights: local file; None = the default file of the detector (see each class).
        sha256: expected hash of the weights; None = the known one, where there is one.
        classes: COCO class numbers to keep.
        confidence: lowest score to keep.
    Raises:
        PixelPlayError: unknown name, weights not there, or weights with another hash.
    """
    if name not in DETECTORS:
        raise PixelPlayError(f"there is no detector '{name}'", expected="one of " + ", ".join(DETECTORS))
    return DETECTORS[name](weights, sha256, tuple(int(c) for c in classes), float(confidence))


def check_sha256(path: Path, sha256: str | None) -> str:
    """Hash of a weights file. Raises PixelPlayError where it is not the expected one."""
    found = sha256_of(path)
    if sha256 and found != sha256.lower():
        raise PixelPlayError(f"{path} is not the expected weights file: its sha256 is {found}",
                             expected=sha256, mend="download it again, or set the sha256 of the file you trust")
    return found


def _known_file(name: str) -> Path | None:
    """A weights file of this name in $PIXELPLAY_WEIGHTS, or None."""
    folder = os.environ.get("PIXELPLAY_WEIGHTS")
    path = Path(folder) / name if folder else None
    return path if path is not None and path.is_file() else None


class YoloxNano(Detector):
    """YOLOX-nano (Ge et al., arXiv 2107.08430) through ONNX Runtime on the CPU.

    Weights: `yolox_nano_416x416.onnx`, from `weights` or the folder $PIXELPLAY_WEIGHTS.
    """

    name = "yolox-nano"
    FILE = "yolox_nano_416x416.onnx"
    IOU = 0.5

    def __init__(self, weights: str | Path | None, sha256: str | None, classes: tuple[int, ...], confidence: float):
        import onnxruntime

        path = Path(weights) if weights else _known_file(self.FILE)
        if path is None or not path.is_file():
            raise PixelPlayError(f"detector yolox-nano: {path or self.FILE} is not there",
                                 expected="YOLOX-nano as ONNX, 416x416 (github.com/Megvii-BaseDetection/YOLOX)",
                                 mend="put it in a folder, set PIXELPLAY_WEIGHTS to that folder, or choose detector "
                                      "'foreground', which needs no weights")
        self.sha256 = check_sha256(path, sha256)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
                                           else os.cpu_count() or 1)
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.side = int(self.session.get_inputs()[0].shape[-1])
        self.path, self.classes, self.confidence = path, classes, confidence

    def __call__(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        found = []
        for frame in frames:
            image, ratio = letterbox(frame, self.side)
            # the authors train on BGR in [0, 255] without normalisation
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

    def about(self) -> dict[str, Any]:
        return {"name": self.name, "weights": self.path.name, "sha256": self.sha256, "classes": list(self.classes),
                "confidence": self.confidence, "licence": "Apache-2.0"}


class Yolov5s(Detector):
    """YOLOv5s through ultralytics, which maintains the YOLOv5 line (AGPL-3.0).

    Weights: `weights` (a local ultralytics .pt), else `yolov5su.pt` from $PIXELPLAY_WEIGHTS, else downloaded once
    by ultralytics to ~/.cache/pixelplay. A .pt file is a pickle and can run code: give its sha256, or trust it.
    """

    name = "yolov5s"
    FILE = "yolov5su.pt"

    def __init__(self, weights: str | Path | None, sha256: str | None, classes: tuple[int, ...], confidence: float):
        if weights and not Path(weights).is_file():
            raise PixelPlayError(f"detector yolov5s: {weights} is not there", expected="an ultralytics .pt file",
                                 mend="leave the path out to download yolov5su.pt, or choose detector 'foreground'")
        # the hash is checked before anything unpickles the file
        path = Path(weights) if weights else _known_file(self.FILE) or self._download()
        self.sha256 = check_sha256(path, sha256)
        from ultralytics import YOLO

        self.net = YOLO(str(path), task="detect", verbose=False)
        self.path, self.classes, self.confidence = path, classes, confidence

    @classmethod
    def _download(cls) -> Path:
        path = Path.home() / ".cache" / "pixelplay" / cls.FILE
        if path.is_file():
            return path
        from ultralytics.utils.downloads import attempt_download_asset

        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            attempt_download_asset(str(path))
        except (OSError, RuntimeError) as cause:  # ultralytics raises ConnectionError and URLError, both OSError
            raise cls._unavailable(path) from cause
        if not path.is_file():
            raise cls._unavailable(path)
        return path

    @classmethod
    def _unavailable(cls, path: Path) -> PixelPlayError:
        return PixelPlayError(f"detector yolov5s: {cls.FILE} could not be downloaded to {path}",
                              expected="internet access, or the file in the folder $PIXELPLAY_WEIGHTS",
                              mend="get yolov5su.pt from the assets of github.com/ultralytics/assets, or choose "
                                   "detector 'yolox-nano' or 'foreground'")

    def __call__(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        found = []
        for frame in frames:
            # ultralytics takes arrays as BGR and gives boxes in pixels of the array
            result = self.net.predict(np.ascontiguousarray(frame[:, :, ::-1]), conf=self.confidence, iou=0.45,
                                      classes=list(self.classes), imgsz=640, verbose=False)[0].boxes
            boxes = clip_boxes(result.xyxy.cpu().numpy().reshape(-1, 4), frame.shape[:2])
            found.append(Detections(boxes, result.conf.cpu().numpy().astype(np.float32),
                                    result.cls.cpu().numpy().astype(np.int16)))
        return found

    def about(self) -> dict[str, Any]:
        return {"name": self.name, "weights": self.path.name, "sha256": self.sha256, "classes": list(self.classes),
                "confidence": self.confidence, "licence": "AGPL-3.0"}


DETECTORS: dict[str, type[Detector]] = {"yolov5s": Yolov5s, "yolox-nano": YoloxNano}


def letterbox(frame: np.ndarray, side: int, fill: int = 114) -> tuple[np.ndarray, float]:
    """Scale a frame (H, W, 3) into the upper left of a (side, side, 3) square, undistorted -> (image, ratio)."""
    ratio = min(side / frame.shape[0], side / frame.shape[1])
    size = (max(1, round(frame.shape[1] * ratio)), max(1, round(frame.shape[0] * ratio)))
    image = np.full((side, side, 3), fill, np.uint8)
    image[:size[1], :size[0]] = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)
    return image, ratio


def decode_yolox(raw: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """YOLOX's raw output -> boxes and class scores.

    Args:
        raw: (A, 5 + C): box centre as an offset to its cell and log size, both in strides, objectness, classes;
            A = cells of the grids of stride 8, 16 and 32, row by row.
        side: input side in pixels.
    Returns:
        boxes (A, 4) float32 xyxy in pixels of the input, scores (A, C) float32 = objectness * class.
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


def clip_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Clip xyxy boxes (n, 4) to a frame of (H, W) pixels."""
    limit = np.array([size[1], size[0], size[1], size[0]], np.float32)
    return np.clip(np.asarray(boxes, np.float32), 0, limit)


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) xyxy -> (n,) areas in square pixels."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def intersections(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, 4), (m, 4) xyxy -> (n, m) areas the boxes share, in square pixels."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.prod(np.maximum(high - low, 0), axis=2)


def nms(boxes: np.ndarray, scores: np.ndarray, iou: float) -> np.ndarray:
    """Greedy non-maximum suppression over all classes -> (k,) int64 kept positions, best first."""
    order = np.argsort(-scores, kind="stable")
    shared, area = intersections(boxes, boxes), box_areas(boxes)
    union = np.maximum(area[:, None] + area[None] - shared, 1e-9)
    overlaps = shared / union > iou
    kept, alive = [], np.ones(len(boxes), bool)
    for i in order:
        if alive[i]:
            kept.append(i)
            alive &= ~overlaps[i]
    return np.asarray(kept, np.int64)
