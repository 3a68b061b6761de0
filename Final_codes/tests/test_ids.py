"""Ids: a video's and a frame's own numbers, in an order people expect."""

from __future__ import annotations

import pytest

from pixelplay.data.ids import canonical_id, frame_id, frame_number, natural_key, split_id, video_name


@pytest.mark.parametrize(("video", "frame", "expected"), [
    ("01", 939, "1_939"), ("21", 75, "21_75"), ("01_0014", 7, "01_0014_7"), ("vtest", 0, "vtest_0"),
    ("000", 0, "0_0"), ("Test001", 1, "Test001_1"), ("cam-1", 12, "cam-1_12")])
def test_frame_id_and_back(video, frame, expected):
    assert frame_id(video, frame) == expected
    assert split_id(expected) == (video_name(video), frame)


def test_padding_of_ids_is_dropped():
    assert canonical_id("01_00939") == "1_939"
    assert canonical_id("01_0014_007") == "01_0014_7"


@pytest.mark.parametrize("wrong", ["939", "1_", "_939", "1_x", "", "1_٣"])
def test_what_is_no_id(wrong):
    with pytest.raises(ValueError, match="not an Id"):
        split_id(wrong)


def test_names_sort_by_number():
    assert sorted(["10", "2", "1", "b", "a10", "a9", "01_0014", "01_002"], key=natural_key) == [
        "01_002", "01_0014", "1", "2", "10", "a9", "a10", "b"]


@pytest.mark.parametrize(("stem", "number"), [("frame_00939", 939), ("000", 0), ("cam2_17", 17), ("cover", None)])
def test_frame_number(stem, number):
    assert frame_number(stem) == number
