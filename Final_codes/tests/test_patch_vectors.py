"""VideoPatchCore's vectors: which frames a clip takes, what the vectors see, and banks that hold a video out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from footage import make_footage

from pixelplay.errors import PixelPlayError
from pixelplay.two_stream.local_memory import LocalMemory, LocalMemoryConfig
from pixelplay.two_stream.patch_vectors import VectorBank, clip_positions, describe

CONFIG = dataclasses.replace(LocalMemoryConfig.profile("smoke"), stride=2, seeds=1, floor=16, clip=2, groups=8,
                             patches=("spatial", "temporal"))


def test_a_clip_stays_inside_its_segment():
    around = clip_positions(make_footage(2, 6, gaps=[(0, 2)]), 4, 1)
    assert around[0].tolist() == [0, 0, 1, 2], "three frames before the gap: the first one again"
    assert around[3].tolist() == [3, 3, 4, 5] and around[6].tolist() == around[7].tolist() == [6, 7, 8, 9]
    assert around[9].tolist() == [7, 8, 9, 10] and around[11].tolist() == [8, 9, 10, 11]


def maps(clips: int, frames: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(clips * frames, c, s, s, generator=generator) for c, s in ((12, 28), (20, 14))]


def test_shapes_and_stillness():
    spatial, temporal = describe(maps(3, 4), 4, 8)
    assert spatial.shape == (3, 49, 8) and temporal.shape == (3, 2, 3, 8)
    assert (temporal[:, 1] >= temporal[:, 0]).all(), "a maximum over the box is no less than its mean"
    still = [m[:1].repeat(4, 1, 1, 1) for m in maps(1, 1)]
    spatial, temporal = describe(still, 4, 8)
    assert temporal.abs().max() == 0 and spatial.abs().max() > 0


def test_one_strange_place_is_a_strange_actor():
    vectors = np.random.default_rng(0).normal(0, 0.1, (20, 49, 8)).astype(np.float16)
    bank = VectorBank.fit(vectors, 0.2, 1, torch.Generator().manual_seed(0))
    odd = vectors[:2].copy()
    odd[1, 30] += 3
    usual, strange = bank.score(odd, np.full(len(odd), -1), np.zeros(len(vectors)))
    assert strange > 5 * usual and len(bank.vectors) == 196


def test_held_out_actors_never_meet_their_own_video():
    vectors = np.zeros((4, 49, 8), np.float16)
    vectors[2:] = 1.0
    bank = VectorBank.fit(vectors, 1.0, 1, torch.Generator().manual_seed(0))
    fold = np.array([0, 0, 1, 1])
    assert bank.score(vectors, np.full(4, -1), fold).max() == 0
    assert bank.score(vectors, fold, fold) == pytest.approx(np.sqrt(8) * np.ones(4))
    assert np.isnan(bank.score(vectors, np.zeros(4), np.zeros(4))).all(), "one fold has no other to be compared with"
    nobody = VectorBank.fit(vectors[:0], 0.1, 4, torch.Generator())
    assert np.isnan(nobody.score(vectors, fold, fold)).all() and len(nobody.score(vectors[:0], fold[:0], fold[:0])) == 0


def test_the_local_stream_joins_them_and_saves_them(tmp_path):
    train, test = make_footage(3, 8, (96, 160)), make_footage(1, 6, (96, 160), seed=5, name="test", odd=[(0, 4)])
    model = LocalMemory(CONFIG)
    model.fit(train, tmp_path)
    scores, held_out = model.score(test, tmp_path), model.held_out(train, tmp_path)
    assert {"spatial", "temporal"} <= set(scores.parts) and np.isfinite(held_out.values).all()
    plain = LocalMemory(dataclasses.replace(CONFIG, patches=()))
    plain.fit(train, tmp_path)
    assert (scores.values >= plain.score(test, tmp_path).values - 1e-9).all(), "rarities are added"
    model.save(tmp_path)
    assert np.array_equal(LocalMemory.load(tmp_path).score(test, tmp_path).values, scores.values)
    with pytest.raises(PixelPlayError, match="patches colour"):
        LocalMemory(dataclasses.replace(CONFIG, patches=("colour",)))
