"""Files that users, recorders, disks and attackers have, each read by the code that reads users' input.

`python attacks.py` runs all of them, each under a limit of time and memory, and prints a line of JSON an attack: its
group, its name and how it ended: 'result' (and every Id is there), 'error' (one `PixelPlayError`), 'lost' (an Id or a
frame that can be read is missing), 'accepted' (wrong input taken without a word), 'hang', or the name of an exception
that escaped. `test_attacks.py` asks for the first two. Only interfaces that older revisions have are used: with
PYTHONPATH set to another checkout it measures that one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import signal
import socket
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

SECONDS, BYTES = 60, 4 << 30
"""Limits of one attack: far above what any good outcome takes, far below what the bombs ask for."""
ATTACKS: list[tuple[str, str, Callable[[Path], str]]] = []


class Lost(Exception):
    """An Id, or a frame that can be read, is missing."""


class Accepted(Exception):
    """Input that means nothing was taken for good."""


# what is good


def picture(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A textured scene with a block that moves."""
    rng = np.random.default_rng(7)
    image = cv2.resize(rng.integers(30, 220, (8, 8, 3), dtype=np.uint8), (width, height))
    at = 3 * number % max(1, width - 8)
    image[height // 2:height // 2 + 8, at:at + 8] = 240
    return image


def frames(folder: Path, names: list[str] | int, **size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate([f"{i}.jpg" for i in range(names)] if isinstance(names, int) else names):
        # by way of memory: OpenCV crashes on names that are no UTF-8
        image = picture(i, **size)[..., :1] if name.endswith(".pgm") else picture(i, **size)
        (folder / name).write_bytes(cv2.imencode(Path(name).suffix, image)[1].tobytes())


def video(path: Path, count: int = 6, codec: str = "mpeg4", **metadata: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata)
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(i), format="rgb24")))
        container.mux(stream.encode())


def jpeg(number: int = 0) -> bytes:
    return cv2.imencode(".jpg", picture(number))[1].tobytes()


def patched(data: bytes, at: int, form: str, *values: int) -> bytes:
    out = bytearray(data)
    struct.pack_into(form, out, at, *values)
    return bytes(out)


# how they are run


def attack(group: str, cases: list | None = None, **named) -> Callable:
    """Register a function of a folder (and of one case)."""

    def register(function: Callable) -> Callable:
        for name, case in (named or {str(k): k for k in cases or [None]}).items():
            def run(folder: Path, function=function, case=case) -> str:
                return function(folder) if case is None else function(folder, case)
            label = function.__name__ if case is None and not named else f"{function.__name__}[{name}]"
            ATTACKS.append((group, label, run))
        return function

    return register


def stage_one(folder: Path, ids: list[str] = (), readable: list[str] = (), test: Path | str | None = None) -> str:
    """Find, decode and repair what lies in folder/test beside a good video; every Id named must come out."""
    from pixelplay.data.extraction import open_raw_footage
    from pixelplay.data.layouts import find_dataset
    from pixelplay.repair.stage import prepare

    frames(folder / "train/1", 12)
    if test is None:
        frames(folder / "test/good", 3)
    manifest = find_dataset(None, train=folder / "train", test=test or folder / "test")
    prepare(manifest, folder / "out", workers=2)
    footage = open_raw_footage(folder / "out", "test")
    found = dict(zip(footage.ids.tolist(), footage.reliability.tolist()))
    wanted = [*ids, *readable, *([] if test else ["good_0", "good_1", "good_2"])]
    if missing := [i for i in wanted if i not in found]:
        raise Lost(f"Ids {missing[:3]}")
    if dark := [i for i in readable if not found[i]]:
        raise Lost(f"frames {dark[:3]} can be read")
    if sum(1 for _ in footage.full_frames()) != len(footage):
        raise Lost("frames of the stream")
    return "result"


def refused(read: Callable, *arguments) -> str:
    """Input that must be an error."""
    raise Accepted(repr(read(*arguments))[:200])


# images


