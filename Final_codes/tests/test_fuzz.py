"""Random damage to images, videos, tables, JSON and names: a result with all Ids, or one clear error.

The cases are the same in every run. More of them, and other ones each time:

    PIXELPLAY_FUZZ_CASES=5000 python -m pytest Final_codes/tests/test_fuzz.py

An alarm ends what hangs, and memory is limited while a test runs: both limits are far above what good outcomes take.
"""

from __future__ import annotations

import io
import json
import os
import signal
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from attacks import frames, picture, video
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixelplay.data.decoding import probe, video_frames
from pixelplay.data.extraction import extract, open_raw_footage
from pixelplay.data.images import image_size, read_image, used_bits
from pixelplay.data.layouts import find_dataset
from pixelplay.data.manifest import Manifest
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.boxes import read_boxes
from pixelplay.evaluation.labels import read_labels
from pixelplay.files import read_json
from pixelplay.fusion.scores import read_scores

pytestmark = pytest.mark.slow

CASES = int(os.environ.get("PIXELPLAY_FUZZ_CASES", "100"))
SECONDS, BYTES = 600, 6 << 30
"""Limits of one test, which may run on a loaded machine, and of the memory it may ask for beyond what it has."""


@pytest.fixture(autouse=True, scope="module")
def limits():
    """No case may wait for ever or ask for much memory."""
    resource = pytest.importorskip("resource", reason="limits of memory need a POSIX system")
    statm = Path("/proc/self/statm")
    before = resource.getrlimit(resource.RLIMIT_AS)
    if statm.exists():
        held = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def fuzz(share: float = 1.0):
    """Settings of a test: `share` of the cases, the same ones unless more are asked for."""
    return settings(max_examples=max(5, int(CASES * share)), deadline=None, database=None,
                    derandomize="PIXELPLAY_FUZZ_CASES" not in os.environ,
                    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.fixture(autouse=True)
def alarm():
    def ring(*_):
        raise TimeoutError("a case hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS * max(1, CASES // 100))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# damage


damage = st.lists(st.one_of(
    st.tuples(st.just("flip"), st.floats(0, 1), st.integers(0, 7)),
    st.tuples(st.just("head"), st.integers(0, 200), st.integers(0, 255)),
    st.tuples(st.just("cut"), st.floats(0, 1), st.just(0)),
    st.tuples(st.just("hole"), st.floats(0, 1), st.integers(1, 600)),
    st.tuples(st.just("more"), st.integers(0, 255), st.integers(1, 9000)),
    st.tuples(st.just("twice"), st.floats(0, 1), st.integers(1, 400)),
    st.tuples(st.just("big"), st.floats(0, 1),
              st.sampled_from([b"\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80"]))),
    min_size=1, max_size=6)


def damaged(data: bytes, steps: list) -> bytes:
    out = bytearray(data)
    for kind, where, how in steps:
        at = min(int(where * len(out)), len(out) - 1) if isinstance(where, float) else min(where, len(out) - 1)
        if kind == "cut":
            del out[at:]
        elif kind == "more":
            out += bytes([where]) * how
        elif not out:
            continue
        elif kind == "flip":
            out[at] ^= 1 << how
        elif kind == "head":
            out[at] = how
        elif kind == "hole":
            out[at:at + how] = bytes(len(out[at:at + how]))
        elif kind == "twice":
            out[at:at] = out[at:at + how]
        else:
            out[at:at + len(how)] = how
        if not out:
            break
    return bytes(out)


def image_files() -> dict[str, bytes]:
    grey, deep = picture(1)[..., 0], picture(1).astype(np.uint16) * 16
    kinds = [(f"a{s}", picture(1), []) for s in (".jpg", ".png", ".bmp", ".tif", ".webp", ".ppm")]
    kinds += [("g.pgm", grey, []), ("d.png", deep, []), ("dg.png", deep[..., 0], []), ("d.tif", deep, []),
              ("p.jpg", picture(1), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])]
    return {name: cv2.imencode(Path(name).suffix, image, options)[1].tobytes() for name, image, options in kinds}


IMAGES = image_files()


@fuzz(3)
@given(st.sampled_from(sorted(IMAGES)), damage)
def test_damaged_images(name, steps):
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / name
        path.write_bytes(damaged(IMAGES[name], steps))
        image, size, bits = read_image(path), image_size(path), used_bits(path)
    assert image is None or (image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3)
    assert size is None or min(size) > 0
    assert bits is None or 8 <= bits <= 16


@fuzz(0.3)
@given(st.lists(st.tuples(st.sampled_from(sorted(IMAGES)), damage), min_size=1, max_size=5))
def test_folders_of_damaged_images_keep_every_id(several):
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        frames(root / "train/1", 4)
        frames(root / "test/1", 2)
        for i, (name, steps) in enumerate(several, start=2):
            (root / f"test/1/{i}{Path(name).suffix}").write_bytes(damaged(IMAGES[name], steps))
        extract(find_dataset(None, root / "train", root / "test"), root / "out", workers=2)
        footage = open_raw_footage(root / "out", "test")
        assert footage.ids.tolist() == [f"1_{i}" for i in range(len(several) + 2)]
        assert footage.reliability[:2].tolist() == [1, 1]
        assert sum(1 for _ in footage.full_frames()) == len(footage)
        assert len(Manifest.load(root / "out").split("test")) == len(footage)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """suffix -> (content, [(position, size) of every packet])."""
    made = {}
    for suffix, codec in ((".mp4", "libx264"), (".avi", "mpeg4"), (".mkv", "libx264"), (".mov", "mpeg4"),
                          (".mpg", "mpeg2video"), (".webm", "libvpx")):
        path = tmp_path_factory.mktemp("videos") / f"a{suffix}"
        video(path, 12, codec)
        with av.open(str(path)) as container:
            packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
        made[suffix] = path.read_bytes(), packets
    return made


SUFFIXES = st.sampled_from([".mp4", ".avi", ".mkv", ".mov", ".mpg", ".webm"])


@fuzz(1.5)
@given(SUFFIXES, damage)
def test_damaged_videos_are_read_or_refused(videos, suffix, steps):
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"a{suffix}"
        path.write_bytes(damaged(videos[suffix][0], steps))
        try:
            header = probe(path)
        except PixelPlayError as error:
            assert str(path) in error.problem
            return
        assert 0 < header.frames <= max(12, path.stat().st_size)
        assert 0.1 <= header.fps <= 1000
        found = list(video_frames(path, np.arange(header.frames)))
    assert len(found) == header.frames
    assert all(frame is None or frame.dtype == np.uint8 for frame, _ in found)
    assert all(frame is not None for frame, readable in found if readable)


@fuzz(0.7)
@given(st.sampled_from([".mp4", ".avi", ".mkv"]), st.integers(0, 11),
       st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=20))
