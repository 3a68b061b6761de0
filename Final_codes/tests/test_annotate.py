"""Annotated video: codec, size, rate, time, gaps, marks and mistakes."""

from __future__ import annotations

import av
import numpy as np
import pytest

from pixelplay.cli import main
from pixelplay.data.layouts import find_dataset
from pixelplay.data.manifest import FLAGS, Manifest
from pixelplay.detector import write_training
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.events import Event, Threshold
from pixelplay.fusion.scores import write_scores
from pixelplay.paths import RunPaths
from pixelplay.repair.stage import prepare
from pixelplay.sample.dataset import make_sample
from pixelplay.visual import plots, style
from pixelplay.visual.annotate import Strip, annotate_video, draw_frame, overlay_heat, put_text
from pixelplay.visual.people import Box
from pixelplay.visual.run_video import note

RULE = Threshold(2.0, 1.0, "")


def grey(count, size=(64, 96), value=120):
    for _ in range(count):
        yield np.full((*size, 3), value, np.uint8)


def read_back(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(f.pts * stream.time_base, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
        return stream.codec_context, stream.average_rate, frames


def test_h264_yuv420p_with_the_index_in_front(tmp_path):
    path = annotate_video(grey(12), np.linspace(0, 3, 12), tmp_path / "out.mp4", fps=25, threshold=RULE)
    codec, rate, frames = read_back(path)
    assert codec.name == "h264" and codec.pix_fmt == "yuv420p"
    assert (codec.width, codec.height, rate, len(frames)) == (96, 64, 25, 12)
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")  # a browser can start before all of it is there
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("size", [(63, 96), (64, 97), (33, 41)])
def test_odd_sizes_gain_one_line(tmp_path, size):
    path = annotate_video(grey(3, size), np.zeros(3), tmp_path / "out.mp4", fps=10)
    codec, _, _ = read_back(path)
    assert (codec.height, codec.width) == (size[0] + size[0] % 2, size[1] + size[1] % 2)


def test_fractional_rates_survive(tmp_path):
    _, rate, _ = read_back(annotate_video(grey(30), np.zeros(30), tmp_path / "out.mp4", fps=30000 / 1001))
    assert float(rate) == pytest.approx(29.97, abs=0.01)


def test_a_hole_in_the_numbers_stays_a_hole_in_time(tmp_path):
    numbers = np.r_[100:110, 120:130]
    images = (np.full((64, 96, 3), 200 if n < 115 else 80, np.uint8) for n in numbers)
    _, _, frames = read_back(annotate_video(images, np.zeros(20), tmp_path / "out.mp4", fps=10, numbers=numbers))
    times = [float(t) for t, _ in frames]
    np.testing.assert_allclose(times, np.arange(30) / 10, atol=1e-3)
    middle = [f[32, 60].mean() for _, f in frames]
    assert middle[5] == pytest.approx(200, abs=8)
    assert middle[15] == pytest.approx(200, abs=8)  # nothing was seen: the last picture stands, and does not flash
    corner = [f[6:16, 40:90].astype(int) for _, f in frames]
    assert np.abs(corner[15] - corner[5]).mean() > 20  # and says so
    assert middle[25] == pytest.approx(80, abs=8)


def test_one_frame_and_equal_scores(tmp_path):
    assert len(read_back(annotate_video(grey(1), np.zeros(1), tmp_path / "a.mp4", fps=25))[2]) == 1
    assert len(read_back(annotate_video(grey(4), np.ones(4), tmp_path / "b.mp4", fps=25, threshold=RULE))[2]) == 4


@pytest.mark.parametrize(("frames", "scores", "words"), [(0, 3, "no frames"), (2, 3, "2 frames but 3 scores"),
                                                         (5, 3, "3 scores")])
def test_frames_and_scores_must_match(tmp_path, frames, scores, words):
    with pytest.raises(PixelPlayError, match=words):
        annotate_video(grey(frames), np.zeros(scores), tmp_path / "out.mp4", fps=25)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_size_is_named(tmp_path):
    frames = [np.zeros((64, 96, 3), np.uint8), np.zeros((64, 98, 3), np.uint8)]
    with pytest.raises(PixelPlayError, match="frame 7 is 98x64"):
        annotate_video(frames, np.zeros(2), tmp_path / "out.mp4", fps=25, numbers=np.array([6, 7]))


def test_frames_are_taken_one_at_a_time(tmp_path):
    alive, most = [0], [0]

    class Counted(np.ndarray):
        def __del__(self):
            alive[0] -= 1

    def frames():
        for _ in range(40):
            alive[0] += 1
            most[0] = max(most[0], alive[0])
            yield np.full((64, 96, 3), 90, np.uint8).view(Counted)

    annotate_video(frames(), np.zeros(40), tmp_path / "out.mp4", fps=25)
    assert most[0] <= 12  # views made on the way count as well; forty would mean the video is held in memory


def test_only_unusual_actors_are_drawn():
    frame = np.full((120, 160, 3), 100, np.uint8)
    calm = draw_frame(frame, [Box((40, 40, 60, 80), 1.9, "", 1, ((10, 60), (40, 60)))])
    assert (calm == frame).all() and calm is not frame
    high = draw_frame(frame, [Box((40, 40, 60, 80), 5.0, "fast", 1, ((10, 60), (40, 60)))])
    assert tuple(high[60, 40]) == tuple(high[60, 20]) == (213, 94, 0)  # its box, and the way it came
    assert (frame == 100).all()


def test_heat_tints_and_outlines_but_hides_nothing():
    frame = np.full((120, 160, 3), 100, np.uint8)
    frame[70:90, 80:100:4] = 30  # an object with stripes
    hot = np.zeros((6, 8), np.float32)
    hot[3:5, 4:6] = 1.0
    warm = overlay_heat(frame, hot)
    assert (warm[5, 5] == frame[5, 5]).all()
    inside, before = warm[76:84, 86:94].astype(int), frame[76:84, 86:94].astype(int)
    assert np.ptp(inside[..., 0]) >= 0.69 * np.ptp(before[..., 0])  # the stripes are still seen
    assert (warm == style.rgb(style.YELLOW)).all(axis=2).sum() > 40  # the contour
    assert (overlay_heat(frame, np.zeros((6, 8))) == frame).all()
    assert overlay_heat(frame, np.full((6, 8), np.nan)).shape == frame.shape


def test_a_strip_marks_both_thresholds_and_dims_what_comes():
    frame, numbers = np.full((200, 300, 3), 100, np.uint8), np.arange(60)
    scores = np.where(numbers > 40, 4.0, 0.5)
    Strip.of_video(scores, RULE).draw(frame, numbers, scores, 30, (0, 59))
    yellow = (frame[-28:] == style.rgb(style.YELLOW)).all(axis=2).sum(axis=1)
    assert (yellow > 60).sum() == 2
    bright = (frame[-28:] >= 250).all(axis=2).any(axis=0)
    assert bright[:140].all() and not bright[170:].any()


def test_a_strip_of_a_long_video_keeps_every_peak():
    numbers, scores = np.arange(50_000), np.zeros(50_000)
    scores[30_003] = 9.0
    frame = np.zeros((100, 200, 3), np.uint8)
    Strip.of_video(scores, None).draw(frame, numbers, scores, 49_999, (0, 49_999))
    assert (frame[-26:-20, 118:122] >= 200).all(axis=2).any()


def test_notes_are_written_and_not_held_over_a_gap(tmp_path):
    numbers = np.r_[0:5, 10:12]
    path = annotate_video(grey(7, (120, 320)), np.zeros(7), tmp_path / "o.mp4", fps=25, numbers=numbers,
                          notes=lambda row: "noisy" if row == 4 else "")
    frames = [f for _, f in read_back(path)[2]]
    corner = [f[8:20, 260:314].astype(int).mean() for f in frames]
    assert abs(corner[3] - 120) < 6 and corner[4] > 150 and len(frames) == 12


def test_an_event_frames_the_picture(tmp_path):
    event = Event("v", 5, 9, 7, 4.0, 7, 5, "an actor moves fast (local memory, 4.0 deviations)")
    scores = np.r_[np.zeros(5), np.full(5, 4.0), np.zeros(5)]
    _, _, frames = read_back(annotate_video(grey(15), scores, tmp_path / "o.mp4", fps=25, threshold=RULE,
                                            events=[event], labels=scores > 1))
    inside, outside = frames[7][1][32, 0].astype(int), frames[12][1][32, 0].astype(int)
    assert inside[0] - inside[2] > 60  # vermillion border
    assert abs(outside[0] - outside[2]) < 30


def test_text_stays_inside_a_small_frame():
    frame = np.zeros((30, 40, 3), np.uint8)
    put_text(frame, "a very long line of words with unicode \u00e9", (38, 28), 11, (255, 255, 255), (9, 9, 9))
    assert frame.any()
    put_text(np.zeros((6, 5, 3), np.uint8), "words", (0, 0), 11, (255, 255, 255), (9, 9, 9))


@pytest.fixture(scope="module")
def sample_run(tmp_path_factory):
    """The tiny embedded sample through the real stage 1, with made-up scores: (its folder, the run's folder)."""
    root = tmp_path_factory.mktemp("watch")
    data, run = make_sample(root / "sample", size="tiny"), root / "run"
    RunPaths(run).claim()
    manifest = prepare(find_dataset(data), run / "01_frame_extraction")
    rng = np.random.default_rng(0)
    test, train = manifest.split("test"), manifest.split("train")
    write_training(RunPaths(run).detector, train)
    values = np.exp(rng.normal(0, 0.2, len(test)))
    values[10:22] *= 20.0
    write_scores(run / "scores", "stae", test["Id"].tolist(), values,
                 train=(train["Id"].tolist(), np.exp(rng.normal(0, 0.2, len(train)))),
                 about={"family": "quad", "kind": "error", "sigma": 2.0})
    return data, run


def test_watch_file_of_a_folder_of_the_run(sample_run, tmp_path):
    data, run = sample_run
    out = tmp_path / "out.mp4"
    assert main(["watch-file", str(data / "testing_videos" / "01"), "--scores", str(run), "--output", str(out)]) == 0
    codec, rate, frames = read_back(out)
    manifest = Manifest.load(run / "01_frame_extraction")
    numbers = manifest.split("test").query("video == '1'")["frame"]
    assert (codec.name, codec.width, codec.height, rate) == ("h264", 320, 180, 25)
    assert len(frames) == numbers.max() - numbers.min() + 1
    events = (tmp_path / "out.events.csv").read_text().splitlines()
    assert events[0].startswith("event,video,first_frame") and len(events) == 2 and "STAE" in events[1]


def test_watch_file_shows_what_was_filmed_or_what_the_models_saw(sample_run, tmp_path):
    data, run = sample_run
    table = Manifest.load(run / "01_frame_extraction").split("test").query("video == '1'")
    noisy = table["flags"].str.contains("noise").to_numpy()
    assert noisy.any()
    rough = {}
    for name, more in (("filmed", []), ("repaired", ["--repaired"])):
        out = tmp_path / f"{name}.mp4"
        assert main(["watch-file", str(data / "testing_videos" / "01"), "--scores", str(run), "--output", str(out),
                     *more]) == 0
        first = table["frame"].iloc[0]
        seen = read_back(out)[2]
        frames = [seen[n - first][1][60:140].astype(float) for n in table["frame"][noisy]]
        rough[name] = np.mean([np.abs(np.diff(f, axis=1)).mean() for f in frames])
    assert rough["filmed"] > 1.5 * rough["repaired"]


def test_what_was_done_to_a_frame_is_said():
    assert note("") == "" and note("vflip") == note("vflip", repaired=True) == "turned upright"
    assert note("noise|impulse") == "noise: denoised for the models" and note("noise", repaired=True) == "denoised"
    assert all(note(flag) != flag for flag in FLAGS if flag not in ("blank", "unreadable"))


@pytest.mark.parametrize(("video", "scores", "output", "words"), [
    ("testing_videos/99", "", "o.mp4", "was not scored"), ("training_videos/01", "", "o.mp4", "training video"),
    ("testing_videos/01", "..", "o.mp4", "no finished run"), ("testing_videos/01", "", "o.avi", "not an .mp4")])
def test_watch_file_mistakes_end_with_status_2_and_no_file(sample_run, tmp_path, capsys, video, scores, output, words):
    data, run = sample_run
    status = main(["watch-file", str(data / video), "--scores", str(run / scores), "--output", str(tmp_path / output)])
    said = capsys.readouterr().err
    assert status == 2 and words in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_contact_sheet_of_real_repairs(sample_run):
    figure = plots.repairs(sample_run[1])
    assert figure.photo and any("flip" in a.get_title() or "noise" in a.get_title() for a in figure.axes)