@attack("images", jpeg_65500=(65500, 65500), jpeg_30000=(30000, 30000), jpeg_9000=(9000, 9000), jpeg_0=(0, 0))
def declared_size_of_a_jpeg(folder, size):
    frames(folder / "test/a", 3)
    data = jpeg()
    at = data.index(b"\xff\xc0")
    (folder / "test/a/1.jpg").write_bytes(patched(data, at + 5, ">HH", *size))
    return stage_one(folder, ["a_0", "a_1", "a_2"], ["a_0", "a_2"])


@attack("images", [60000, 30000, 2 ** 31 - 1, 0])
def declared_size_of_a_png(folder, side):
    frames(folder / "test/a", ["0.png", "1.png", "2.png"])
    data = (folder / "test/a/1.png").read_bytes()
    header = patched(data[12:29], 4, ">II", side, side)
    (folder / "test/a/1.png").write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])
    return stage_one(folder, ["a_0", "a_1", "a_2"], ["a_0", "a_2"])


@attack("images", [60000, 2 ** 30, 0])
def declared_size_of_a_bmp(folder, side):
    frames(folder / "test/a", ["0.bmp", "1.bmp", "2.bmp"])
    data = (folder / "test/a/1.bmp").read_bytes()
    (folder / "test/a/1.bmp").write_bytes(patched(data, 18, "<ii", side, side))
    return stage_one(folder, ["a_0", "a_1", "a_2"], ["a_0", "a_2"])


@attack("images", [60000, 10 ** 9])
def declared_size_of_a_pgm(folder, side):
    frames(folder / "test/a", 2)
    (folder / "test/a/2.pgm").write_bytes(b"P5\n%d %d\n255\n" % (side, side) + bytes(100))
    return stage_one(folder, ["a_0", "a_1", "a_2"], ["a_0", "a_1"])


@attack("images", **{"1x1": (1, 1), "1x64": (1, 64), "48x1": (48, 1), "2x2": (2, 2), "7x7": (7, 7), "9x9": (9, 9)})
def tiny_frames(folder, size):
    frames(folder / "tiny/a", 3, height=size[0], width=size[1])
    return stage_one(folder, ["a_0", "a_1", "a_2"], test=folder / "tiny")


@attack("images", ["jpg", "png"])
def one_pixel_among_good_frames(folder, suffix):
    frames(folder / "test/a", 3)
    (folder / "test/a/1.jpg").unlink()
    cv2.imwrite(str(folder / f"test/a/1.{suffix}"), picture(0)[:1, :1])
    return stage_one(folder, ["a_0", "a_1", "a_2"], ["a_0", "a_1", "a_2"])


@attack("images", video=b"\0\0\0\x18ftypmp42" + bytes(range(1, 256)) * 400, picture=jpeg(1) * 5, text=b"<xml>" * 2000)
def what_phones_append_to_a_jpeg(folder, more):
    frames(folder / "test/a", 3)
    for path in (folder / "test/a").iterdir():
        path.write_bytes(path.read_bytes() + more)
    return stage_one(folder, [], ["a_0", "a_1", "a_2"])


@attack("images", grey=False, colour=True)
def twelve_bits_in_sixteen(folder, colour):
    from pixelplay.data.manifest import Manifest

    for split in ("train/2", "deep/a"):
        (folder / split).mkdir(parents=True)
        for i in range(4):
            values = picture(i).astype(np.uint16) * 16
            cv2.imwrite(str(folder / split / f"{i}.png"), values if colour else values[..., 0])
    stage_one(folder, [], ["a_0", "a_1", "a_2", "a_3"], test=folder / "deep")
    if Manifest.load(folder / "out").split("test")["flags"].str.contains("blank").any():
        raise Lost("the pictures are blank")
    return "result"


@attack("images", [".jpg", ".png", ".tif", ".bmp", ".webp", ".pgm"])
def files_that_are_no_images(folder, suffix):
    frames(folder / "test/a", [f"0{suffix}", f"1{suffix}", f"2{suffix}"])
    (folder / f"test/a/3{suffix}").write_bytes(b"")
    (folder / f"test/a/4{suffix}").write_bytes(b"<html>404</html>")
    (folder / f"test/a/5{suffix}").write_bytes(np.random.default_rng(0).bytes(5000))
    with (folder / f"test/a/6{suffix}").open("wb") as stream:
        stream.truncate(1 << 40)
    return stage_one(folder, [f"a_{i}" for i in range(7)], ["a_0", "a_1", "a_2"])


