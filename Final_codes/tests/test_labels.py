"""Labels: every form gives the same frames, and what does not fit is named."""

import argparse

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from pixelplay.errors import PixelPlayError
from pixelplay.evaluation import command
from pixelplay.evaluation.labels import read_labels
from pixelplay.evaluation.masks import find_masks, iterate_masks

TRUTH = {"1": [0, 0, 1, 1, 1, 0], "2": [1, 0, 0], "10": [0, 0, 0, 1]}
"""video -> label of each frame."""
INTERVALS = {"1": [(3, 5)], "2": [(1, 1)], "10": [(4, 4)]}
"""The same, counted from 1, both ends included."""
IDS = [f"{v}_{f}" for v, y in TRUTH.items() for f in range(len(y))]
LABELS = np.array([y for v in TRUTH.values() for y in v], dtype=np.uint8)


def mask(label, size=(6, 8)):
    image = np.zeros(size, np.uint8)
    image[2:4, 3:5] = 255 * label
    return image


def mask_images(folder, name=lambda v: f"{int(v):02d}", first=0, suffix=".png"):
    for video, y in TRUTH.items():
        (folder / name(video)).mkdir(parents=True)
        for k, label in enumerate(y):
            cv2.imwrite(str(folder / name(video) / f"{k + first:03d}{suffix}"), mask(label))
    return folder


def csv(path, padded=True):
    ids = [f"{int(i.split('_')[0]):02d}_{int(i.split('_')[1]):05d}" if padded else i for i in IDS]
    pd.DataFrame({"Id": ids, "label": LABELS}).to_csv(path, index=False)
    return path


def avenue_mats(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for video, y in TRUTH.items():
        cells = np.empty((1, len(y)), dtype=object)
        for k, label in enumerate(y):
            cells[0, k] = mask(label) // 255
        savemat(folder / f"{video}_label.mat", {"volLabel": cells})
    return folder


def arrays(folder, masks=False):
    folder.mkdir(parents=True)
    for video, y in TRUTH.items():
        np.save(folder / f"{video}.npy", np.stack([mask(v) > 0 for v in y]) if masks else np.array(y, np.int8))
    return folder


def intervals_mat(path):
    cells = np.empty((1, len(TRUTH)), dtype=object)
    for k, pairs in enumerate(INTERVALS.values()):
        cells[0, k] = np.array(pairs, dtype=np.uint16).T
    savemat(path, {"gt": cells})
    return path


def ucsd_list(path):
    lines = ["TestVideoFile = {};"] + [f"TestVideoFile{{end+1}}.gt_frame = [{', '.join(f'{a}:{b}' for a, b in p)}];"
                                       for p in INTERVALS.values()]
    path.write_text("\n".join(lines).replace("4:4", "4"))
    return path


FORMS = {
    "csv": lambda p: csv(p / "l.csv"), "plain csv": lambda p: csv(p / "l.csv", padded=False),
    "mask folders": lambda p: mask_images(p / "m"), "bmp masks": lambda p: mask_images(p / "m", suffix=".bmp"),
    "jpeg masks": lambda p: mask_images(p / "m", suffix=".jpg"),
    "avenue": lambda p: avenue_mats(p / "m"), "npy": lambda p: arrays(p / "m"),
    "npy masks": lambda p: arrays(p / "m", masks=True), "intervals": lambda p: intervals_mat(p / "avenue.mat"),
    "ucsd list": lambda p: ucsd_list(p / "UCSDped2.m"),
    "tree with csv": lambda p: csv(p / "frame_labels.csv").parent,
    "avenue tree": lambda p: avenue_mats(p / "ground_truth_demo" / "testing_label_mask").parents[1],
    "competition tree": lambda p: mask_images(p / "testing_label_mask").parent,
    "frames tree": lambda p: mask_images(p / "testing" / "masks").parents[1],
    "shanghaitech tree": lambda p: arrays(p / "testing" / "test_frame_mask").parents[1],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_labels(tmp_path, form):
    labels = read_labels(FORMS[form](tmp_path))
    order = np.random.default_rng(0).permutation(len(IDS))
    found = labels.align([IDS[k] for k in order])
    assert (found.values == LABELS[order]).all()
    assert labels.positives == 5 and found.about["positives"] == 5 and found.about["frames"] == len(IDS)
    assert labels.version and not found.about["unscored"]


def test_the_original_ucsd_tree_counts_from_one(tmp_path):
    mask_images(tmp_path / "Test", name=lambda v: f"Test{int(v):03d}_gt", first=1, suffix=".bmp")
    for video in TRUTH:
        (tmp_path / "Test" / f"Test{int(video):03d}").mkdir()
        cv2.imwrite(str(tmp_path / "Test" / f"Test{int(video):03d}" / "001.tif"), np.full((6, 8), 90, np.uint8))
    ids = [f"Test{int(v):03d}_{f + 1}" for v, y in TRUTH.items() for f in range(len(y))]
    for path in (tmp_path, tmp_path / "Test"):
        assert (read_labels(path).align(ids).values == LABELS).all()
    found = read_labels(ucsd_list(tmp_path / "UCSDped2.m")).align(ids)
    assert (found.values == LABELS).all() and any("start at 1" in n for n in found.about["notes"])


def test_frame_folders_are_no_masks(tmp_path):
    for video in ("01", "02"):
        (tmp_path / "frames" / video).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "frames" / video / "000.png"),
                    np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8))
    for path in (tmp_path / "frames", tmp_path):
        with pytest.raises(PixelPlayError, match="no labels in"):
            read_labels(path)


