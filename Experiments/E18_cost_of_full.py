"""E18: what does the full profile cost on the competition's data?

Counts without running anything: floating-point operations of every stage with a network (two per multiply-add, by
PyTorch's counter on meta tensors), the bytes moved by its operations (each reads its inputs and writes its output in
half precision: an upper bound, since nothing is fused), and the bytes a stage reads from the frames and keeps, for
9,204 training and 11,706 test frames of 640 x 360. Autoencoders are counted for fit, the folds of the held-out scores,
and scoring. The number of crops is an assumption. Hours on a T4 and an L4 are estimates, not measurements: the longer
of operations at an assumed share of the peak rate and bytes at an assumed share of the memory bandwidth.

Run:   python Experiments/E18_cost_of_full.py
Makes: Experiments/E18_cost_of_full.csv
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pixelplay.autoencoders.scorer import LOCATION_WINDOWS
from pixelplay.autoencoders.statistics import TrainingStatistics
from pixelplay.autoencoders.trainer import VALIDATION_WINDOWS
from pixelplay.autoencoders.windows import Clip, network_size
from pixelplay.data.extraction import working_size
from pixelplay.files import atomic_path
from pixelplay.flow.speed import cell_size
from pixelplay.registry import MODELS, model_class
from pixelplay.two_stream.backbones import load_backbone

TARGET = Path(__file__).with_suffix(".csv")
SOURCE, TRAIN, TEST = (360, 640), 9204, 11706
CROPS = 80_000
"""Crops of actors that are embedded: every other frame, about eight actors each (assumed)."""
YOLO_FLOPS = 16.5e9
"""Of YOLOv5s for one frame at 640 pixels, as its authors state; its trunk is not here to be counted."""
FLOPS = {"T4": 65e12, "L4": 121e12}
"""Operations a second in half precision with tensor cores and dense matrices, by the cards' data sheets."""
BANDWIDTH = {"T4": 320e9, "L4": 300e9}
"""Bytes a second of the cards' memory, by the same data sheets."""
SHARE = {"flop": 0.15, "moved": 0.7}
"""Of both that is reached (assumed)."""


