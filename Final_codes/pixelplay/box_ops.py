"""Operations on bounding boxes: areas, overlaps, non-maximum suppression.

All boxes are (n, 4) arrays of xyxy corners in the same unit.
"""

from __future__ import annotations

import numpy as np


def clip_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Clip xyxy boxes (n, 4) to a frame of (H, W) pixels."""
    limit = np.array([size[1], size[0], size[1], size[0]], np.float32)
    return np.clip(np.asarray(boxes, np.float32), 0, limit)


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) xyxy -> (n,) areas in square pixels."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def intersections(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, 4), (m, 4) xyxy -> (n, m) intersection areas in square pixels."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.prod(np.maximum(high - low, 0), axis=2)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, 4), (m, 4) xyxy -> (n, m) intersection over union; 0 for two empty boxes (torchvision returns NaN)."""
    shared = intersections(a, b)
    return shared / np.maximum(box_areas(a)[:, None] + box_areas(b)[None] - shared, 1e-9)


def nms(boxes: np.ndarray, scores: np.ndarray, iou: float) -> np.ndarray:
    """Greedy non-maximum suppression across classes -> (k,) int64 kept positions, highest score first."""
    import torch  # imported here because evaluation uses this module without torch
    import torchvision

    return torchvision.ops.nms(torch.as_tensor(boxes, dtype=torch.float32),
                               torch.as_tensor(scores, dtype=torch.float32), iou).numpy()
