"""Extraction: right frames, every bad frame survived and reported, resumable, in bounded memory."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media import number_of, numbered, write_frames, write_video
from PIL import Image

from pixelplay.data import clips, decoding, reading
from pixelplay.data import extraction as module
from pixelplay.data.decoding import probe, video_frames
from pixelplay.data.extraction import Extraction, extract, open_raw_footage, working_size
from pixelplay.data.images import read_image
from pixelplay.data.layouts import find_dataset
from pixelplay.data.manifest import Manifest
from pixelplay.data.reading import Source, ahead, bounded_map, open_stream, queue_length
from pixelplay.errors import PixelPlayError


@pytest.fixture
def dataset(tmp_path):
    """Two training videos of 5 and 3 frames, one test video file of 7 frames."""
    write_frames(tmp_path / "data/train/01", [f"frame_{i:05d}.jpg" for i in (4, 5, 6, 9, 11)])
    write_frames(tmp_path / "data/train/02", [f"frame_{i:05d}.png" for i in range(3)])
    write_video(tmp_path / "data/test/clip.mp4", 7, fps=10)
    return find_dataset(tmp_path / "data")


def packets_of(path):
    """(position, size) in the file of every packet of a video."""
    with av.open(str(path)) as container:
        return [(p.pos, p.size) for p in container.demux(video=0) if p.size]


@pytest.mark.parametrize(("name", "codec", "b_frames"), [
    ("a.mp4", "libx264", 3), ("a.mkv", "libx264", 3), ("a.mp4", "mpeg4", 2), ("a.avi", "mpeg4", 0),
    ("a.avi", "mpeg4", 2), ("a.mov", "mpeg4", 2), ("a.avi", "mjpeg", 0)])
def test_frame_i_is_frame_i(tmp_path, name, codec, b_frames):
    if codec == "mjpeg":
        writer = cv2.VideoWriter(str(tmp_path / name), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
        for i in range(130):
            writer.write(numbered(i))
        writer.release()
    else:
        write_video(tmp_path / name, 130, codec=codec, b_frames=b_frames)
    assert probe(tmp_path / name).frames == 130
    wanted = np.array([0, 1, 2, 31, 64, 65, 99, 128, 129])
    assert [number_of(f) for f, _ in video_frames(tmp_path / name, wanted)] == wanted.tolist()
    # a start far into the file takes the way over a seek
    assert [number_of(f) for f, _ in video_frames(tmp_path / name, np.array([97, 98, 127]))] == [97, 98, 127]
    capture = cv2.VideoCapture(str(tmp_path / name))
    assert [number_of(capture.read()[1]) for _ in range(5)] == [0, 1, 2, 3, 4]


def test_images_need_no_pyav_and_a_video_says_what_to_install(tmp_path):
    write_frames(tmp_path / "data/train/01", ["0.jpg", "1.jpg"])
    write_frames(tmp_path / "data/test/01", ["0.jpg", "1.jpg"])
    write_video(tmp_path / "clip.mp4", 2)
    code = f"""
import sys
sys.modules["av"] = None  # what an environment without it looks like
from pixelplay.data.extraction import extract, open_raw_footage
from pixelplay.data.layouts import find_dataset
from pixelplay.errors import PixelPlayError
extract(find_dataset({str(tmp_path / "data")!r}), {str(tmp_path / "out")!r})
assert len(list(open_raw_footage({str(tmp_path / "out")!r}, "test").full_frames())) == 2
try:
    find_dataset({str(tmp_path / "data")!r}, test={str(tmp_path / "clip.mp4")!r})