def test_damage_inside_a_packet_loses_no_id(videos, suffix, number, changes):
    data, packets = videos[suffix]
    out = bytearray(data)
    at, size = packets[number]
    for where, value in changes:
        out[min(at + 8 + int(where * (size - 8)), at + size - 1)] = value
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"a{suffix}"
        path.write_bytes(bytes(out))
        try:
            assert probe(path).frames == 12
        except PixelPlayError as error:
            # the first key frame carries all others: without it there may be nothing to decode
            assert "not one frame" in error.problem
            return
        assert len(list(video_frames(path, np.arange(12)))) == 12


# tables


cell = st.one_of(st.floats().map(repr), st.integers().map(str), st.text(max_size=12),
                 st.sampled_from(["1_0", "1_1", "", "nan", "1e999", "0.5", "1_000", "٣", "\"", "\r", "\0", ",", "1,2"]))
table = st.lists(st.lists(cell, min_size=1, max_size=7).map(",".join), max_size=6).map("\n".join)
HEADERS = {"score": ["Id,Predicted", "ID,Predicted", "Id,score", "video,frame,score", ""],
           "label": ["Id,label", "id,x", ""],
           "box": ["Id,x0,y0,x1,y1,score", "video,frame,x0,y0,x1,y1,score", "Id"]}


def mixed(kind: str):
    """Bytes of a CSV: a likely header, random rows, sometimes damage."""
    rows = st.one_of(table, st.lists(st.tuples(st.integers(-1, 5), cell), max_size=6).map(
        lambda pairs: "\n".join(f"1_{i},{c}" for i, c in pairs)))
    whole = st.tuples(st.sampled_from(HEADERS[kind]), rows).map(
        lambda both: "\n".join(both).encode("utf-8", "surrogatepass"))
    return st.one_of(whole, st.tuples(whole.filter(bool), damage).map(lambda both: damaged(*both)),
                     st.binary(max_size=300))


