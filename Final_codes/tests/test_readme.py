"""Every command and every piece of code in README.md and the guides, run on tiny data; a command this file does not
know fails it."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from kaggle_folder import REPOSITORY, link_code, make_kaggle, set_writable
from matplotlib.text import Text

import pixelplay
from pixelplay import cli, registry
from pixelplay.detector import Detector
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.scores import read_scores
from pixelplay.pipeline import Options, Run
from pixelplay.sample.dataset import make_sample
from pixelplay.update import HISTORY
from pixelplay.visual import plots, style
from pixelplay.watch.scorer import LiveScorer

GUIDES = REPOSITORY / "Final_codes" / "guides"
PAGES = [REPOSITORY / "README.md", GUIDES / "kaggle.md", GUIDES / "own_videos.md", GUIDES / "live.md",
         GUIDES / "scale.md", GUIDES / "datasets.md"]
README = "\n".join(page.read_text() for page in PAGES)
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SPANS = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL))
PROGRAMS = ("python", "pixelplay", "make", "kaggle", "pip", "git", "%run", "!")
SHORT = "--models global_memory"
"""Added to runs: one model that learns in seconds, so that commands which follow work on real score files."""


def commands() -> list[str]:
    """Lines of bash blocks, magics of python blocks, and commands named in the text, in the order of the page."""
    found = []
    for language, text in BLOCKS:
        for line in text.replace("\\\n", " ").splitlines():
            line = line.split("  #")[0].strip()
            if line and ((language == "bash" and not line.startswith("#")) or line.startswith(("%", "!"))):
                found.append(line)
    found += [s for s in SPANS if s.split()[0] in PROGRAMS and len(s.split()) > 1]
    return list(dict.fromkeys(found))


class World:
    """A folder in which the README's folders exist, tiny; and a folder that looks like Kaggle."""

    def __init__(self, root: Path):
        self.here = root / "here"
        self.here.mkdir()
        self.sample = make_sample(root / "tiny", size="tiny")
        for split, folder, name in (("training_videos", "normal_videos", "morning"),
                                    ("testing_videos", "new_videos", "door")):
            for i, frames in enumerate(sorted((self.sample / split).iterdir())[:2]):
                film(sorted(frames.glob("*.jpg")), self.here / folder / f"{name}{i or ''}.mp4")
        for split, folder in (("training_videos", "training"), ("testing_videos", "testing")):
            shutil.copytree(self.sample / split, self.here / "ped2" / folder / "frames")
        shutil.copy(self.sample / "frame_labels.csv", self.here / "ped2")
        shutil.copytree(self.sample / "testing_label_mask", self.here / "ped2" / "testing" / "masks")
        (self.here / "Final_codes").symlink_to(REPOSITORY / "Final_codes", target_is_directory=True)
        (root / "kaggle").mkdir()
        self.attached, self.working = make_kaggle(root / "kaggle")
        link_code(self.working / "pixel-play")

    def run(self, command: str, *, kaggle: bool = False) -> str:
        """Run one line as somebody would who has the package installed; returns what it printed."""
        words = shlex.split(command)
        if words[0] == "pixelplay":
            words = ["python", "-m", "pixelplay", *words[1:]]
        assert words[0] == "python", command
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PIXELPLAY_")}
        environment |= {"PYTHONPATH": str(REPOSITORY / "Final_codes"), "TQDM_DISABLE": "1", "PIXELPLAY_DEVICE": "cpu"}
        if kaggle:
            environment |= {"PIXELPLAY_KAGGLE_INPUT": str(self.attached), "PIXELPLAY_KAGGLE_WORKING": str(self.working)}
        done = subprocess.run([sys.executable, *words[1:]], cwd=self.working if kaggle else self.here, env=environment,
                              capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout


def film(frames: list[Path], target: Path) -> None:
    """Write image files as a video."""
    target.parent.mkdir(exist_ok=True)
    with av.open(str(target), "w") as container:
        first = cv2.imread(str(frames[0]))
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = *first.shape[:2], "yuv420p", 4_000_000
        for path in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cv2.imread(str(path)), format="bgr24")))
        container.mux(stream.encode())


