"""Architecture diagrams of the six models and of the pipeline.

Reads the registry, the models' configs and networks; makes Figures. The autoencoders are traced (see `network_graph`);
memories and pipeline are drawn from their settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from graph import Edge, Node, draw_graph
from matplotlib.figure import Figure
from network_graph import network_graph

from pixelplay.autoencoders.windows import Clip
from pixelplay.data.footage import Footage
from pixelplay.flow.speed import CELL
from pixelplay.registry import MODELS, model_class, model_title
from pixelplay.visual import style

WHITE, BLUE, GREEN, YELLOW, ORANGE = "#FFFFFF", "#A9D6F5", "#9ADBC5", "#F7EFA0", style.ORANGE

OUTPUTS = {"stae": ("frames", "their speeds"), "roadmap": ("predicted frame", "its speed"),
           "unet": ("in-painted frame", "its speed")}
"""Names for the outputs of networks that return plain tuples."""


def autoencoder_diagram(name: str, profile: str = "lite") -> Figure:
    """The network of a registered autoencoder at a profile's size, traced in one forward pass."""
    cls = model_class(name)
    model = cls(cls.Config.profile(profile))
    footage = _blank_footage(model.config.height, max(40, 3 * (max(model.offsets) - min(model.offsets) + 1)))
    size = footage.size
    prior = model.prepare(footage, size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = model.network(size).eval()
    caught: list[tuple] = []

    class Caught(Exception):
        pass

    def catch(_module, args):
        caught.append(args)
        raise Caught

    handle = net.register_forward_pre_hook(catch)
    length, cells = len(model.offsets), (size[0] // CELL, size[1] // CELL)
    clip = Clip(torch.rand(1, length, model.config.channels, *size, generator=torch.Generator().manual_seed(0)),
                torch.ones(1, length, 1, *cells))
    try:
        model.loss(net, clip, clip, torch.Generator().manual_seed(0), prior)
    except Caught:
        pass
    finally:
        handle.remove()
    nodes, edges = network_graph(net, caught[0], names=OUTPUTS.get(name, ()))
    nodes = [dataclasses.replace(n, heading=in_words(n.heading)) for n in nodes]
    count = sum(p.numel() for p in net.parameters())
    return draw_graph(nodes, edges, title=f"{model_title(name)} ({profile} profile, {count / 1e6:.2f} M weights)",
                      note="Shapes are channels x [frames x] rows x columns. Drawn from the network's own computation.")


def in_words(name: str) -> str:
    """A module's path as words: 'appearance.levels.0' -> 'appearance level 1'."""
    parts = [p.replace("_", " ").strip() for p in name.split(".")]
    for i, part in enumerate(parts):
        if part.isdigit():
            parts[i - 1], parts[i] = parts[i - 1].removesuffix("s"), str(int(part) + 1)
    return " ".join(parts)


def _blank_footage(height: int, frames: int) -> Footage:
    """Grey frames, because only shapes matter."""
    width = height * 5 // 3 // 16 * 16
    pixels = np.full((frames, height, width, 3), 127, np.uint8)

    def stream(rows: np.ndarray) -> Iterator[np.ndarray]:
        yield from pixels[rows]

    names = np.array(["1"] * frames, dtype=object)
    return Footage("train", np.array([f"1_{i}" for i in range(frames)], dtype=object), names, np.arange(frames),
                   np.ones(frames, np.float32), np.array([""] * frames, dtype=object), pixels, np.arange(frames),
                   (height, width), 25.0, "shapes", stream)


def memory_diagram(name: str, profile: str = "lite") -> Figure:
    """The global or the local memory, with the settings of a profile."""
    config = model_class(name).Config.profile(profile)
    nodes, edges = MEMORIES[name]({f.name: getattr(config, f.name) for f in dataclasses.fields(config)})
    return draw_graph(nodes, edges, title=f"{model_title(name).capitalize()} ({profile} profile)",
                      note="Only the bank is learnt; the networks are frozen.")


def _bank(has: dict[str, Any]) -> tuple[str, ...]:
    share = f"{100 * has['ratio']:g} % of the features" if "ratio" in has else "greedy coreset"
    return (share, f"{has['seeds']} seeds" if "seeds" in has else "greedy k-center")


def _global_parts(has: dict[str, Any]) -> tuple[list[Node], list[Edge]]:
    nodes = [Node("frame", "frame", ("repaired",), WHITE), Node("net", has["backbone"], ("frozen", "network"), BLUE),
             Node("vector", "frame vector", ("mean over space", "each layer to length 1"), GREEN),
             Node("bank", "memory bank", _bank(has), YELLOW, 1),
             Node("near", "nearest", (f"{has.get('neighbours', 1)} neighbour(s)", "Euclidean distance"), GREEN),
             Node("score", "score", ("mean over the banks",), WHITE)]
    edges = [Edge("frame", "net"), Edge("net", "vector"), Edge("vector", "bank", "training"), Edge("bank", "near"),
             Edge("vector", "near", "test"), Edge("near", "score")]
    return nodes, edges


def _local_parts(has: dict[str, Any]) -> tuple[list[Node], list[Edge]]:
    nodes, edges = [Node("frame", "frame", ("repaired",), WHITE)], []
    for level, name in enumerate(has["detectors"]):
        words = ("against the", "training background") if name == "foreground" else ("detector: people",)
        nodes.append(Node(name, name, words, BLUE, level))
        edges += [Edge("frame", name), Edge(name, "actors")]
    low = len(has["detectors"])
    nodes += [Node("flow", "optical flow", ("DIS, divided by", "the frame gap"), BLUE, low),
              Node("actors", "actors", ("boxes, merged", "and filtered"), GREEN),
              Node("look", has["backbone"], ("frozen network,", "each actor's crop"), BLUE),
              Node("speed", "motion", ("speed, direction,", "articulation"), GREEN, low),
              Node("bank", "memory bank", _bank(has), YELLOW),
              Node("joined", "rarities", ("appearance and motion", "on one scale, added"), GREEN),
              Node("score", "score", ("the highest actors",), WHITE)]
    edges += [Edge("frame", "flow"), Edge("actors", "look"), Edge("actors", "speed"), Edge("flow", "speed"),
              Edge("look", "bank"), Edge("bank", "joined"), Edge("speed", "joined"), Edge("joined", "score")]
    return nodes, edges


MEMORIES = {"global_memory": _global_parts, "local_memory": _local_parts}


def pipeline_diagram() -> Figure:
    """The pipeline from videos to submission and report, with every registered model."""
    middle = (len(MODELS) - 1) // 2
    nodes = [Node("data", "videos or frames", ("own numbers kept",), WHITE, middle),
             Node("repair", "01 extraction", ("decode once,", "repair, reliability"), YELLOW, middle)]
    edges = [Edge("data", "repair")]
    colours = {"two_stream": GREEN, "quad": BLUE}
    for level, name in enumerate(MODELS):
        cls = model_class(name)
        nodes.append(Node(name, model_title(name), (cls.stage,), colours.get(cls.family, WHITE), level))
        edges += [Edge("repair", name), Edge(name, "calibrate")]
    nodes += [Node("calibrate", "calibration", ("held-out training", "scores only"), YELLOW, middle),
              Node("smooth", "smoothing", ("frame time, leaning on", "reliable frames"), YELLOW, middle),
              Node("merge", "weighted mean", ("07 ensemble",), YELLOW, middle),
              Node("submission", "submission.csv", ("one score a frame",), WHITE, middle - 1),
              Node("report", "report, videos", ("events, reasons",), WHITE, middle),
              Node("metrics", "metrics", ("where labels are known",), WHITE, middle + 1)]
    edges += [Edge("calibrate", "smooth"), Edge("smooth", "merge"), Edge("merge", "submission"),
              Edge("merge", "report"), Edge("merge", "metrics")]
    return draw_graph(nodes, edges, title="Pixel Play: from videos to scores", row_height=0.85)
