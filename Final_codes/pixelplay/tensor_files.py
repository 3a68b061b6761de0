"""Reading the tensors of a weights file in any common format, without running code from it.

Reads safetensors, a pickled state dict or module (`.pt`, `.pth`) or a TorchScript archive; makes a dict of tensors by
name. Pickles are loaded with torch's restricted unpickler (`weights_only=True`), which builds only tensors and plain
containers. A pickled network (as saved by ultralytics) also names its classes; each is replaced by an empty
`torch.nn.Module` that keeps the tensors. A file with any other name in its pickle is refused.
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
"""Name prefixes that pickled networks contain: their classes (`models` is the package of the original YOLOv5
repository), and numbers and paths of their training settings."""


class _Inert(nn.Module):
    """Replaces every class of a pickled network: holds its tensors and submodules, has no behaviour."""

    def __init__(self, *_: object):
        super().__init__()

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            super().__setstate__(state)


def read_tensors(path: Path | str) -> dict[str, Tensor]:
    """All tensors of a weights file by name, on the CPU, in the precision of the file.

    Args:
        path: a .safetensors file, or a file written by `torch.save` or `torch.jit.save`. Of a checkpoint, the entry
            'state_dict', 'ema' or 'model' is read, in this order.
    Raises:
        PixelPlayError: the file is missing, damaged, of unknown format, or a pickle that would run code.
    """
    from safetensors import SafetensorError

    path = Path(path)
    if not path.is_file():
        raise PixelPlayError(f"weights file {path} is missing")
    try:
        content = _load(path)
    except (RuntimeError, ValueError, TypeError, OSError, EOFError, pickle.UnpicklingError, SafetensorError) as cause:
        # torch's message advises to load without the restriction, which must not be passed on
        reason = (str(cause) or type(cause).__name__).splitlines()[0].partition(". In PyTorch")[0]
        raise PixelPlayError(f"{path} cannot be read as weights: {reason}",
                             expected="safetensors, or a torch.save file that holds only tensors",
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
            # torch warns about the deprecation of TorchScript on every call; the published file does not change
            warnings.simplefilter("ignore", FutureWarning)
            return torch.jit.load(str(path), map_location="cpu").state_dict()
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    unsafe = [name for name in names if not name.startswith(_HARMLESS)]
    if unsafe:
        raise PixelPlayError(f"{path} is refused: reading it would run {', '.join(unsafe)}",
                             expected="a pickle of tensors, or of a network",
                             hint="do not use this file; get the weights from their source")
    with torch.serialization.safe_globals([(_Inert, name) for name in names]):
        return torch.load(path, map_location="cpu", weights_only=True)