except PixelPlayError as error:
    print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=Path(module.__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "pip install av"


def test_colours_are_rgb(tmp_path):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 250
    for name in ("a.jpg", "a.png", "a.bmp", "a.tif"):
        cv2.imwrite(str(tmp_path / name), red[..., ::-1])
        assert read_image(tmp_path / name)[20, 20, 0] > 240
        assert read_image(tmp_path / name)[20, 20, 2] < 10


def test_frames_promised_but_cut_off_are_reported(tmp_path):
    write_video(tmp_path / "a.avi", 40)
    (tmp_path / "cut.avi").write_bytes((tmp_path / "a.avi").read_bytes()[:packets_of(tmp_path / "a.avi")[25][0]])
    assert probe(tmp_path / "cut.avi").frames == 40
    frames = list(video_frames(tmp_path / "cut.avi", np.arange(40)))
    read = [ok for _, ok in frames]
    assert 5 < sum(read) < 40
    assert read == sorted(read, reverse=True)
    assert [number_of(f) for f, ok in frames if ok] == list(range(sum(read)))
    assert all(number_of(f) == sum(read) - 1 for f, ok in frames if not ok)


def test_a_damaged_packet_does_not_renumber_what_follows(tmp_path):
    write_video(tmp_path / "a.mp4", 60, codec="libx264", b_frames=0)
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    position, size = packets_of(tmp_path / "a.mp4")[24]
    data[position:position + size] = bytes(size)
    (tmp_path / "bad.mp4").write_bytes(bytes(data))
    frames = list(video_frames(tmp_path / "bad.mp4", np.arange(60)))
    assert len(frames) == 60
    assert [number_of(f) for f, ok in frames[48:] if ok] == [i for i in range(48, 60) if frames[i][1]]
    assert frames[59][1]


def test_every_kind_of_odd_image(tmp_path):
    folder = tmp_path / "a"
    write_frames(folder, [f"{i}.jpg" for i in range(12)], height=48, width=64)
    good = (folder / "3.jpg").read_bytes()
    (folder / "1.jpg").write_bytes(good[:len(good) // 2])
    (folder / "2.jpg").write_bytes(b"")
    (folder / "4.jpg").write_text("no image")
    cv2.imwrite(str(folder / "5.jpg"), numbered(5, 96, 128))
    cv2.imwrite(str(folder / "6.jpg"), numbered(6)[..., 0])
    for i in (7, 8, 9, 10):
        (folder / f"{i}.jpg").unlink()
    cv2.imwrite(str(folder / "7.png"), numbered(7)[..., 0].astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "8.png"), np.dstack([numbered(8), np.full((48, 64), 7, np.uint8)]))
    Image.fromarray(numbered(9)).convert("P").save(folder / "9.png")
    (folder / "10.png").write_bytes((folder / "9.png").read_bytes()[:300])
    write_frames(tmp_path / "b/0", ["0.jpg"])
    write_frames(tmp_path / "b/1", ["0.jpg"])
    (tmp_path / "b/0/0.jpg").write_bytes(b"")
    manifest = find_dataset(None, train=folder, test=tmp_path / "b")
    frames = list(Source.of(manifest, "train", workers=2).frames(np.arange(12)))
    assert [f.pixels.shape for f in frames] == [(48, 64, 3)] * 12
    assert {f.row for f in frames if not f.readable} == {1, 2, 4, 10}
    assert [number_of(f.pixels) for f in frames] == [0, 0, 0, 3, 3, 5, 6, 7, 8, 9, 9, 11]
    # what stands in for a bad frame does not depend on which rows were asked for
    assert [number_of(f) for f in open_stream(manifest, "train")(np.array([2, 10]))] == [0, 9]
    result = extract(manifest, tmp_path / "out")
    assert np.flatnonzero(result.unreadable("train")).tolist() == [1, 2, 4, 10]
    assert result.unreadable("test").tolist() == [True, False]
    assert (result.pixels("test")[0] == 128).all()
    table = Manifest.load(tmp_path / "out").split("train")
    assert table["Id"].tolist() == [f"a_{i}" for i in range(12)]
    assert table.loc[table["flags"] == "unreadable", "frame"].tolist() == [1, 2, 4, 10]
    footage = open_raw_footage(tmp_path / "out", "train")
    assert footage.reliability.tolist() == [1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0, 1]


@pytest.mark.parametrize(("matrix", "turns"), [((1, 0, 0, 1), 0), ((0, 1, -1, 0), 3), ((0, -1, 1, 0), 1),
                                               ((-1, 0, 0, -1), 2)])
def test_phone_videos_are_turned_upright(tmp_path, matrix, turns):
    """Phones store sideways frames and, in the track's header, the matrix (ISO 14496-12, 8.3.2) that turns them."""
    path = tmp_path / "phone.mp4"
    write_video(path, 3)
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(v * 2 ** 16) for v in matrix)
    content[place:place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 2 ** 30)
    path.write_bytes(content)
    frame, decoded = next(decoding.video_frames(path, np.array([2])))
    assert decoded and number_of(np.rot90(frame, -turns)) == 2
    assert frame.shape == np.rot90(numbered(2), turns).shape


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_truncated_images_are_unreadable(tmp_path, suffix):
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), picture)
    assert read_image(tmp_path / f"a{suffix}").shape == (48, 64, 3)
    data = (tmp_path / f"a{suffix}").read_bytes()
    for part in (0, 1, 20, len(data) // 2, len(data) * 9 // 10):
        (tmp_path / f"b{suffix}").write_bytes(data[:part])
        assert read_image(tmp_path / f"b{suffix}") is None


def test_sixteen_bit_and_float_values_keep_their_meaning(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 4), 65535, np.uint16))
    cv2.imwrite(str(tmp_path / "b.tif"), np.full((4, 4), 0.5, np.float32))
    assert (read_image(tmp_path / "a.png") == 255).all()
    assert (read_image(tmp_path / "b.tif") == 128).all()