def decode(path: Path) -> list[av.VideoFrame]:
    """Every frame of a video."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    """Shared: commands of the README follow from one another."""
    made = World(tmp_path_factory.mktemp("readme"))
    yield made
    set_writable(made.attached, True)


# ---- what each command is replaced by, and what must be true after it -----------------------------------------------

def in_ci(world: World, command: str) -> None:
    """Heavy targets: continuous integration runs exactly this line, on a clean checkout."""
    assert command in (REPOSITORY / ".ci" / "run").read_text().splitlines()
    assert re.search(rf"^{command.split()[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


def same_as_make(world: World, command: str) -> None:
    """The jobs behind the targets."""
    made = (REPOSITORY / "Makefile").read_text()
    assert command.replace("python", "$(PY)", 1) in made
    if command.endswith(".py"):
        assert (REPOSITORY / command.split()[1]).is_file()


def own_videos(world: World, command: str) -> None:
    """A run on folders of videos without labels."""
    world.run(f"{command} {SHORT}")
    made = pd.read_csv(world.here / "outputs" / "submission.csv", dtype={"Id": str})
    assert set(made["Id"].str.rsplit("_", n=1).str[0]) == {"door", "door1"}
    assert np.isfinite(made["Predicted"]).all()
    assert "door" in (world.here / "outputs" / "report" / "index.html").read_text()


def watch_file(world: World, command: str) -> None:
    """The annotated video has the original's frames."""
    world.run(command)
    target = world.here / shlex.split(command)[shlex.split(command).index("--output") + 1]
    with av.open(str(target)) as mine:
        assert mine.streams.video[0].codec_context.name == "h264"
    assert len(decode(target)) == len(decode(world.here / "new_videos" / "door.mp4"))


def fit_camera(world: World, command: str) -> None:
    """The detector is a folder that loads, and nothing else stays."""
    world.run(f"{command} {SHORT}")
    target = world.here / shlex.split(command)[-1]
    assert pixelplay.load(target).names == ("global_memory",)
    assert not target.with_name(f"{target.name}.work").exists()


def score_videos(world: World, command: str) -> None:
    """Scores of the new videos; the normal ones are not there any more."""
    normal = world.here / "normal_videos"
    normal.rename(world.here / "away")
    world.run(command)
    (world.here / "away").rename(normal)
    made = pd.read_csv(world.here / shlex.split(command)[-1] / "submission.csv", dtype={"Id": str})
    assert set(made["Id"].str.rsplit("_", n=1).str[0]) == {"door", "door1"} and made["Predicted"].nunique() > 1


def in_makefile(world: World, command: str) -> None:
    """A target of the Makefile for people: running it here would run these tests again."""
    target = command.removeprefix("make ")
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


def report_again(world: World, command: str) -> None:
    """Without the browser that `--open` starts."""
    page = world.here / "outputs" / "report" / "index.html"
    page.unlink()
    world.run(command.replace(" --open", ""))
    assert page.exists()


def watch_camera(world: World, command: str) -> None:
    """A file stands in for the camera, and the models that the detector has for those named."""
    line = re.sub(r"watch (0|rtsp:\S+)", "watch new_videos/door.mp4", command).replace("--models unet joint", "")
    printed = world.run(line)
    assert re.search(r"0\.0 s  score", printed)
    if "--record" in command:
        assert len(pd.read_csv(world.here / "watched.scores.csv")) > 10


def update(world: World, command: str) -> None:
    """A video that is neither among the normal nor among the new ones."""
    detector, videos = shlex.split(command)[2:]
    place = sorted((world.sample / "training_videos").iterdir())[2]
    film(sorted(place.glob("*.jpg")), world.here / videos / "noon.mp4")
    assert "an event begins at" in world.run(command)
    assert Detector.load(world.here / detector).about[HISTORY][-1]["videos"] == ["noon"]


