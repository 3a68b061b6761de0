"""What repair knows of training footage: the same bits after a round trip, refused when it does not fit, and enough."""

import dataclasses

import numpy as np
import pytest
from scene import frame, write
from test_files import flip, truncate

from pixelplay.arrays import read_arrays, write_arrays
from pixelplay.data import extraction as module
from pixelplay.data.clips import scratch_folder
from pixelplay.data.corruption import corrupt_frame, frame_rng
from pixelplay.data.layouts import find_dataset
from pixelplay.errors import PixelPlayError
from pixelplay.repair import norms as norms_module
from pixelplay.repair.norms import FILE, TrainingNorms
from pixelplay.repair.stage import RepairConfig, open_footage, prepare


def train_files(folder):
    """What stage 1 keeps of the training footage."""
    extraction = module.Extraction.load(folder)
    return [FILE, *(str(extraction.record(key).relative_to(folder)) for key, _, _ in extraction.videos["train"])]


def mended(folder):
    """Working-size test frames, decoded anew."""
    for path in scratch_folder().glob("*.rows"):
        path.unlink()
    return np.asarray(open_footage(folder, "test").pixels)


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
    assert (mended(tmp_path / "alone") == mended(tmp_path / "both")).all()
    for name in ("repair.csv", "repair.json", FILE):
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
    assert (mended(tmp_path) == mended(tmp_path / "new")).all()


def test_nothing_of_the_test_footage_enters_the_training_split(data, fitted, tmp_path, monkeypatch):
    """Adding, changing and taking away test footage leaves every training file and the norms as they are."""
    prepare(data.only("train"), tmp_path / "out")
    train = train_files(tmp_path / "out")
    stamps = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in train}
    print_of = open_footage(tmp_path / "out", "train").fingerprint
    decoded, real = [], module._extract_video
    monkeypatch.setattr(module, "_extract_video", lambda job: decoded.append(job.name) or real(job))
    big = np.repeat(np.repeat(frame(300), 2, axis=0), 2, axis=1)
    other = find_dataset(None, data.roots["train"], write(tmp_path / "other", "test", {"5_1": big, "5_2": big}) /
                         "testing_videos")
    for manifest in (data, other, data.only("train"), data):
        prepare(manifest, tmp_path / "out")
        assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in train} == stamps
        assert open_footage(tmp_path / "out", "train").fingerprint == print_of
    assert decoded == ["test video 1", "test video 5"], "and what was finished once is found again"
    for name in train:
        assert (tmp_path / "out" / name).read_bytes() == (fitted / name).read_bytes(), name


def test_going_back_to_earlier_test_footage_after_a_kill_gives_its_own_frames(data, tmp_path, monkeypatch):
    """The plan of other footage must not pass for this one's."""
    out = tmp_path / "out"
    prepare(data, out)
    wanted = mended(out)
    other = find_dataset(None, data.roots["train"], write(tmp_path / "other", "test", {"5_1": frame(7)}) /
                         "testing_videos")
    with monkeypatch.context() as patch:
        patch.setattr("pixelplay.repair.stage.measure_frames", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(other, out)
    prepare(data, out)
    assert (mended(out) == wanted).all()


@pytest.mark.parametrize("name", [FILE, "a video of train", "a video of test", "repair.csv", "repair.json",
                                  "manifest.csv"])
def test_a_damaged_file_is_made_again_and_costs_no_other(data, tmp_path, name):
    out = tmp_path / "out"
    prepare(data, out)
    extraction = module.Extraction.load(out)
    path = extraction.record(extraction.videos[name.split()[-1]][0][0]) if " " in name else out / name
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    stamps = {p: p.stat().st_mtime_ns for p in (out / "videos").glob("[!.]*")}
    flip(path)
    prepare(data, out)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert {p for p, stamp in stamps.items() if p.stat().st_mtime_ns != stamp} == ({path} & set(stamps))


def test_many_cameras_share_the_memory_of_backgrounds():
    assert norms_module._limited((360, 640), 10) == (360, 640)
    height, width = norms_module._limited((2160, 3840), 100)
    assert 0.95 * norms_module.MEMORY < 100 * 3 * height * width <= norms_module.MEMORY
