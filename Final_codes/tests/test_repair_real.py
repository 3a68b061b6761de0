"""Repair on real footage: every injected flip and noisy frame is found, no clean frame is accused."""

import dataclasses

import numpy as np
import pytest

from pixelplay.data.corruption import Fault, Recipe, corrupt_dataset, flag_of
from pixelplay.data.layouts import find_dataset
from pixelplay.data.reading import open_stream
from pixelplay.repair.stage import open_footage, prepare

RECIPE = Recipe((Fault("vflip", .2), Fault("hflip", .1), Fault("rot180", .1), Fault("noise", .2, 37.0, "noise"),
                 Fault("noise", .2, 15.0, "noise")))


@pytest.fixture(scope="module")
def ped2(real_data):
    whole = find_dataset(real_data / "ped2")
    table = whole.table
    keep = ((table["split"] == "train") & (table["frame"] % 20 == 0)) | (
        (table["split"] == "test") & (table["video"] == "1") & (table["frame"] < 150))
    return dataclasses.replace(whole, table=table[keep].reset_index(drop=True), labels=None,
                               fingerprints={"train": "part", "test": "of ped2"})


@pytest.mark.real_data
def test_clean_ped2_is_left_alone(ped2, tmp_path):
    assert set(prepare(ped2, tmp_path / "out").table["flags"]) == {""}


@pytest.mark.real_data
def test_flips_and_noise_of_ped2_are_all_found_and_denoising_gains_seven_decibels(ped2, tmp_path):
    plan = corrupt_dataset(ped2, tmp_path / "copy", RECIPE, seed=2)
    found = prepare(find_dataset(tmp_path / "copy"), tmp_path / "out").split("test")
    truth = [set(map(flag_of, kind.split("|"))) - {""} for kind in plan["kind"]]
    assert [set(cell.split("|")) - {""} for cell in found["flags"]] == truth
    rows = np.flatnonzero((plan["kind"] == "noise") & (plan["strength"] == "37"))

    def psnr(stream):
        return np.mean([10 * np.log10(255 ** 2 / ((a.astype(float) - b) ** 2).mean())
                        for a, b in zip(stream(rows), open_stream(ped2, "test")(rows))])

    raw = open_stream(find_dataset(tmp_path / "copy"), "test")
    assert psnr(open_footage(tmp_path / "out", "test").open_stream) > psnr(raw) + 7


@pytest.mark.real_data
def test_a_camera_that_was_turned_between_two_recordings_is_not_out_of_focus(real_data, tmp_path):
    # two of the three test videos lie a pixel and 0.4 degrees beside the training videos
    found = prepare(find_dataset(None, real_data / "avenue_train", real_data / "avenue_test_part"), tmp_path / "out")
    table = found.split("test")
    assert set(table["flags"]) <= {"", "shift"}
    # corrected in turns, the picture would jump between neighbours
    assert (table.groupby("video")["flags"].nunique() == 1).all()
