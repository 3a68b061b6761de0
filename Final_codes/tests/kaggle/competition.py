"""The competition's data in small: its folders, its frame size, its numbering and its faults; and what a submission to
it must look like.

Writes below a mount point, as Kaggle unpacks the original download:

    sample_submission.csv
    Avenue_Corrupted-20251221T112159Z-3-001/Avenue_Corrupted/Dataset/
        training_videos/01/frame_00000.jpg    testing_videos/01/frame_00939.jpg    testing_vol/vol01.mat

Frames are 640 x 360 JPEGs of quality 75. The first test video starts late, the second has a hole in its numbers.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.io import savemat

from pixelplay.data.corruption import apply_plan, encode, frame_path, plan_corruption, recipe_named
from pixelplay.data.ids import frame_id
from pixelplay.sample.dataset import Stage

DATASET = "Avenue_Corrupted-20251221T112159Z-3-001/Avenue_Corrupted/Dataset"
TRAIN_VIDEOS, TRAIN_FRAMES = 2, 20
TEST_NUMBERS = {"1": range(939, 957), "2": (*range(4), *range(5, 20))}
"""Video -> its frame numbers: a late start, and a hole at 4."""
SEED = 4
"""Its draw of the competition's corruption flips at least one frame and gives noise of both strengths."""


def make_competition(mount: Path) -> Path:
    """Write the data below a mount point, a folder that does not exist yet; returns it."""
    dataset, stage = mount / DATASET, Stage(360, 640, SEED)
    for video in range(TRAIN_VIDEOS):
        for number, (picture, _) in enumerate(stage.film(stage.video("train", video, TRAIN_FRAMES))):
            _save(dataset / frame_path("train", frame_id(str(video + 1), number), ".jpg"), encode(picture))
    ids = [frame_id(video, number) for video, numbers in TEST_NUMBERS.items() for number in numbers]
    plan = plan_corruption(ids, recipe_named("competition"), np.random.default_rng(SEED)).set_index("Id", drop=False)
    assert {"vflip", "noise"} <= set(plan["kind"]) and plan["strength"].str.startswith(("27", "37")).any()
    for index, (video, numbers) in enumerate(TEST_NUMBERS.items()):
        film = stage.film(stage.video("test", index, len(numbers), ["cyclist"]))
        for number, (picture, _) in zip(numbers, film):
            name = frame_id(video, number)
            _save(dataset / frame_path("test", name, ".jpg"), encode(apply_plan(picture, plan.loc[name], SEED)))
    for split in ("training_vol", "testing_vol"):  # the uncut videos in the original authors' form: not for us
        (dataset / split).mkdir()
        savemat(dataset / split / "vol01.mat", {"vol": np.zeros((120, 160, 30), np.uint8)})
    pd.DataFrame({"Id": ids, "Predicted": 0.0}).to_csv(mount / "sample_submission.csv", index=False)
    assert cv2.imread(str(dataset / frame_path("test", ids[0], ".jpg"))).shape == (360, 640, 3)
    return mount


def check_submission(submission: Path, mount: Path) -> None:
    """The sample submission's columns and Ids in its order, with finite values that differ. Raises AssertionError."""
    sample = pd.read_csv(mount / "sample_submission.csv", dtype={"Id": str})
    made = pd.read_csv(submission, dtype={"Id": str})
    assert list(made.columns) == list(sample.columns), f"{submission}: columns {list(made.columns)}"
    assert made["Id"].tolist() == sample["Id"].tolist(), f"{submission}: other Ids, or another order"
    assert np.isfinite(made["Predicted"]).all(), f"{submission}: values that are not finite"
    assert made["Predicted"].nunique() > 1, f"{submission}: one value everywhere"


def check_scores(folder: Path, models: list[str], mount: Path) -> None:
    """One file a model, with the sample's Ids in some order and scores that differ. Raises AssertionError."""
    wanted = set(pd.read_csv(mount / "sample_submission.csv", dtype={"Id": str})["Id"])
    for model in models:
        made = pd.read_csv(folder / f"{model}.csv", dtype={"Id": str})
        assert set(made["Id"]) == wanted and len(made) == len(wanted), f"{model}: other Ids"
        assert np.isfinite(made["Predicted"]).all() and made["Predicted"].nunique() > 1, f"{model}: no scores"


def _save(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
