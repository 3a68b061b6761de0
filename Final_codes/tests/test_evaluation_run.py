"""The evaluation of a finished run, and its figures."""

import argparse
import json
import shutil

import cv2
import numpy as np
import pytest
from test_files import flip, truncate

from pixelplay.arrays import write_array
from pixelplay.data.layouts import find_dataset
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation import command
from pixelplay.evaluation.figures import pr_figure, roc_figure, videos_figure, write_figures
from pixelplay.evaluation.labels import Labels, Track
from pixelplay.evaluation.report import Scored, evaluate
from pixelplay.evaluation.stage import evaluate_run, evaluation_of_run
from pixelplay.fusion.scores import write_scores
from pixelplay.fusion.stage import merge
from pixelplay.repair.stage import prepare

FRAMES, ODD = 14, range(5, 10)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder: two test videos of the `frames` layout with masks; one model that sees, one that does not."""
    root, output = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.uniform(60, 180, (8, 12, 3)).astype(np.float32), (96, 64)).astype(np.uint8)
    for split, videos in (("training", ("01", "02")), ("testing", ("01", "02"))):
        for video in videos:
            for kind in ("frames", "masks"):
                (root / split / kind / video).mkdir(parents=True, exist_ok=True)
            for k in range(FRAMES):
                image, mask = ground.copy(), np.zeros((64, 96), np.uint8)
                cv2.circle(image, (10 + 4 * k, 40), 5, (200, 40, 40), -1)
                if split == "testing" and k in ODD:
                    mask[8:24, 60:80] = 255
                    image[mask > 0] = (255, 255, 0)
                cv2.imwrite(str(root / split / "frames" / video / f"{k:03d}.png"), image)
                cv2.imwrite(str(root / split / "masks" / video / f"{k:03d}.png"), mask)
    manifest = prepare(find_dataset(root), output / "01_frame_extraction")
    ids = manifest.split("test")["Id"].tolist()
    odd = np.array([int(i.split("_")[1]) in ODD for i in ids])
    train = ([f"1_{k}" for k in range(40)], rng.lognormal(size=40))
    for name, values in (("seer", np.where(odd, 9.0, 1.0) * rng.lognormal(0, 0.1, len(ids))),
                         ("guesser", rng.lognormal(size=len(ids)))):
        write_scores(output / "scores", name, ids, values, train=train,
                     about={"family": "quad", "kind": "error", "sigma": 1.0})
    maps = np.zeros((len(ids), 16, 24), np.float16)
    maps[odd, 2:6, 15:20] = 5
    (output / "scores" / "maps").mkdir()
    np.save(output / "scores" / "maps" / "seer.npy", maps + 0.1 * rng.random(maps.shape).astype(np.float16))
    merge(output)
    return root, output


def test_a_run_is_evaluated_with_baseline_regions_and_submissions(run):
    root, output = run
    found = evaluate_run(output, root / "testing" / "masks", draws=20)
    assert found == json.loads((output / "metrics.json").read_text())
    assert set(found["rows"]) == {"frame_difference", "seer", "guesser", "submission_quad_ensemble", "submission"}
    assert found["rows"]["seer"]["micro_auc"] > 0.95 > 0.9 > found["rows"]["guesser"]["micro_auc"]
    assert found["rows"]["seer"]["rbdc"] > 0.9 and found["rows"]["seer"]["tbdc"] > 0.9
    assert "rbdc" not in found["rows"]["guesser"]
    assert set(found["raw_rows"]) == {"frame_difference", "seer", "guesser"}
    assert found["labels"]["positives"] == 2 * len(ODD) and found["labels"]["frames"] == 2 * FRAMES
    # the embedded tree's labels and the masks named directly are the same
    assert evaluate_run(output, root, draws=0)["rows"]["seer"]["ap"] == found["rows"]["seer"]["ap"]


@pytest.mark.parametrize("damage", [flip, truncate, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("with_seal", [True, False])
def test_damaged_maps_are_named(run, tmp_path, damage, with_seal):
    root, output = run
    output = shutil.copytree(output, tmp_path / "out")
    path = output / "scores" / "maps" / "seer.npy"
    if with_seal:
        write_array(path, np.load(path))
    elif damage is flip:
        return  # a flipped bit does not show without a seal
    damage(path)
    with pytest.raises(PixelPlayError, match=r"seer\.npy"):
        evaluate_run(output, root, draws=0)


def test_the_command_evaluates_regions_beside_score_files(run, capsys):
    root, output = run
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    paths = ["--scores", str(output / "scores"), "--labels", str(root), "--bootstrap", "0", "--regions"]
    assert command.run(parser.parse_args(paths)) == 0
    said = capsys.readouterr().out
    assert "RBDC" in said and "TBDC" in said and "10 anomalous of 28 frames" in said
    with pytest.raises(PixelPlayError, match="no score maps"):
        command.run(parser.parse_args(["--scores", str(output / "submission.csv"), *paths[2:]]))


def test_labels_of_another_dataset_are_refused(run):
    other = Labels("other", "other", {"7": Track(np.arange(3), np.ones(3, np.uint8))})
    with pytest.raises(PixelPlayError, match="no labels for 2 scored videos"):
        evaluate_run(run[1], other)


def test_the_figures_name_their_axes_rules_and_intervals(run, tmp_path):
    found = evaluation_of_run(run[1], run[0] / "testing" / "masks", draws=30)
    for figure, words in ((roc_figure(found), ("micro AUC", "chance: 50")),
                          (pr_figure(found), ("AP", "base rate: 36")), (videos_figure(found), ("macro AUC",))):
        axes = figure.axes[0]
        legend = axes.get_legend() or figure.legends[0]
        text = " ".join([legend.get_title().get_text(), *(t.get_text() for t in legend.get_texts())])
        assert axes.get_xlabel() and axes.get_ylabel() and axes.get_title(loc="left")
        assert all(w in text for w in words) and "seer" in text and "[" in text
    one, two = (write_figures(found, tmp_path / str(k)) for k in range(2))
    assert [a.read_bytes() for a in one] == [b.read_bytes() for b in two]


def test_figures_of_one_video_and_of_one_class():
    ids = np.array(["1_0", "1_1", "1_2"], dtype=object)
    for y in ([0, 1, 1], [1, 1, 1]):
        labels = Labels("hand", "hand", {"1": Track(np.arange(3), np.array(y, np.uint8))})
        found = evaluate([Scored("a", ids, np.array([1.0, 2, 3]))], labels, draws=10)
        for draw in (roc_figure, pr_figure, videos_figure):
            draw(found).canvas.draw()
