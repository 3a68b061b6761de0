"""CLIP RN101's weights, whatever file they come in, as one trunk that ends at layer3.

Reads OpenAI's TorchScript archive (RN101.pt), a plain state dict, or safetensors with open_clip's or timm's names;
makes a `Trunk` (batch norm folded into the convolutions) in float32. Nothing is unpickled: state dicts load with
`weights_only=True`.

Architecture: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", 2.4.
"""

from __future__ import annotations

import pickle
import re
import socket
import urllib.parse
import urllib.request
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from pixelplay.errors import PixelPlayError

BLOCKS = (3, 4, 23)
"""Bottlenecks in layer1, layer2, layer3 of RN101; layer4 and the attention pool are never built."""

HUB = "timm/resnet101_clip.openai"
OPENAI_SHA256 = "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599"
OPENAI_URL = f"https://openaipublic.azureedge.net/clip/models/{OPENAI_SHA256}/RN101.pt"
"""OpenAI's own file."""
FORMATS = "OpenAI's RN101.pt, a state dict, or safetensors named like open_clip's or timm's resnet101_clip"
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
_EPS = 1e-5


class Trunk(nn.Module):
    """RN101 up to layer3, every convolution followed by its folded batch norm as a bias.

    Args:
        width: channels after the stem; 64 in RN101.
        blocks: bottlenecks in layer1, layer2, layer3.
    """

    def __init__(self, width: int = 64, blocks: tuple[int, int, int] = BLOCKS):
        super().__init__()
        half = width // 2
        self.conv1, self.conv2 = nn.Conv2d(3, half, 3, 2, 1), nn.Conv2d(half, half, 3, 1, 1)
        self.conv3 = nn.Conv2d(half, width, 3, 1, 1)
        self.layer1 = _layer(width, width, blocks[0], 1)
        self.layer2 = _layer(4 * width, 2 * width, blocks[1], 2)
        self.layer3 = _layer(8 * width, 4 * width, blocks[2], 2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) normalised images -> [layer2 (N, 8w, H/8, W/8), layer3 (N, 16w, H/16, W/16)]."""
        for conv in (self.conv1, self.conv2, self.conv3):
            x = conv(x).relu_()
        x = self.layer1(nn.functional.avg_pool2d(x, 2))
        second = self.layer2(x)
        return [second, self.layer3(second)]


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a skip; strides are average pools, so that nothing aliases."""

    def __init__(self, inputs: int, planes: int, stride: int):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(inputs, planes, 1), nn.Conv2d(planes, planes, 3, 1, 1)
        self.conv3, self.stride = nn.Conv2d(planes, 4 * planes, 1), stride
        self.skip = nn.Conv2d(inputs, 4 * planes, 1) if stride > 1 or inputs != 4 * planes else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 planes, H/stride, W/stride)."""
        y = self.conv2(self.conv1(x).relu_()).relu_()
        if self.stride > 1:
            x, y = nn.functional.avg_pool2d(x, self.stride), nn.functional.avg_pool2d(y, self.stride)
        return self.conv3(y).add_(x if self.skip is None else self.skip(x)).relu_()


def _layer(inputs: int, planes: int, count: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Bottleneck(inputs, planes, stride),
                         *(Bottleneck(4 * planes, planes, 1) for _ in range(count - 1)))


def read_trunk(path: Path) -> Trunk:
    """Build the float32 trunk from a weights file of any of the `FORMATS`.

    Raises:
        PixelPlayError: the file is missing, of no known format, or not RN101's weights (names the first tensor).
    """
    with torch.device("meta"):  # every tensor comes from the file: nothing to initialise
        trunk = Trunk()
    state = _canonical(read_tensors(path))
    folded = {}
    for name, module in trunk.named_modules():
        if isinstance(module, nn.Conv2d):
            folded |= _fold(state, name, module.weight.shape, path)
    trunk.load_state_dict(folded, assign=True)
    return trunk.eval()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a weights file by name, on the CPU, in the file's own precision."""
    path = Path(path)
    if not path.is_file():
        raise PixelPlayError(f"weights file {path} is missing", expected=FORMATS)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file
            return load_file(path)
        if zipfile.is_zipfile(path) and any("/code/" in n for n in zipfile.ZipFile(path).namelist()):
            with warnings.catch_warnings():
                # torch announces the end of TorchScript on every call; the published file will stay what it is
                warnings.simplefilter("ignore", FutureWarning)
                return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, OSError, EOFError, pickle.UnpicklingError, _safetensor_error()) as cause:
        raise PixelPlayError(f"{path} cannot be read as weights: {str(cause).splitlines()[0]}", expected=FORMATS,
                             mend="download the file again; a pointer file of a few hundred bytes is not the weights"
                             ) from cause
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict):
        raise PixelPlayError(f"{path} holds a {type(state).__name__}", expected=FORMATS)
    return {k: v for k, v in state.items() if isinstance(v, Tensor)}


