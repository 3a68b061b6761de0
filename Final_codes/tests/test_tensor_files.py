"""Weights files of any format give their tensors, and none of them can run code."""

from __future__ import annotations

import os
import pathlib
import pickle

import pytest
import torch
from safetensors.torch import save_file

from pixelplay.errors import PixelPlayError
from pixelplay.tensor_files import read_tensors

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(7)}


class Payload:
    """Runs a command as soon as an unwary reader loads it."""

    def __init__(self, command: str):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == TENSORS.keys() and all(torch.equal(found[k], TENSORS[k]) for k in TENSORS)


def test_every_plain_format_gives_the_tensors(tmp_path):
    save_file(TENSORS, tmp_path / "a.safetensors")
    torch.save(TENSORS, tmp_path / "a.pth")
    torch.save({"state_dict": TENSORS, "epoch": 3}, tmp_path / "b.pth")
    torch.save(TENSORS, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for path in tmp_path.iterdir():
        assert same(read_tensors(path)), path.name


@pytest.mark.parametrize("key", ["model", "ema"])
def test_a_pickled_network_gives_its_tensors_without_its_classes(tmp_path, key):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4), torch.nn.SiLU()).half()
    torch.save({"ema": None, key: network, "train_args": {"data": pathlib.PurePosixPath("coco.yaml")}},
               tmp_path / "net.pt")
    found, expected = read_tensors(tmp_path / "net.pt"), network.state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[k], expected[k]) for k in expected)


@pytest.mark.parametrize("place", ["alone", "in a checkpoint", "in a network", "old format", "bare pickle"])
def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path, place):
    ran = tmp_path / "ran"
    payload, path = Payload(f"touch {ran}"), tmp_path / "evil.pt"
    network = torch.nn.Linear(2, 2)
    network.extra = payload
    if place == "bare pickle":
        path.write_bytes(pickle.dumps(payload, protocol=2))
    else:
        what = {"in a checkpoint": {"model": TENSORS, "date": payload}, "in a network": {"model": network}}
        torch.save(what.get(place, payload), path, _use_new_zipfile_serialization=place != "old format")
    with pytest.raises(PixelPlayError, match=r"evil\.pt (is refused: reading it would run .*system|cannot be read)"):
        read_tensors(path)
    assert not ran.exists()
    # the payload is a real one
    with path.open("rb") as stream:
        if place == "bare pickle":
            pickle.load(stream)
            assert ran.exists()


def test_a_class_of_the_allowed_packages_runs_no_code_either(tmp_path):
    """ultralytics evaluates words of a network's description while it builds one; a pickle could ask it to."""
    ran = tmp_path / "ran"

    tasks = pytest.importorskip("ultralytics.nn.tasks")

    class Fake:
        def __reduce__(self):
            return tasks.DetectionModel, ({"activation": f"__import__('os').system('touch {ran}')"},)

    torch.save({"model": Fake()}, tmp_path / "net.pt")
    assert read_tensors(tmp_path / "net.pt") == {}
    assert not ran.exists()


@pytest.mark.parametrize("name", ["empty.pt", "empty.safetensors", "text.pt", "text.safetensors", "half.pt"])
def test_damaged_files_are_named(tmp_path, name):
    torch.save(TENSORS, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    content = {"empty": b"", "text": b"version https://git-lfs.github.com/spec/v1\n", "half": whole[:len(whole) // 2]}
    (tmp_path / name).write_bytes(content[name.partition(".")[0]])
    with pytest.raises(PixelPlayError, match=f"{name} cannot be read as weights") as error:
        read_tensors(tmp_path / name)
    assert "weights_only" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PixelPlayError, match=r"nowhere\.pt is missing"):
        read_tensors(tmp_path / "nowhere.pt")
