"""Many cameras: each learnt by itself, one page and one submission over all, mistakes in the table named."""

from __future__ import annotations

import pytest

from pixelplay import engine
from pixelplay.__main__ import main
from pixelplay.cameras_command import read_videos
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.scores import read_table
from pixelplay.sample.dataset import make_sample


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Videos of two cameras that take turns."""
    return make_sample(tmp_path_factory.mktemp("cameras") / "sample", size="tiny", cameras=2)


def table_of(data, place):
    """The table of the sample's videos."""
    rows = ["video,camera,split"]
    for side, split in (("training_videos", "train"), ("testing_videos", "test")):
        rows += [f"{data / side / video.name},{('door', 'yard')[i % 2]},{split}"
                 for i, video in enumerate(sorted(p for p in (data / side).iterdir() if p.is_dir()))]
    place.write_text("\n".join(rows) + "\n")
    return place


@pytest.mark.slow
def test_two_cameras_are_learnt_apart_and_reported_together(data, tmp_path):
    table = table_of(data, tmp_path / "cameras.csv")
    status = main(["cameras", str(table), "--output", str(tmp_path / "out"), "--profile", "smoke", "--models", "unet",
                   "--workers", "2"])
    engine.use(engine.Engine())
    assert status == 0
    ids = {}
    for name, videos in (("door", {"1", "3"}), ("yard", {"2"})):
        run = tmp_path / "out" / name / "smoke"
        assert (run / "detector" / "detector.json").exists() and (run / "report" / "index.html").exists()
        ids[name] = read_table(run / "submission.csv")[0].tolist()
        assert {i.rsplit("_", 1)[0].lstrip("0") for i in ids[name]} == videos
    assert read_table(tmp_path / "out" / "submission.csv")[0].tolist() == ids["door"] + ids["yard"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert "door/smoke/report/index.html" in page and "yard/smoke/report/index.html" in page


def test_cameras_are_read_off_the_names_of_shanghaitech(data, tmp_path):
    for side in ("training", "testing"):
        (tmp_path / side / "frames").mkdir(parents=True)
        for i, video in enumerate(sorted(p for p in (data / f"{side}_videos").iterdir() if p.is_dir())):
            (tmp_path / side / "frames" / f"0{i % 2 + 1}_{i:04d}").symlink_to(video)
    found = read_videos(tmp_path)
    assert sorted(found["camera"]) == ["01", "01", "01", "01", "02", "02"]
    with pytest.raises(PixelPlayError, match="does not begin with its camera"):
        read_videos(data)


@pytest.mark.parametrize(("line", "words"), [
    ("nowhere.mp4,door,train", "line 8.*nowhere"), ("sample,door,validation", "line 8.*validation"),
    ("sample,../up,train", "line 8.*up"), ("sample,attic,train", "camera attic has no test videos")])
def test_mistakes_in_the_table_are_named(data, tmp_path, line, words):
    table = table_of(data, tmp_path / "cameras.csv")
    (tmp_path / "sample").mkdir()
    table.write_text(table.read_text() + line + "\n")
    with pytest.raises(PixelPlayError, match=words):
        read_videos(table)


def test_two_videos_of_one_name_and_other_columns_are_refused(data, tmp_path):
    table = table_of(data, tmp_path / "cameras.csv")
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")
    with pytest.raises(PixelPlayError, match="two train videos are called"):
        read_videos(table)
    table.write_text("file,camera\na,b\n")
    with pytest.raises(PixelPlayError, match="has the columns file, camera"):
        read_videos(table)