def test_extract_gives_every_frame_its_row(dataset, tmp_path):
    result = extract(dataset, tmp_path / "out", observe=lambda f: np.array([number_of(f), f.shape[0]]), observe_key="n")
    assert result.size == (48, 64)
    assert [number_of(f) for f in result.pixels("train")] == [0, 1, 2, 3, 4, 0, 1, 2]
    assert [number_of(f) for f in result.pixels("test")] == list(range(7))
    assert result.observed("test").tolist() == [[i, 48] for i in range(7)]
    assert result.observed("train").dtype == np.float32
    assert result.full_size == {"train": (48, 64), "test": (48, 64)}
    assert Extraction.load(tmp_path / "out") == result
    footage = open_raw_footage(tmp_path / "out", "train")
    assert (footage.fps, open_raw_footage(tmp_path / "out", "test").fps) == (25.0, 10.0)
    assert footage.frames.tolist() == [4, 5, 6, 9, 11, 0, 1, 2]
    assert [(p, number_of(f)) for p, f in footage.select(np.array([1, 3, 6])).full_frames()] == [(0, 1), (1, 3), (2, 1)]
    assert footage.fingerprint != open_raw_footage(tmp_path / "out", "test").fingerprint


def test_a_finished_extraction_is_kept_and_another_input_replaces_it(dataset, tmp_path):
    calls = []

    def observe(frame):
        calls.append(1)
        return np.zeros(1)

    extract(dataset, tmp_path / "out", observe=observe, observe_key="a")
    extract(dataset, tmp_path / "out", observe=observe, observe_key="a")
    assert len(calls) == 15
    extract(dataset, tmp_path / "out", observe=observe, observe_key="b")
    assert len(calls) == 30
    small = extract(dataset, tmp_path / "out", size=(16, 32))
    assert small.pixels("train").shape == (8, 16, 32, 3)
    assert small.observed("train") is None


def test_an_interrupted_extraction_goes_on_with_the_missing_videos(dataset, tmp_path):
    whole = extract(dataset, tmp_path / "whole", observe=lambda f: np.array([f.mean()]), observe_key="m")
    seen = []

    def observe(frame):
        seen.append(number_of(frame))
        if len(seen) == 7:
            raise KeyboardInterrupt
        return np.array([frame.mean()])

    with pytest.raises(KeyboardInterrupt):
        extract(dataset, tmp_path / "out", observe=observe, observe_key="m", workers=1)
    with pytest.raises(PixelPlayError, match="no finished extraction"):
        Extraction.load(tmp_path / "out")
    before = len(seen)
    again = extract(dataset, tmp_path / "out", observe=observe, observe_key="m", workers=1)
    assert len(seen) - before == 15 - 5, "the first video of five frames was finished"
    for split in ("train", "test"):
        assert (again.pixels(split)[:] == whole.pixels(split)[:]).all()
        assert (again.observed(split) == whole.observed(split)).all()
    assert {p.name: p.read_bytes() for p in (tmp_path / "out/videos").glob("[!.]*")} == {
        p.name: p.read_bytes() for p in (tmp_path / "whole/videos").glob("[!.]*")}


def test_a_damaged_video_file_is_made_again_alone_and_said(dataset, tmp_path, caplog):
    whole = extract(dataset, tmp_path / "out", observe=lambda f: np.array([f.mean()]), observe_key="m")
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in (tmp_path / "out/videos").glob("[!.]*")}
    path = whole.record(whole.videos["train"][1][0])
    path.write_bytes(path.read_bytes()[:-30])
    extract(dataset, tmp_path / "out", observe=lambda f: np.array([f.mean()]), observe_key="m")
    after = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in (tmp_path / "out/videos").glob("[!.]*")}
    assert {n for n in before if before[n] != after[n]} == {path.name} and before[path.name][0] == after[path.name][0]
    assert f"{path} is damaged" in caplog.text


