"""The corruption generator: every kind, its plan, its determinism and its rates."""

import numpy as np
import pandas as pd
import pytest

from pixelplay.data.corruption import (
    KINDS,
    PIXEL_KINDS,
    RECIPES,
    Fault,
    Recipe,
    apply_plan,
    corrupt_frame,
    encode,
    frame_path,
    frame_rng,
    jpeg,
    plan_corruption,
    recipe_named,
)
from pixelplay.errors import PixelPlayError


def picture(seed=0, size=(48, 64)):
    rng = np.random.default_rng(seed)
    return np.repeat(np.repeat(rng.integers(60, 190, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8), 8, 0), 8, 1)


def ids(n, video="1", start=0):
    return [f"{video}_{i}" for i in range(start, start + n)]


def test_flips_undo_themselves():
    frame = picture()
    for kind in ("vflip", "hflip", "rot180"):
        once = corrupt_frame(frame, kind, 0, frame_rng(0, "1_0"))
        assert (once != frame).any()
        assert (corrupt_frame(once, kind, 0, frame_rng(0, "1_0")) == frame).all()
    assert (corrupt_frame(frame, "vflip", 0, frame_rng(0, "a_1"))[0] == frame[-1]).all()


@pytest.mark.parametrize(("kind", "strength", "deviation"), [("noise", 20.0, 20.0), ("uniform", 35.0, 35 / 3 ** .5)])
def test_noise_has_the_strength_asked_for(kind, strength, deviation):
    frame = np.full((120, 160, 3), 128, np.uint8)
    noise = corrupt_frame(frame, kind, strength, frame_rng(0, "1_0")).astype(float) - 128
    assert noise.std() == pytest.approx(deviation, rel=.02)
    assert abs(noise.mean()) < .5
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < .05


def test_other_kinds_do_what_they_say():
    frame = picture(size=(96, 128))
    rng = frame_rng(0, "1_0")
    impulse = corrupt_frame(frame, "impulse", .1, rng)
    assert (impulse != frame).any(-1).mean() == pytest.approx(.1, abs=.02)
    assert corrupt_frame(frame, "blank", 0, rng).max() == 0
    assert corrupt_frame(frame, "exposure", .5, rng).mean() == pytest.approx(frame.mean() / 2, rel=.02)
    assert np.abs(np.diff(corrupt_frame(frame, "blur", 3, rng).astype(int), axis=1)).max() < 60
    assert (corrupt_frame(frame, "shift", 5, rng) != frame).any()


def test_input_is_not_changed_and_sequence_kinds_are_refused():
    frame = picture()
    before = frame.copy()
    for kind in PIXEL_KINDS:
        out = corrupt_frame(frame, kind, .5, frame_rng(0, "1_0"))
        assert out.dtype == np.uint8 and out.shape == frame.shape and not np.shares_memory(out, frame)
    assert (frame == before).all()
    with pytest.raises(ValueError, match="single picture"):
        corrupt_frame(frame, "frozen", 1, frame_rng(0, "1_0"))


def test_jpeg_halves_the_chroma_and_png_keeps_everything():
    frame = corrupt_frame(np.full((64, 64, 3), 128, np.uint8), "noise", 30, frame_rng(0, "1_0"))
    assert (jpeg(frame, 0) == frame).all()
    def chroma(x):
        return (x[..., 0].astype(float) - x[..., 1]).std()
    assert chroma(jpeg(frame, 90, "420")) < .8 * chroma(jpeg(frame, 90, "444"))
    assert len(encode(frame, 30)) < len(encode(frame, 95))


def test_plan_is_seeded_and_keeps_rates_and_exclusion():
    names = ids(4000)
    plan = plan_corruption(names, RECIPES["competition"], np.random.default_rng(1))
    pd.testing.assert_frame_equal(plan, plan_corruption(names, RECIPES["competition"], np.random.default_rng(1)))
    assert not plan.equals(plan_corruption(names, RECIPES["competition"], np.random.default_rng(2)))
    assert (plan["kind"] == "vflip").mean() == pytest.approx(.102, abs=.02)
    assert (plan["strength"] == "37").mean() == pytest.approx(.244, abs=.03)
    assert (plan["strength"] == "27").mean() == pytest.approx(.155, abs=.03)
    assert not plan["kind"].str.contains("|", regex=False).any()
    assert .008 < plan["dropped"].mean() < .026
    assert (plan["source"] == plan["Id"]).all()


def test_groups_are_independent():
    plan = plan_corruption(ids(4000), RECIPES["flips-in-noise"], np.random.default_rng(0))
    assert (plan["kind"] == "vflip|noise").mean() == pytest.approx(.05, abs=.015)


def test_frozen_runs_repeat_one_picture_with_its_damage_and_stop_at_the_video():
    recipe = Recipe((Fault("frozen", .1, 5.0, "time"), Fault("noise", .5, 20.0)), quality=0)
    names = ids(60, "1") + ids(60, "2")
    plan = plan_corruption(names, recipe, np.random.default_rng(3)).set_index("Id")
    frozen = plan[plan["kind"].str.contains("frozen")]
    assert len(frozen) > 10
    assert (frozen["source"].str.split("_").str[0] == frozen.index.str.split("_").str[0]).all()
    assert "frozen" not in plan.loc["1_0", "kind"] and "frozen" not in plan.loc["2_0", "kind"]
    frame = picture()
    for name, row in frozen.iterrows():
        source = plan.loc[row["source"]]
        assert row["kind"] == "|".join(k for k in (source["kind"], "frozen") if k), name
        assert (apply_plan(frame, row, 7) == apply_plan(frame, source, 7)).all()


def test_first_and_last_frame_are_never_dropped_and_empty_input_is_fine():
    plan = plan_corruption(ids(5), Recipe(dropped=1.0), np.random.default_rng(0))
    assert plan["dropped"].tolist() == [False, True, True, True, False]
    empty = plan_corruption([], RECIPES["everything"], np.random.default_rng(0))
    assert len(empty) == 0 and list(empty.columns) == ["Id", "kind", "strength", "source", "dropped"]


def test_mistakes_are_named():
    with pytest.raises(PixelPlayError, match="competition"):
        recipe_named("competitoin")
    with pytest.raises(PixelPlayError, match="vflip"):
        Fault("flip", .1)
    with pytest.raises(PixelPlayError, match="between 0 and 1"):
        Fault("vflip", 10)
    with pytest.raises(PixelPlayError, match="at most 1"):
        Recipe((Fault("vflip", .6), Fault("noise", .6, 9)))
    with pytest.raises(PixelPlayError, match="chroma"):
        Recipe(chroma="411")
    for recipe in RECIPES.values():
        assert {f.kind for f in recipe.faults} <= set(KINDS)


def test_paths_follow_the_competition_layout():
    assert frame_path("test", "1_939", ".jpg") == "testing_videos/01/frame_00939.jpg"
    assert frame_path("train", "vtest_3", ".png") == "training_videos/vtest/frame_00003.png"