@attack("images", train=True, test=False)
def not_one_frame_can_be_decoded(folder, train):
    frames(folder / "cut/a", 4)
    for path in (folder / "cut/a").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    if not train:
        return refused(stage_one, folder, ["a_0"], [], folder / "cut")
    (folder / "cut").rename(folder / "train")
    for i in range(4, 12):
        (folder / f"train/a/{i}.jpg").write_bytes(b"")
    from pixelplay.data.layouts import find_dataset
    from pixelplay.repair.stage import prepare
    frames(folder / "test/good", 3)
    return refused(lambda: prepare(find_dataset(None, folder / "train", folder / "test"), folder / "out"))


# what lies in a folder


@attack("folders", ["a/9.jpg", "clip.mp4"])
def a_pipe(folder, name):
    frames(folder / "test/a", 2)
    os.mkfifo(folder / "test" / name)
    return stage_one(folder, [], ["a_0", "a_1"])


@attack("folders", ["a/9.jpg", "clip.mp4"])
def a_socket(folder, name):
    frames(folder / "test/a", 2)
    with contextlib.chdir(folder) if hasattr(contextlib, "chdir") else contextlib.nullcontext(), \
            contextlib.closing(socket.socket(socket.AF_UNIX)) as one:
        one.bind(f"test/{name}")
    return stage_one(folder, [], ["a_0", "a_1"])


@attack("folders", ["/dev/zero", "/dev/full"])
def a_link_to_a_device(folder, device):
    frames(folder / "test/a", 2)
    (folder / "test/a/9.jpg").symlink_to(device)
    return stage_one(folder, [], ["a_0", "a_1"])


@attack("folders", ["missing.jpg", "9.jpg"])
def a_link_to_nothing_or_itself(folder, target):
    frames(folder / "test/a", 2)
    (folder / "test/a/9.jpg").symlink_to(target)
    return stage_one(folder, ["a_9"], ["a_0", "a_1"])


@attack("folders", ["self", ".", "..", "mutual", "root", "absolute"])
def links_in_a_circle(folder, target):
    frames(folder / "test/a", 2)
    if target == "mutual":
        (folder / "test/b/c").mkdir(parents=True)
        (folder / "test/b/c/d").symlink_to("../../e")
        (folder / "test/e").mkdir()
        (folder / "test/e/f").symlink_to("../b")
    elif target == "absolute":
        (folder / "test/loop").symlink_to(folder / "test")
    else:
        (folder / "test/self").symlink_to({"root": "../.."}.get(target, target))
    return stage_one(folder, [], ["a_0", "a_1"])


@attack("folders", [100, 600])
def folders_in_folders(folder, levels):
    frames(folder / "test/a", 2)
    (folder / "test/deep").mkdir()
    with contextlib.ExitStack() as stack:
        place = os.open(folder / "test/deep", os.O_RDONLY)
        stack.callback(lambda: os.close(place))
        for _ in range(levels):
            os.mkdir("d", dir_fd=place)
            inner = os.open("d", os.O_RDONLY, dir_fd=place)
            os.close(place)
            place = inner
    return stage_one(folder, [], ["a_0", "a_1"])


@attack("folders")
def a_link_out_of_the_folder_is_followed(folder):
    frames(folder / "elsewhere/x", 2)
    (folder / "test").mkdir()
    (folder / "test/b").symlink_to(folder / "elsewhere/x")
    return stage_one(folder, [], ["b_0", "b_1"])


@attack("folders")
def a_folder_without_frames(folder):
    (folder / "test/empty").mkdir(parents=True)
    (folder / "test/notes").mkdir()
    (folder / "test/notes/readme.txt").write_text("nothing")
    return stage_one(folder)


# names


@attack("names", ["①", "area5²", "٣", "５", "a\tb", "a\nb", "a\rb", "a\x1bb", "a\u2028b", "\x85", " ", "\u00a0",
                  "a,b", 'a"b',
                  "'", "=1+1", "NA", "null", "#", "-1", "1_2", "_", "a_", "%s", "{}", "\\", "<b>", "&amp;", "é",
                  "e\u0301",
                  "日本", "🎥", "9" * 200, "0" * 200, "caf\udce9", "-", "--help", "a" * 250, "con", "١٢_٣"])
