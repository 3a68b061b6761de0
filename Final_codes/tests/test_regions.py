"""RBDC and TBDC against cases worked by hand."""

import cv2
import numpy as np
import pytest

from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.localisation import region_intervals
from pixelplay.evaluation.regions import (
    Boxes,
    Counts,
    Truth,
    area,
    count_boxes,
    count_maps,
    criteria,
    link_masks,
    thresholds_of,
)


def square(y, x, side=4, size=(20, 20)):
    mask = np.zeros(size, bool)
    mask[y:y + side, x:x + side] = True
    return mask


def boxes(frames, xyxy, scores):
    return Boxes(np.array(frames), np.array(xyxy, float).reshape(-1, 4), np.array(scores, float))


def test_the_area_by_hand():
    # rises (0,0) -> (0, .5) -> (.5, 1), then level: .5 * .75 + .5 * 1
    assert area(np.array([0.0, 0.5]), np.array([0.5, 1.0])) == pytest.approx(0.875)
    # first point at .5 false positives, cut at 1 on the way to (1.5, 1)
    assert area(np.array([0.5, 1.5]), np.array([0.5, 1.0])) == pytest.approx(0.5 * 0.25 + 0.5 * 0.625)
    # a rate that falls again keeps its best
    assert area(np.array([0.0, 0.2, 0.4]), np.array([1.0, 0.2, 0.6])) == 1
    assert area(np.array([2.0]), np.array([1.0])) == pytest.approx(0.25)
    assert area(np.array([0.0]), np.array([0.0])) == 0


def test_boxes_by_hand():
    """Two frames, a track of two regions; the first is found at .9 and the second at .4; a wrong box scores .6."""
    found = boxes([0, 1, 1], [[0, 0, 4, 4], [0, 0, 4, 4], [10, 10, 12, 12]], [0.9, 0.4, 0.6])
    truth = boxes([0, 1], [[0, 0, 4, 4], [0, 0, 4, 4]], [0, 0])
    counts = count_boxes(found, truth, np.array([7, 7]), 2, np.array([0.9, 0.6, 0.4]))
    assert counts.false.tolist() == [0, 1, 1] and counts.regions.tolist() == [1, 1, 2]
    assert counts.tracks.tolist() == [1, 1, 1] and (counts.all_regions, counts.all_tracks) == (2, 1)
    # rate .5 at 0, 1 at half a false positive a frame: .5 * .75 + .5; the track is found from the start
    assert criteria([counts]) == pytest.approx({"rbdc": 0.875, "tbdc": 1.0})


def test_a_box_that_overlaps_too_little_is_wrong_and_misses():
    truth = boxes([0], [[0, 0, 10, 10]], [0])
    for side, good in ((3.1, False), (3.2, True)):
        counts = count_boxes(boxes([0], [[0, 0, side, side]], [1.0]), truth, np.array([0]), 1, np.array([1.0]))
        assert counts.regions.tolist() == [float(good)] and counts.false.tolist() == [float(not good)]


def test_two_boxes_on_one_region_are_no_false_positives():
    found = boxes([0, 0], [[0, 0, 4, 4], [1, 1, 5, 5]], [0.9, 0.8])
    counts = count_boxes(found, boxes([0], [[0, 0, 4, 4]], [0]), np.array([0]), 1, np.array([0.9, 0.8]))
    assert counts.false.tolist() == [0, 0] and counts.regions.tolist() == [1, 1]


def test_a_tenth_of_a_track_is_enough():
    truth = boxes(range(20), [[0, 0, 4, 4]] * 20, [0] * 20)
    for detected, good in ((1, 0), (2, 1)):
        found = boxes(range(detected), [[0, 0, 4, 4]] * detected, [1.0] * detected)
        counts = count_boxes(found, truth, np.zeros(20, int), 20, np.array([1.0]))
        assert counts.tracks.tolist() == [good]


def test_maps_by_hand():
    """One frame: the true region scores 3, a wrong one 2, and a bridge of 1 joins them into a third region."""
    image = np.zeros((20, 20))
    image[5, 0:20] = 1
    image[4:8, 2:6], image[4:8, 14:18] = 3, 2
    truth = Truth({0: [(0, square(4, 2))]}, 1)
    counts = count_maps(image[None], truth, np.array([3.0, 2.0, 1.0]))
    # at 1 the joint region of 16 + 16 + 12 pixels still holds the 16 true ones: IoU 16 / 44
    assert counts.regions.tolist() == [1, 1, 1] and counts.false.tolist() == [0, 1, 0]
    # at 0 everything is one region: IoU 16 / 400 is a miss and a false positive
    low = count_maps(image[None], truth, np.array([0.0]))
    assert low.regions.tolist() == [0] and low.false.tolist() == [1]