def test_a_defect_in_the_measurement_surfaces(dataset, tmp_path):
    with pytest.raises(ZeroDivisionError):
        extract(dataset, tmp_path / "out", observe=lambda f: np.array([1 // 0]), observe_key="z")


def test_nothing_readable_at_all(tmp_path):
    for side in ("train", "test"):
        (tmp_path / side / "1").mkdir(parents=True)
        (tmp_path / side / "1/1.jpg").touch()
    with pytest.raises(PixelPlayError, match="not one frame"):
        extract(find_dataset(tmp_path), tmp_path / "out")


@pytest.mark.parametrize("split", ["train", "test"])
def test_nothing_is_learnt_from_or_scored_in_a_split_without_a_readable_frame(dataset, tmp_path, split):
    write_frames(tmp_path / "cut/1", ["0.jpg", "1.jpg"])
    for path in (tmp_path / "cut/1").iterdir():
        path.write_bytes(path.read_bytes()[:-200])  # the headers stay
    manifest = find_dataset(tmp_path / "data", **{split: tmp_path / "cut"})
    with pytest.raises(PixelPlayError, match=f"not one {split} frame below .*cut can be decoded"):
        extract(manifest, tmp_path / "out")
    with pytest.raises(PixelPlayError, match="no finished extraction"):
        Extraction.load(tmp_path / "out")


def test_a_full_disk_is_said_before_anything_is_decoded(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELPLAY_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(clips.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(PixelPlayError, match="GB left"):
        extract(dataset, tmp_path / "out")


def test_different_sizes_in_one_split_go_to_the_majority(tmp_path):
    write_frames(tmp_path / "a/1", [f"{i}.png" for i in range(6)], 48, 64)
    write_frames(tmp_path / "a/2", [f"{i}.png" for i in range(2)], 96, 128)
    write_video(tmp_path / "b/clip.avi", 3, height=32, width=64)
    result = extract(find_dataset(None, tmp_path / "a", tmp_path / "b"), tmp_path / "out")
    assert result.full_size == {"train": (48, 64), "test": (32, 64)}
    assert [number_of(f) for f in result.pixels("train")] == [0, 1, 2, 3, 4, 5, 0, 1]
    assert result.pixels("test").shape == (3, 48, 64, 3)


@pytest.mark.parametrize(("original", "expected"), [
    ((360, 640), (192, 336)), ((240, 360), (192, 288)), ((48, 64), (48, 64)), ((100, 100), (112, 112)),
    ((1, 1), (16, 16))])
def test_working_size_examples(original, expected):
    assert working_size(original) == expected


def test_working_size_keeps_its_promises():
    rng = np.random.default_rng(0)
    for height, width in rng.integers(1, 2200, (60, 2)).tolist():
        h, w = working_size((height, width))
        assert h % 16 == w % 16 == 0
        assert 16 <= h <= height + 15
        assert 16 <= w <= width + 15
        assert h * w <= 1.16 * 192 * 320 or (h, w) == (16, 16)


def test_queues_are_bounded(monkeypatch):
    assert queue_length((360, 640), 2) == 8
    assert queue_length((2160, 3840), 64) == reading.MOST_BYTES // (3 * 2160 * 3840)
    assert queue_length((20000, 20000), 4) == 2
    pulled, lock = [], threading.Lock()

    def items():
        for i in range(100):
            pulled.append(i)
            yield i

    taken = bounded_map(lambda i: i * 2, items(), 2, 5)
    with lock:
        assert next(taken) == 0
    assert len(pulled) <= 5
    assert list(taken) == [i * 2 for i in range(1, 100)]


def test_ahead_stops_with_its_reader_and_hands_errors_on():
    produced, closed = [], []

    def items():
        try:
            for i in range(1000):
                produced.append(i)
                yield i
        finally:
            closed.append(True)

    reader = ahead(items(), 3)
    assert [next(reader), next(reader)] == [0, 1]
    reader.close()
    assert len(produced) <= 7
    assert closed == [True]

    def failing():
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(ahead(failing(), 2))


@pytest.mark.real_data
def test_memory_does_not_grow_with_the_data(real_data, tmp_path):
    """Twice the frames, the same peak: only a bounded number of frames is ever held."""
    import tracemalloc
    manifest = find_dataset(None, train=real_data / "avenue_train/training_videos/12.avi",
                            test=real_data / "avenue_train/training_videos/16.avi")
    peaks = {}
    for name, rows in (("short", 70), ("long", 240)):
        frames = Source.of(manifest, "test", workers=2).frames(np.arange(rows))
        tracemalloc.start()
        for _ in frames:
            pass
        peaks[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks["long"] < 1.3 * peaks["short"]


def test_a_damaged_picture_is_unreadable_after_ultralytics_was_imported(tmp_path):
    pytest.importorskip("ultralytics").YOLO  # noqa: B018  the attribute makes it load, and replace Image.open
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    assert read_image(tmp_path / "damaged.png") is None