def feedback(world: World, command: str) -> None:
    """The clip of an event that a watch would have written."""
    detector, event = shlex.split(command)[2:4]
    clip = world.here / event
    clip.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(world.here / "new_videos" / "door1.mp4", clip)
    clip.with_suffix(".json").write_text(json.dumps({"id": "ID", "type": "end"}))
    assert "an event begins at" in world.run(command)
    assert Detector.load(world.here / detector).about[HISTORY][-1]["name"] == "ID"


def known_dataset(world: World, command: str) -> None:
    """A run with labels, in the folder where the run before it wrote."""
    printed = world.run(f"{command} {SHORT}")
    assert re.search(r"^submission +.*\d", printed, re.MULTILINE)
    made = pd.read_csv(world.here / "outputs" / "submission.csv", dtype={"Id": str})
    labels = pd.read_csv(world.here / "ped2" / "frame_labels.csv", dtype={"Id": str})
    assert set(made["Id"]) == set(labels["Id"])


def evaluate(world: World, command: str) -> None:
    """The metrics of the submission the run wrote."""
    assert "AUC" in world.run(command)


def evaluate_places(world: World, command: str) -> None:
    """Made-up maps and boxes for the frames of the run before: an autoencoder would take a minute to train."""
    ids = pd.read_csv(world.here / "outputs" / "submission.csv", dtype={"Id": str})["Id"].tolist()
    maps = world.here / "outputs" / "scores" / "maps" / "joint.npy"
    maps.parent.mkdir(exist_ok=True)
    np.save(maps, np.random.default_rng(0).random((len(ids), 6, 9)).astype(np.float16))
    ids = ids[3:9]
    box = {"x0": 10, "y0": 10, "x1": 30, "y1": 40}
    pd.DataFrame([{"Id": i, **box, "track": 1} for i in ids]).to_csv(world.here / "tracks.csv", index=False)
    pd.DataFrame([{"Id": i, **box, "score": 0.9} for i in ids[1:]]).to_csv(world.here / "my_boxes.csv", index=False)
    printed = world.run(command)
    assert "RBDC" in printed and "TBDC" in printed


def in_kaggle_leg(world: World, command: str) -> None:
    """Needs pip: `make kaggle`, which continuous integration runs, takes exactly this line out of the page."""
    in_ci(world, "make kaggle")
    assert any(line == command for language, text in BLOCKS if language == "python" for line in text.splitlines())


def fetch(world: World, command: str) -> None:
    """Downloads: `make kaggle` runs it; the option is there."""
    assert re.search(rf"{shlex.split(command)[2]}\b", world.run("pixelplay fetch --help"))


def kaggle_upload(world: World, command: str) -> None:
    """What is uploaded is what the command before it made."""
    assert f"pixelplay fetch --to {shlex.split(command)[4]}" in commands()


def kaggle_clone(world: World, command: str) -> None:
    """The address is the reader's; the folder it clones into is the one the next cells name."""
    assert command.split()[-1] == "pixel-play"
    assert (world.working / "pixel-play" / "Final_codes" / "run_all.py").is_file()


def kaggle_run(world: World, command: str) -> None:
    """Finds the mounted competition and writes the submission to the working folder."""
    line = command.replace("%run", "python").replace("--profile full", "--profile lite")
    assert line != command and "lite" in line
    world.run(f"{line} {SHORT}", kaggle=True)
    check_submission(world)


def kaggle_ensemble(world: World, command: str) -> None:
    """Merges again what lies in scores/."""
    (world.working / "submission.csv").unlink()
    world.run(command.replace("%run", "python"), kaggle=True)
    check_submission(world)


def check_submission(world: World) -> None:
    """The sample's Ids, in its order, with finite values."""
    sample = pd.read_csv(world.attached / "pixel-play-26" / "sample_submission.csv", dtype={"Id": str})
    made = pd.read_csv(world.working / "submission.csv", dtype={"Id": str})
    assert made["Id"].tolist() == sample["Id"].tolist()
    assert np.isfinite(made["Predicted"]).all()


