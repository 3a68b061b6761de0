"""RBDC and TBDC from files: boxes and maps against masks and boxes with tracks, worked by hand."""

import argparse
import json

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from pixelplay.errors import PixelPlayError
from pixelplay.evaluation import command
from pixelplay.evaluation.boxes import bounds, rasterise, read_boxes
from pixelplay.evaluation.localisation import read_regions, region_counts, region_intervals

IDS = [f"{v}_{f}" for v in (1, 2) for f in range(5, 9)]
"""Two videos of four frames; the second is normal."""
TRUTH = "Id,x0,y0,x1,y1,track\n" + "".join(f"01_{f},{x},4,{x + 4},8,cart\n" for f, x in ((5, 2), (6, 3), (7, 4)))
FOUND = ("video,frame,x0,y0,x1,y1,score\n"
         "1,5,2,4,6,8,0.9\n"      # found first
         "1,6,3,4,7,8,0.5\n"      # found third
         "2,5,0,0,4,4,0.7\n"      # wrong, in the normal video
         "1,7,12,12,16,16,0.3\n")  # wrong, beside the region, which stays missed
BY_HAND = {"rbdc": 0.125 * (1 / 3 + 2 / 3) / 2 + 0.875 * 2 / 3, "tbdc": 1.0}
"""Region rate 1/3 at 0 false a frame (0.9), then 1/3 at 1/8 (0.7), 2/3 at 1/8 (0.5), 2/3 at 2/8 (0.3); the curve takes
the best rate at 1/8, joins it to 1/3 at 0, and is level after it. The track is found from the start."""


def masks(folder):
    """The same truth as mask images of 20 x 20."""
    for video in (1, 2):
        (folder / f"{video:02d}").mkdir(parents=True)
        for f in range(5, 9):
            image = np.zeros((20, 20), np.uint8)
            if video == 1 and f < 8:
                image[4:8, f - 3:f + 1] = 255
            cv2.imwrite(str(folder / f"{video:02d}" / f"{f:03d}.png"), image)
    return folder


def write(path, text):
    path.write_text(text)
    return path


def run(*args):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(list(map(str, args))))


def values(found):
    return {k: i.value for k, i in found[0].items()}


def test_boxes_against_tracks_and_against_masks_by_hand(tmp_path):
    found, truth = (write(tmp_path / f"{n}.csv", t) for n, t in (("found", FOUND), ("truth", TRUTH)))
    boxes = read_boxes(found)
    assert values(region_intervals(boxes, IDS, read_regions(truth), draws=0)) == pytest.approx(BY_HAND)
    folder = masks(tmp_path / "masks")
    got = region_intervals(boxes, IDS, read_regions(folder), draws=0)
    assert values(got) == pytest.approx(BY_HAND) and "3 regions of 1 tracks in 8 frames of 2 videos" in got[1]
    # masks at half the size of the frames
    half = tmp_path / "half"
    for path in folder.rglob("*.png"):
        (half / path.parent.name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(half / path.parent.name / path.name), cv2.imread(str(path), 0).repeat(2, 0).repeat(2, 1))
    big = write(tmp_path / "big.csv", FOUND)
    again = region_intervals(read_boxes(big), IDS, half, size=(20, 20), draws=0)
    assert values(again) == pytest.approx(BY_HAND)


def test_maps_against_tracks_are_maps_against_masks(tmp_path):
    truth, folder = write(tmp_path / "truth.csv", TRUTH), masks(tmp_path / "masks")
    maps = np.random.default_rng(0).random((8, 20, 20)).astype(np.float16)
    maps[:3, 4:8, 2:6] += 1
    one = region_counts(maps, IDS, read_regions(truth), size=(20, 20))
    two = region_counts(maps, IDS, folder)
    for a, b in zip(one, two):
        assert (a.false == b.false).all() and (a.regions == b.regions).all() and (a.tracks == b.tracks).all()
        assert (a.all_regions, a.all_tracks) == (b.all_regions, b.all_tracks)
    assert sum(c.regions.max() for c in one) == 3
    with pytest.raises(PixelPlayError, match="size is not known"):
        region_counts(maps, IDS, read_regions(truth))
    with pytest.raises(PixelPlayError, match=r"outside a frame of 5 x 5 pixels, at 1_7"):
        far = write(tmp_path / "o.csv", "Id,x0,y0,x1,y1,track\n1_7,6,6,8,8,1\n")
        region_counts(maps, IDS, read_regions(far), size=(5, 5))


