"""The manifest: order, round trip, and refusal of what breaks the contract."""

from __future__ import annotations

import pytest

from pixelplay.data.manifest import COLUMNS, Manifest, make_table, validate
from pixelplay.errors import PixelPlayError


def example(tmp_path):
    table = make_table([("test", "10", 3, "10/3.jpg"), ("test", "2", 7, "2/7.jpg"), ("train", "1", 0, "1/0.jpg"),
                        ("test", "2", 5, "2/5.jpg")])
    roots = {"train": tmp_path / "a", "test": tmp_path / "b"}
    return Manifest(table, roots, "competition", {"test": 12.5}, {"train": "abc", "test": "def"}, tmp_path / "gt")


def test_order_is_split_video_frame_by_number(tmp_path):
    assert example(tmp_path).table["Id"].tolist() == ["1_0", "2_5", "2_7", "10_3"]


def test_round_trip(tmp_path):
    manifest = example(tmp_path)
    manifest.save(tmp_path / "out")
    again = Manifest.load(tmp_path / "out")
    assert again.table.equals(manifest.table)
    assert (again.roots, again.layout, again.fps, again.fingerprints, again.labels) == (
        manifest.roots, "competition", 12.5, {"train": "abc", "test": "def"}, tmp_path / "gt")
    assert tuple(again.table.columns) == COLUMNS


def test_names_that_look_like_numbers_or_nothing_stay_text(tmp_path):
    table = make_table([("test", "01_0014", 0, "01_0014/000.jpg"), ("test", "NA", 0, "NA/0.jpg")])
    Manifest(table, {"test": tmp_path}, "own").save(tmp_path)
    assert Manifest.load(tmp_path).table["video"].tolist() == ["01_0014", "NA"]


def test_same_id_twice_is_named():
    with pytest.raises(PixelPlayError, match="Id 1_5 twice"):
        validate(make_table([("test", "1", 5, "a/5.jpg"), ("test", "1", 5, "a/05.png")]))


def test_the_same_id_in_both_splits_is_fine():
    validate(make_table([("train", "1", 5, "a.jpg"), ("test", "1", 5, "b.jpg")]))


def test_disorder_and_unknown_flags_are_refused(tmp_path):
    table = example(tmp_path).table
    with pytest.raises(PixelPlayError, match="out of order"):
        validate(table.iloc[[0, 2, 1, 3]].reset_index(drop=True))
    with pytest.raises(PixelPlayError, match="sparkles"):
        validate(table.assign(flags="sparkles"))
    with pytest.raises(PixelPlayError, match="columns"):
        validate(table.drop(columns="flags"))


def test_missing_manifest_says_what_to_run(tmp_path):
    example(tmp_path).save(tmp_path)
    (tmp_path / "manifest.csv").unlink()
    with pytest.raises(PixelPlayError, match="01_frame_extraction"):
        Manifest.load(tmp_path)


def test_an_empty_table_is_a_table():
    table = make_table([])
    validate(table)
    assert len(table) == 0