def test_late_starts_and_holes_are_matched_by_number_and_reported(tmp_path):
    labels = read_labels(avenue_mats(tmp_path / "m"))
    ids = ["1_2", "1_4", "1_5", "2_0", "2_1", "2_2", "10_0", "10_3"]
    with pytest.raises(PixelPlayError, match=r"5 labelled frames have no score \(first: 1_0, 1_1, 1_3\)"):
        labels.align(ids)
    found = labels.align(ids, known_ids=ids)
    assert found.values.tolist() == [1, 1, 0, 1, 0, 0, 0, 1]
    assert found.about["unscored"] == 5 and "5 labelled frames are not in the scored data" in found.about["notes"][0]
    assert (labels.align(ids, partial=True).values == found.values).all()
    with pytest.raises(PixelPlayError, match=r"1 labelled frames have no score \(first: 1_3\)"):
        labels.align(ids, known_ids=[*ids, "1_3"])


def test_what_does_not_fit_is_named(tmp_path):
    labels = read_labels(csv(tmp_path / "l.csv"))
    with pytest.raises(PixelPlayError, match=r"4 scored frames have no label.*first: 1_6, 1_7, 1_8"):
        labels.align([*IDS, "1_6", "1_7", "1_8", "1_9"])
    with pytest.raises(PixelPlayError, match=r"no labels for 2 scored videos \(first: 5, 6\)"):
        labels.align([*IDS, "5_0", "6_0"])
    with pytest.raises(PixelPlayError, match=r"3 labelled frames have no score \(first: 2_0, 2_1, 2_2\)"):
        labels.align([i for i in IDS if not i.startswith("2_")])
    with pytest.raises(PixelPlayError, match="appears more than once"):
        labels.align([*IDS, "1_0"])
    with pytest.raises(PixelPlayError, match="labels 3 videos in order, but 2 are scored"):
        read_labels(intervals_mat(tmp_path / "gt.mat")).align(["1_0", "2_0"])


@pytest.mark.parametrize(("name", "content"), [
    ("a.csv", "Id,label\n1_0,2\n"), ("a.csv", "Id,label\nvideo,1\n"), ("a.csv", "name,label\n1_0,1\n"), ("a.csv", ""),
    ("a.m", "nothing here"), ("a.m", "x.gt_frame = [9:3];"), ("a.mat", "no mat"), ("a.npy", "no npy"), ("a.txt", "1")])
def test_damaged_labels_are_mistakes_with_a_name(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(PixelPlayError, match=r"a\."):
        read_labels(tmp_path / name)
    with pytest.raises(PixelPlayError):
        read_labels(tmp_path / "absent")


def test_masks_are_found_and_read_from_every_form(tmp_path):
    for k, make in enumerate((mask_images, avenue_mats, lambda p: arrays(p, masks=True))):
        folder = make(tmp_path / str(k) / "testing_label_mask")
        assert find_masks(folder.parent) == folder and find_masks(folder) == folder
        for video, frames, _ in iterate_masks(folder):
            assert [int(m.any()) for _, m in frames] == TRUTH[video]
            assert all(m.shape == (6, 8) and m.dtype == bool for _, m in frames)
    assert find_masks(arrays(tmp_path / "frames_only")) is None


def run(*args):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(list(map(str, args))))


def test_the_command_prints_writes_json_and_refuses(tmp_path, capsys):
    labels = csv(tmp_path / "labels.csv")
    scores = LABELS + np.linspace(0, 0.5, len(LABELS))
    pd.DataFrame({"Id": IDS, "Predicted": scores}).to_csv(tmp_path / "a.csv", index=False)
    paths = ("--scores", tmp_path / "a.csv", "--labels", labels)
    assert run(*paths, "--json", tmp_path / "o.json", "--bootstrap", 20) == 0
    said = capsys.readouterr().out
    assert "AP" in said and "5 anomalous of 13 frames" in said and (tmp_path / "o.json").exists()
    pd.DataFrame({"Id": IDS[1:], "Predicted": scores[1:]}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(PixelPlayError, match="1_0"):
        run("--scores", tmp_path / "a.csv", "--labels", labels)
    assert run("--scores", tmp_path / "a.csv", "--labels", labels, "--partial", "--bootstrap", 0) == 0


@pytest.mark.real_data
def test_ped2_masks_equal_its_frame_labels(real_data):
    by_csv, by_mask = (read_labels(real_data / "ped2" / p) for p in ("frame_labels.csv", "testing/masks"))
    ids = [f"{v}_{f}" for v, t in by_mask.videos.items() for f in t.frames]
    a, b = by_csv.align(ids), by_mask.align(ids)
    assert (a.values == b.values).all() and a.about["positives"] == 1648 and a.about["frames"] == 2010
    assert a.about["version"] != b.about["version"]


def test_matlab_files_are_read_as_scipy_reads_them(tmp_path):
    from scipy.io import loadmat, savemat

    from pixelplay.evaluation.matlab import read_mat

    cells = np.empty((1, 3), dtype=object)
    cells[0] = [np.array([[1, 300], [2, 70000]]), np.zeros((0, 0)), np.arange(6, dtype=np.uint8).reshape(2, 3)]
    for compressed in (False, True):
        path = tmp_path / f"{compressed}.mat"
        savemat(path, {"gt": cells, "x": np.array([[0.5, np.nan]]), "mask": np.eye(3, dtype=bool),
                       "volLabel": np.arange(24, dtype=np.int16).reshape(2, 3, 4), "words": "left out"},
                do_compression=compressed)
        ours, theirs = read_mat(path), loadmat(path)
        assert sorted(ours) == ["gt", "mask", "volLabel", "x"]
        for name in ("mask", "volLabel", "x"):
            np.testing.assert_array_equal(ours[name], theirs[name])
        assert ours["gt"].shape == (1, 3)
        for a, b in zip(ours["gt"].ravel(), theirs["gt"].ravel()):
            np.testing.assert_array_equal(a, b)
