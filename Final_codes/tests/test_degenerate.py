"""Footage in which there is little or nothing to learn: every model gives finite scores or says what is missing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from footage import make_footage

from pixelplay.config import override
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.scores import check
from pixelplay.registry import MODELS, model_class

pytestmark = pytest.mark.slow


def changed(footage, change):
    """The footage with other pixels, in memory and in the stream."""
    pixels = change(np.array(footage.pixels))
    return footage.with_pixels(pixels, fingerprint=f"{change.__name__}-{footage.name}",
                               open_stream=lambda rows: iter([pixels[row] for row in rows]))


def unreadable(footage, names, stand_in=128):
    """The footage with all frames of some videos unreadable; something stands in for them."""
    lost = np.isin(footage.videos.astype(str), names)

    def change(pixels):
        pixels[lost] = stand_in
        return pixels

    return dataclasses.replace(changed(footage, change), flags=np.where(lost, "unreadable", "").astype(object),
                               reliability=(~lost).astype(np.float32), fingerprint=f"{names}-{np.mean(stand_in)}")


def first_frames(footage, names):
    """The footage with one frame left of some videos."""
    first = np.concatenate([[True], footage.videos[1:] != footage.videos[:-1]])
    return footage.select(first | ~np.isin(footage.videos.astype(str), names))


def black(pixels):
    return np.zeros_like(pixels)


def identical(pixels):
    return np.repeat(pixels[:1], len(pixels), axis=0)


def flashing(pixels):
    pixels[::2], pixels[1::2] = 0, 255
    return pixels


def one_readable(footage):
    """The footage with one readable frame in all."""
    lost = np.arange(len(footage)) != len(footage) // 2

    def change(pixels):
        pixels[lost] = 128
        return pixels

    return dataclasses.replace(changed(footage, change), flags=np.where(lost, "unreadable", "").astype(object),
                               reliability=(~lost).astype(np.float32))


FOOTAGE = {
    "one readable training frame of one video": (one_readable(make_footage(1, 12)),
                                                 make_footage(1, 12, name="test")),
    "one readable training frame of three videos": (one_readable(make_footage(3, 12)),
                                                    make_footage(1, 12, name="test")),
    "black": (changed(make_footage(2, 12), black), changed(make_footage(1, 12, name="test"), black)),
    "identical": (changed(make_footage(2, 12), identical), changed(make_footage(1, 12, name="test"), identical)),
    "flashing": (changed(make_footage(2, 12), flashing), changed(make_footage(1, 12, name="test"), flashing)),
    "empty scene, then somebody": (make_footage(2, 12, blobs=0, noise=0.0), make_footage(1, 12, name="test")),
    "somebody, then an empty scene": (make_footage(2, 12), make_footage(1, 12, name="test", blobs=0)),
    "one training frame": (make_footage(1, 1), make_footage(1, 12, name="test")),
    "one test frame": (make_footage(2, 12), make_footage(1, 1, name="test")),
    "one training video": (make_footage(1, 24), make_footage(1, 12, name="test")),
    "one training video unreadable": (unreadable(make_footage(3, 12), ["1"]), make_footage(1, 12, name="test")),
    "two of three training videos unreadable": (unreadable(make_footage(3, 12), ["1", "3"]),
                                                make_footage(1, 12, name="test")),
    "two training videos of one frame": (first_frames(make_footage(3, 12), ["1", "2"]),
                                         make_footage(1, 12, name="test")),
    "training videos of one frame each": (first_frames(make_footage(3, 12), ["1", "2", "3"]),
                                          make_footage(1, 12, name="test")),
    "test videos of one frame each": (make_footage(2, 12), first_frames(make_footage(3, 4, name="test"),
                                                                        ["1", "2", "3"])),
    "black training, real test": (changed(make_footage(2, 12), black), make_footage(1, 12, name="test")),
}

NOTHING_DIFFERS = ("black", "identical", "flashing", "empty scene, then somebody", "somebody, then an empty scene",
                   "black training, real test")


def small(name):
    cls = model_class(name)
    config = cls.Config.profile("smoke")
    return cls(override(config, {"steps": 2}) if hasattr(config, "steps") else config)


@pytest.mark.parametrize("kind", FOOTAGE)
@pytest.mark.parametrize("name", MODELS)
def test_scores_are_finite_or_the_error_says_what_is_missing(name, kind, tmp_path):
    (train, test), model = FOOTAGE[kind], small(name)
    try:
        model.fit(train, tmp_path)
        held_out, scores = model.held_out(train, tmp_path), model.score(test, tmp_path)
        for found, footage in ((held_out, train), (scores, test)):
            check(found.values, footage.ids, None, footage.name)
    except PixelPlayError as mistake:
        assert mistake.expected or mistake.hint, "an error says what to do"
        assert "video" in str(mistake) or "frame" in str(mistake)
        # where the pixels differ and can be read, "constant" is not the cause
        assert kind in NOTHING_DIFFERS or "every score is" not in str(mistake)
        return
    for found, footage in ((held_out, train), (scores, test)):
        assert found.values.shape == (len(footage),) and np.isfinite(found.values).all()
        for part, values in found.parts.items():
            assert np.isfinite(values).all(), part


@pytest.mark.parametrize("name", MODELS)
def test_what_stands_in_for_unreadable_training_frames_is_not_learned(name, tmp_path):
    test, found = make_footage(1, 12, name="test"), []
    picture = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    for stand_in in (128, picture):
        train, folder = unreadable(make_footage(3, 12), ["2"], stand_in), tmp_path / str(len(found))
        model = small(name)
        model.fit(train, folder)
        model.held_out(train, folder)
        found.append(model.score(test, folder).values)
    assert np.array_equal(*found)