def a_video_called(folder, name):
    frames(folder / "test" / name, 3)
    return stage_one(folder)


@attack("names", ["①", "area5²", "٣", "a\nb", "a\rb", " ", "é", "caf\udce9", "日本", "10:30", "http:", "file:x",
                  "a" * 240,
                  "%03d", "concat:x", "pipe:0", "-i"])
def a_video_file_called(folder, name):
    video(folder / "clip.mp4")
    (folder / "test").mkdir()
    (folder / "clip.mp4").rename(folder / f"test/{name}.mp4")
    return stage_one(folder)


@attack("names", ["10:30.mp4", "http:clip.mp4", "concat:a|b.mp4", "pipe:0.mp4", "-i.mp4"])
def a_video_in_the_current_folder_called(folder, name):
    video(folder / "clip.mp4")
    (folder / "clip.mp4").rename(folder / name)
    before = Path.cwd()
    os.chdir(folder)
    try:
        stem = name.removesuffix(".mp4")
        return stage_one(folder, [], [f"{stem}_{i}" for i in range(6)], test=name)
    finally:
        os.chdir(before)


@attack("names", ["9" * 19, "9" * 20, str(2 ** 63), str(2 ** 62), str(2 ** 62 - 1), "9" * 200, "٣", "①", "0x10",
                  "1e5",
                  "-5", "a\nb", "caf\udce9", "²3", "20240131123045123456", "1706704245123456789"])
def a_frame_called(folder, name):
    frames(folder / "test/a", 1)
    (folder / "test/a/0.jpg").rename(folder / f"test/a/{name}.jpg")
    return stage_one(folder)


# videos


def avi(folder: Path, name: str = "clip") -> tuple[Path, bytes]:
    path = folder / f"test/{name}.avi"
    video(path)
    return path, path.read_bytes()


@attack("videos", [400_000_000, 2 ** 31 - 1, 2 ** 32 - 1])
def promised_frames(folder, count):
    path, data = avi(folder)
    data = patched(data, data.index(b"avih") + 24, "<I", count)
    path.write_bytes(patched(data, data.index(b"strh") + 40, "<I", count))
    return stage_one(folder, [], [f"clip_{i}" for i in range(6)])


@attack("videos", slow=(2 ** 31 - 1, 1), fast=(1, 2 ** 31 - 1), zero=(1, 0), nothing=(0, 0))
def a_rate_of(folder, rate):
    from pixelplay.data.layouts import find_dataset

    path, data = avi(folder)
    data = patched(data, data.index(b"avih") + 8, "<I", 2 ** 32 - 1 if rate[0] > 1 else 0)
    path.write_bytes(patched(data, data.index(b"strh") + 28, "<II", *rate))
    fps = find_dataset(None, train=folder / "test", test=path).fps
    if not 0.1 <= fps <= 1000:
        raise Accepted(f"{fps} frames a second")
    return stage_one(folder, [f"clip_{i}" for i in range(6)])


@attack("videos", [b"ZZZZ", b"\0\0\0\0", b"XVIX", b"\xff\xff\xff\xff"])
def a_codec_called(folder, code):
    path, data = avi(folder)
    at = data.index(b"strf")
    data = patched(data, data.index(b"strh") + 12, "<4s", code)
    path.write_bytes(patched(data, at + 24, "<4s", code))
    return stage_one(folder)


@attack("videos", [".avi", ".mp4", ".mkv"])
def metadata_in_latin_1(folder, suffix):
    path = folder / f"test/clip{suffix}"
    video(path, title="cafX de la gare", comment="cafX")
    path.write_bytes(path.read_bytes().replace(b"cafX", b"caf\xe9"))
    return stage_one(folder, [], [f"clip_{i}" for i in range(6)])


@attack("videos", [(30000, 30000), (2 ** 31 - 1, 2 ** 31 - 1), (0, 0), (1, 1)])
def declared_size_of_a_video(folder, size):
    path, data = avi(folder)
    path.write_bytes(patched(data, data.index(b"strf") + 12, "<ii", *size))
    return stage_one(folder)


