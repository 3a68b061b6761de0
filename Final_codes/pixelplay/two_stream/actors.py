"""Actors: detected objects joined with moving foreground, and their crops.

Reads the detections and the foreground mask of one frame; makes actor boxes in pixels of the original frame, and
square crops that keep the aspect ratio. A frame without actors has no score of its own: `local_memory.py` sets it.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from pixelplay.box_ops import box_areas, clip_boxes, intersections, nms
from pixelplay.two_stream.detectors import Detections
from pixelplay.two_stream.foreground import components

FOREGROUND = -1
"""Class number of an actor found by the foreground mask only."""


@dataclasses.dataclass(frozen=True)
class ActorRules:
    """What counts as an actor. Lengths are relative to the frame, so the rules hold at any resolution.

    Attributes:
        min_side: shortest side, as a share of the frame height.
        min_area: smallest foreground area, as a share of the frame area.
        max_area: largest box, as a share of the frame area; larger ones are illumination changes.
        max_aspect: longest side over shortest side.
        pad: margin around an actor in its crop, as a share of its longer side.
    """

    min_side: float = 0.02
    min_area: float = 1.5e-4
    max_area: float = 0.6
    max_aspect: float = 8.0
    pad: float = 0.1


def join_actors(found: Detections, mask: np.ndarray, size: tuple[int, int], rules: ActorRules) -> Detections:
    """Union of the detections and the foreground of one frame.

    A foreground component that contains one detection and little else extends its box (a rider and the bicycle). One
    that contains several detections leaves their boxes alone and adds only the parts outside them. One that contains
    none becomes an actor.

    Args:
        found: detections, boxes in pixels of the original frame.
        mask: (h, w) bool foreground at analysis size.
        size: (H, W) of the original frame.
    Returns:
        Detections that satisfy the rules; foreground has class -1 and score 0.
    """
    scale = np.array([size[1] / mask.shape[1], size[0] / mask.shape[0]] * 2, np.float32)
    least = max(4.0, rules.min_area * mask.size)
    parts = components(mask, least) * scale
    boxes, own = found.boxes.astype(np.float32).copy(), np.zeros(len(parts), bool)
    if len(boxes) and len(parts):
        shared = intersections(parts, found.boxes)
        covers = shared > 0.5 * box_areas(found.boxes)[None]
        for p in range(len(parts)):
            inside = np.flatnonzero(covers[p])
            if len(inside) == 1 and box_areas(parts[p:p + 1])[0] < 4 * box_areas(found.boxes[inside])[0]:
                one = int(inside[0])
                boxes[one] = np.concatenate([np.minimum(boxes[one, :2], parts[p, :2]),
                                             np.maximum(boxes[one, 2:], parts[p, 2:])])
            elif shared[p].sum() == 0:
                own[p] = True
        parts = np.concatenate([parts[own], _remains(mask, boxes / scale, least) * scale])
        kept = nms(parts, box_areas(parts), 0.7)
        parts = parts[np.sort(kept)]
    everything = clip_boxes(np.concatenate([boxes, parts]), size)
    scores = np.concatenate([found.scores, np.zeros(len(parts), np.float32)])
    classes = np.concatenate([found.classes, np.full(len(parts), FOREGROUND, np.int16)])
    keep = within_rules(everything, size, rules)
    return Detections(everything[keep], scores[keep], classes[keep])


def _remains(mask: np.ndarray, boxes: np.ndarray, least: float) -> np.ndarray:
    """Boxes of the foreground components left after blanking out `boxes` (mask pixels)."""
    rest = mask.copy()
    for x0, y0, x1, y1 in np.round(boxes).astype(int):
        rest[max(y0 - 2, 0):y1 + 2, max(x0 - 2, 0):x1 + 2] = False
    return components(rest, least)


def within_rules(boxes: np.ndarray, size: tuple[int, int], rules: ActorRules) -> np.ndarray:
    """(n,) bool: boxes that satisfy the limits on area, side and aspect ratio."""
    sides = np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]], 1)
    short, long = sides.min(1, initial=np.inf), sides.max(1, initial=0)
    return ((short >= rules.min_side * size[0]) & (long <= rules.max_aspect * np.maximum(short, 1e-6))
            & (box_areas(boxes) <= rules.max_area * size[0] * size[1]))


def crop(frame: np.ndarray, box: np.ndarray, pad: float, side: int = 224) -> np.ndarray:
    """Square crop around a box that keeps the aspect ratio; the frame's edge pixels are repeated outside the frame.

    Args:
        frame: (H, W, 3) uint8 RGB.
        box: (4,) xyxy in pixels.
        pad: margin, as a share of the longer side.
        side: side of the crop in pixels.
    Returns:
        (side, side, 3) uint8.
    """
    centre = (np.asarray(box[:2], float) + np.asarray(box[2:], float)) / 2
    half = max(float(box[2] - box[0]), float(box[3] - box[1]), 2.0) * (0.5 + pad)
    low, high = np.floor(centre - half).astype(int), np.ceil(centre + half).astype(int)
    outside = [max(-low[1], 0), max(high[1] - frame.shape[0], 0), max(-low[0], 0), max(high[0] - frame.shape[1], 0)]
    part = frame[max(low[1], 0):high[1], max(low[0], 0):high[0]]
    if any(outside):
        part = cv2.copyMakeBorder(part, *outside, cv2.BORDER_REPLICATE)
    shrinking = part.shape[0] > side
    return cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)