def test_tracks_of_two_videos_with_one_name_are_two(tmp_path):
    text = "Id,x0,y0,x1,y1,track\n1_5,0,0,2,2,a\n2_5,0,0,2,2,a\n2_6,0,0,2,2,a\n2_6,4,4,6,6,b\n"
    counts = region_counts(read_boxes(write(tmp_path / "f.csv", "Id,x0,y0,x1,y1,score\n2_6,0,0,2,2,1\n")), IDS,
                           read_boxes(write(tmp_path / "t.csv", text), "track"))
    assert [c.all_tracks for c in counts] == [1, 2] and [c.all_regions for c in counts] == [1, 3]
    assert [c.tracks.tolist() for c in counts] == [[0], [1]] and [c.regions.tolist() for c in counts] == [[0], [1]]


def test_nothing_found_and_nothing_to_find(tmp_path):
    nothing = read_boxes(write(tmp_path / "n.csv", "Id,x0,y0,x1,y1,score\n"))
    truth = read_boxes(write(tmp_path / "t.csv", TRUTH), "track")
    assert values(region_intervals(nothing, IDS, truth, draws=5)) == {"rbdc": 0, "tbdc": 0}
    none = read_boxes(write(tmp_path / "e.csv", "Id,x0,y0,x1,y1,track\n"), "track")
    found = read_boxes(write(tmp_path / "f.csv", FOUND))
    assert all(np.isnan(v) for v in values(region_intervals(found, IDS, none, draws=5)).values())


def test_many_distinct_scores_are_thinned_and_keep_both_ends(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"1_5,0,0,4,4,{s!r}\n" for s in rng.random(3000).tolist()]
    truth = read_boxes(write(tmp_path / "t.csv", "Id,x0,y0,x1,y1,track\n1_5,0,0,4,4,1\n"), "track")
    counts = region_counts(read_boxes(write(tmp_path / "f.csv", "Id,x0,y0,x1,y1,score\n" + "".join(rows))), IDS, truth)
    assert len(counts[0].false) == 1000 and counts[0].regions.tolist() == [1.0] * 1000


def test_a_box_becomes_the_cells_it_covers_by_half():
    assert np.argwhere(rasterise((2, 4, 4, 8), (8, 8), (4, 4))).tolist() == [[2, 1], [3, 1]]
    assert np.argwhere(rasterise((3.1, 0, 4, 2), (8, 8), (4, 4))).tolist() == [[0, 1]]
    assert bounds(rasterise((1, 2, 5, 7), (10, 10), (10, 10))) == (1, 2, 5, 7)
    # over the border only the inside counts
    assert rasterise((-5, -5, 2, 2), (8, 8), (4, 4)).sum() == 1
    with pytest.raises(ValueError, match="outside"):
        rasterise((9, 0, 12, 2), (8, 8), (4, 4))


@pytest.mark.parametrize(("text", "says"), [
    ("Id,x0,y0,x1,y1\n1_5,0,0,1,1\n", "no column score"), ("x0,y0,x1,y1,score\n0,0,1,1,1\n", "no column Id"),
    ("Id,x0,y0,x1,score\n", "no column y1"), ("Id,x0,y0,x1,y1,score\n1_5,0,0,1,1,nan\n", "line 2: score is 'nan'"),
    ("Id,x0,y0,x1,y1,score\n1_5,0,0,1,1,1\n1_5,2,0,1,1,1\n", "line 3: an empty box"),
    ("Id,x0,y0,x1,y1,score\nfive,0,0,1,1,1\n", "line 2: 'five' is not an Id"), ("", "is not a CSV file")])
def test_damaged_boxes_are_mistakes_that_name_the_line(tmp_path, text, says):
    with pytest.raises(PixelPlayError, match=says):
        read_boxes(write(tmp_path / "b.csv", text))