@attack("videos", [".avi", ".mp4", ".mkv"])
def no_frame_of_a_video_can_be_decoded(folder, suffix):
    path = folder / f"test/clip{suffix}"
    video(path)
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for at, size in places:
        data[at:at + size + 8] = bytes(min(size + 8, len(data) - at))
    path.write_bytes(bytes(data))
    return stage_one(folder)


@attack("videos", ffconcat="ffconcat version 1.0\nfile good.avi\n",
                  hls="#EXTM3U\n#EXTINF:1,\ngood.avi\n#EXT-X-ENDLIST\n",
        dash="<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><Period/></MPD>",
        sdp="v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
                  subtitle="1\n00:00:00,0 --> 00:00:01,0\nhello\n")
def a_text_called_mp4(folder, text):
    avi(folder, "good")
    (folder / "test/list.mp4").write_text(text)
    return refused(stage_one, folder)


@attack("videos", [0, 1, 100, 3000])
def the_start_of_a_video(folder, length):
    path, data = avi(folder)
    path.write_bytes(data[:length])
    return stage_one(folder)


@attack("videos", [".mp4", ".avi", ".mov", ".mkv", ".mpg", ".wmv", ".webm"])
def random_bytes_called(folder, suffix):
    (folder / "test").mkdir()
    (folder / f"test/a{suffix}").write_bytes(np.random.default_rng(0).bytes(20_000))
    return refused(stage_one, folder)


@attack("videos")
def a_picture_called_mp4(folder):
    (folder / "test").mkdir()
    (folder / "test/a.mp4").write_bytes(jpeg())
    return stage_one(folder)


# tables


IDS = [f"1_{i}" for i in range(4)]


def scores(folder: Path, cell: str | bytes = "0.4", header: str = "Id,Predicted", tail: str = "", sidecar=None) -> str:
    from pixelplay.fusion.scores import read_scores

    text = (cell if isinstance(cell, bytes) else cell.encode())
    rows = b"".join(f"{i},0.{k}{tail}\n".encode() for k, i in enumerate(IDS[1:], start=1))
    first = IDS[0].encode() + b"," + text + tail.encode()
    (folder / "m.csv").write_bytes(header.encode() + b"\n" + first + b"\n" + rows)
    if sidecar is not None:
        (folder / "m.json").write_bytes(sidecar)
    file = read_scores(folder / "m.csv", IDS)
    if file.ids.tolist() != IDS or not np.isfinite(file.values).all():
        raise Lost("Ids or numbers")
    return "result"


@attack("tables", ["1_000", "٣.٥", "０.５", "1e300", "-1e31", "nan", "inf", "", " ", "x", "0x1p3", "1,5",
                  "1\u00a0000", "½", "−1",
                   "1e", "TRUE", "--1", "1" * 5000, "1.0f", "'1'", "0.5;0.6"])
def a_score_of(folder, text):
    return refused(scores, folder, text)


@attack("tables", latin=b"caf\xe9", nul=b"0.5\0", utf16="0.5".encode("utf-16"), binary=bytes(range(128, 256)))
def a_score_in_bytes(folder, data):
    return refused(scores, folder, data)


@attack("tables", unnamed={"tail": ",7"}, index={"header": ",Id,Predicted", "tail": ""}, short={"header": "Id"},
        other={"header": "Id;Predicted"}, padded={"header": "Id, Predicted"})
def a_table_with(folder, shape):
    return refused(lambda: scores(folder, **shape))


@attack("tables", ["0.25", "1e-30", "-7", "5e20", " 0.5", "+.5", "3.", "1E3", "0.1000000000000000055"])
def a_good_score_of(folder, text):
    return scores(folder, text)


@attack("tables", [b'{"sigma": "abc"}', b'{"sigma": NaN}', b'{"sigma": -5}', b'{"sigma": 1e9}',
                  b'{"sigma": Infinity}',
                   b'{"sigma": null}', b'{"sigma": true}', b'{"sigma": []}', b'{"family": []}', b'{"family": {}}',
                   b'{"family": 3}', b'{"kind": []}', b'{"kind": "nonsense"}', b'{"smoke": "no"}',
                   b'{"data_fingerprint": []}', b"[]", b"3", b"null", b"", b"{", b"\xff\xfe{}", b'{"family": "\xe9"}',
                   b"[" * 100_000, b'{"sigma": ' + b"9" * 5000 + b"}"])
