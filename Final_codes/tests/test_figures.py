"""Figures: functions of data that give a Figure, with the marks they promise, also for odd and empty input."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from finished_run import make_run
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from pixelplay.data.manifest import Manifest
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.labels import read_labels
from pixelplay.evaluation.report import Scored, evaluate
from pixelplay.fusion.events import Threshold
from pixelplay.registry import MODELS, model_class, model_title
from pixelplay.visual import plots, style
from pixelplay.visual.actors import Comparison, actors_figure, crop, nearest_figure, square
from pixelplay.visual.annotate import label
from pixelplay.visual.command import find_video, run_folder_of
from pixelplay.visual.error_maps import ErrorRow, error_maps
from pixelplay.visual.memory_map import covering_radii, memory_map, project, radius_curve
from pixelplay.visual.people import Box, People
from pixelplay.visual.repair_sheet import Pair, repair_sheet
from pixelplay.visual.run_folder import RunFolder
from pixelplay.visual.scores import correlation_matrix, metric_intervals, rank_correlation, score_histograms
from pixelplay.visual.style import save_figure, save_picture, spans, with_gaps
from pixelplay.visual.timeline import Track, score_timeline, timeline_page
from pixelplay.visual.timeline_svg import timeline_svg
from pixelplay.visual.training import find_curve, loss_curves, read_losses


def track(count=60, *, gap=True, labels=True, name="1"):
    rng = np.random.default_rng(0)
    frames = np.r_[10:10 + count // 2, 50 + count // 2:50 + count] if gap else np.arange(count)
    frames = frames[:count]
    final = rng.normal(0, 1, count)
    return Track(name, frames, final, {"stae": final + 1, "mine": final - 1},
                 (np.arange(count) % 20 > 14) if labels else None, np.where(np.arange(count) < 3, 0.1, 1.0),
                 np.array(["noise" if i == 4 else "blur" if i == 5 else "" for i in range(count)], dtype=object))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, footage = make_run(tmp_path_factory.mktemp("run"), models=("stae", "unet", "somebody_elses"))
    return RunFolder(folder, footage=footage)


# ---- style --------------------------------------------------------------------------------------------------


def test_lines_break_at_gaps_and_spans_do_not_cross_them():
    frames, values = np.array([1, 2, 3, 20, 21]), np.arange(5.0)
    x, y = with_gaps(frames, values)
    assert np.isnan(x[3]) and np.isnan(y[3]) and len(x) == 6
    assert spans(frames, np.array([0, 1, 1, 1, 0], bool)) == [(1.5, 3.5), (19.5, 20.5)]
    assert spans(frames, np.zeros(5, bool)) == []
    assert [len(v) for v in with_gaps(np.zeros(0, int), np.zeros(0))] == [0, 0]


def test_figures_are_small_reproducible_and_leave_pyplot_alone(tmp_path):
    figure = score_timeline(track())
    first = save_figure(figure, tmp_path / "a.png").read_bytes()
    assert save_figure(score_timeline(track()), tmp_path / "b.png").read_bytes() == first
    assert len(first) < 150_000 and first[:4] == b"\x89PNG"
    assert save_figure(figure, tmp_path / "a.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert figure._repr_png_()[:4] == b"\x89PNG" and pyplot.get_fignums() == []
    photo = score_timeline(track(), thumbnails=[(12, np.zeros((9, 16, 3), np.uint8))])
    assert photo._repr_png_() is None and photo._repr_jpeg_()[:2] == b"\xff\xd8"


def test_pictures_are_made_smaller_never_larger(tmp_path):
    image = np.zeros((40, 80, 3), np.uint8)
    for width, size in ((20, (20, 10)), (200, (80, 40)), (None, (80, 40))):
        assert Image.open(save_picture(image, tmp_path / "a.jpg", width=width)).size == size


def test_a_model_keeps_its_colour_and_others_get_their_own():
    colours = {name: style.model_colour(name, MODELS) for name in MODELS}
    assert len(set(colours.values())) == len(MODELS), "each of our models names another one"
    assert all(style.model_colour(name, ["a", name]) == colours[name] for name in MODELS)
    assert not {style.model_colour(name, ["a", "b"]) for name in "ab"} & set(colours.values())
    assert style.model_colour("a", ["a", "b"]) != style.model_colour("b", ["a", "b"])
    assert model_title("someone_elses") == "someone elses" and model_title("stae") == "STAE"


@pytest.mark.parametrize("colour", [*(model_class(name).colour for name in MODELS), *style.SPARE_COLOURS])
def test_lines_of_models_are_seen_on_light_and_on_dark(colour):
    assert min(style.contrast(colour, "#FFFFFF"), style.contrast(colour, "#14171C")) >= 3


# ---- timelines ----------------------------------------------------------------------------------------------


def test_timeline_marks_truth_quality_gap_and_threshold():
    one = track()
    figure = score_timeline(one, threshold=Threshold(1.0, 0.5, ""), thumbnails=[(15, np.zeros((9, 16, 3), np.uint8))])
    axes, strip = figure.axes[:2]
    assert len(axes.lines) == 5  # two models, final, where an event begins and where it ends
    assert any(np.isnan(line.get_xdata()).any() for line in axes.lines)
    assert len(axes.patches) == len(spans(one.frames, one.labels))
    assert len(strip.patches) == 3  # repaired, unreliable, no frames
    assert axes.get_ylabel() and "frame number" in strip.get_xlabel()
    assert one.repaired.sum() == 1 and one.unreliable.sum() == 3
    figure.canvas.draw()


@pytest.mark.parametrize("count", [1, 2, 60])
def test_timeline_of_any_length(count):
    figure = score_timeline(track(count, gap=False, labels=False), threshold=Threshold(0.0, -1.0, ""),
                            thumbnails=[(0, np.zeros((9, 16, 3), np.uint8))])
    figure.canvas.draw()
    assert timeline_svg(track(count, gap=False), low=-3, high=3).count("<path") == 3


def test_page_of_all_videos_shares_one_scale():
    figure = timeline_page([track(name=str(i)) for i in range(3)], threshold=Threshold(0.5, 0.2, ""))
    shown = [a for a in figure.axes if a.get_visible()]
    assert len(shown) == 3 and len({a.get_ylim() for a in shown}) == 1
    assert isinstance(timeline_page([]), Figure)


# ---- scores -------------------------------------------------------------------------------------------------


def test_rank_correlation_equals_scipy_and_survives_constants():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=50), rng.integers(0, 4, 50).astype(float)
    found = rank_correlation({"a": a, "b": b, "flat": np.ones(50)})
    assert found[0, 1] == pytest.approx(spearmanr(a, b).statistic)
    assert found[2, 0] == 0.0 and found[0, 0] == pytest.approx(1.0)
    correlation_matrix({"a": a, "b": b}).canvas.draw()


def test_histograms_with_and_without_labels_and_all_equal():
    values = np.r_[np.zeros(10), np.ones(5)]
    assert len(score_histograms({"stae": values}, labels=values > 0).axes) == 1
    score_histograms({"stae": np.ones(4), "unet": np.ones(4)}, train={"stae": np.ones(4)}).canvas.draw()


# ---- error maps, actors, repair -----------------------------------------------------------------------------


def test_error_maps_share_one_scale():
    image = np.full((24, 40, 3), 90, np.uint8)
    calm, loud = np.full((6, 10), 0.1), np.full((6, 10), 5.0)
    figure = error_maps([ErrorRow("1_1", image, calm), ErrorRow("1_2", image, loud, image)], title="t")
    shown = [i for a in figure.axes for i in a.images if i.norm.vmax == pytest.approx(5.0)]
    assert len(shown) == 2
    assert figure.axes[-1].get_ylabel() == "error"
    with pytest.raises(ValueError, match="at least one"):
        error_maps([])
    error_maps([ErrorRow("1_1", image, np.zeros((6, 10)))]).canvas.draw()


def test_actors_figure_and_crops_at_the_border():
    frame = np.zeros((60, 80, 3), np.uint8)
    boxes = [Box((10, 10, 30, 50), 4.0, "moves fast"), Box((50, 10, 60, 40), 0.2)]
    figure = actors_figure(frame, boxes, [Comparison(crop(frame, boxes[0].xyxy), None, "4.0: moves fast"),
                                          Comparison(crop(frame, boxes[1].xyxy), frame, "0.2", "video 1, frame 3")])
    figure.canvas.draw()
    actors_figure(frame, [], []).canvas.draw()
    assert crop(frame, (-20, -20, 5, 5)).shape == crop(frame, (79.6, 59.6, 300, 300)).shape == frame.shape


def test_actors_beside_their_nearest_training_actors():
    tall, wide = np.zeros((40, 10, 3), np.uint8), np.zeros((5, 30, 3), np.uint8)
    assert square(tall).shape == (40, 40, 3) and (square(tall)[:, 0] == 255).all() and (square(tall)[:, 20] == 0).all()
    figure = nearest_figure([Comparison(tall, wide, "4.0: moves fast", "video 1, frame 3"),
                             Comparison(wide, None, "3.0")], title="Odd")
    figure.canvas.draw()
    assert [a.get_visible() for a in figure.axes] == [True, True, True, False]
    with pytest.raises(ValueError, match="at least one actor"):
        nearest_figure([])


def test_labels_of_neighbours_do_not_cover_each_other():
    frame, taken = np.zeros((120, 160, 3), np.uint8), []
    for x in (40, 44, 48, 40):
        label(frame, "#3 object", Box((x, 60, x + 10, 80), 3.1), 11, (255, 255, 255), taken)
    assert len(taken) == 4
    for i, (left, top, right, low) in enumerate(taken):
        assert 0 <= left < right <= 160 and 0 <= top < low <= 120
        assert all(low <= t or b <= top or right <= x or r <= left for x, t, r, b in taken[:i])


def highest(parts):
    """A rarity for tests: the highest part."""
    return np.nan_to_num(np.fmax.reduce(list(parts.values())))


def test_people_carry_an_appearance_between_embedded_frames_but_not_across_videos():
    found = {"Id": np.array(["a_0", "a_1", "b_0", "x_9"]), "boxes": np.array([[0, 0, 10, 20]] * 4, float),
             "appearance_z": np.array([4.0, np.nan, np.nan, 1.0]), "motion_z": np.array([0.5, 1.0, np.nan, 9.0]),
             "reason": np.array(["looks odd", "", "", "other run"]), "nearest": np.array([1, -1, -1, 0]),
             "train_Id": np.array(["t_0", "t_7"]), "train_boxes": np.array([[0, 0, 5, 5], [1, 2, 3, 4]], float)}
    people = People(found, highest, ["a_0", "a_1", "b_0", "b_1"], np.array(["a", "a", "b", "b"]),
                    np.array([0, 1, 0, 1]))
    assert [b.score for r in range(4) for b in people.boxes(r)] == [4.0, 4.0, 0.0]
    identifier, box = people.nearest(1, 0)
    assert identifier == "t_7" and box.tolist() == [1.0, 2.0, 3.0, 4.0] and people.nearest(2, 0) is None
    assert people.words_near(1) == "looks odd" and people.words_near(3, reach=0) == ""
    nobody = People({k: v[:0] for k, v in found.items()}, highest, ["a_0"], np.array(["a"]), np.array([0]))
    assert nobody.boxes(0) == [] and nobody.words_near(0) == ""


def test_an_actor_is_scored_by_whatever_parts_its_model_judges():
    found = {"Id": np.array(["a_0", "b_0"]), "boxes": np.array([[0.0, 0.0, 9.0, 20.0]] * 2),
             "place_z": np.array([1.0, np.nan]), "gesture_z": np.array([np.nan, 5.0]),
             "reason": np.array(["", "waves"]),
             "nearest": np.array([-1, -1]), "train_Id": np.array([], str), "train_boxes": np.zeros((0, 4))}
    people = People(found, highest, ["a_0", "b_0"], np.array(["a", "b"]), np.array([0, 0]))
    assert [people.boxes(r)[0].score for r in (0, 1)] == [1.0, 5.0]
    assert people.words_near(1) == "waves"


def actors_of(*frames):
    """What `actor_arrays` gives for frames of (xyxy, score, reason) actors."""
    flat = [(f"a_{i}", *one) for i, frame in enumerate(frames) for one in frame]
    ids, boxes, scores, words = (list(column) for column in zip(*flat))
    found = {"Id": np.array(ids), "boxes": np.array(boxes, float), "appearance_z": np.full(len(flat), np.nan),
             "motion_z": np.array(scores, float), "reason": np.array(words), "nearest": np.full(len(flat), -1),
             "train_Id": np.array([], str), "train_boxes": np.zeros((0, 4))}
    n = len(frames)
    return People(found, highest, [f"a_{i}" for i in range(n)], np.array(["a"] * n), np.arange(n))


def test_the_parts_of_a_person_are_one_box_and_two_people_are_two():
    head, body, feet = (52, 20, 58, 30), (48, 31, 62, 62), (50, 64, 64, 70)
    others = [((90 + 20 * i, 22, 104 + 20 * i, 70), 0.0, "") for i in range(4)]
    people = actors_of([(head, 1.0, ""), (body, 2.5, "fast"), (feet, 4.0, "odd"), *others])
    boxes = people.boxes(0)
    assert len(boxes) == 5
    whole = max(boxes, key=lambda b: b.score)
    assert whole.xyxy == (48, 20, 64, 70) and whole.score == 4.0 and whole.words == "odd"
    rider = [((52, 16, 60, 36), 3.0, ""), ((44, 34, 68, 70), 4.0, "fast")]  # taller than a walker: they touch
    assert len(actors_of([*rider, *others]).boxes(0)) == 5
    behind = [((50, 0, 62, 44), 0.0, ""), ((48, 40, 64, 88), 0.0, "")]  # one above the other, each of full height
    assert len(actors_of([*behind, *others]).boxes(0)) == 6


def test_an_actor_is_followed_has_one_reason_and_does_not_blink():
    path = [((10 + 4 * i, 20, 24 + 4 * i, 60), 0.5, "") for i in range(12)]
    path[6] = (path[6][0], 5.0, "moves 6.8 x the usual top speed here")
    people = actors_of(*([one, ((150, 20, 164, 60), 0.0, "")] for one in path))
    seen = [next(b for b in people.boxes(row) if b.xyxy[0] < 100) for row in range(12)]
    assert {b.track for b in seen} == {1} and len({b.words for b in seen}) == 1
    assert [b.score for b in seen] == [0.5] + [5.0] * 11
    ways = np.array(seen[-1].trace)
    assert len(ways) == 12 and (np.diff(ways[:, 0]) > 0).all() and np.ptp(ways[:, 1]) == 0
    still = [b for row in range(12) for b in people.boxes(row) if b.xyxy[0] > 100]
    assert {b.track for b in still} == {0}


def test_a_crop_shows_its_actor_with_context_and_stays_in_the_frame():
    frame = np.zeros((200, 320, 3), np.uint8)
    frame[100:140, 150:160] = 255
    part = crop(frame, (150, 100, 160, 140))
    assert part.shape == (96, 96, 3) and part.any() and not part[0].any() and not part[:, 0].any()
    assert crop(frame, (0, 0, 100, 90)).shape == (200, 200, 3)
    assert crop(frame[:50, :60], (0, 0, 100, 90)).shape == (50, 60, 3)


def test_contact_sheet():
    image = np.zeros((20, 30, 3), np.uint8)
    figure = repair_sheet([Pair(f"1_{i}", image, image, "vflip|noise") for i in range(5)])
    assert sum(a.get_visible() for a in figure.axes) == 10
    with pytest.raises(ValueError, match="pair"):
        repair_sheet([])


# ---- memory, training ---------------------------------------------------------------------------------------


def test_projection_follows_the_training_features_alone():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(60, 5)) * [9, 3, 1, 1, 1]
    flat, shifted = project(train, train + 1)
    again, _ = project(train, train * 50)
    np.testing.assert_array_equal(flat, again)
    assert flat.std(axis=0)[0] > flat.std(axis=0)[1] and not np.allclose(flat, shifted)
    np.testing.assert_array_equal(project(np.ones((4, 3)), np.zeros((2, 3)))[0], np.zeros((4, 2)))


def test_covering_radii_fall_to_zero_and_match_the_definition():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 4))
    picks = rng.permutation(30)
    radii = covering_radii(features, picks)
    near = np.linalg.norm(features[:, None] - features[None, picks[:7]], axis=2).min(axis=1)
    assert radii[6] == pytest.approx(near.max(), rel=1e-4) and radii[-1] == pytest.approx(0.0, abs=1e-3)
    assert (np.diff(radii) <= 1e-9).all()
    radius_curve(radii, chosen=7).canvas.draw()
    memory_map(features, picks[:5], features[:3], test_scores=np.arange(3.0)).canvas.draw()
    memory_map(np.ones((3, 2)), np.array([0]), np.ones((1, 2))).canvas.draw()


def test_loss_curves_are_read_from_csv_and_card(tmp_path):
    (tmp_path / "main").mkdir()
    (tmp_path / "main" / "curve.csv").write_text("step,total,held_out,clips_per_second\n10,2.0,\n20,1.0,1.5,90\n")
    curves = find_curve(tmp_path, tmp_path / "nothing")
    assert list(curves) == ["train", "held_out"] and curves["held_out"][0].tolist() == [20]
    loss_curves({"stae": curves}).canvas.draw()
    card = tmp_path / "card"
    card.mkdir()
    (card / "card.json").write_text(json.dumps({"curve": [{"step": 1, "total": 3.0, "held_out": 2.0}]}))
    assert find_curve(tmp_path / "nothing", card)["train"][1].tolist() == [3.0]
    assert find_curve(tmp_path / "nothing", tmp_path / "nothing") is None
    bad = tmp_path / "bad.csv"
    bad.write_text("epoch,loss\n1,2\n")
    with pytest.raises(PixelPlayError, match="columns epoch, loss"):
        read_losses(bad)


# ---- a run's figures, by folder -----------------------------------------------------------------------------


def test_every_notebook_figure_of_a_run(run):
    for figure in (plots.timeline(run), plots.timeline(run, models=["stae"]), plots.timelines(run),
                   plots.histograms(run), plots.correlation(run), plots.errors(run, "stae"), plots.frames(run)):
        assert isinstance(figure, Figure)
        figure.canvas.draw()


def test_two_scores_are_compared_as_ranks_with_their_metrics(run):
    axes = plots.compare(run, {"as fitted": run.labels.astype(float), "turned": -run.labels.astype(float)}).axes[0]
    words = [t.get_text() for t in axes.get_legend().get_texts()]
    assert "as fitted: AP 100.0, micro AUC 100.0" in words
    assert any(w.startswith("turned: ") and w.endswith("micro AUC 0.0") for w in words)


def test_errors_show_a_success_and_failures_in_words(run):
    words = plots._notable_rows(run, run.members["stae"].values, np.argsort(run.members["stae"].values, kind="stable"))
    rows = {word: row for row, word in words.items()}
    values, labels = run.members["stae"].values, run.labels
    assert values[rows["highest anomaly"]] == values[labels].max()
    assert values[rows["highest normal frame"]] == values[~labels].max()


def test_error_maps_are_shown_at_frames_that_a_window_reached(run, monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "_predictions", lambda run, model, rows: shown.extend(rows) or [None] * len(rows))
    file = run.members["stae"]
    odd = np.flatnonzero(run.labels)
    loudest = odd[np.argmax(file.values[odd])]
    filled = {"filled": {"ids": [run.test["Id"].iloc[loudest]]}}
    monkeypatch.setitem(run.members, "stae", dataclasses.replace(file, about=file.about | filled))
    plots.errors(run, "stae")
    assert loudest not in shown and run.labels[shown[0]] and not run.labels[shown[-1]]


def test_curves_name_the_submissions_in_words_below_the_axes(run, monkeypatch):
    ids = run.test["Id"].to_numpy(object)
    found = evaluate([Scored(n, ids, run.final + i) for i, n in enumerate(("submission", "stae", "frame_difference"))],
                     read_labels(run.label_path), draws=5)
    monkeypatch.setattr(plots, "evaluation", lambda run: found)
    drawn = []
    monkeypatch.setattr(style, "side_by_side", lambda figures: drawn.extend(figures) or figures[0])
    plots.curves(run), plots.videos(run)
    for figure in drawn:
        figure.canvas.draw()
        words = " ".join(t.get_text() for t in figure.legends[0].get_texts())
        assert "all together" in words and "baseline" in words and "stae" not in words
        assert figure.axes[0].get_legend() is None and len(figure.legends) == 1
    assert len(drawn) == 3


def test_models_and_their_intervals(run, tmp_path):
    assert plots.models(run) is None  # nothing was evaluated
    rows = {"submission": {"ap": 0.7, "ap_low": 0.5, "ap_high": 0.8, "micro_auc": 0.9}, "stae": {"ap": None}}
    figure = metric_intervals(rows, (("ap", "average precision"), ("micro_auc", "micro AUC")), base_rate=0.3)
    figure.canvas.draw()
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["submission", "stae"]
    assert {t.get_text() for t in figure.axes[0].texts} == {"70.0"}


def test_what_a_run_lacks_is_no_figure_but_no_error_either(run, tmp_path):
    assert plots.repairs(run) is None and plots.training(run) is None and plots.memory(run) is None
    assert plots.actors(run) is None and plots.metrics_table(run) is None and plots.errors(run, "joint") is None
    assert plots.timeline(run, models=["joint"]) is None
    folder, footage = make_run(tmp_path, models=(), frames=6)
    empty = RunFolder(folder, footage=footage)
    assert plots.timelines(empty) is None and plots.histograms(empty) is None and plots.correlation(empty) is None


def test_a_single_model_is_shown_raw(run):
    figure = plots.timeline(run, models=["stae"], video="2")
    assert "raw score of STAE" in figure.axes[0].get_ylabel()
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata()[-10:], run.members["stae"].values[190:200])


# ---- commands -----------------------------------------------------------------------------------------------


def test_watch_file_finds_the_video_by_path_and_by_name(run, tmp_path):
    place = run.folder / "2"
    place.mkdir(exist_ok=True)
    first = run.test["path"].iloc[100]
    (run.folder / first).touch()
    assert run_folder_of(run.folder / "scores") == run.folder.resolve() or run_folder_of(run.folder) == run.folder
    for wanted in (place, tmp_path / "2", tmp_path / "02.avi"):
        name, found = find_video(run, wanted)
        assert (name, found) == ("2", slice(100, 200))


def test_watch_file_says_what_is_wrong(run, tmp_path):
    with pytest.raises(PixelPlayError, match="was not scored"):
        find_video(run, tmp_path / "elsewhere.mp4")
    with pytest.raises(PixelPlayError, match="are missing"):
        find_video(run, tmp_path / "3")
    with pytest.raises(PixelPlayError, match="no finished run"):
        run_folder_of(tmp_path)
    table = run.manifest.table
    root = tmp_path / "train"
    (root / "1").mkdir(parents=True)
    trained = RunFolder(run.folder)
    trained.manifest = Manifest(table, {"train": root, "test": run.folder}, "x")
    with pytest.raises(PixelPlayError, match="training video"):
        find_video(trained, root / "1")
