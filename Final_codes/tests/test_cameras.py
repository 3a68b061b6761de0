"""Many cameras: each learnt by itself, one page and one submission over all, mistakes in the table named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pixelplay import cameras_command, engine
from pixelplay.__main__ import main
from pixelplay.cameras_command import link_videos, read_videos
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.cameras import evaluate_cameras
from pixelplay.evaluation.labels import Labels, Track
from pixelplay.evaluation.metrics import roc_auc
from pixelplay.evaluation.report import Scored
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


def start(table, output, *more):
    """The command, with one small network."""
    try:
        return main(["cameras", str(table), "--output", str(output), "--profile", "smoke", "--models", "unet", *more])
    finally:
        engine.use(engine.Engine())


@pytest.mark.slow
def test_cameras_are_learnt_apart_and_reported_together(data, tmp_path, capsys):
    table = table_of(data, tmp_path / "cameras.csv")
    # a third one that nothing is asked of yet
    (tmp_path / "attic").symlink_to(data / "training_videos" / "01")
    table.write_text(table.read_text() + "attic,attic,train\n")
    labels = data / "frame_labels.csv"
    assert start(table, tmp_path / "out", "--workers", "2", "--labels", str(labels)) == 0
    ids = {}
    for name, videos in (("door", {"1", "3"}), ("yard", {"2"})):
        run = tmp_path / "out" / name / "smoke"
        assert (run / "detector" / "detector.json").exists() and (run / "report" / "index.html").exists()
        ids[name] = read_table(run / "submission.csv")[0].tolist()
        assert {i.rsplit("_", 1)[0].lstrip("0") for i in ids[name]} == videos
    assert (tmp_path / "out" / "attic" / "detector" / "detector.json").exists()
    assert read_table(tmp_path / "out" / "submission.csv")[0].tolist() == ids["door"] + ids["yard"]
    page, printed = (tmp_path / "out" / "index.html").read_text(), capsys.readouterr().out
    assert "door/smoke/report/index.html" in page and "yard/smoke/report/index.html" in page
    for text in (page, printed):
        assert "learnt; it has no test videos" in text and "micro AUC" in text
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(metrics["cameras"]) == {"door", "yard"} and metrics["micro"]["frames"] == sum(map(len, ids.values()))
    assert json.loads((tmp_path / "out/door/smoke/metrics.json").read_text())["labels"]["frames"] == len(ids["door"])


@pytest.mark.slow
def test_a_camera_that_fails_is_named_and_the_others_go_on(data, tmp_path, capsys, monkeypatch):
    real = cameras_command.Run.all

    def all_but_one(run):
        if run.output.parent.name == "door":
            raise RuntimeError("a defect <here>")
        return real(run)

    monkeypatch.setattr(cameras_command.Run, "all", all_but_one)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.json").write_text("{}")
    assert start(table_of(data, tmp_path / "cameras.csv"), tmp_path / "out", "--workers", "1") == 3
    assert "FAILED: RuntimeError: a defect <here>" in capsys.readouterr().out
    page = (tmp_path / "out" / "index.html").read_text()
    assert "1 failed" in page and "a defect &lt;here&gt;" in page and "yard/smoke/report/index.html" in page
    assert {i.rsplit("_", 1)[0] for i in read_table(tmp_path / "out" / "submission.csv")[0]} == {"2"}
    assert not (tmp_path / "out" / "metrics.json").exists(), "there are no labels: it was of another run"


def test_all_cameras_are_checked_before_the_first_is_learnt(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cameras_command, "run_camera", lambda options: pytest.fail("a camera was learnt"))
    empty, broken, labels = tmp_path / "empty", tmp_path / "broken.avi", tmp_path / "labels.csv"
    empty.mkdir()
    broken.write_bytes(b"no video")
    labels.write_text("Id,label\n1_0,1\n")
    table = table_of(data, tmp_path / "cameras.csv")
    table.write_text(table.read_text() + f"{empty},attic,train\n{broken},cellar,train\n")
    assert start(table, tmp_path / "out", "--labels", str(labels)) == 2
    words = capsys.readouterr().err
    assert "camera attic: " in words and "camera cellar: " in words and "labels.csv" in words
    labels.with_suffix(".m").write_text("TestVideoFile{end+1}.gt_frame = [1:2];")
    assert start(table, tmp_path / "out", "--labels", str(labels.with_suffix(".m"))) == 2
    assert "without their names" in capsys.readouterr().err
    assert start(table, tmp_path / "out", "--models", "nonsense") == 2
    assert "nonsense" in capsys.readouterr().err


def test_metrics_of_cameras_are_theirs_the_pooled_and_the_mean():
    truth = {"a": [0, 1, 0, 1], "b": [1, 0, 0, 0], "c": [0, 0, 0, 0]}
    values = {"a": [.1, .9, .2, .8], "b": [.3, .5, .1, .2], "c": [.7, .1, .1, .1]}
    labels = Labels("test", "here", {n: Track(np.arange(4), np.array(v, np.uint8)) for n, v in truth.items()})
    scored = {n: Scored(n, np.array([f"{n}_{i}" for i in range(4)], dtype=object), np.array(v))
              for n, v in values.items()}
    found = evaluate_cameras(scored, labels, [i for s in scored.values() for i in s.ids], draws=10)
    each = [roc_auc(np.array(truth[n]), np.array(values[n])) for n in "ab"]
    assert [found["cameras"][n]["micro_auc"] for n in "abc"] == [*each, None], "one class alone: not defined"
    assert found["macro"]["micro_auc"] == pytest.approx(np.mean(each)) and found["macro"]["cameras"]["micro_auc"] == 2
    assert found["micro"]["micro_auc"] == roc_auc(np.concatenate(list(truth.values())),
                                                  np.concatenate(list(values.values())))
    some = evaluate_cameras({"a": scored["a"]}, labels, [i for s in scored.values() for i in s.ids], draws=0)
    assert some["micro"]["frames"] == 4, "a camera that failed is not asked for"


def test_links_follow_the_table(data, tmp_path):
    table = read_videos(table_of(data, tmp_path / "cameras.csv"))[0]
    door = table[table["camera"] == "door"]
    folders = link_videos(door, tmp_path / "links")
    assert set(folders) == {"train", "test"}
    moved = door.iloc[1:].assign(video=lambda t: [v.replace("sample", "moved") for v in t["video"]])
    link_videos(moved, tmp_path / "links")
    assert sorted(str(p.readlink()) for p in (tmp_path / "links").glob("*/*")) == sorted(moved["video"])


def test_cameras_are_read_off_the_names_of_shanghaitech(data, tmp_path):
    for side in ("training", "testing"):
        (tmp_path / side / "frames").mkdir(parents=True)
        for i, video in enumerate(sorted(p for p in (data / f"{side}_videos").iterdir() if p.is_dir())):
            (tmp_path / side / "frames" / f"0{i % 2 + 1}_{i:04d}").symlink_to(video)
    # the dataset's camera 13 has no test videos
    (tmp_path / "training" / "frames" / "13_0001").symlink_to(data / "training_videos" / "01")
    (tmp_path / "testing" / "test_frame_mask").mkdir()
    found, labels = read_videos(tmp_path)
    assert sorted(found["camera"]) == ["01", "01", "01", "01", "02", "02", "13"]
    assert labels == tmp_path / "testing" / "test_frame_mask"
    with pytest.raises(PixelPlayError, match="does not begin with its camera"):
        read_videos(data)


@pytest.mark.parametrize(("line", "words"), [
    ("nowhere.mp4,door,train", "line 8.*nowhere"), ("sample,door,validation", "line 8.*validation"),
    ("sample,../up,train\nnowhere,attic,train", "line 8.*up(.|\n)*line 9.*nowhere"),
    ("sample,attic,test", "camera attic has no train videos")])
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
    (tmp_path / "1").mkdir()  # 01 in an Id
    table_of(data, table).write_text(table.read_text() + "1,attic,train\n")
    with pytest.raises(PixelPlayError, match="two train videos are called 1"):
        read_videos(table)
    table.write_text("video,camera,split\n" + "\n".join(line for line in table_of(data, table).read_text().splitlines()
                                                       if line.endswith("train")) + "\n")
    with pytest.raises(PixelPlayError, match="no camera has test videos"):
        read_videos(table)
    table.write_text("file,camera\na,b\n")
    with pytest.raises(PixelPlayError, match="has the columns file, camera"):
        read_videos(table)