def a_sidecar(folder, data):
    return refused(lambda: scores(folder, sidecar=data))


@attack("tables", [b'{"sigma": 0}', b'{"sigma": 5, "kind": "error", "family": "x"}', b"{}"])
def a_good_sidecar(folder, data):
    return scores(folder, sidecar=data)


def npy_header(shape: tuple, kind: str = "|u1") -> bytes:
    text = str({"descr": kind, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def arrays() -> dict[str, bytes]:
    import io

    def saved(value, **options) -> bytes:
        stream = io.BytesIO()
        np.save(stream, value, **options)
        return stream.getvalue()

    good = saved(np.zeros(50, np.uint8))
    return {"empty": b"", "magic": good[:6], "cut": good[:-10], "head": good[:60], "text": b"0 1 0 1",
            "huge": npy_header((10 ** 13,)) + bytes(10), "negative": npy_header((-1,)) + bytes(10),
            "kind": npy_header((3,), "|O") + bytes(30), "code": npy_header((3,), "__import__") + bytes(30),
            "pickle": saved(np.array([{"a": 1}], dtype=object), allow_pickle=True), "words": saved(np.array(["a",
                  "b"])),
            "nan": saved(np.array([np.nan, 1.0])), "twos": saved(np.array([0, 2])), "matrix": saved(np.zeros((2, 2))),
            "zip": b"PK\x03\x04" + bytes(100), "scalar": saved(np.array(1))}


@attack("tables", **arrays())
def labels_npy(folder, data):
    from pixelplay.evaluation.labels import read_labels

    (folder / "1.npy").write_bytes(data)
    return refused(read_labels, folder / "1.npy")


@attack("tables", **{k: v for k, v in arrays().items() if k not in ("nan", "twos", "matrix", "scalar")})
def masks_npy(folder, data):
    from pixelplay.evaluation.masks import find_masks

    (folder / "1.npy").write_bytes(data)
    return refused(find_masks, folder)


def mats() -> dict[str, bytes]:
    import io

    from scipy.io import savemat

    def saved(**values) -> bytes:
        stream = io.BytesIO()
        savemat(stream, values)
        return stream.getvalue()

    good = saved(gt=np.array([[1], [5]], dtype=object))
    return {"empty": b"", "text": b"MATLAB 5.0 MAT-file", "cut": good[:150],
                  "random": np.random.default_rng(1).bytes(500),
            "size": patched(good, 132, "<I", 2 ** 31 - 1), "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(600),
            "words": saved(gt=np.array(["a", "b"], dtype=object)), "odd": saved(gt=np.array([[1, 2, 3]])),
            "nan": saved(gt=np.array([[np.nan], [5.0]])), "back": saved(gt=np.array([[9], [5]])),
            "far": saved(gt=np.array([[1.0], [1e15]])), "other": saved(x=1), "masks": saved(volLabel=np.zeros((2,
                  2))),
            "cells": saved(volLabel=np.array(["a", "b"], dtype=object))}


@attack("tables", **mats())
def labels_mat(folder, data):
    from pixelplay.evaluation.labels import read_labels

    (folder / "gt.mat").write_bytes(data)
    return refused(read_labels, folder / "gt.mat")


@attack("tables", ["", "gt_frame = [5:1];", "gt_frame = [0:9];", "gt_frame = [1:99999999999];",
                  f"gt_frame = [1:{'9' * 30}];",
                   "gt_frame = [1:" + "9" * 5000 + "];"])
def labels_m(folder, text):
    from pixelplay.evaluation.labels import read_labels

    (folder / "gt.m").write_text(text)
    return refused(read_labels, folder / "gt.m")


@attack("tables", ["1_5,2", "1_5,", "1_٣,1", "①,1", "1_" + "9" * 30 + ",1", "1_5,1,7", "1_5,１", "1_5,true",
                  "1_0,1\n1_00,1", "_,1"])
def labels_csv(folder, row):
    from pixelplay.evaluation.labels import read_labels

    (folder / "l.csv").write_text(f"Id,label\n{row}\n", encoding="utf-8")
    return refused(read_labels, folder / "l.csv")


@attack("tables", [b"caf\xe9,1\n", b"\0\0\0", bytes(range(256)), b'"', b""])
def labels_csv_in_bytes(folder, data):
    from pixelplay.evaluation.labels import read_labels

    (folder / "l.csv").write_bytes(b"Id,label\n" + data if data else b"")
    return refused(read_labels, folder / "l.csv")


@attack("tables", ["1_0,1,1,5,1_000,1", "1_0,1,1,5,５,1", "1_0,1,1,5,nan,1", "1_0,1,1,5,1e300,1", "1_0,5,5,1,1,1",
                  "1_0,1,1,5,,1",
                   "1_0,1,1,5,5,x", "1_0,1,1,5,5,inf", "x,1,1,5,5,1", "1_" + "9" * 25 + ",1,1,5,5,1",
                  "1_0,1,1,5,5,1,7"])
def boxes_csv(folder, row):
    from pixelplay.evaluation.boxes import read_boxes

    (folder / "b.csv").write_text(f"Id,x0,y0,x1,y1,score\n{row}\n", encoding="utf-8")
    return refused(read_boxes, folder / "b.csv")


@attack("tables", [b"", b"{", b"\xff", b"[" * 100_000, b"\0", b"NaN1", b"9" * 5000])
def json_file(folder, data):
    from pixelplay.files import read_json

    (folder / "a.json").write_bytes(data)
    return refused(read_json, folder / "a.json")


@attack("tables", lines=b"", bytes=b"\xff\xfe", text=b"1_x,test,1,x,1/0.jpg,,1\n",
                  flags=b"1_7,test,1,7,1/0.jpg,wrong,1\n",
        trust=b"1_7,test,1,7,1/0.jpg,,nan\n", split=b"1_7,other,1,7,1/0.jpg,,1\n",
                  cells=b"1_7,test,1,7,1/0.jpg,,1,9\n")
def a_manifest_changed_by(folder, more):
    from pixelplay.data.layouts import find_dataset
    from pixelplay.data.manifest import Manifest

    frames(folder / "train/1", 3)
    frames(folder / "test/1", 3)
    find_dataset(folder).save(folder / "out")
    path = folder / "out/manifest.csv"
    path.write_bytes(path.read_bytes() + more if more else b"".join(path.read_bytes().splitlines(True)[:-2]))
    return refused(Manifest.load, folder / "out")


@attack("changes", [".bmp", ".pgm", ".tif", ".png"])
def new_frames_of_the_same_size(folder, suffix):
    from pixelplay.data.layouts import find_dataset

    frames(folder / "train/1", 3)
    folder.joinpath("test/1").mkdir(parents=True)
    for i in range(3):
        Image.fromarray(picture(i)[..., :1].repeat(3, 2)).save(folder / f"test/1/{i}{suffix}")
    before = find_dataset(folder).fingerprint
    for i, j in itertools.pairwise([0, 1, 2]):
        a, b = folder / f"test/1/{i}{suffix}", folder / f"test/1/{j}{suffix}"
        size = a.stat().st_size
        a.write_bytes(b.read_bytes()[:size].ljust(size, b"\0"))
    if find_dataset(folder).fingerprint == before:
        raise Accepted("the same fingerprint")
    return "result"


# the limits


def outcome(run: Callable[[Path], str]) -> tuple[str, str]:
    """(how an attack ended, details)."""
    from pixelplay.errors import PixelPlayError

    class Hang(BaseException):
        pass

    def ring(*_):
        raise Hang

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
            return run(Path(place)), ""
    except PixelPlayError as error:
        return "error", str(error)
    except Lost as error:
        return "lost", str(error)
    except Accepted as error:
        return "accepted", str(error)
    except Hang:
        return "hang", ""
    except Exception as error:  # noqa: BLE001  any other is what is looked for
        return type(error).__name__, str(error)[:200]
    finally:
        signal.alarm(0)


def main() -> None:
    """Run the attacks whose name holds the first argument, all without one."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    for group, name, run in ATTACKS:
        if wanted in f"{group}/{name}":
            end, words = outcome(run)
            print(json.dumps({"group": group, "name": name, "end": end, "words": words}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
