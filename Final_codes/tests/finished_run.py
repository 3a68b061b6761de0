"""A finished run in a folder, made of synthetic footage and score files: no model, no cache, nothing decoded.

    from finished_run import make_run
    folder, footage = make_run(tmp_path)
    RunFolder(folder, footage=footage)
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
from footage import make_footage

from pixelplay.data.footage import Footage
from pixelplay.data.manifest import Manifest, make_table
from pixelplay.detector import write_training
from pixelplay.files import atomic_path, write_json
from pixelplay.fusion.scores import write_scores
from pixelplay.fusion.stage import merge
from pixelplay.paths import LAYOUT, RunPaths

ODD = range(40, 70)
"""Frame positions of video 2 that are anomalous."""


def make_run(folder: Path, *, videos: int = 3, frames: int = 100, labels: bool = True, maps: bool = True,
             models: tuple[str, ...] = ("stae", "unet"), train_scores: bool = True, seed: int = 0,
             rename: dict[str, str] | None = None) -> tuple[Path, dict[str, Footage]]:
    """Write manifest, scores, submission, receipts; returns (output folder, split -> footage).

    Video 2 holds an anomaly at the positions `ODD` and a hole in its frame numbers after position 20.
    Args:
        rename: video name -> another one, to try odd names.
    """
    train = make_footage(2, frames, name="train", full_size=(96, 160))
    test = make_footage(videos, frames, name="test", seed=seed + 1, full_size=(96, 160),
                        odd=[(1, t) for t in ODD if t < frames], gaps=[(1, 20)])
    for old, new in (rename or {}).items():
        names = np.where(test.videos == old, new, test.videos).astype(object)
        ids = np.array([f"{v}_{f}" for v, f in zip(names, test.frames)], dtype=object)
        test = dataclasses.replace(test, videos=names, ids=ids)
    odd = np.zeros(len(test), bool)
    odd[[frames + t for t in ODD if videos > 1 and t < frames]] = True
    rows = [(f.name, v, int(n), f"{v}/{n}.jpg") for f in (train, test) for v, n in zip(f.videos, f.frames)]
    table = make_table(rows)
    table.loc[(table["split"] == "test") & (table["frame"] == 5), "reliability"] = 0.2
    label_path = None
    if labels:
        label_path = folder / "labels.csv"
        with atomic_path(label_path) as part:
            pd.DataFrame({"Id": test.ids, "label": odd.astype(int)}).to_csv(part, index=False)
    Manifest(table, {"train": folder, "test": folder}, "synthetic", {"test": 25.0}, {"test": "feed"}, label_path).save(
        folder / "01_frame_extraction")
    paths = RunPaths(folder)
    write_json(paths.layout, {"layout": LAYOUT})
    write_training(paths.detector, table[table["split"] == "train"])
    rng = np.random.default_rng(seed)
    for name in models:
        held_out = np.exp(rng.normal(0, 0.3, len(train)))
        values = np.exp(rng.normal(0, 0.3, len(test)) + 2.0 * odd)
        write_scores(folder / "scores", name, test.ids, values, train=(train.ids, held_out) if train_scores else None,
                     about={"model": name, "family": "quad", "kind": "error", "sigma": 3.0, "weight": 0.5,
                            "seconds": 1.5, "config": {"height": 48},
                            "filled": {"rule": "nearest valid score", "ids": []}})
        if maps:
            errors = np.abs(rng.normal(0.3, 0.1, (len(test), 12, 20))).astype(np.float16)
            errors[odd, 3:6, 5:10] = 20.0
            with atomic_path(folder / "scores" / "maps" / f"{name}.npy") as part:
                np.save(part, errors)
    if models:
        merge(folder)
    write_json(folder / "run.json", {"options": {"seed": seed, "labels": None}, "seconds": {"ensemble": 0.1},
                                     "hardware": {"name": "test machine"}, "hashes": {m: "abc123" for m in models}})
    return folder, {"train": train, "test": test}
