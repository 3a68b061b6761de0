"""Datasets are recognised by what they hold, wherever they lie; what is no dataset gets an error that helps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from media import write_frames, write_video

from pixelplay import environment
from pixelplay.data.layouts import find_dataset
from pixelplay.errors import PixelPlayError

# Test frame numbers of the competition: video -> (first, last, missing inside).
RANGES = {
    1: (939, 1438, "1436"), 2: (0, 1210, ""), 3: (173, 922, "199 778 818 828 837 845 870 883 892 900 907 911 919"),
    4: (0, 946, ""), 5: (0, 1006, ""),
    6: (639, 1282, "641 665 1170 1174 1194 1195 1214 1228 1235 1239 1244 1247 1255 1264 1266 1272 1280"),
    7: (0, 604, "270 407 419 428 436 443 455 460 488 517 530 536 573 585 596 599 602"), 8: (0, 35, ""),
    9: (0, 366, "250 260 273 281 312 334 357 364"),
    10: (91, 840, "223 460 556 598 608 615 633 640 645 652 661 664 675 681 706 713 724 733 742 747 756 768 775 805 810 "
                  "822 829 839"),
    11: (0, 471, ""), 12: (521, 1270, "576 831 1082 1091 1098 1123 1141 1150 1170 1178 1206 1230 1242 1247 1253"),
    13: (0, 548, "315 322 326 334 347 362 366 373 377 406 408 420 431 434 442 452 458 486 490 492 531"),
    14: (0, 506, "377 387 406 420 429 439 448 460 465 478 492"),
    15: (251, 1000, "641 713 791 801 806 829 841 857 860 869 876 885 888 905 933 954 964 976"), 16: (0, 739, ""),
    17: (0, 425, "39 86 88 96 120 135 144 155 168"),
    18: (0, 293, "83 122 127 134 141 152 158 164 170 198 205 222 229 230 236 238 248 254 290"),
    19: (0, 247, "31 44 49 63 70 79 89 94 98 106 121 130 149 156 166 195 217 219 225"), 20: (0, 272, ""),
    21: (0, 75, "")}


def empty_frames(folder, numbers):
    folder.mkdir(parents=True)
    for number in numbers:
        (folder / f"frame_{number:05d}.jpg").touch()


def competition(root, videos=("01", "02")):
    for side in ("training_videos", "testing_videos"):
        for name in videos:
            empty_frames(root / side / name, (3, 4, 6))
    (root / "testing_vol").mkdir()
    (root / "testing_vol" / "vol01.mat").touch()


@pytest.mark.real_data
def test_the_competition_gives_exactly_its_ids(tmp_path, real_data):
    for video, (first, last, holes) in RANGES.items():
        missing = {int(h) for h in holes.split()}
        empty_frames(tmp_path / "Dataset/testing_videos" / f"{video:02d}",
                     [n for n in range(first, last + 1) if n not in missing])
    empty_frames(tmp_path / "Dataset/training_videos/01", range(2))
    sample = pd.read_csv(real_data / "pixel_play" / "sample_submission.csv", dtype=str)
    ids = find_dataset(tmp_path).split("test")["Id"].tolist()
    assert len(ids) == 11706
    assert ids == sample.iloc[:, 0].tolist()


@pytest.mark.parametrize("mount", ["pixel-play-26", "competitions/pixel-play-26", "datasets/someone/avenue-dataset"])
def test_competition_below_kaggles_mounts(tmp_path, monkeypatch, mount):
    monkeypatch.setattr(environment, "KAGGLE_INPUT", tmp_path)
    competition(tmp_path / mount / "Avenue_Corrupted-2025-3-001/Avenue_Corrupted/Dataset")
    (tmp_path / "some-weights").mkdir()
    manifest = find_dataset(None)
    assert manifest.layout == "competition"
    assert manifest.split("test")["Id"].tolist() == ["1_3", "1_4", "1_6", "2_3", "2_4", "2_6"]
    assert manifest.split("test")["path"][0] == "01/frame_00003.jpg"
    assert manifest.labels is None


def test_two_mounts_of_the_same_data_are_one_dataset(tmp_path):
    competition(tmp_path / "pixel-play-26")
    competition(tmp_path / "datasets/copy")
    assert find_dataset(tmp_path).roots["test"].is_relative_to(tmp_path / "pixel-play-26")


def test_two_different_datasets_are_ambiguous(tmp_path):
    competition(tmp_path / "a")
    competition(tmp_path / "b", videos=("01",))
    with pytest.raises(PixelPlayError, match="2 datasets found") as error:
        find_dataset(tmp_path)
    assert str(tmp_path / "a") in str(error.value)
    assert "--data" in str(error.value)


def test_nothing_on_kaggle_says_where_it_looked_and_how_to_add_data(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "KAGGLE_INPUT", tmp_path)
    (tmp_path / "weights-only").mkdir()
    with pytest.raises(PixelPlayError) as error:
        find_dataset(None)
    for word in (str(tmp_path), "weights-only", "Add Input", "training_videos"):
        assert word in str(error.value)


def test_no_root_outside_kaggle(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "KAGGLE_INPUT", tmp_path / "none")
    with pytest.raises(PixelPlayError, match="no dataset was named"):
        find_dataset(None)


def test_original_avenue(tmp_path):
    root = tmp_path / "Avenue Dataset"
    for name in ("10.avi", "2.avi"):
        write_video(root / "training_videos" / name, 3)
    write_video(root / "testing_videos/01.avi", 4, fps=30)
    (root / "ground_truth_demo/testing_label_mask").mkdir(parents=True)
    (root / "ground_truth_demo/testing_label_mask/1_label.mat").touch()
    (root / "testing_vol").mkdir()
    manifest = find_dataset(tmp_path)
    assert manifest.layout == "avenue"
    assert manifest.split("train")["Id"].tolist() == ["2_0", "2_1", "2_2", "10_0", "10_1", "10_2"]
    assert manifest.split("test")["path"].tolist() == ["01.avi"] * 4
    assert manifest.labels == root / "ground_truth_demo/testing_label_mask"
    assert manifest.fps == 25.0


def test_ucsd_keeps_its_one_based_numbers_and_leaves_the_truth_alone(tmp_path):
    root = tmp_path / "UCSD_Anomaly_Dataset.v1p2/UCSDped2"
    write_frames(root / "Train/Train001", ["001.tif", "002.tif"])
    write_frames(root / "Test/Test001", ["001.tif", "002.tif"])
    write_frames(root / "Test/Test001_gt", ["frame001.bmp", "frame002.bmp"])
    (root / "Test/Test001/._001.tif").touch()
    manifest = find_dataset(tmp_path)
    assert manifest.layout == "ucsd"
    assert manifest.split("test")["Id"].tolist() == ["Test001_1", "Test001_2"]
    assert manifest.labels == root / "Test"


def test_both_ucsd_sets_together_are_ambiguous(tmp_path):
    for name in ("UCSDped1", "UCSDped2"):
        write_frames(tmp_path / name / "Train/Train001", ["001.tif"])
        write_frames(tmp_path / name / "Test/Test001", ["001.tif"] + ["002.tif"] * (name == "UCSDped1"))
    with pytest.raises(PixelPlayError, match="2 datasets"):
        find_dataset(tmp_path)
    assert len(find_dataset(tmp_path / "UCSDped1").split("test")) == 2


def test_shanghaitech(tmp_path):
    write_video(tmp_path / "training/videos/01_001.avi", 2)
    empty_frames(tmp_path / "testing/frames/01_0014", (0, 1))
    (tmp_path / "testing/test_frame_mask").mkdir()
    np.save(tmp_path / "testing/test_frame_mask/01_0014.npy", np.zeros(2))
    manifest = find_dataset(tmp_path)
    assert manifest.layout == "shanghaitech"
    assert manifest.table["Id"].tolist() == ["01_001_0", "01_001_1", "01_0014_0", "01_0014_1"]
    assert manifest.labels == tmp_path / "testing/test_frame_mask"


def test_ped2_as_frames(tmp_path):
    write_frames(tmp_path / "training/frames/01", ["000.jpg", "001.jpg"])
    write_frames(tmp_path / "testing/frames/01", ["000.jpg"])
    write_frames(tmp_path / "testing/masks/01", ["000.png"])
    manifest = find_dataset(tmp_path)
    assert (manifest.layout, manifest.labels) == ("frames", tmp_path / "testing/masks")
    assert manifest.table["Id"].tolist() == ["1_0", "1_1", "1_0"]


@pytest.mark.real_data
def test_real_ped2_and_real_videos(real_data):
    manifest = find_dataset(real_data / "ped2")
    assert (len(manifest.split("train")), len(manifest.split("test"))) == (2550, 2010)
    assert manifest.labels == real_data / "ped2" / "frame_labels.csv"
    own = find_dataset(None, train=real_data / "avenue_train", test=real_data / "own_video")
    assert own.split("train")["video"].unique().tolist() == ["10", "11", "12", "16"]
    assert own.split("test").groupby("video").size().to_dict() == {"one-by-one-person-detection": 1394, "vtest": 795}


def test_own_folders_hold_videos_and_frames_side_by_side(tmp_path):
    for i, suffix in enumerate(("mp4", "avi", "mov", "mkv")):
        write_video(tmp_path / "a" / f"clip{i}.{suffix}", 2 + i)
    write_frames(tmp_path / "a/walk", ["7.png", "12.png"])
    write_frames(tmp_path / "b/cam1/night", ["1.jpg"])
    write_frames(tmp_path / "b/cam2/night", ["1.jpg"])
    manifest = find_dataset(None, train=tmp_path / "a", test=tmp_path / "b")
    assert manifest.split("train").groupby("video").size().to_dict() == {
        "clip0": 2, "clip1": 3, "clip2": 4, "clip3": 5, "walk": 2}
    assert manifest.split("train")["frame"].tolist()[-2:] == [7, 12]
    assert manifest.split("test")["Id"].tolist() == ["cam1-night_1", "cam2-night_1"]


def test_a_lone_folder_of_images_and_a_lone_file_are_one_video_each(tmp_path):
    write_frames(tmp_path / "monday", ["b.jpg", "a.jpg", "c10.jpg"][:2])
    write_video(tmp_path / "tuesday.mp4", 3)
    manifest = find_dataset(None, train=tmp_path / "monday", test=tmp_path / "tuesday.mp4")
    assert manifest.split("train")["Id"].tolist() == ["monday_0", "monday_1"]
    assert manifest.split("train")["path"].tolist() == ["a.jpg", "b.jpg"]
    assert manifest.split("test")["Id"].tolist() == ["tuesday_0", "tuesday_1", "tuesday_2"]


def test_train_and_test_below_one_root_are_enough(tmp_path):
    write_frames(tmp_path / "train/x", ["1.jpg"])
    write_video(tmp_path / "test/y.mp4", 2)
    assert find_dataset(tmp_path).layout == "folders"


def test_training_videos_alone_need_a_test_folder(tmp_path):
    write_video(tmp_path / "data/training_videos/01.avi", 2)
    write_frames(tmp_path / "mine", ["5.jpg"])
    with pytest.raises(PixelPlayError, match="without its test videos") as error:
        find_dataset(tmp_path / "data")
    assert "--test" in str(error.value)
    assert len(find_dataset(tmp_path / "data", test=tmp_path / "mine").table) == 3
    assert len(find_dataset(None, train=tmp_path / "data", test=tmp_path / "mine").table) == 3


def test_mat_files_alone_are_no_videos(tmp_path):
    for side in ("training_videos", "testing_videos"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "vol01.mat").touch()
    with pytest.raises(PixelPlayError, match="holds no videos"):
        find_dataset(tmp_path)


def test_an_empty_root_and_a_wrong_path(tmp_path):
    with pytest.raises(PixelPlayError, match="no dataset found"):
        find_dataset(tmp_path)
    with pytest.raises(PixelPlayError, match="does not exist"):
        find_dataset(tmp_path / "typo")
    with pytest.raises(PixelPlayError, match="does not exist"):
        find_dataset(None, train=tmp_path, test=tmp_path / "typo")


def test_one_folder_cannot_be_both_splits(tmp_path):
    write_frames(tmp_path, ["1.jpg"])
    with pytest.raises(PixelPlayError, match="both name"):
        find_dataset(None, train=tmp_path, test=tmp_path)


def test_an_empty_video_folder_is_left_out_and_said(tmp_path, caplog):
    competition(tmp_path)
    (tmp_path / "testing_videos/03").mkdir()
    assert find_dataset(tmp_path).split("test")["video"].unique().tolist() == ["1", "2"]
    assert "03" in caplog.text


def test_names_sort_by_number_and_gaps_stay(tmp_path):
    competition(tmp_path, videos=("10", "2"))
    (tmp_path / "testing_videos/2/frame_00010.jpg").touch()
    assert find_dataset(tmp_path).split("test")["Id"].tolist() == ["2_3", "2_4", "2_6", "2_10", "10_3", "10_4", "10_6"]


def test_a_video_of_one_frame(tmp_path):
    write_frames(tmp_path / "train/a", ["1.jpg"])
    write_video(tmp_path / "test/b.avi", 1)
    assert find_dataset(tmp_path).split("test")["Id"].tolist() == ["b_0"]


@pytest.mark.parametrize(("names", "numbers"), [
    (["f_1_cam2.jpg", "f_2_cam2.jpg", "f_10_cam2.jpg"], [1, 2, 10]),
    (["10-59-58.jpg", "10-59-59.jpg", "11-00-58.jpg", "11-01-59.jpg"], [0, 1, 2, 3])])
def test_numbers_that_are_not_the_last_group(tmp_path, names, numbers):
    write_frames(tmp_path / "a", names)
    write_frames(tmp_path / "b", ["1.jpg"])
    assert find_dataset(None, train=tmp_path / "a", test=tmp_path / "b").split("train")["frame"].tolist() == numbers


@pytest.mark.parametrize("names", [["1.jpg", "1.png"], ["frame_00001.jpg", "frame_00002.jpg", "frame_00002 (1).jpg"],
                                   ["1.jpg", "01.jpg"], ["1.jpg", "2.jpg", "cover.jpg"]])
def test_frames_are_never_renumbered_by_accident(tmp_path, names):
    write_frames(tmp_path / "a", names)
    write_frames(tmp_path / "b", ["1.jpg"])
    with pytest.raises(PixelPlayError, match=str(tmp_path / "a")):
        find_dataset(None, train=tmp_path / "a", test=tmp_path / "b")


def test_two_videos_of_one_name_are_refused(tmp_path):
    write_video(tmp_path / "a/1.avi", 2)
    write_frames(tmp_path / "a/01", ["1.jpg"])
    write_frames(tmp_path / "b", ["1.jpg"])
    with pytest.raises(PixelPlayError, match="two videos are called '1'"):
        find_dataset(None, train=tmp_path / "a", test=tmp_path / "b")


def test_a_broken_video_file_is_named(tmp_path):
    write_frames(tmp_path / "a", ["1.jpg"])
    (tmp_path / "b").mkdir()
    (tmp_path / "b/broken.mp4").write_bytes(b"nothing of a video")
    with pytest.raises(PixelPlayError, match=r"broken\.mp4"):
        find_dataset(None, train=tmp_path / "a", test=tmp_path / "b")


def test_fingerprint_follows_the_content_not_the_place(tmp_path):
    competition(tmp_path / "x")
    competition(tmp_path / "elsewhere/y")
    before = find_dataset(tmp_path / "x").fingerprint
    assert find_dataset(tmp_path / "elsewhere").fingerprint == before
    (tmp_path / "x/testing_videos/01/frame_00003.jpg").write_bytes(b"more")
    assert find_dataset(tmp_path / "x").fingerprint != before