class Moved(TorchDispatchMode):
    """Sums the bytes of the inputs and outputs of every operation that is no view, floats counted as halves."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if not function.is_view:
            for x in tree_leaves((args, out)):
                if isinstance(x, torch.Tensor):
                    self.bytes += x.numel() * (2 if x.is_floating_point() else x.element_size())
        return out


def counted(work) -> np.ndarray:
    """(floating-point operations, bytes moved) of a call."""
    with FlopCounterMode(display=False) as counter, Moved() as moved:
        work()
    return np.array([counter.get_total_flops(), moved.bytes], np.float64)


def cost(both: np.ndarray) -> dict[str, float]:
    """Columns of what `counted` gave."""
    return {"flop": both[0], "moved": both[1]}


def autoencoder(name: str) -> list[dict]:
    """Rows of one autoencoder: fit, the folds, scoring."""
    model = model_class(name)(model_class(name).Config.profile("full"))
    config, size = model.config, network_size(working_size(SOURCE), model.config.height)
    cells, length = cell_size(*size), len(model.offsets)
    # shapes alone: tensors without memory, on the device that is called so
    net = model.network(size).to("meta")
    clip = Clip(torch.empty(config.batch, length, config.channels, *size, device="meta"),
                torch.empty(config.batch, length, 1, *cells, device="meta"))
    known = TrainingStatistics(torch.empty(config.channels, *size, device="meta"),
                               torch.empty(1, *size, device="meta"), torch.tensor(1), torch.tensor(1.0))

    def learn() -> None:
        model.loss(net, clip, clip, torch.Generator(), known)["total"].backward()

    def look() -> None:
        with torch.no_grad():
            model.errors(net, clip, known)

    step, window = counted(learn) / config.batch, counted(look) / config.batch
    steps = model.planned_steps(TRAIN)
    epochs = -(-steps // config.epoch_steps)
    # an epoch ends with held-out windows, a training with the errors that are usual: forward passes both
    beside = window * (epochs * VALIDATION_WINDOWS + 2 * LOCATION_WINDOWS)
    held = [round(steps * (config.folds - 1) / config.folds)] * config.folds
    frame_bytes = int(np.prod(size)) * config.channels + 2 * int(np.prod(cells))
    sizes = f"{size[0]}x{size[1]}"
    parameters = sum(p.numel() for p in net.parameters())
    state = 4 * 4 * parameters  # weights, averaged weights and two moments, float32
    common = {"model": name, "input": sizes, "parameters": parameters, "batch": config.batch}
    return [
        {**common, "stage": "fit", "steps": steps, "windows": steps * config.batch,
         **cost(steps * config.batch * step + beside), "bytes_read": steps * config.batch * length * frame_bytes,
         "bytes_kept": TRAIN * frame_bytes + state},
        {**common, "stage": "fit of the folds", "steps": sum(held), "windows": sum(held) * config.batch,
         **cost(sum(held) * config.batch * step + config.folds * beside),
         "bytes_read": sum(held) * config.batch * length * frame_bytes,
         "bytes_kept": config.folds * state},
        {**common, "stage": "score test and held-out training frames", "windows": TRAIN + TEST,
         **cost((TRAIN + TEST) * window), "bytes_read": (TRAIN + TEST) * length * frame_bytes,
         "bytes_kept": (TRAIN + TEST) * 8},
    ]


def backbone_rows() -> list[dict]:
    """Rows of the two-stream memory: CLIP's trunk on frames and crops, and the detector."""
    net = load_backbone("random-rn101")
    picture = torch.zeros(1, 3, net.input_size, net.input_size, dtype=torch.uint8)
    one, row = counted(lambda: net.maps(picture)), net.dim * 4
    side = f"{net.input_size}x{net.input_size}"
    frames = TRAIN + TEST
    return [
        {"model": "global_memory", "stage": "embed all frames", "input": side, "windows": frames, **cost(frames * one),
         "bytes_read": frames * int(np.prod(working_size(SOURCE))) * 3, "bytes_kept": frames * row},
        {"model": "local_memory", "stage": "embed crops (number assumed)", "input": side, "windows": CROPS,
         **cost(CROPS * one), "bytes_read": CROPS * net.input_size ** 2 * 3, "bytes_kept": CROPS * row},
        {"model": "local_memory", "stage": "YOLOv5s (operations as stated by its authors)", "input": "384x640",
         "windows": frames, "flop": frames * YOLO_FLOPS * 384 / 640, "bytes_read": frames * int(np.prod(SOURCE)) * 3},
    ]


def first_stage() -> list[dict]:
    """Rows of stage 1, which computes on the processor: bytes alone."""
    size, frames = working_size(SOURCE), TRAIN + TEST
    shape = f"{size[0]}x{size[1]}"
    return [
        {"model": "stage 1", "stage": "decode, repair, keep", "input": "360x640", "windows": frames,
         "bytes_read": frames * int(np.prod(SOURCE)) * 3, "bytes_kept": frames * int(np.prod(size)) * 3},
        {"model": "stage 1", "stage": "speed maps", "input": shape, "windows": frames,
         "bytes_read": frames * int(np.prod(size)) * 3, "bytes_kept": frames * int(np.prod(cell_size(*size))) * 2},
    ]


def main() -> None:
    rows = first_stage() + backbone_rows()
    for name in MODELS:
        if model_class(name).family == "quad":
            rows += autoencoder(name)
    table = pd.DataFrame(rows)
    total = table[["flop", "moved", "bytes_read", "bytes_kept", "steps"]].sum()
    table = pd.concat([table, pd.DataFrame([{"model": "all", "stage": "sum", **total}])], ignore_index=True)
    for card in FLOPS:
        hours = np.fmax(table["flop"] / (FLOPS[card] * SHARE["flop"]),
                        table["moved"] / (BANDWIDTH[card] * SHARE["moved"])) / 3600
        hours.iloc[-1] = hours.iloc[:-1].sum()
        table[f"{card}_hours_estimated"] = hours.round(2)
    table.insert(2, "tflop", (table.pop("flop") / 1e12).round(1))
    table.insert(3, "tib_moved", (table.pop("moved") / 2**40).round(2))
    for name in ("bytes_read", "bytes_kept"):
        table[name.replace("bytes", "gib")] = (table.pop(name) / 2**30).round(2)
    for name in ("steps", "windows", "parameters", "batch"):
        table[name] = table[name].astype("Int64")
    with atomic_path(TARGET) as part:
        table.to_csv(part, index=False, lineterminator="\n")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
