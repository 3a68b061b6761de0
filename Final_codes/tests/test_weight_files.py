"""Weight files of the autoencoders: a round trip, and refusal of everything that is not what it should be."""

import numpy as np
import pytest
import torch

from pixelplay.autoencoders import weights
from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json, write_json

CARD = {"model": "stae", "version": 1, "size": [16, 16]}


def write(folder, **changes):
    tensors = {"net.a": torch.randn(3, 4), "prior.location": torch.full((2, 2), 1e-6), "net.n": torch.arange(3)}
    weights.write_weights(folder, tensors, {**CARD, **changes},
                          train_scores=(np.array(["1_0", "1_1"], object), np.array([0.5, 2.25])))
    return tensors


def test_round_trip_keeps_weights_to_half_precision_and_statistics_exactly(tmp_path):
    written = write(tmp_path)
    tensors, card = weights.read_weights(tmp_path, model="stae", version=1)
    assert torch.allclose(tensors["net.a"], written["net.a"], atol=2e-3)
    assert torch.equal(tensors["prior.location"], written["prior.location"])
    assert torch.equal(tensors["net.n"], written["net.n"])
    assert card["size"] == [16, 16] and card["bytes"] == (tmp_path / weights.WEIGHTS).stat().st_size
    ids, values = weights.read_train_scores(tmp_path, card)
    assert ids.tolist() == ["1_0", "1_1"] and values.tolist() == [0.5, 2.25]


def test_another_model_version_or_content_is_refused_by_name(tmp_path):
    write(tmp_path)
    with pytest.raises(PixelPlayError, match="describes the model 'stae'"):
        weights.read_weights(tmp_path, model="unet", version=1)
    with pytest.raises(PixelPlayError, match="version 1"):
        weights.read_weights(tmp_path, model="stae", version=2)
    path = tmp_path / weights.WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(PixelPlayError, match="sha256 differs"):
        weights.read_weights(tmp_path, model="stae", version=1)


def test_a_file_that_is_no_safetensors_is_refused_even_with_the_right_hash(tmp_path):
    write(tmp_path)
    (tmp_path / weights.WEIGHTS).write_bytes(b"not a weight file")
    card = read_json(tmp_path / weights.CARD)
    write_json(tmp_path / weights.CARD, {**card, "sha256": weights.sha256_of(tmp_path / weights.WEIGHTS)})
    with pytest.raises(PixelPlayError, match="cannot be read"):
        weights.read_weights(tmp_path, model="stae", version=1)


def test_an_empty_folder_and_changed_train_scores_are_refused(tmp_path):
    with pytest.raises(PixelPlayError, match="holds no weights"):
        weights.read_weights(tmp_path, model="stae", version=1)
    write(tmp_path)
    _, card = weights.read_weights(tmp_path, model="stae", version=1)
    (tmp_path / weights.TRAIN_SCORES).write_text("Id,Predicted\n1_0,9\n")
    with pytest.raises(PixelPlayError, match="train_scores"):
        weights.read_train_scores(tmp_path, card)