def test_boxes_at_frames_nobody_scored_are_named(tmp_path):
    truth = read_boxes(write(tmp_path / "t.csv", TRUTH), "track")
    found = read_boxes(write(tmp_path / "f.csv", FOUND))
    with pytest.raises(PixelPlayError, match=r"detected boxes at 1 frames that are not scored \(first: 1_7\)"):
        region_counts(found, [i for i in IDS if i != "1_7"], truth)
    part = [i for i in IDS if i != "1_6"]
    some = found.select(found.frames != 6)
    with pytest.raises(PixelPlayError, match=r"regions at 1 frames that are not scored \(first: 1_6\)"):
        region_counts(some, part, truth)
    # the data lacks the frame, or the user says so
    for counts in (region_counts(some, part, truth, known=part), region_counts(found, part, truth, partial=True)):
        assert sum(c.all_regions for c in counts) == 2 and sum(c.frames for c in counts) == 7
    with pytest.raises(PixelPlayError, match="no regions at"):
        read_regions(write(tmp_path / "labels.csv", "Id,label\n1_5,0\n").parent / "absent")


def test_the_command_reads_boxes_maps_masks_and_tracks(tmp_path, capsys):
    found, truth = (write(tmp_path / f"{n}.csv", t) for n, t in (("found", FOUND), ("truth", TRUTH)))
    folder = masks(tmp_path / "masks")
    assert run("--detections", found, "--regions", folder, "--bootstrap", 20, "--json", tmp_path / "o.json") == 0
    said, numbers = capsys.readouterr().out, json.loads((tmp_path / "o.json").read_text())
    assert "RBDC" in said and f"{100 * BY_HAND['rbdc']:.2f} [" in said and "3 regions of 1 tracks in 8 frames" in said
    assert numbers["rows"]["found"]["rbdc"] == pytest.approx(BY_HAND["rbdc"])
    with pytest.raises(PixelPlayError, match="which frames were scored is not known"):
        run("--detections", found, "--regions", truth)
    # a score file says which frames there are, and gets its own row
    write(tmp_path / "a.csv", "Id,Predicted\n" + "".join(f"{i},{k}.5\n" for k, i in enumerate(IDS)))
    assert run("--scores", tmp_path / "a.csv", "--labels", folder, "--detections", found, "--regions", truth,
               "--bootstrap", 0, "--figures", tmp_path / "figures") == 0
    said = capsys.readouterr().out
    assert f"{100 * BY_HAND['rbdc']:.2f}" in said and "boxes with tracks" in said and "micro AUC" in said
    maps = np.zeros((8, 20, 20), np.float16)
    maps[0, 4:8, 2:6] = 1
    np.save(tmp_path / "a.npy", maps)
    paths = ("--scores", tmp_path / "a.csv", "--labels", folder, "--detections", tmp_path / "a.npy", "--bootstrap", 0)
    assert run(*paths, "--regions", truth, "--frame-size", "20x20") == 0
    by_tracks = capsys.readouterr().out.splitlines()[:2]
    assert run(*paths) == 0
    assert capsys.readouterr().out.splitlines()[:2] == by_tracks and "33.33" in by_tracks[1]
    for wrong, says in ((("--detections", found), "no ground truth"), ((), "nothing to evaluate"),
                        ((*paths, "--regions", truth, "--frame-size", "20"), "--frame-size 20"),
                        (("--detections", tmp_path / "none.npy", "--regions", folder), "do not exist"),
                        (("--detections", found, found, "--regions", folder), "two detections")):
        with pytest.raises(PixelPlayError, match=says):
            run(*wrong)


def test_avenue_masks_count_frames_from_zero(tmp_path):
    cells = np.empty((1, 4), dtype=object)
    for k in range(4):
        cells[0, k] = np.zeros((20, 20), np.uint8)
        cells[0, k][4:8, 2 + k:6 + k] = k < 3
    savemat(tmp_path / "1_label.mat", {"volLabel": cells})
    text = "Id,x0,y0,x1,y1,score\n1_0,2,4,6,8,0.9\n1_1,3,4,7,8,0.8\n1_2,4,4,8,8,0.7\n"
    found = read_boxes(write(tmp_path / "f.csv", text))
    got = region_intervals(found, [f"1_{k}" for k in range(4)], read_regions(tmp_path), draws=0)
    assert values(got) == {"rbdc": 1, "tbdc": 1}
    # the same frames under numbers that start at 1
    shifted = read_boxes(write(tmp_path / "s.csv", text.replace("1_2,", "1_3,").replace("1_1,", "1_2,")
                               .replace("1_0,", "1_1,")))
    assert values(region_intervals(shifted, [f"1_{k}" for k in range(1, 5)], tmp_path, draws=0))["rbdc"] == 1
