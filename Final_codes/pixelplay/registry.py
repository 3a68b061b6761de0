"""Registry of the models. An entry here adds a model to the command line, the ensemble, the report and the tests."""

from __future__ import annotations

import importlib

from pixelplay.errors import PixelPlayError, did_you_mean
from pixelplay.model import Model
from pixelplay.pretrained import Needs

UNEXPLAINED = "scored high by this model"
MODELS = {
    "global_memory": "pixelplay.two_stream.global_memory:GlobalMemory",
    "local_memory": "pixelplay.two_stream.local_memory:LocalMemory",
    "stae": "pixelplay.autoencoders.stae:STAE",
    "roadmap": "pixelplay.autoencoders.roadmap:Roadmap",
    "unet": "pixelplay.autoencoders.unet:UNet",
    "joint": "pixelplay.autoencoders.joint:Joint",
}


def model_class(name: str) -> type[Model]:
    """The class registered under `name`. Raises PixelPlayError for an unknown name."""
    if name not in MODELS:
        raise PixelPlayError(f"there is no model '{name}'", expected="one of " + ", ".join(MODELS),
                             hint=did_you_mean(name, MODELS))
    module, _, attribute = MODELS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def profile_needs(profile: str) -> Needs:
    """Packages and weights that the models of a profile need."""
    needs = Needs()
    for name in MODELS:
        needs |= model_class(name).needs(model_class(name).Config.profile(profile))
    return needs


def model_title(name: str) -> str:
    """Display name of a model, or of a score file from another source."""
    return registered(name, "title") or name.replace("_", " ")


def model_explain(name: str) -> str:
    """Meaning of a high score of a model, in words."""
    return registered(name, "explain") or UNEXPLAINED


def registered(name: str, attribute: str) -> str:
    """Class attribute of a registered model; '' for a score file from another source."""
    return getattr(model_class(name), attribute) if name in MODELS else ""
