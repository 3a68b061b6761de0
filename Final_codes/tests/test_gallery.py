"""The gallery: pictures of a run, diagrams drawn from the networks themselves, and what may be published."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import cv2
import diagrams
import gallery
import hero
import numpy as np
import pytest
import torch
from finished_run import make_run
from graph import Edge, Node, columns, draw_graph, rows
from network_graph import network_graph
from PIL import Image
from torch import nn

from pixelplay.errors import PixelPlayError
from pixelplay.visual import plots
from pixelplay.visual.people import Box
from pixelplay.visual.run_folder import Kind, RunFolder
from pixelplay.visual.verdict import judge

pytestmark = pytest.mark.slow

GALLERY = Path(gallery.__file__).parent


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, footage = make_run(tmp_path_factory.mktemp("run"), models=("stae", "unet", "somebody_elses"))
    return RunFolder(folder, footage=footage)


class Skips(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(1, 4, 3, 1, 1), nn.Conv2d(4, 8, 3, 2, 1)])
        self.up = nn.ConvTranspose2d(8, 4, 4, 2, 1)
        self.cell = nn.Conv2d(8, 8, 1)
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, frame, unused):
        shallow = self.down[0](frame)
        deep = self.down[1](shallow)
        for _ in range(3):
            deep = self.cell(deep)
        return self.head(torch.cat([self.up(deep), shallow], 1)).tanh() + frame


def test_a_network_draws_its_own_arrows():
    nodes, edges = network_graph(Skips(), [torch.rand(1, 1, 8, 12), torch.rand(1, 1, 8, 12)], names=("made",))
    arrows = {(e.start, e.end) for e in edges}
    assert arrows == {("input frame", "down.0"), ("down.0", "down.1"), ("down.1", "cell"), ("cell", "cell"),
                      ("cell", "up"), ("up", "head"), ("down.0", "head"), ("head", "output 0"),
                      ("input frame", "output 0")}
    by_key = {n.key: n for n in nodes}
    assert "input unused" not in by_key and by_key["cell"].lines[-1].endswith("3 times")
    assert by_key["down.1"].level == 1 and by_key["up"].level == 0
    assert by_key["down.1"].lines[1] == "8 x 4 x 6"
    draw_graph(nodes, edges, title="t", note="n").canvas.draw()


def test_graph_layout():
    nodes = [Node("a", "a"), Node("b", "b"), Node("c", "c", level=1), Node("d", "d")]
    edges = [Edge("a", "b"), Edge("a", "c"), Edge("b", "d"), Edge("c", "d"), Edge("b", "b"), Edge("a", "d", "skip")]
    column = columns(nodes, edges)
    assert column == {"a": 0, "b": 1, "c": 1, "d": 2}
    height = rows(nodes, column)
    assert height["b"] > height["c"]
    with pytest.raises(ValueError, match="circle"):
        columns(nodes, [*edges, Edge("d", "a")])
    with pytest.raises(ValueError, match="misses a box"):
        columns(nodes, [Edge("a", "z")])


@pytest.mark.parametrize("name", ["stae", "roadmap", "unet", "joint"])
def test_diagrams_of_the_autoencoders(name):
    figure = diagrams.autoencoder_diagram(name, "smoke")
    assert "weights" in figure.get_suptitle() and len(figure.axes[0].patches) > 8


def test_diagrams_of_memories_and_pipeline():
    words = [t.get_text() for t in diagrams.pipeline_diagram().axes[0].texts]
    assert {"STAE", "local memory", "calibration"} <= set(words)
    for name in ("global_memory", "local_memory"):
        assert len(diagrams.memory_diagram(name).axes[0].patches) > 8


def test_gallery_of_a_run_and_its_guard(run, tmp_path):
    with pytest.raises(PixelPlayError, match="published"):
        gallery.check_publishable(run, tmp_path / "Visuals")
    gallery.check_publishable(run, tmp_path / "mine")
    (run.folder / "sample.json").write_text("{}")
    gallery.check_publishable(run, tmp_path / "Visuals")
    text = gallery.readme([("a.png", "Scores", "What it shows."), ("b.mp4", "Report", "A clip.")], run, False)
    assert '| <a href="a.png"><img src="a.png" alt="a" width="300"></a> | What it shows. |' in text
    assert "[b.mp4](b.mp4)" in text and "Final_codes/tools/gallery" in text
    names = [p.file for p in gallery.pictures()]
    assert len(names) == len(set(names))
    assert {"pipeline.png", "errors.jpg", "model_local_memory.png"} <= set(names)


def test_one_event_in_three_pictures_and_one_grid_of_errors(run):
    figure = plots.story(run)
    assert len(figure.axes) == 4 and figure.get_suptitle().startswith("Video 2: the score rises to")
    grid = plots.error_grid(run)
    assert [a.get_ylabel() for a in grid.axes[::2]] == ["camera", "STAE", "U-Net", "somebody elses"]
    quiet = RunFolder(run.folder, footage=run._footage)
    quiet.events = []
    assert plots.story(quiet) is None


class Someone:
    """One actor a frame, whose nearest training actor is known."""

    def boxes(self, row):
        return [Box((30.0, 20.0, 60.0, 80.0), 5.0, "moves fast", 1)]

    def nearest(self, row, box):
        return "1_2", np.zeros(4)

    def words_near(self, row):
        return "moves fast"


def test_the_hero_is_one_loop_of_an_event_that_is_no_false_alarm(run, tmp_path):
    assert hero.write_hero(run, tmp_path / "hero.webp") is False  # nobody is known
    run = RunFolder(run.folder, footage=run._footage)
    run.people = Someone()
    run.nearest_normal = lambda row, box: (np.zeros((20, 20, 3), np.uint8), "video 1, frame 2")
    assert hero.write_hero(run, tmp_path / "hero.webp") is True
    image = Image.open(tmp_path / "hero.webp")
    assert image.size == (800, 279) and image.info["loop"] == 0 and image.n_frames > 5
    assert (tmp_path / "hero.webp").stat().st_size <= hero.MOST_BYTES
    run.events = [e for e in run.events if e in judge(run).false_alarms]
    assert hero.write_hero(run, tmp_path / "none.webp") is False and not (tmp_path / "none.webp").exists()


def test_kinds_are_ringed_where_masks_show_them(run, tmp_path):
    run = RunFolder(run.folder, footage=run._footage)
    assert gallery.kinds_figure(run) is None
    numbers = run.test["frame"].to_numpy()[run.test["video"].to_numpy(object) == "2"]
    run.kinds = [Kind("2", int(numbers[40]), int(numbers[60]), "wrong_way"), Kind("2", 10_000, 10_001, "never")]
    run.label_path = tmp_path / "frame_labels.csv"
    masks = tmp_path / "testing_label_mask" / "02"
    masks.mkdir(parents=True)
    mask = np.zeros((96, 160), np.uint8)
    mask[20:40, 50:60] = 255
    cv2.imwrite(str(masks / f"frame_{numbers[45]:05d}.png"), mask)
    figure = gallery.kinds_figure(run)
    assert [a.get_title() for a in figure.axes] == ["wrong way"]


def test_paths_of_modules_become_words():
    assert diagrams.in_words("appearance.levels.0") == "appearance level 1"
    assert diagrams.in_words("rebuild.up.2") == "rebuild up 3" and diagrams.in_words("code") == "code"


def test_numbers_want_name_and_folder(run, tmp_path):
    args = argparse.Namespace(run=run.folder, output=tmp_path, numbers=["ped2"])
    with pytest.raises(PixelPlayError, match="names no run"):
        gallery.run(args)


def test_the_folder_is_a_script(tmp_path):
    done = subprocess.run([sys.executable, str(GALLERY), "--run", str(tmp_path), "--output", str(tmp_path)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and str(tmp_path) in done.stderr
