"""The embedded scene: the same bytes for the same seed, the competition's layout, labels that agree with its masks."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from pixelplay.data.baseline import frame_difference_scores, patch_means
from pixelplay.data.extraction import extract, open_raw_footage
from pixelplay.data.layouts import find_dataset
from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json, sha256_of
from pixelplay.sample import script
from pixelplay.sample.actors import Outfit, Pose, draw, person
from pixelplay.sample.dataset import SIZES, Stage, Take, make_sample
from pixelplay.sample.scene import Light
from pixelplay.sample.script import ANOMALIES, Actor, anomaly, begins, walk, walkers
from pixelplay.sample.view import Camera, make_view

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("sample") / "scene", seed=3, size="tiny")


def contents(folder):
    return {str(p.relative_to(folder)): sha256_of(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_same_seed_same_bytes_other_seed_other_bytes(sample, tmp_path):
    same = contents(make_sample(tmp_path / "again", seed=3, size="tiny"))
    assert same == contents(sample)
    first, other = (Stage(90, 160, seed) for seed in (3, 4))
    assert (next(first.film(first.video("train", 0, 2)))[0]
            != next(other.film(other.video("train", 0, 2)))[0]).mean() > 0.5


@pytest.mark.parametrize("height", [240, 360])
def test_a_lamp_is_as_bright_whoever_passes_behind_it(height):
    stage = Stage(height, height * 16 // 9, 0)
    still = Light(level=1.0, swing=0.0, period=200.0, phase=0.0, warmth=1.0, wind=1.0)
    rng = np.random.default_rng(0)
    # behind the lamp, across its whole box and on to the other side, in front of the tree that sways behind both
    poses = walk(np.array([[8.0, 15.0], [1.0, 15.0]]), np.full(40, 4.0), rng)
    passing = Actor(poses, Outfit.draw(rng), np.zeros(40, bool))
    # the lamp's glass, in metres
    (x0, y0), (x1, y1) = stage.camera.project(np.array([[3.52, 4.7, 11.4], [3.88, 4.45, 11.4]])).round().astype(int)
    glass = np.array([picture[y0:y1, x0:x1].mean() for picture, _ in stage.film(Take([passing], still, 40, rng))])
    assert len(glass) == 40 and y1 - y0 >= 5
    assert glass.min() > 150, "the crown behind it is darker"
    assert np.ptp(glass) < 3


def test_seeds_and_cameras_differ_in_perspective_light_and_background():
    views = [make_view(number, 90, 160) for number in range(6)]
    assert views[0] == (Camera(90, 160), type(views[0][1])())
    assert len({c.above for c, _ in views}) == len({c.focal for c, _ in views}) == len({s.sun for _, s in views}) == 6
    assert {s.mirrored for _, s in views} == {True, False}
    for camera, _ in views:
        feet = camera.project(np.array([[0.0, 0.0, script.NEAR[0]], [0.0, 0.0, script.FAR[1]]]))
        assert 0 < feet[1, 1] < feet[0, 1] <= camera.height, "the lanes are in the picture"
    # the seed's second camera is the next seed's first, with other people before it
    one, two = Stage(90, 160, 3), Stage(90, 160, 3, camera=1)
    assert two.camera == make_view(4, 90, 160)[0] != one.camera


def test_two_cameras_take_turns_and_are_told_apart(tmp_path):
    folder = make_sample(tmp_path / "two", seed=1, size="tiny", cameras=2)
    assert read_json(folder / "sample.json")["cameras"] == 2
    middles = [np.median([cv2.imread(str(p)) for p in sorted((folder / f"training_videos/{v}").iterdir())[::6]], 0)
               for v in ("01", "02", "03")]
    alike = np.corrcoef([m.ravel() for m in middles])
    assert alike[0, 2] > 0.9 > 0.75 > alike[0, 1]
    with pytest.raises(PixelPlayError, match="0 cameras"):
        make_sample(tmp_path / "none", size="tiny", cameras=0)


def test_it_is_a_dataset_of_the_competitions_layout(sample):
    manifest = find_dataset(sample)
    assert manifest.layout == "competition"
    ids = manifest.split("test")["Id"].tolist()
    for name in ("sample_submission.csv", "frame_labels.csv"):
        assert pd.read_csv(sample / name, dtype={"Id": str})["Id"].tolist() == ids
    assert pd.read_csv(sample / "sample_submission.csv")["Predicted"].eq(0).all()
    assert manifest.labels == sample / "frame_labels.csv"
    assert manifest.split("train")["video"].nunique() == 3
    picture = cv2.imread(str(sample / "training_videos/01/frame_00000.jpg"))
    assert picture.shape == (180, 320, 3)


def test_labels_are_what_the_masks_show_and_one_video_is_normal(sample):
    labels = pd.read_csv(sample / "frame_labels.csv", dtype={"Id": str}).set_index("Id")["label"]
    visible = {}
    for path in sorted(sample.glob("testing_label_mask/*/*.png")):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (180, 320)
        assert set(np.unique(mask)) <= {0, 255}
        visible[f"{int(path.parent.name)}_{int(path.stem[-5:])}"] = int(mask.any())
    assert visible == labels.to_dict()
    by_video = labels.groupby(labels.index.str.split("_").str[0]).mean()
    assert by_video["3"] == 0
    assert by_video["1"] > 0
    assert by_video["2"] > 0


def test_kinds_name_every_labelled_frame_by_its_own_number(sample):
    labels = pd.read_csv(sample / "frame_labels.csv", dtype={"Id": str})
    kinds = pd.read_csv(sample / "event_kinds.csv", dtype={"video": str})
    assert kinds[["video", "kind"]].values.tolist() == [["1", "runner"], ["2", "cyclist"]]
    for video, own in labels.groupby(labels["Id"].str.split("_").str[0]):
        odd = [int(i.split("_")[1]) for i, label in zip(own["Id"], own["label"]) if label]
        spans = kinds[kinds["video"] == video]
        assert all(((spans["first"] <= n) & (n <= spans["last"])).any() for n in odd)
        assert bool(odd) == bool(len(spans))


def test_corruption_is_written_as_it_was_done(sample):
    truth = pd.read_csv(sample / "corruption.csv", keep_default_na=False, dtype=str)
    kept = truth[truth["dropped"] == "False"]
    assert kept["Id"].tolist() == find_dataset(sample).split("test")["Id"].tolist()
    assert {"", "vflip", "noise"} >= set(kept["kind"])
    assert "noise" in set(kept["kind"])
    sigmas = []
    for row in kept.to_dict("records"):
        video, frame = row["Id"].split("_")
        picture = cv2.imread(str(sample / f"testing_videos/{int(video):02d}/frame_{int(frame):05d}.jpg"), 0)
        rough = cv2.Laplacian(picture, cv2.CV_32F).std()
        sigmas.append((row["kind"] == "noise", rough))
    assert min(s for noisy, s in sigmas if noisy) > max(s for noisy, s in sigmas if not noisy)


def test_a_finished_sample_is_kept_and_a_half_made_one_replaced(sample, tmp_path):
    before = (sample / "sample.json").stat().st_mtime_ns
    make_sample(sample, seed=3, size="tiny")
    assert (sample / "sample.json").stat().st_mtime_ns == before
    half = tmp_path / "half"
    (half / "training_videos/01").mkdir(parents=True)
    (half / ".sample-unfinished.json").write_text("{}")
    (half / "training_videos/01/frame_09999.jpg").touch()
    make_sample(half, seed=3, size="tiny")
    assert contents(half) == contents(sample)


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(PixelPlayError, match=r"thesis\.txt"):
        make_sample(tmp_path, size="tiny")
    (tmp_path / "data/training_videos").mkdir(parents=True)
    with pytest.raises(PixelPlayError, match="other files"):
        make_sample(tmp_path / "data", size="tiny")
    with pytest.raises(PixelPlayError, match="no sample size"):
        make_sample(tmp_path / "new", size="huge")


@pytest.mark.parametrize("kind", ANOMALIES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_anomaly_happens_in_view_between_normal_frames(kind, seed):
    frames, camera = 250, make_view(seed, 360, 640)[0]
    actor = anomaly(kind, np.random.default_rng(seed), camera, frames, 60)
    shown = [parts is not None and draw(camera, parts) is not None
             for parts in (actor.parts(int(t)) for t in np.flatnonzero(actor.anomalous))]
    assert 40 <= sum(shown) <= 150
    odd = np.flatnonzero(actor.anomalous)
    assert odd[0] >= 58 and odd[-1] < 235


@pytest.mark.parametrize("programme", [p for size in SIZES.values() for p in size.programme])
def test_a_videos_anomalies_have_normal_frames_before_between_and_after(programme):
    for seed in range(3):
        rng, camera = np.random.default_rng(seed), Camera()
        odd = np.zeros(250, dtype=int)
        for kind, begin in zip(programme, begins(rng, programme, 250)):
            odd += anomaly(kind, rng, camera, 250, begin).anomalous
        assert odd.max(initial=0) <= 1
        edges = np.flatnonzero(np.diff(np.r_[0, odd, 0]))
        assert len(edges) == 2 * len(programme)
        quiet = np.diff(np.r_[0, edges, 250])[::2]
        assert quiet.min() >= 20


def test_normal_people_only_walk():
    actors = walkers(np.random.default_rng(0), Camera(), 100, density=6.0)
    assert len(actors) > 5
    speeds = []
    for actor in actors:
        assert actor.kind == "walker"
        assert not actor.anomalous.any()
        for a, b in zip(actor.poses, actor.poses[1:]):
            if a is not None and b is not None:
                speeds.append(np.hypot(b.x - a.x, b.z - a.z) * script.FPS)
                assert a.run == 0
    assert min(speeds) > 0.7
    assert max(speeds) < 2.3
    assert np.ptp(speeds) > 0.3


def test_the_near_lane_has_one_direction_and_the_wrong_way_is_the_other():
    rng = np.random.default_rng(0)
    wrong = anomaly("wrong_way", rng, Camera(), 200, 20)
    steps = [b.x - a.x for a, b, odd in zip(wrong.poses, wrong.poses[1:], wrong.anomalous) if odd]
    assert len(steps) > 40 and max(steps) < 0
    for actor in walkers(rng, Camera(), 100, density=40.0):
        for a, b in zip(actor.poses, actor.poses[1:]):
            across = a is not None and b is not None and abs(b.x - a.x) > 3 * abs(b.z - a.z)
            if across and script.NEAR[0] <= a.z <= script.NEAR[1] - 0.2:
                assert b.x > a.x


def test_people_stand_on_the_ground_and_legs_swing():
    outfit = Outfit.draw(np.random.default_rng(0))
    shapes = []
    for phase in np.linspace(0, 2 * np.pi, 9)[:-1]:
        parts = person(Pose(0.0, 10.0, (1.0, 0.0), phase), outfit)
        assert -0.02 < (parts.points[:, 1] - parts.radii).min() < 0.03
        assert 0.9 * outfit.height < (parts.points[:, 1] + parts.radii).max() < 1.05 * outfit.height
        shapes.append(np.ptp(parts.points[:, 0]))
    assert max(shapes) > 1.4 * min(shapes)
    lying = person(Pose(0.0, 10.0, (1.0, 0.0), 0.0, fall=1.0), outfit)
    assert (lying.points[:, 1] + lying.radii).max() < 0.75


def test_who_is_outside_the_picture_is_not_drawn():
    outfit = Outfit.draw(np.random.default_rng(0))
    assert draw(Camera(), person(Pose(40.0, 10.0, (1.0, 0.0)), outfit)) is None
    assert draw(Camera(), person(Pose(0.0, 1.0, (1.0, 0.0)), outfit)) is None


def test_frame_difference_baseline_by_hand(tmp_path):
    pictures = {"1": [0, 0, 40, 40], "2": [200]}
    numbers = {"1": [0, 1, 3, 4], "2": [7]}
    for split in ("train", "test"):
        for video, values in pictures.items():
            (tmp_path / split / video).mkdir(parents=True)
            for number, value in zip(numbers[video], values):
                picture = np.zeros((32, 48, 3), np.uint8)
                picture[:16, 16:32] = value
                cv2.imwrite(str(tmp_path / split / video / f"{number}.png"), picture)
    extract(find_dataset(tmp_path), tmp_path / "out")
    scores = frame_difference_scores(open_raw_footage(tmp_path / "out", "test"))
    # one patch of 40 grey levels over two frame numbers; the first frame takes its successor's score
    assert scores.tolist() == [0.0, 0.0, 20.0, 0.0, 0.0]


def test_patch_means_of_odd_sizes():
    assert patch_means(np.full((40, 50, 3), 3, np.uint8)).shape == (2, 3)
    assert patch_means(np.full((5, 50, 3), 3, np.uint8)).tolist() == [[3.0]]
