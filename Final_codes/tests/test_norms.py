"""What repair knows of training footage: the same bits after a round trip, refused when it does not fit, and enough."""

import dataclasses

import numpy as np
import pytest
from scene import frame, write
from test_files import flip, truncate

from pixelplay.arrays import read_arrays, write_arrays
from pixelplay.data import extraction as module
from pixelplay.data.corruption import corrupt_frame, frame_rng
from pixelplay.data.layouts import find_dataset
from pixelplay.errors import PixelPlayError
from pixelplay.repair import norms as norms_module
from pixelplay.repair.norms import FILE, TrainingNorms
from pixelplay.repair.stage import RepairConfig, open_footage, prepare

TRAIN = ("train.npy", "train.state.npy", "train.observed.npy", ".train.key.json", FILE)


def damaged_test(count=20):
    """Frames of a test video, one upside down, one noisy."""
    pictures = {f"1_{t}": frame(t + 100) for t in range(count)}
    pictures["1_4"] = pictures["1_4"][::-1].copy()
    pictures["1_7"] = corrupt_frame(pictures["1_7"], "noise", 37, frame_rng(0, "1_7"))
    return pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("norms")
    write(folder / "data", "train", {f"1_{t}": frame(t) for t in range(24)})
    return find_dataset(write(folder / "data", "test", damaged_test()))


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    prepare(data.only("train"), folder)
    return folder


@pytest.fixture
def norms(fitted):
    return TrainingNorms.load(fitted)


def same(a: TrainingNorms, b: TrainingNorms) -> bool:
    """Equal in every attribute, to the bit."""
    def plain(value):
        if isinstance(value, np.ndarray):
            return str(value.dtype), value.shape, value.tobytes()
        if dataclasses.is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    return plain(a) == plain(b)


def test_the_same_bits_after_a_round_trip(data, fitted, norms, tmp_path):
    learnt = TrainingNorms.learn(data, module.Extraction.load(fitted), RepairConfig().background_frames, key=norms.key)
    assert same(learnt, norms) and learnt.digest == norms.digest
    assert norms.backgrounds[0].shape == (*norms.full_size, 3) and norms.scenes[0].usable
    norms.save(tmp_path)
    assert (tmp_path / FILE).read_bytes() == (fitted / FILE).read_bytes()
    other = dataclasses.replace(norms, backgrounds={0: norms.backgrounds[0] ^ (np.arange(3) == 1)})
    assert other.digest != norms.digest


@pytest.mark.parametrize("damage", [flip, truncate])
def test_what_is_damaged_is_refused(norms, tmp_path, damage):
    damage(norms.save(tmp_path))
    with pytest.raises(PixelPlayError, match=f"{FILE} is damaged"):
        TrainingNorms.load(tmp_path)


def test_what_is_missing_or_of_another_version_is_refused(norms, tmp_path, monkeypatch):
    with pytest.raises(PixelPlayError, match=f"{FILE} is missing"):
        TrainingNorms.load(tmp_path)
    norms.save(tmp_path)
    arrays = read_arrays(tmp_path / FILE)
    for lost in arrays:
        write_arrays(tmp_path / FILE, **{k: v for k, v in arrays.items() if k != lost})
        with pytest.raises(PixelPlayError, match="does not fit this version"):
            TrainingNorms.load(tmp_path)
    norms.save(tmp_path)
    monkeypatch.setattr(norms_module, "VERSION", norms_module.VERSION + 1)
    with pytest.raises(PixelPlayError, match="does not fit this version"):
        TrainingNorms.load(tmp_path)


def test_test_footage_alone_is_repaired_as_beside_its_training_footage(data, norms, tmp_path):
    prepare(data, tmp_path / "both")
    alone = data.only("test")
    assert alone.splits() == ["test"] and set(alone.roots) == {"test"}
    table = prepare(alone, tmp_path / "alone", norms=norms).split("test")
    assert table["flags"].tolist()[4] == "vflip" and table["flags"].tolist()[7] == "noise"
    for name in ("test.npy", "repair.csv", "repair.json", FILE):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "both" / name).read_bytes(), name
    found = [open_footage(tmp_path / name, "test") for name in ("alone", "both")]
    assert found[0].fingerprint == found[1].fingerprint
    assert all((a[1] == b[1]).all() for a, b in zip(*(f.full_frames() for f in found)))
    with pytest.raises(PixelPlayError, match="no train frames"):
        open_footage(tmp_path / "alone", "train")


