"""Versions of everything that is kept between runs, with the modules that determine it.

Versions are part of cache keys: raise one if the same input no longer gives the same artefact, and old artefacts are
recomputed. `tests/test_versions.py` fails if the code of a listed module has changed since its version was recorded,
and says how to record it.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Artefact:
    """An artefact of a stage.

    Attributes:
        number: the version.
        modules: files of the package whose code determines the content.
    """

    number: int
    modules: tuple[str, ...]


def _in(folder: str, names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}.py" for name in names.split())


SCENES = _in("scenes", "cameras description grouping medians")
FLOW = _in("flow", "dense references")
EMBEDDING = _in("two_stream", "backbones features")
MEMORY = ("calibration.py", *_in("two_stream", "coreset greedy memory scoring"))
AUTOENCODER = (*_in("autoencoders", "augment base blocks parts scorer statistics trainer windows"), *SCENES)

ARTEFACTS = {
    "sample": Artefact(4, ("data/corruption.py", *_in("sample", "actors dataset scene script view"))),
    "noise": Artefact(1, ("repair/noise.py",)),
    "norms": Artefact(1, (*_in("repair", "background geometry noise norms orientation timeline"), *SCENES)),
    "repair": Artefact(11, _in("repair", "camera_path denoise geometry neighbours noise orientation plan reliability "
                                         "repairer stage timeline")),
    "speed": Artefact(3, ("flow/speed.py", *FLOW, *SCENES)),
    "actors": Artefact(5, (*_in("two_stream", "actor_table actors detectors foreground motion"), *FLOW,
                           *_in("scenes", "grouping lighting medians"))),
    "features": Artefact(1, EMBEDDING),
}
"""Artefacts of stage 1 and of the caches."""

MODELS = {
    "global_memory": ("two_stream/global_memory.py", *EMBEDDING, *MEMORY),
    "local_memory": (*_in("two_stream", "actor_files actor_scores channels local_config local_files local_memory "
                                        "motion thumbnails tracks"), *EMBEDDING, *MEMORY),
    **{name: (f"autoencoders/{name}.py", *AUTOENCODER) for name in ("stae", "roadmap", "unet", "joint")},
}
"""Model -> modules that determine its weights and scores; the version is `Model.version` of the class."""
