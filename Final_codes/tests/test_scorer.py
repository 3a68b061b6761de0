"""The scorer: patches, places, averaging over windows, edge frames, unreliable windows, error maps on disk."""

import numpy as np
import pytest
import torch
from footage import make_footage

from pixelplay.autoencoders import scorer
from pixelplay.autoencoders.windows import Clips

SIZE = (32, 48)


def clips(videos=2, frames=10, offsets=(-1, 0), **kwargs):
    return Clips(make_footage(videos=videos, frames=frames, size=SIZE, **kwargs), offsets, SIZE, 1)




def ones(judged=1):
    return torch.ones(judged, 1, *scorer.patch_means(torch.zeros(1, *SIZE), 16).shape[-2:])


def brightness(clip):
    return clip.frames[:, -1, :, None].transpose(1, 2)


def test_patches_scale_with_the_map_and_a_spot_lights_the_patches_that_hold_it():
    maps = torch.zeros(1, 1, 192, 320)
    maps[0, 0, 40, 80] = 256.0
    found = scorer.patch_means(maps, 16)
    assert found.shape == (1, 1, 23, 39)
    assert found.max() == 1.0 and (found > 0).sum() == 4
    assert scorer.patch_means(torch.zeros(1, 1, 96, 160), 16).shape == found.shape
    assert scorer.patch_means(torch.ones(2, 3, 1, 1), 16).shape == (2, 3, 1, 1)


def test_a_frame_is_the_weighted_mean_of_the_windows_and_maps_that_cover_it():
    found = clips(videos=1, frames=6, offsets=(-1, 0))

    def errors(clip):  # both judged frames say how bright the last frame is
        return clip.frames.mean(dim=(2, 3, 4))[:, 1].view(-1, 1, 1, 1, 1).expand(-1, 2, 1, *SIZE)

    level = found.take(np.arange(6)[:, None]).frames.mean(dim=(1, 2, 3, 4)).double().numpy()
    location = ones(2)
    equal = scorer.score_footage(errors, found, (0, 1), location, 16).values
    # frame t is first in the window that ends at t + 1, last in the one that ends at t
    assert np.allclose(equal[1:5], (level[1:5] + level[2:6]) / 2)
    assert np.allclose(equal[[0, 5]], level[[1, 5]])
    halved = scorer.score_footage(errors, found, (0, 1), location, 16, levels=torch.tensor([2.0, 2.0])).values
    assert np.allclose(halved, equal / 2)
    weighted = scorer.score_footage(errors, found, (0, 1), location, 16, weights=(1.0, 3.0)).values
    assert np.allclose(weighted[1:5], (3 * level[1:5] + level[2:6]) / 4)


def test_frames_no_window_reaches_take_the_nearest_score_of_their_video_and_are_marked():
    found = clips(videos=2, frames=8, offsets=(-3, 0))

    def errors(clip):
        return brightness(clip).mean(dim=(-2, -1), keepdim=True).expand(-1, -1, -1, *SIZE)

    scores = scorer.score_footage(errors, found, (1,), ones(), 16)
    assert scores.filled.tolist() == ([True] * 3 + [False] * 5) * 2
    assert (scores.values[0:3] == scores.values[3]).all() and (scores.values[8:11] == scores.values[11]).all()
    assert scores.values[3] != scores.values[11]


@pytest.mark.parametrize("frames", [1, 2])
def test_a_video_shorter_than_a_window_is_scored_and_marked(frames):
    found = clips(videos=2, frames=frames, offsets=(-4, 0))
    scores = scorer.score_footage(brightness, found, (1,), ones(), 16)
    assert np.isfinite(scores.values).all() and scores.filled.all() and len(scores.values) == 2 * frames


def test_a_score_depends_on_its_own_video_alone():
    both = clips(videos=2, frames=8)
    alone = Clips(both.footage.of_videos(both.footage.video_names()[1:]), (-1, 0), SIZE, 1)
    a = scorer.score_footage(brightness, both, (1,), ones(), 16).values[8:]
    assert np.allclose(a, scorer.score_footage(brightness, alone, (1,), ones(), 16).values)