def tracks_of(linked):
    return {track for regions in linked.values() for track, _ in regions}


def test_perfect_and_hopeless_maps():
    frames = [square(4, 2 + k) for k in range(8)]
    linked = link_masks(list(enumerate(frames)))
    assert tracks_of(linked) == {0}
    perfect = np.stack(frames).astype(float)
    thresholds = np.array([1.0, 0.5])
    good = count_maps(perfect, Truth(linked, 8), thresholds)
    assert criteria([good]) == {"rbdc": 1.0, "tbdc": 1.0}
    elsewhere = np.roll(perfect, 10, axis=1)
    assert criteria([count_maps(elsewhere, Truth(linked, 8), thresholds)]) == {"rbdc": 0.0, "tbdc": 0.0}
    normal = count_maps(perfect, Truth({}, 8), thresholds)
    assert all(np.isnan(v) for v in criteria([normal]).values())
    both = criteria([good, normal])
    # false positives of the normal video: half a region a frame, but only after everything is detected
    assert both["rbdc"] == pytest.approx(0.5 * 0.5 + 0.5)


def test_weights_repeat_videos():
    a = Counts(np.array([0.0, 3]), np.array([1.0, 2]), np.array([1.0, 1]), 4, 2, 1)
    b = Counts(np.array([1.0, 2]), np.array([0.0, 5]), np.array([0.0, 1]), 6, 5, 2)
    assert criteria([a, b], np.array([2, 1])) == criteria([a, a, b])
    assert all(np.isnan(v) for v in criteria([a, b], np.zeros(2)).values())


def test_masks_of_other_sizes_and_lengths_are_refused():
    with pytest.raises(ValueError, match="differ in size"):
        count_maps(np.zeros((1, 5, 5)), Truth({0: [(0, square(1, 1))]}, 1), np.array([0.5]))
    with pytest.raises(ValueError, match="maps for"):
        count_maps(np.zeros((2, 5, 5)), Truth({}, 1), np.array([0.5]))


def test_linking_keeps_two_walkers_apart_and_ends_at_gaps():
    masks = [square(2, 2 + k) | square(12, 12 - k) for k in range(5)]
    linked = link_masks(list(enumerate(masks)))
    assert tracks_of(linked) == {0, 1} and all(len(v) == 2 for v in linked.values())
    names = [{int(m.nonzero()[0][0]): t for t, m in regions} for regions in linked.values()]
    assert all(n == names[0] for n in names)
    assert tracks_of(link_masks([(0, masks[0]), (1, masks[1]), (5, masks[2])])) == {0, 1, 2, 3}
    empty = np.zeros((20, 20), bool)
    assert tracks_of(link_masks([(0, empty), (1, masks[0]), (2, empty), (3, masks[0])])) == {0, 1, 2, 3}
    assert link_masks([]) == {}


def test_a_region_smaller_than_a_cell_survives_the_smaller_size():
    linked = link_masks([(0, square(9, 9, side=1))], size=(5, 5))
    assert linked[0][0][1].sum() == 1


def test_thresholds_fall_and_cover_the_range():
    values = np.random.default_rng(0).random(50000)
    t = thresholds_of(values, 40)
    assert (np.diff(t) < 0).all() and t[-1] == pytest.approx(values.min())
    assert (t > np.quantile(values, 0.99)).sum() > 10
    assert len(thresholds_of(np.ones(9))) == 1


def test_criteria_of_maps_against_a_folder_of_masks(tmp_path):
    ids, maps = [], []
    for video in ("01", "02"):
        (tmp_path / video).mkdir()
        for k in range(6):
            mask = square(4, 2 + k) if video == "01" or k < 3 else np.zeros((20, 20), bool)
            cv2.imwrite(str(tmp_path / video / f"{k:03d}.png"), 255 * mask.astype(np.uint8))
            ids.append(f"{int(video)}_{k}")
            maps.append(mask * 1.0)
    maps = np.stack(maps).astype(np.float16)
    found, words = region_intervals(maps, ids, tmp_path, draws=30)
    assert "9 regions of 2 tracks in 12 frames of 2 videos" in words
    assert found["rbdc"].value == 1 and found["tbdc"].value == 1 and found["tbdc"].low == 1
    small = np.stack([cv2.resize(m.astype(np.float32), (10, 10), interpolation=cv2.INTER_AREA) for m in maps])
    assert region_intervals(small, ids, tmp_path, draws=0)[0]["rbdc"].value == 1
    with pytest.raises(PixelPlayError, match="for 12 frames"):
        region_intervals(maps[:5], ids, tmp_path)
    with pytest.raises(PixelPlayError, match=r"no mask for 1 frames .first: 1_6"):
        region_intervals(np.concatenate([maps, maps[:1]]), [*ids[:6], "1_6", *ids[6:]], tmp_path)