def _safetensor_error() -> type[Exception]:
    from safetensors import SafetensorError
    return SafetensorError


def _canonical(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename to the trunk's own names: `layer2.0.conv1.weight`, `layer2.0.bn1.bias`, `layer2.0.skip.weight`, ..."""
    out = {}
    for name, tensor in tensors.items():
        name = re.sub(r"^(module\.)?(visual\.)?(trunk\.)?", "", name)
        name = re.sub(r"\.downsample\.0\.", ".skip.", name)
        name = re.sub(r"\.downsample\.1\.", ".skip_bn.", name)
        # timm: stem.conv1.conv / .bn, stages.1.0.conv2_kxk.bn, stages.1.0.shortcut.conv.conv
        name = re.sub(r"^stages\.(\d)\.", lambda m: f"layer{int(m[1]) + 1}.", name)
        name = re.sub(r"\.shortcut\.conv\.conv\.", ".skip.", name)
        name = re.sub(r"\.shortcut\.conv\.bn\.", ".skip_bn.", name)
        name = re.sub(r"(?:^stem\.|(?<=\.))conv(\d)(?:_1x1|_kxk)?\.conv\.", r"conv\1.", name)
        name = re.sub(r"(?:^stem\.|(?<=\.))conv(\d)(?:_1x1|_kxk)?\.bn\.", r"bn\1.", name)
        out[name] = tensor
    return out


def _fold(state: dict[str, Tensor], name: str, shape: torch.Size, path: Path) -> dict[str, Tensor]:
    """Weight and bias of one convolution with its batch norm folded in, float32 (folded in float64)."""
    norm = f"{name}_bn" if name.endswith("skip") else name[:-5] + "bn" + name[-1]
    for key in (f"{name}.weight", *(f"{norm}.{part}" for part in _BATCH_NORM)):
        if key not in state:
            raise PixelPlayError(f"{path} holds no tensor for {key}", expected=f"CLIP RN101: {FORMATS}",
                                 mend="check that the file is RN101 and not another CLIP network or an adapter")
    weight = state[f"{name}.weight"].double()
    if weight.shape != shape:
        raise PixelPlayError(f"{path}: {name}.weight is {tuple(weight.shape)}", expected=f"{tuple(shape)}, as in RN101",
                             mend="check that the file is RN101 and not RN50, RN50x4 or another CLIP network")
    gain, shift, mean, variance = (state[f"{norm}.{part}"].double() for part in _BATCH_NORM)
    gain = gain / torch.sqrt(variance + _EPS)
    return {f"{name}.weight": (weight * gain[:, None, None, None]).float(),
            f"{name}.bias": (shift - mean * gain).float()}


def from_hub() -> Path:
    """The hub's RN101 file: from the local cache, else downloaded.

    Raises:
        PixelPlayError: neither cached nor to be had, with the ways to get it by hand.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    cached = huggingface_hub.try_to_load_from_cache(HUB, "model.safetensors")
    if isinstance(cached, str):
        return Path(cached)
    how = (f"download {OPENAI_URL} or model.safetensors of huggingface.co/{HUB} on another machine and give its path "
           "as the backbone's weights, or choose the backbone efficientnet-lite0, whose weights come in a package")
    try:
        _check_reachable(huggingface_hub.constants.ENDPOINT)
        return Path(huggingface_hub.hf_hub_download(HUB, "model.safetensors"))
    except (OSError, ValueError, HfHubHTTPError) as cause:
        raise PixelPlayError(f"CLIP RN101's weights are not on this machine and cannot be downloaded ({cause})",
                             expected=f"internet access to {HUB}, or a local file: {FORMATS}", mend=how) from cause


def _check_reachable(endpoint: str) -> None:
    """Fail at once where names do not resolve: the hub's client would retry for most of a minute."""
    if urllib.request.getproxies():
        return
    host = urllib.parse.urlparse(endpoint).hostname or "huggingface.co"
    socket.getaddrinfo(host, 443)