def test_windows_with_unreliable_frames_count_less():
    found = clips(videos=1, frames=8, offsets=(-1, 0, 1))
    found.windows.weight[:] = 1.0
    broken = 3
    found.windows.weight[broken] = 0.0

    def errors(clip):
        same = (clip.frames[:, 1] == bad).all(dim=(1, 2, 3)).float()
        return torch.ones(len(same), 3, 1, *SIZE) * (1 + 99 * same).view(-1, 1, 1, 1, 1)

    bad = found.take(found.windows.rows[broken:broken + 1]).frames[:, 1]
    scores = scorer.score_footage(errors, found, (0, 1, 2), ones(3), 16)
    # the window's error of 100 is in the average of three frames, at a thousandth of the others' weight
    assert scores.values.max() < 1.2


def test_dividing_by_the_place_makes_near_and_far_walkers_equal():
    found = clips(videos=2, frames=20, blobs=0)
    generator = torch.Generator().manual_seed(0)

    def errors(clip):  # walkers at random columns, four times as large an error in the lower half (perspective)
        maps = torch.zeros(len(clip.frames), 1, 1, *SIZE)
        for picture in maps[:, 0, 0]:
            x, near = int(torch.randint(0, 33, (), generator=generator)), torch.rand((), generator=generator) < 0.5
            picture[slice(16, 32) if near else slice(0, 16), x:x + 16] = 4.0 if near else 1.0
        return maps

    location = scorer.usual_errors(errors, found, 48)[0][0, 0]
    assert 3 < location[-2:].mean() / location[:2].mean() < 5
    assert location.std(dim=1).max() < 0.35 * location.mean()


def test_dividing_by_the_place_removes_what_every_training_frame_shows_all_along_a_row():
    found = clips(videos=2, frames=20, blobs=0)

    def errors(clip):  # a wall of swaying leaves along the top
        maps = torch.full((len(clip.frames), 1, 1, *SIZE), 0.1)
        maps[..., :8, :] += 5
        return maps

    location = scorer.usual_errors(errors, found, 16)[0]
    plain = scorer.patch_means(errors(found.take(found.windows.rows[:1])), 16)
    assert plain.max() / plain.median() > 20
    assert (plain / location).max() < 1.5
    assert location.shape == plain.shape[1:] and (location > 0).all()


def test_a_seldom_visited_place_is_not_blown_up():
    found = clips(videos=1, frames=40, blobs=0)
    calls = []

    def errors(clip):  # someone walks at the left in every frame, at the right in one window of all
        maps = torch.full((len(clip.frames), 1, 1, *SIZE), 1e-4)
        maps[..., 8:24, :16] += 1
        if not calls:
            maps[:1, ..., 8:24, 32:] += 1
        calls.append(1)
        return maps

    location = scorer.usual_errors(errors, found, 16)[0][0, 0]
    middle = location[location.shape[0] // 2]
    assert middle[-1] > 0.5 * middle[0]
    quiet = scorer.usual_errors(lambda clip: torch.zeros(len(clip.frames), 1, 1, *SIZE), found, 16)[0]
    assert (quiet > 0).all()


def test_the_highest_place_speaks_and_appearance_counts_beside_motion():
    patches = torch.ones(1, 1, 2, 2, 2)
    usual = 1 + scorer.APPEARANCE
    assert scorer.frame_scores(patches).item() == pytest.approx(usual)
    patches[0, 0, 0, 1, 1] = 3.0
    assert scorer.frame_scores(patches).item() == pytest.approx(usual + 2)
    patches[0, 0, 1, 0, 0] = 9.0
    assert scorer.frame_scores(patches).item() == pytest.approx(usual + 8 * scorer.APPEARANCE), "looks strange, stands"
    expected = [usual + 8 * scorer.APPEARANCE, usual, usual, usual + 2]
    assert scorer.place_scores(patches)[0, 0].flatten().tolist() == pytest.approx(expected)


def test_error_maps_are_kept_as_halves_and_say_where(tmp_path):
    found = clips(videos=1, frames=6, odd=[(0, 3)], blobs=0)
    quiet = clips(videos=1, frames=6, blobs=0)
    background = quiet.take(quiet.windows.rows).frames.median(dim=0).values[0]

    def errors(clip):
        return (clip.frames[:, -1:] - background) ** 2

    scores = scorer.score_footage(errors, found, (1,), ones(), 16, maps=tmp_path / "maps" / "test.npy")
    assert scores.maps.dtype == np.float16 and scores.maps.shape[0] == 6
    assert np.allclose(scores.maps[1:].reshape(5, -1).max(axis=1), scores.values[1:], rtol=1e-2)
    assert scores.values.argmax() == 3
    assert [p.name for p in (tmp_path / "maps").glob("[!.]*")] == ["test.npy"]
