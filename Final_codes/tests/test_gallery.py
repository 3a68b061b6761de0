"""The gallery: pictures of a run, diagrams drawn from the networks themselves, and what may be published."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import diagrams
import gallery
import pytest
import torch
from finished_run import make_run
from graph import Edge, Node, columns, draw_graph, rows
from network_graph import network_graph
from torch import nn

from pixelplay.errors import PixelPlayError
from pixelplay.visual.run_folder import RunFolder

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


def test_numbers_want_name_and_folder(run, tmp_path):
    args = argparse.Namespace(run=run.folder, output=tmp_path, numbers=["ped2"])
    with pytest.raises(PixelPlayError, match="names no run"):
        gallery.run(args)


def test_the_folder_is_a_script(tmp_path):
    done = subprocess.run([sys.executable, str(GALLERY), "--run", str(tmp_path), "--output", str(tmp_path)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and str(tmp_path) in done.stderr