def verify(world: World, command: str) -> None:
    """Every file of the run that the commands before it made fits its digest."""
    found = re.search(r"(\d+) of (\d+) files match their digests", world.run(command))
    assert found and int(found[1]) == int(found[2]) > 10


def kaggle_push(world: World, command: str) -> None:
    """The folder that is pushed holds the metadata (its fields are checked beside the notebooks)."""
    assert (REPOSITORY / command.split()[-1] / "kernel-metadata.json").is_file()


def build_notebooks(world: World, command: str) -> None:
    """Notebooks without outputs, into another folder."""
    target = world.here / "built"
    target.mkdir()
    world.run(f"{command} --output {target}")
    assert len(list(target.glob("*.ipynb"))) == 8


def experiment(world: World, command: str) -> None:
    """The experiment it names is there to be run."""
    words = command.split()
    assert (REPOSITORY / words[1]).is_file()
    assert list((REPOSITORY / "Experiments").glob(f"{words[2]}_*.py"))


def cameras(world: World, command: str) -> None:
    """Two cameras, from the videos that are there."""
    rows = [(f"{folder}/{path.name}", camera, split)
            for folder, split in (("normal_videos", "train"), ("new_videos", "test"))
            for camera, path in zip(("east", "west"), sorted((world.here / folder).iterdir()))]
    table = world.here / shlex.split(command)[2]
    pd.DataFrame(rows, columns=["video", "camera", "split"]).to_csv(table, index=False)
    world.run(f"{command} {SHORT}")
    made = world.here / shlex.split(command)[-1]
    submission = pd.read_csv(made / "submission.csv", dtype={"Id": str})
    assert set(submission["Id"].str.rsplit("_", n=1).str[0]) == {"door", "door1"}
    page = (made / "index.html").read_text()
    assert "east" in page and "west" in page


def engine(world: World, command: str) -> None:
    """The command line takes it; test_engine.py and test_two_hosts.py run the engines."""
    words = shlex.split(command.replace("DATA", str(world.here / "ped2")))
    given = cli.parse(words[1:])
    assert given is not None and given.command == "run" and given.data == world.here / "ped2"
    assert given.engine == (words[words.index("--engine") + 1] if "--engine" in words else "loky")


def says(world: World, command: str) -> None:
    """Something about this machine or a model."""
    assert re.search(r"torch|steps", world.run(command))


def install(world: World, command: str) -> None:
    """The extras it names are declared."""
    declared = (REPOSITORY / "pyproject.toml").read_text()
    for extra in re.findall(r"\[(\w+)\]", command):
        assert re.search(rf"^{extra} = \[", declared, re.MULTILINE), extra


def shows_help(world: World, command: str) -> None:
    """The program without the installed script."""
    assert "watch-file" in world.run(f"{command} --help")


