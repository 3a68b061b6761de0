"""Footage in which there is little or nothing to learn: every model gives finite scores or says what is missing."""

from __future__ import annotations

import numpy as np
import pytest
from footage import make_footage

from pixelplay.config import override
from pixelplay.errors import PixelPlayError
from pixelplay.registry import MODELS, model_class


def changed(footage, change):
    """The footage with other pixels, in memory and in the stream."""
    pixels = change(np.array(footage.pixels))
    return footage.with_pixels(pixels, fingerprint=f"{change.__name__}-{footage.name}",
                               open_stream=lambda rows: iter([pixels[row] for row in rows]))




def black(pixels):
    return np.zeros_like(pixels)


def identical(pixels):
    return np.repeat(pixels[:1], len(pixels), axis=0)


def flashing(pixels):
    pixels[::2], pixels[1::2] = 0, 255
    return pixels


FOOTAGE = {
    "black": (changed(make_footage(2, 12), black), changed(make_footage(1, 12, name="test"), black)),
    "identical": (changed(make_footage(2, 12), identical), changed(make_footage(1, 12, name="test"), identical)),
    "flashing": (changed(make_footage(2, 12), flashing), changed(make_footage(1, 12, name="test"), flashing)),
    "empty scene, then somebody": (make_footage(2, 12, blobs=0, noise=0.0), make_footage(1, 12, name="test")),
    "somebody, then an empty scene": (make_footage(2, 12), make_footage(1, 12, name="test", blobs=0)),
    "one training frame": (make_footage(1, 1), make_footage(1, 12, name="test")),
    "one test frame": (make_footage(2, 12), make_footage(1, 1, name="test")),
    "one training video": (make_footage(1, 24), make_footage(1, 12, name="test")),
    "black training, real test": (changed(make_footage(2, 12), black), make_footage(1, 12, name="test")),
}


@pytest.mark.parametrize("kind", FOOTAGE)
@pytest.mark.parametrize("name", MODELS)
def test_scores_are_finite_or_the_error_says_what_is_missing(name, kind, tmp_path):
    train, test = FOOTAGE[kind]
    cls = model_class(name)
    config = cls.Config.profile("smoke")
    if hasattr(config, "steps"):
        config = override(config, {"steps": 2})
    model = cls(config)
    try:
        model.fit(train, tmp_path)
        held_out, scores = model.held_out(train, tmp_path), model.score(test, tmp_path)
    except PixelPlayError as mistake:
        assert mistake.expected or mistake.mend, "an error says what to do"
        assert "video" in str(mistake) or "frame" in str(mistake)
        return
    for found, footage in ((held_out, train), (scores, test)):
        assert found.values.shape == (len(footage),) and np.isfinite(found.values).all()
        for part, values in found.parts.items():
            assert np.isfinite(values).all(), part
