"""Detectors: decoding, suppression, weights that are missing or wrong, and boxes in original pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pixelplay.errors import PixelPlayError
from pixelplay.files import sha256_of
from pixelplay.two_stream.detectors import (
    Detections,
    clip_boxes,
    decode_yolox,
    intersections,
    letterbox,
    load_detector,
    nms,
)


def test_unknown_detector_names_the_known_ones():
    with pytest.raises(PixelPlayError, match="yolov5s, yolox-nano"):
        load_detector("yolov9")


@pytest.mark.parametrize("name", ["yolov5s", "yolox-nano"])
def test_missing_weights_file_is_named_with_a_way_out(name, tmp_path):
    with pytest.raises(PixelPlayError, match=r"absent\.bin.*\n(.*\n)*.*foreground"):
        load_detector(name, weights=tmp_path / "absent.bin")


def test_yolox_without_a_weights_folder_says_how_to_get_them(monkeypatch):
    monkeypatch.delenv("PIXELPLAY_WEIGHTS", raising=False)
    with pytest.raises(PixelPlayError, match="PIXELPLAY_WEIGHTS"):
        load_detector("yolox-nano")


@pytest.mark.parametrize("name", ["yolov5s", "yolox-nano"])
def test_other_weights_than_expected_are_refused_before_they_are_opened(name, tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"not a network: opening it would raise another error")
    with pytest.raises(PixelPlayError, match="is not the expected weights file"):
        load_detector(name, weights=path, sha256="0" * 64)


def test_letterbox_keeps_the_aspect_and_fills_the_rest():
    image, ratio = letterbox(np.full((50, 100, 3), 200, np.uint8), 64)
    assert ratio == pytest.approx(0.64)
    assert (image[:32] == 200).all() and (image[32:] == 114).all()


def test_decode_puts_a_box_where_its_cell_says():
    raw = np.zeros((64 + 16 + 4, 7), np.float32)
    # second row, third column of the stride-16 grid (after 64 cells of stride 8)
    raw[64 + 4 + 2] = [0.5, 0.25, np.log(2.0), np.log(1.0), 0.5, 0.0, 0.8]
    boxes, scores = decode_yolox(raw, 64)
    assert boxes[70] == pytest.approx([2.5 * 16 - 16, 1.25 * 16 - 8, 2.5 * 16 + 16, 1.25 * 16 + 8])
    assert scores[70] == pytest.approx([0.0, 0.4])


def test_nms_keeps_the_best_of_an_overlap_and_what_stands_apart():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    assert nms(boxes, np.array([0.5, 0.9, 0.3]), 0.5).tolist() == [1, 2]
    assert nms(np.zeros((0, 4), np.float32), np.zeros(0), 0.5).tolist() == []


def test_intersections_and_clipping():
    a = np.array([[0, 0, 4, 4]], np.float32)
    assert intersections(a, np.array([[2, 2, 6, 6], [5, 5, 6, 6]], np.float32)).tolist() == [[4.0, 0.0]]
    assert clip_boxes(np.array([[-5, -5, 200, 200]]), (48, 80)).tolist() == [[0, 0, 80, 48]]


@pytest.fixture(scope="module")
def random_yolov5(tmp_path_factory):
    """A YOLOv5s with random weights in ultralytics' own file format: the real loading path, offline."""
    ultralytics = pytest.importorskip("ultralytics")
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.pt"
    ultralytics.YOLO("yolov5s.yaml", task="detect", verbose=False).save(str(path))
    return path


def test_yolov5s_loads_a_local_file_and_answers_in_original_pixels(random_yolov5):
    digest = sha256_of(random_yolov5)
    detector = load_detector("yolov5s", weights=random_yolov5, sha256=digest, classes=range(80), confidence=1e-6)
    assert detector.about()["sha256"] == digest
    frames = [np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)]
    # a network of random weights finds boxes only by chance: give its box layer the answer instead
    from ultralytics.engine.results import Results

    def answer(image, **options):
        assert image.shape == (90, 160, 3) and np.array_equal(image[..., ::-1], frames[0])
        assert options["classes"] == list(range(80)) and options["conf"] == 1e-6
        import torch
        return [Results(image, "", {0: "person"}, boxes=torch.tensor([[10., 20., 400., 80., 0.9, 0.]]))]

    real = detector(frames)[0]
    assert isinstance(real, Detections) and real.boxes.shape == (len(real), 4)
    assert (real.boxes >= 0).all() and (real.boxes[:, 2] <= 160).all() and (real.boxes[:, 3] <= 90).all()
    detector.net.predict = answer
    found = detector(frames)[0]
    assert found.boxes.tolist() == [[10, 20, 160, 80]] and found.classes.tolist() == [0]


@pytest.mark.real_data
def test_yolox_finds_the_person_where_he_stands_at_any_size(real_data, real_weights):
    capture = cv2.VideoCapture(str(real_data / "own_video" / "one-by-one-person-detection.mp4"))
    for _ in range(300):
        ok, frame = capture.read()
    assert ok
    frame = frame[:, :, ::-1]
    detector = load_detector("yolox-nano", weights=real_weights / "yolox_nano_416x416.onnx")
    large = detector([frame])[0]
    assert len(large) == 1 and large.classes.tolist() == [0] and large.scores[0] > 0.5
    small = detector([cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)])[0]
    assert len(small) == 1 and np.abs(small.boxes * 2 - large.boxes).max() < 25
    assert len(detector([np.zeros_like(frame)])[0]) == 0
