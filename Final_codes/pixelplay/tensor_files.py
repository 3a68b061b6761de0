"""The tensors of a weights file, whatever format it comes in. No code that a file names is run.

Reads safetensors, a pickled state dict or module (`.pt`, `.pth`) or a TorchScript archive; makes a dict of tensors by
name. Pickles load with torch's restricted unpickler (`weights_only=True`), which builds tensors and plain containers
alone. A file that holds a whole network (ultralytics saves those) names its classes besides; each is replaced by an
empty `torch.nn.Module`, which keeps the tensors and has no code. Any other name in the pickle refuses the file.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from pixelplay.errors import PixelPlayError

_HARMLESS = ("torch.nn.modules.", "ultralytics.", "models.", "numpy.", "pathlib.")
"""What pickled networks name: their classes (`models` is the package of the first YOLOv5 repository), and numbers and
paths of their training settings."""


class _Inert(nn.Module):
    """Stands for everything a pickled network names: holds its tensors and sub-modules, has no behaviour."""

    def __init__(self, *_: object):
        super().__init__()

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            super().__setstate__(state)


def read_tensors(path: Path | str) -> dict[str, Tensor]:
    """All tensors of a weights file by name, on the CPU, in the file's own precision.

    Args:
        path: safetensors where it ends in .safetensors, else what `torch.save` or `torch.jit.save` wrote. Of a
            checkpoint the entry 'state_dict', 'ema' or 'model' is read, in this order.
    Raises:
        PixelPlayError: the file is missing, damaged, of no known format, or a pickle that asks for code to be run.
    """
    from safetensors import SafetensorError

    path = Path(path)
    if not path.is_file():
        raise PixelPlayError(f"weights file {path} is missing")
    try:
        content = _load(path)
    except (RuntimeError, ValueError, TypeError, OSError, EOFError, pickle.UnpicklingError, SafetensorError) as cause:
        # torch's own advice, to load without the restriction, is none to pass on
        said = (str(cause) or type(cause).__name__).splitlines()[0].partition(". In PyTorch")[0]
        raise PixelPlayError(f"{path} cannot be read as weights: {said}",
                             expected="safetensors, or a file torch.save wrote that holds tensors alone",
                             hint="download the file again; a pointer file of a few hundred bytes is not the weights"
                             ) from cause
    if isinstance(content, dict):
        content = content.get("state_dict") or content.get("ema") or content.get("model") or content
    if isinstance(content, nn.Module):
        content = content.state_dict()
    if not isinstance(content, dict):
        raise PixelPlayError(f"{path} holds a {type(content).__name__}", expected="a network's weights")
    return {name: tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def _load(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file
        return load_file(path)
    if not zipfile.is_zipfile(path):
        return torch.load(path, map_location="cpu", weights_only=True)
    with zipfile.ZipFile(path) as archive:
        scripted = any("/code/" in name for name in archive.namelist())
    if scripted:
        with warnings.catch_warnings():
            # torch announces the end of TorchScript on every call; the published file will stay what it is
            warnings.simplefilter("ignore", FutureWarning)
            return torch.jit.load(str(path), map_location="cpu").state_dict()
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    strange = [name for name in names if not name.startswith(_HARMLESS)]
    if strange:
        raise PixelPlayError(f"{path} is refused: reading it would run {', '.join(strange)}",
                             expected="a pickle of tensors, or of a network",
                             hint="do not use this file; get the weights from their source")
    with torch.serialization.safe_globals([(_Inert, name) for name in names]):
        return torch.load(path, map_location="cpu", weights_only=True)
