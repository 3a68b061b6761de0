"""Detectors: decoding, suppression, weights that are missing or wrong, and boxes in original pixels."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
import torch

from pixelplay.errors import PixelPlayError
from pixelplay.files import sha256_of
from pixelplay.pretrained import Needs
from pixelplay.two_stream.detectors import (
    DETECTORS,
    Detections,
    decode_yolox,
    detector_needs,
    letterbox,
    load_detector,
)


def test_unknown_detector_names_the_known_ones():
    with pytest.raises(PixelPlayError, match="yolov5s, faster-rcnn, yolox-nano"):
        load_detector("yolov9")


@pytest.mark.parametrize("name", list(DETECTORS))
def test_missing_weights_file_is_named_with_a_way_out(name, tmp_path):
    with pytest.raises(PixelPlayError, match=r"absent\.bin.*\n(.*\n)*.*foreground"):
        load_detector(name, weights=tmp_path / "absent.bin")


@pytest.mark.parametrize(("name", "package"), [("yolov5s", "ultralytics"), ("yolox-nano", "onnxruntime")])
def test_a_missing_package_is_named_with_the_line_that_installs_it(name, package, tmp_path, monkeypatch):
    torch.save({}, tmp_path / "weights")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PixelPlayError, match=rf"{name} needs the package {package}(.|\n)*pip install {package}"):
        load_detector(name, weights=tmp_path / "weights")


def test_each_detector_says_what_it_needs(tmp_path):
    assert detector_needs("yolov5s") == Needs(("ultralytics",), ("yolov5s",))
    assert detector_needs("yolov5s", weights=tmp_path / "own.pt") == Needs(("ultralytics",))
    assert detector_needs("foreground") == Needs()
    assert all(detector_needs(name).weights == (name,) for name in DETECTORS)
    with pytest.raises(PixelPlayError, match="no detector 'yolov9'"):
        detector_needs("yolov9")


@pytest.mark.parametrize("name", list(DETECTORS))
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


@pytest.fixture(scope="module")
def random_yolov5(tmp_path_factory):
    """A YOLOv5s with random weights in ultralytics' own file format: the real loading path, offline."""
    ultralytics = pytest.importorskip("ultralytics")
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "yolov5su.pt"
    net = ultralytics.YOLO("yolov5s.yaml", task="detect", verbose=False)
    for tensor in net.model.state_dict().values():  # published files hold half precision
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    net.save(str(path))
    return path


def test_yolov5s_takes_every_tensor_of_ultralytics_file(random_yolov5):
    import ultralytics

    ours = load_detector("yolov5s", weights=random_yolov5).net.model.state_dict()
    theirs = ultralytics.YOLO(str(random_yolov5), task="detect", verbose=False).model.state_dict()
    assert ours.keys() == theirs.keys() and len(ours) > 400
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_weights_of_another_network_are_refused(tmp_path):
    pytest.importorskip("ultralytics")
    torch.save({"model.0.conv.weight": torch.zeros(3)}, tmp_path / "other.pt")
    for name, title in (("yolov5s", "YOLOv5s"), ("faster-rcnn", "fasterrcnn_resnet50_fpn_v2")):
        with pytest.raises(PixelPlayError, match=rf"other\.pt holds other weights(.|\n)*expected: .*{title}"):
            load_detector(name, weights=tmp_path / "other.pt")


@pytest.mark.real_data
def test_the_first_yolov5_repositorys_file_is_refused_in_words(real_weights):
    with pytest.raises(PixelPlayError, match=r"yolov5n\.pt holds other weights"):
        load_detector("yolov5s", weights=real_weights / "yolov5n.pt")


@pytest.fixture(scope="module")
def random_faster_rcnn(tmp_path_factory):
    """torchvision's network with random weights, and its file as torchvision publishes it."""
    from torchvision.models.detection import fasterrcnn_resnet50_fpn_v2

    torch.manual_seed(0)
    network = fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None).eval()
    path = tmp_path_factory.mktemp("weights") / "faster_rcnn.pth"
    torch.save(network.state_dict(), path)
    return network, path


def test_faster_rcnn_takes_every_tensor_and_answers_in_cocos_numbers(random_faster_rcnn):
    network, path = random_faster_rcnn
    detector = load_detector("faster-rcnn", weights=path, classes=(0, 2, 24, 79), confidence=0.4)
    ours, theirs = detector.net.state_dict(), network.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k].cpu(), theirs[k]) for k in ours)
    assert detector.net.roi_heads.score_thresh == 0.4
    # torchvision's numbers of person, car, stop sign, backpack and toothbrush
    assert detector.number[[1, 3, 13, 27, 90]].tolist() == [0, 2, 11, 24, 79]
    assert (detector.number == -1).sum() == 11 and detector.about()["licence"] == "BSD-3-Clause"
    frames = [np.random.default_rng(n).integers(0, 256, size, dtype=np.uint8) for n, size in
              enumerate([(90, 160, 3), (64, 48, 3)])]
    seen = []

    def answer(batch):
        seen.extend(batch)
        boxes = torch.tensor([[10., 20., 400., 80.], [1., 2., 3., 4.], [5., 6., 7., 8.]])
        return [{"boxes": boxes, "labels": torch.tensor([1, 13, 90]), "scores": torch.tensor([0.9, 0.8, 0.7])}] * 2

    detector.net = answer
    found = detector(frames)
    assert found[0].boxes.tolist() == [[10, 20, 160, 80], [5, 6, 7, 8]] and found[0].classes.tolist() == [0, 79]
    assert found[1].boxes[0].tolist() == [10, 20, 48, 64] and found[1].scores.dtype == np.float32
    np.testing.assert_allclose(seen[0].permute(1, 2, 0).cpu().numpy() * 255, frames[0], atol=1e-3)


def test_faster_rcnn_runs_on_frames_of_any_size(random_faster_rcnn):
    detector = load_detector("faster-rcnn", weights=random_faster_rcnn[1], classes=range(80), confidence=1e-3)
    detector.net.transform.min_size, detector.net.transform.max_size = (64,), 128  # quick
    for found, size in zip(detector([np.full((36, 64, 3), 90, np.uint8), np.zeros((48, 20, 3), np.uint8)]),
                           [(36, 64), (48, 20)]):
        assert found.boxes.shape == (len(found), 4) and found.classes.dtype == np.int16
        assert (found.boxes >= 0).all() and (found.boxes[:, [0, 2]] <= size[1]).all()


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
