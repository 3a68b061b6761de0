"""Box operations: worked by hand, and torchvision's where it has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision

from pixelplay.box_ops import box_iou, clip_boxes, intersections, nms


def test_iou_by_hand():
    got = box_iou(np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [0, 0, 0, 0.0]]), np.array([[0, 0, 2, 2.0]]))
    assert got[:, 0].tolist() == pytest.approx([1, 1 / 7, 0, 0])
    empty = np.zeros((1, 4))
    assert box_iou(empty, empty).tolist() == [[0]] and box_iou(empty[:0], empty).shape == (0, 1)


def test_iou_is_torchvisions():
    rng = np.random.default_rng(0)
    a, b = (np.concatenate([low, low + rng.uniform(1, 40, low.shape)], 1)
            for low in (rng.uniform(0, 60, (30, 2)), rng.uniform(0, 60, (20, 2))))
    theirs = torchvision.ops.box_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(box_iou(a, b), theirs, rtol=1e-12)


def test_nms_keeps_the_best_of_an_overlap_and_what_stands_apart():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    assert nms(boxes, np.array([0.5, 0.9, 0.3]), 0.5).tolist() == [1, 2]
    assert nms(np.zeros((0, 4), np.float32), np.zeros(0), 0.5).tolist() == []


def test_intersections_and_clipping():
    a = np.array([[0, 0, 4, 4]], np.float32)
    assert intersections(a, np.array([[2, 2, 6, 6], [5, 5, 6, 6]], np.float32)).tolist() == [[4.0, 0.0]]
    assert clip_boxes(np.array([[-5, -5, 200, 200]]), (48, 80)).tolist() == [[0, 0, 80, 48]]
