"""Third-party weights: found by name and digest, downloaded once, resumed, refused where they are other ones."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import sys

import pytest
from weights_server import serve

from pixelplay import environment, pretrained
from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json, sha256_of
from pixelplay.model import Model
from pixelplay.pretrained import LOCK, TABLE, Needs, Weights, WeightsFile, download, find, obtain, require_package
from pixelplay.registry import MODELS, model_class

BODY = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Folders that exist for this test alone: named, Kaggle's input, cache."""
    for name in ("named", "input", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PIXELPLAY_WEIGHTS", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(environment, "KAGGLE_INPUT", tmp_path / "input")
    return tmp_path


@pytest.fixture
def source(places, monkeypatch):
    """A server that gives three files, of which one has a published digest, one the first digits of it."""
    with serve({"known": BODY, "prefix": BODY, "unknown": BODY}) as source:
        table = {"known": DIGEST, "prefix": DIGEST[:8], "unknown": ""}
        for name, digest in table.items():
            file = WeightsFile(f"{name}.bin", f"{source.address}/{name}", digest, 1)
            monkeypatch.setitem(TABLE, name, Weights(name, "MIT", (file,)))
        yield source


def test_the_table_is_complete():
    for name, entry in TABLE.items():
        assert entry.title and entry.licence and entry.files, name
        for file in entry.files:
            assert not file.url or file.url.startswith("https://"), file.url
            assert re.fullmatch(r"([0-9a-f]{8}|[0-9a-f]{64})?", file.sha256), file.sha256
            assert not file.url or file.megabytes > 0
        assert entry.files[0].url or entry.files[0].folder, f"{name}: nothing says where it comes from"


def test_the_shipped_trunk_is_the_one_of_its_card_and_of_the_table():
    path = find("efficientnet-lite0")
    card = read_json(path.parent / "card.json")
    assert sha256_of(path) == card["sha256"] == TABLE["efficientnet-lite0"].files[0].sha256
    assert card["licence"].startswith("Apache-2.0") and "Apache License" in (path.parent / "LICENSE").read_text()
    assert 5e6 < path.stat().st_size < 7e6


@pytest.mark.parametrize("below", ["named", "named/deep/folder", "input/owner/dataset/1", "cache/pixelplay"])
def test_found_by_name_wherever_it_may_lie(places, source, below):
    assert find("known") is None
    (places / below).mkdir(parents=True, exist_ok=True)
    (places / below / "known.bin").write_bytes(BODY)
    assert find("known") == places / below / "known.bin" == obtain("known")
    assert source.asked == []


def test_weights_beside_the_code_are_found(places, source, monkeypatch, tmp_path):
    package = tmp_path / "checkout" / "Final_codes" / "pixelplay"
    (tmp_path / "checkout" / "weights").mkdir(parents=True)
    (tmp_path / "checkout" / "weights" / "known.bin").write_bytes(BODY)
    monkeypatch.setattr(pretrained, "PACKAGE", package)
    assert find("known") == tmp_path / "checkout" / "weights" / "known.bin"


def test_every_name_of_the_table_counts_and_the_first_is_preferred(places):
    for name in ("RN101.pt", "yolox_nano_416x416.onnx"):
        (places / "named" / name).write_bytes(b"x")
    assert find("yolox-nano").name == "yolox_nano_416x416.onnx"
    with pytest.raises(PixelPlayError, match=r"RN101\.pt is not the file of CLIP RN101"):
        find("clip-rn101")
    (places / "named" / "resnet101_clip.openai.safetensors").write_bytes(b"x")
    assert find("clip-rn101").name == "resnet101_clip.openai.safetensors"


@pytest.mark.parametrize("name", ["known", "prefix"])
def test_a_file_with_another_digest_is_refused_by_name(places, source, name):
    (places / "input" / f"{name}.bin").write_bytes(BODY[:-1])
    with pytest.raises(PixelPlayError, match=rf"{name}\.bin is not the file of {name}(.|\n)*sha256 {DIGEST[:8]}"):
        obtain(name)
    assert source.asked == []


def test_frame_folders_are_not_read_to_their_end(places, source, monkeypatch):
    frames = places / "input" / "competition" / "01"
    frames.mkdir(parents=True)
    for number in range(200):
        (frames / f"{number}.jpg").touch()
    (frames / "below").mkdir()
    (frames / "below" / "known.bin").write_bytes(BODY)
    (places / "input" / "weights" / "a").mkdir(parents=True)
    (places / "input" / "weights" / "a" / "known.bin").write_bytes(BODY)
    read, scandir = [], os.scandir

    class Counted:
        def __init__(self, folder):
            self.inner = scandir(folder)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.inner.close()

        def __iter__(self):
            for entry in self.inner:
                read.append(entry.path)
                yield entry

    monkeypatch.setattr(os, "scandir", Counted)
    assert find("known") == places / "input" / "weights" / "a" / "known.bin"
    assert len(read) < 60


@pytest.mark.parametrize("name", ["known", "prefix", "unknown"])
def test_the_first_use_downloads_and_the_next_does_not(places, source, name, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    path = obtain(name)
    assert path == places / "cache" / "pixelplay" / f"{name}.bin" and path.read_bytes() == BODY
    assert f"{name}.bin" in capsys.readouterr().err, "no progress bar"
    assert obtain(name) == path and len(source.asked) == 1
    assert [p.name for p in path.parent.glob("*.part")] == []


def test_where_no_digest_is_published_the_first_download_is_what_later_ones_must_be(places, source):
    path = obtain("unknown")
    assert json.loads((path.parent / LOCK).read_text()) == {"unknown.bin": DIGEST}
    path.unlink()
    source.files["unknown"] = BODY[::-1]
    with pytest.raises(PixelPlayError, match=rf"sha256 is (.|\n)*{DIGEST}(.|\n)*{LOCK}"):
        obtain("unknown")
    assert not path.exists()
    source.files["unknown"] = BODY
    assert obtain("unknown").read_bytes() == BODY


def test_a_copy_with_its_lock_file_is_held_against_it(places, source):
    (places / "input" / "unknown.bin").write_bytes(BODY[:100])
    (places / "input" / LOCK).write_text(json.dumps({"unknown.bin": DIGEST}))
    with pytest.raises(PixelPlayError, match=r"unknown\.bin is not the file of"):
        find("unknown")


@pytest.mark.parametrize(("name", "ranges"), [("known", True), ("known", False), ("unknown", True)])
def test_a_broken_download_goes_on_or_starts_again(places, source, name, ranges):
    source.cut, source.ranges = 1000, ranges
    with pytest.raises(PixelPlayError, match=f"connection ended after 1000 of {len(BODY)} bytes"):
        obtain(name)
    assert find(name) is None
    source.cut = None
    assert obtain(name).read_bytes() == BODY
    # without a digest nothing could tell whether the rest is the rest of the same file
    assert source.asked[-1][1] == ("bytes=1000-" if name == "known" else "")


def test_a_damaged_file_of_the_cache_is_fetched_again(places, source, caplog):
    path = obtain("unknown")
    path.write_bytes(BODY[:5000])
    assert obtain("unknown").read_bytes() == BODY
    assert "unknown.bin is damaged" in caplog.text


def test_a_part_that_is_not_of_this_file_is_thrown_away(places, source):
    part = places / "cache" / "pixelplay" / "known.bin.part"
    part.parent.mkdir()
    part.write_bytes(b"x" * len(BODY))
    with pytest.raises(PixelPlayError, match=f"expected: sha256 {DIGEST}"):
        obtain("known")
    assert obtain("known").read_bytes() == BODY


def test_no_network_says_what_to_do(places, source, monkeypatch):
    entry = TABLE["known"]
    files = tuple(dataclasses.replace(f, url="http://127.0.0.1:9/known") for f in entry.files)
    monkeypatch.setitem(TABLE, "known", dataclasses.replace(entry, files=files))
    with pytest.raises(PixelPlayError, match=r"cannot be downloaded: http(.|\n)*known\.bin(.|\n)*PIXELPLAY_WEIGHTS"):
        obtain("known")


def test_the_second_source_is_taken_where_the_first_does_not_answer(places, source, monkeypatch):
    files = (WeightsFile("first.bin", f"{source.address}/nowhere", "", 1), *TABLE["known"].files)
    monkeypatch.setitem(TABLE, "both", Weights("both", "MIT", files))
    assert download("both", places / "cache").name == "known.bin"


def test_unknown_weights_list_the_known():
    with pytest.raises(PixelPlayError, match="clip-rn101"):
        find("clip-vit")


def test_a_missing_package_is_named_with_the_line_that_installs_it():
    with pytest.raises(PixelPlayError, match=r"detector x needs the package no_such(.|\n)*pip install no_such"):
        require_package("no_such", by="detector x")


def test_what_a_package_itself_lacks_is_named(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import its_missing_part.deep\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PixelPlayError, match="pip install its_missing_part"):
        require_package("half_there", by="detector x")


def test_models_say_what_they_need():
    def needs(name: str, profile: str, **changes: object) -> Needs:
        cls = model_class(name)
        return cls.needs(dataclasses.replace(cls.Config.profile(profile), **changes))

    assert needs("stae", "full") == Model.needs(None) == Needs()
    assert needs("global_memory", "full") == Needs(("timm",), ("clip-rn101",))
    assert needs("local_memory", "full") == Needs(("timm", "ultralytics"), ("clip-rn101", "yolov5s"))
    own = needs("local_memory", "full", weights="own.safetensors", detector_weights="own.pt")
    assert own == Needs(("timm", "ultralytics"))
    assert needs("local_memory", "lite", detectors=("faster-rcnn", "yolox-nano", "foreground"), detector_weights="a.pth"
                 ) == Needs(("timm", "torchvision", "onnxruntime"), ("efficientnet-lite0", "yolox-nano"))
    for name in MODELS:
        assert set(needs(name, "lite").packages) <= {"timm"}
        assert set(needs(name, "lite").weights) <= {"efficientnet-lite0"}