def reads(content: bytes, name: str, read):
    """What a reader makes of a file, or None where it says clearly what is wrong with it."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / name
        path.write_bytes(content)
        try:
            return read(path)
        except PixelPlayError as error:
            assert str(path) in str(error) or "Id" in str(error)
            return None


@fuzz(2)
@given(mixed("score"), st.one_of(st.none(), st.lists(st.integers(0, 4), min_size=1, max_size=4, unique=True)))
def test_score_files(content, numbers):
    expected = None if numbers is None else [f"1_{i}" for i in numbers]
    file = reads(content, "m.csv", lambda path: read_scores(path, expected))
    if file is not None:
        assert np.isfinite(file.values).all()
        assert expected is None or file.ids.tolist() == expected
        assert (np.abs(file.values) <= 1e30).all()


json_value = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
                          lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
                              st.text(max_size=5), inner, max_size=3)), max_leaves=8)
sidecar = st.one_of(st.dictionaries(st.sampled_from(["sigma", "kind", "family", "smoke", "data_fingerprint", "x"]),
                                    json_value).map(json.dumps).map(str.encode), st.binary(max_size=60),
                    json_value.map(json.dumps).map(str.encode))


@fuzz(2)
@given(sidecar)
def test_sidecars_and_json(content):
    reads(content, "a.json", read_json)
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "m.csv").write_text("Id,Predicted\n1_0,1\n1_1,2\n")
        (Path(place) / "m.json").write_bytes(content)
        try:
            about = read_scores(Path(place) / "m.csv").about
        except PixelPlayError as error:
            assert "m.json" in error.problem
            return
    assert 0 <= float(about.get("sigma", 0)) <= 10_000
    assert {about.get("family", ""): 1}


@fuzz(1.5)
@given(mixed("label"))
def test_label_tables(content):
    labels = reads(content, "l.csv", read_labels)
    if labels is not None:
        assert all(set(track.values.tolist()) <= {0, 1} for track in labels.videos.values())


@fuzz(1.5)
@given(mixed("box"))
def test_box_tables(content):
    boxes = reads(content, "b.csv", read_boxes)
    assert boxes is None or np.isfinite(boxes.xyxy).all()


def label_files() -> dict[str, bytes]:
    from scipy.io import savemat

    npy, mat, masks = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(npy, np.array([0, 1, 1, 0] * 20, np.uint8))
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = np.array([[1], [5]]), np.array([[2, 8], [3, 9]])
    savemat(mat, {"gt": cells}, do_compression=True)
    savemat(masks, {"volLabel": np.zeros((4, 4, 3), np.uint8)})
    return {"a.npy": npy.getvalue(), "gt.mat": mat.getvalue(), "1_label.mat": masks.getvalue(),
            "p.m": b"TestVideoFile{end+1}.gt_frame = [3:5, 7:9];\n"}


LABELS = label_files()


@fuzz(2)
@given(st.sampled_from(sorted(LABELS)), damage)
def test_damaged_label_files(name, steps):
    labels = reads(damaged(LABELS[name], steps), name, read_labels)
    assert labels is None or labels.positives >= 0


# names


NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: not name.startswith("."))
BYTES_NAMES = st.binary(min_size=1, max_size=8).filter(
    lambda b: not set(b) & {0, 47} and b[:1] != b".").map(os.fsdecode)


@fuzz(1)
@given(st.lists(st.one_of(NAMES, BYTES_NAMES), min_size=1, max_size=3, unique=True), st.booleans())
def test_names(names, of_frames):
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for folder in (root / "train/1", root / "test/good"):
            folder.mkdir(parents=True)
            (folder / "0.jpg").touch()
        for name in names:
            folder = root / "test" / ("one" if of_frames else name)
            folder.mkdir(exist_ok=True)
            (folder / (f"{name}.jpg" if of_frames else "0.jpg")).touch()
        try:
            manifest = find_dataset(None, root / "train", root / "test")
        except PixelPlayError:
            return
        manifest.save(root / "out")
        back = Manifest.load(root / "out").split("test")
    assert back["Id"].tolist() == manifest.split("test")["Id"].tolist()
    # ground truth and rubbish folders are left alone by their names, and no name here is one
    assert len(back) == len(names) + 1
    back["Id"].str.encode("utf-8")