def test_test_footage_alone_needs_norms(data, tmp_path):
    with pytest.raises(PixelPlayError, match="no training footage"):
        prepare(data.only("test"), tmp_path)


def test_test_footage_of_other_norms_is_repaired_anew(data, norms, tmp_path):
    alone = data.only("test")
    prepare(alone, tmp_path, norms=norms)
    first = open_footage(tmp_path, "test").fingerprint
    moved = dataclasses.replace(norms, backgrounds={0: np.roll(norms.backgrounds[0], 9, axis=1)})
    prepare(alone, tmp_path, norms=moved)
    assert open_footage(tmp_path, "test").fingerprint != first
    prepare(alone, tmp_path / "new", norms=moved)
    assert (tmp_path / "test.npy").read_bytes() == (tmp_path / "new" / "test.npy").read_bytes()


def test_nothing_of_the_test_footage_enters_the_training_split(data, fitted, tmp_path, monkeypatch):
    """Adding, changing and taking away test footage leaves every training file and the norms as they are."""
    prepare(data.only("train"), tmp_path / "out")
    stamps = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in TRAIN}
    print_of = open_footage(tmp_path / "out", "train").fingerprint
    decoded, real = [], module.open_frames
    monkeypatch.setattr(module, "open_frames", lambda m, split, w: decoded.append(split) or real(m, split, w))
    big = np.repeat(np.repeat(frame(300), 2, axis=0), 2, axis=1)
    other = find_dataset(None, data.roots["train"], write(tmp_path / "other", "test", {"5_1": big, "5_2": big}) /
                         "testing_videos")
    for manifest in (data, other, data.only("train"), data):
        prepare(manifest, tmp_path / "out")
        assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in TRAIN} == stamps
        assert open_footage(tmp_path / "out", "train").fingerprint == print_of
    assert decoded == ["test"] * 3
    for name in TRAIN:
        assert (tmp_path / "out" / name).read_bytes() == (fitted / name).read_bytes(), name


def test_going_back_to_earlier_test_footage_after_a_kill_repairs_it_anew(data, tmp_path, monkeypatch):
    """The plan of footage whose cache was replaced in between must not pass for done."""
    out = tmp_path / "out"
    prepare(data, out)
    mended = (out / "test.npy").read_bytes()
    other = find_dataset(None, data.roots["train"], write(tmp_path / "other", "test", {"5_1": frame(7)}) /
                         "testing_videos")
    with monkeypatch.context() as patch:
        patch.setattr("pixelplay.repair.stage.look", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(other, out)
    prepare(data, out)
    assert (out / "test.npy").read_bytes() == mended


@pytest.mark.parametrize("name", [FILE, "test.npy", "train.npy", "repair.csv", "repair.json", "manifest.csv"])
def test_a_damaged_file_costs_its_own_split_alone(data, tmp_path, name):
    out = tmp_path / "out"
    prepare(data, out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    stamps = {n: (out / n).stat().st_mtime_ns for n in ("train.npy", "test.npy")}
    flip(out / name)
    prepare(data, out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    kept = {n for n, stamp in stamps.items() if (out / n).stat().st_mtime_ns == stamp}
    assert kept == {FILE: {"train.npy", "test.npy"}, "manifest.csv": {"train.npy", "test.npy"},
                    "train.npy": {"test.npy"}}.get(name, {"train.npy"})


def test_many_cameras_share_the_memory_of_backgrounds():
    assert norms_module._limited((360, 640), 10) == (360, 640)
    height, width = norms_module._limited((2160, 3840), 100)
    assert 0.95 * norms_module.MEMORY < 100 * 3 * height * width <= norms_module.MEMORY
