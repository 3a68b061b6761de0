"""Which actor stands for an event in the pictures."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from pixelplay.visual.people import Box
from pixelplay.visual.showcase import best_actor

FOOT, WALKER, CYCLIST = (10.0, 80.0, 20.0, 90.0), (60.0, 20.0, 90.0, 90.0), (120.0, 20.0, 150.0, 80.0)


def run_with(*frames, flags=None):
    """A run of a few frames of 160 x 100 pixels, each with (xyxy, score) actors."""
    people = SimpleNamespace(boxes=lambda r: [Box(xyxy, score) for xyxy, score in frames[r]],
                             nearest=lambda r, b: ("1_0", np.zeros(4)))
    return SimpleNamespace(people=people, test=pd.DataFrame({"flags": flags or [""] * len(frames)}),
                           footage=lambda split: SimpleNamespace(full_size=(100, 160)),
                           nearest_normal=lambda r, b: None)


def glow(xyxy):
    """A heat map that is hot inside a box, for every row."""
    hot = np.zeros((10, 16), np.float32)
    x0, y0, x1, y1 = (int(v) // 10 for v in xyxy)
    hot[y0:y1, x0:x1] = 1.0
    return lambda row: hot


def test_a_large_actor_goes_before_a_part_that_scores_a_little_higher():
    run = run_with([(FOOT, 4.0), (WALKER, 3.5)])
    assert best_actor(run, [0], None) == (0, 1)
    assert best_actor(run_with([(FOOT, 4.0), (WALKER, 3.0)]), [0], None) == (0, 0)  # far below the highest


def test_of_two_alike_the_one_that_the_autoencoders_did_not_expect_is_shown():
    run = run_with([(WALKER, 3.9), (CYCLIST, 3.8)])
    assert best_actor(run, [0], None) == (0, 0)
    assert best_actor(run, [0], glow(CYCLIST)) == (0, 1)


def test_an_undamaged_frame_and_then_one_near_the_peak_is_taken():
    assert best_actor(run_with([(WALKER, 4.0)], [(WALKER, 4.0)], flags=["noise", ""]), [0, 1], None, peak=0) == (1, 0)
    run = run_with([(WALKER, 4.0)], [(WALKER, 4.0)], [(WALKER, 4.0)])
    assert best_actor(run, [0, 1, 2], None, peak=1) == (1, 0)


def test_nobody_is_shown_where_nobody_is_unusual_or_was_compared():
    run = run_with([(WALKER, 1.9)], [])
    assert best_actor(run, [0, 1], None) is None
    assert best_actor(run_with([(WALKER, 4.0)]), [0], None, compared=True) is None
    run.people = None
    assert best_actor(run, [0], None) is None