KNOWN: list[tuple[str, Callable[[World, str], None]]] = [
    (r"make (demo|test)", in_ci),
    (r"make check", in_makefile),
    (r"python Final_codes/run_all\.py|python -m pytest", same_as_make),
    (r"!git clone --depth 1 (<[^>]+>|\S+) pixel-play", kaggle_clone),
    (r"!(pip install|cp) .+", in_kaggle_leg),
    (r"pixelplay fetch --to \S+", fetch),
    (r"kaggle datasets create -p \S+ --dir-mode zip", kaggle_upload),
    (r"%run pixel-play/Final_codes/run_all\.py --profile full", kaggle_run),
    (r"%run pixel-play/Final_codes/ensemble\.py", kaggle_ensemble),
    (r"python Final_codes/run_all\.py --train normal_videos --test new_videos", own_videos),
    (r"pixelplay watch-file new_videos/door\.mp4 --scores outputs --output door_annotated\.mp4", watch_file),
    (r"pixelplay report outputs --open", report_again),
    (r"pixelplay fit normal_videos --output door_detector", fit_camera),
    (r"pixelplay score door_detector new_videos --output outputs", score_videos),
    (r"pixelplay watch (0|rtsp://address/of/camera) --detector door_detector"
     r"( --record watched\.mp4| --models unet joint)", watch_camera),
    (r"pixelplay update door_detector autumn_videos", update),
    (r"pixelplay feedback door_detector watched/camera/clips/ID\.mp4 --normal", feedback),
    (r"python Final_codes/run_all\.py --data ped2 --labels ped2/frame_labels\.csv", known_dataset),
    (r"pixelplay evaluate --scores outputs/submission\.csv --labels ped2/frame_labels\.csv", evaluate),
    (r"pixelplay evaluate --detections (outputs/scores/maps/joint\.npy --regions ped2/testing/masks"
     r"|my_boxes\.csv --regions tracks\.csv --manifest outputs/01_frame_extraction)", evaluate_places),
    (r"pixelplay verify outputs", verify),
    (r"pixelplay cameras cameras\.csv --output all_cameras", cameras),
    (r"pixelplay run --data DATA --output OUT( --engine (ray --address auto|dask --address HOST:8786))?", engine),
    (r"pixelplay (doctor|settings stae)", says),
    (r"kaggle kernels push -p Final_codes/kaggle/\w+", kaggle_push),
    (r"python Final_codes/notebook_sources/build\.py --no-execute --kaggle-user NAME", build_notebooks),
    (r"pip install (\.|'\.\[\w+\]')", install),
    (r"python -m pixelplay", shows_help),
    (r"python Experiments/run\.py E\d\d", experiment),
]


def handler(command: str) -> Callable[[World, str], None] | None:
    """What to do with a command; None where this file does not know it."""
    return next((check for pattern, check in KNOWN if re.fullmatch(pattern, command)), None)


def test_every_command_is_known():
    assert len(commands()) >= 8
    assert not [c for c in commands() if handler(c) is None], "teach test_readme.py to run these"
    assert handler("python Final_codes/run_all.py --surprise") is None


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_command(world, command):
    check = handler(command)
    assert check is not None, f"{command}: no test runs it"
    check(world, command)


def test_every_guide_is_a_page():
    assert set(GUIDES.iterdir()) == set(PAGES[1:])


def test_every_option_exists():
    places = [REPOSITORY / "Final_codes" / folder for folder in ("pixelplay", "notebook_sources")]
    known = " ".join(p.read_text() for place in places for p in place.rglob("*.py"))
    for option in {w for s in SPANS for w in s.split() if w.startswith("--")}:
        assert f'"{option.partition("=")[0]}"' in known, option
    for model, setting in re.findall(r"--set (\w+)\.(\w+)=", README):
        assert hasattr(registry.model_class(model).Config(), setting), f"{model} has no setting {setting}"


def test_every_link_leads_somewhere():
    for page in PAGES:
        for target, mark in re.findall(r"\]\(([^)#]*)(?:#([\w-]+))?\)", page.read_text()):
            if not target.startswith("http"):
                found = (page.parent / target).resolve() if target else page
                assert found.exists(), f"{page.name}: {target}"
                assert not mark or mark in anchors(found.read_text()), f"{page.name}: {target}#{mark}"


def anchors(text: str) -> set[str]:
    """Names that GitHub gives to a page's headings."""
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.M)}


# ---- Python ---------------------------------------------------------------------------------------------------------

IN_PYTHON = [text for language, text in BLOCKS if language == "python" and "import pixelplay\n" in text]
NEW_MODEL = [text for language, text in BLOCKS if language == "python" and "(Model)" in text]
FRAMES = ["Id", "video", "frame", "score", "rarity", "event", "flags", "reliability"]
EVENTS = ["video", "first_frame", "last_frame", "peak_frame", "start_s", "end_s", "rarity", "reason"]


def test_every_block_of_python_is_run():
    """Magics are commands; the two others have a test of their own."""
    assert len(IN_PYTHON) == len(NEW_MODEL) == 1
    for language, text in BLOCKS:
        assert (language != "python" or text.startswith(("!", "%")) or text in (IN_PYTHON[0], NEW_MODEL[0])), text


