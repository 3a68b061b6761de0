"""Shared fixtures: where the real datasets and weights are, and skips with a reason where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def scratch(tmp_path_factory):
    """Decoded frames of the tests lie apart from the user's; processes that a test starts find them, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXELPLAY_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
        yield


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: it names the folder of the real files this test reads")
    path = Path(value)
    if not path.is_dir():
        pytest.skip(f"{variable}={value} is not a folder")
    return path


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with ped2, avenue_train, own_video and pixel_play."""
    return _folder("PIXELPLAY_DATA")


@pytest.fixture(scope="session")
def real_weights() -> Path:
    """Folder with yolox_nano_416x416.onnx."""
    return _folder("PIXELPLAY_WEIGHTS")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """Output folder and test videos of `live_run`."""
    from live_run import make_live_run

    return make_live_run(tmp_path_factory.mktemp("live"))