@pytest.mark.slow
def test_the_lines_of_python_run(world, monkeypatch):
    """As they stand, with one model that learns in seconds."""
    monkeypatch.chdir(world.here)
    monkeypatch.setattr(pixelplay, "fit", functools.partial(pixelplay.fit, models=("global_memory",)))
    names: dict = {}
    exec(IN_PYTHON[0], names)
    result = names["result"]
    frames = sum(1 for video in (world.here / "new_videos").iterdir() for _ in decode(video))
    assert list(result.frames.columns) == [*FRAMES, "global_memory"] and len(result.frames) == frames
    assert result.frames["score"].between(0, 1).all()
    assert list(result.events.columns) == EVENTS
    assert "door" in (world.here / "report" / "index.html").read_text()
    assert set(re.findall(r"\b(?:result|detector)\.(?!json\b)(\w+)", README)) <= {*dir(result), *dir(names["detector"])}
    with pytest.raises(PixelPlayError, match="nowhere"):
        pixelplay.load("nowhere")


# ---- add a model ----------------------------------------------------------------------------------------------------

@pytest.fixture
def new_model(tmp_path, monkeypatch) -> Iterator[str]:
    """The README's file in the package and its line in the registry; returns the model's name."""
    entry = re.findall(r'`"(\w+)": "pixelplay\.(\w+):(\w+)",`', README)
    assert len(entry) == 1
    name, module, attribute = entry[0]
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / f"{module}.py").write_text(NEW_MODEL[0])
    monkeypatch.setattr(pixelplay, "__path__", [*pixelplay.__path__, str(tmp_path / "package")])
    monkeypatch.setitem(registry.MODELS, name, f"pixelplay.{module}:{attribute}")
    yield name
    sys.modules.pop(f"pixelplay.{module}", None)


@pytest.mark.slow
def test_the_example_of_a_new_model_appears_everywhere(new_model, tmp_path, capsys):
    name, cls = new_model, registry.model_class(new_model)
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    assert re.search(rf"\b{name}\b", capsys.readouterr().out), "the command line"

    data, other = make_sample(tmp_path / "sample", size="tiny"), "unet"
    run = Run(Options(data=data, output=tmp_path / "outputs", profile="smoke", models=(name, other)))
    done = run.all()
    test = run.footage("test")
    scores = read_scores(run.paths.score_file(name), test.ids)
    assert scores.values.std() > 0 and np.array_equal(run.model(name).values, scores.values)
    again = cls.load(run.paths.trained(name))
    assert np.array_equal(again.score(test, tmp_path).values, scores.values), "a loaded model"
    assert name in done["metrics"]["rows"], "metrics"
    assert cls.title in done["report"].read_text(), "the report"
    capsys.readouterr()
    cli.main(["ensemble", "--scores", str(run.paths.scores), "--manifest", str(run.paths.extraction), "--output",
              str(tmp_path / "merged.csv"), "--allow-smoke"])
    assert re.search(rf"^\W*{name}\b", capsys.readouterr().out, re.MULTILINE), "the ensemble's table"

    for figure in (plots.histograms(run.output), plots.correlation(run.output), plots.models(run.output)):
        words = {text.get_text() for text in figure.findobj(Text)}
        assert any(cls.title in word for word in words), words
    assert style.model_colour(name) == cls.colour
    assert plots.training(run.output, name) is None, "it has no loss"
    assert plots.training(run.output) is not None, "and the others keep theirs"

    detector = Detector.find(run.output)
    first = test.of_videos(test.video_names()[:1])
    live = LiveScorer(detector, [name])
    found = [s for number, (_, frame) in zip(first.frames, first.full_frames()) for s in live.push(int(number), frame)]
    found += live.finish()
    assert [s.number for s in found] == first.frames.tolist()
    assert all(s.models.keys() == {name} and np.isfinite(s.score) for s in found) and len({s.score for s in found}) > 1
    assert set(LiveScorer(detector, [name, other]).models) == {name, other}
