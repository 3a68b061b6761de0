"""Frozen feature backbones behind one interface.

Reads uint8 RGB images and a weights file; makes (N, dim) float32 embeddings: the spatial means of some layers, each
L2-normalised, concatenated. The networks are timm's (`features_only`). A new backbone is one function with `@register`.

Preprocessing follows CLIP (bicubic with antialiasing in PIL, then mean and standard deviation), except that CLIP
crops the centre square: the default `fit` squashes the whole frame instead, to keep its borders.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pixelplay.environment import Hardware
from pixelplay.errors import PixelPlayError
from pixelplay.pretrained import Needs, check_sha256, obtain, require_package
from pixelplay.tensor_files import read_tensors

log = logging.getLogger(__name__)

CPU_BATCH = 16
"""Most images of a forward pass on a CPU: maps of more do not fit into its cache. 64 take 1.09 times as long (E26)."""
FITS = ("squash", "centre", "letterbox")
"""squash: whole image, aspect ratio lost; centre: CLIP's own (short side to 224, centre crop); letterbox: long side to
224, padded with the network's mean colour, which normalises to zero."""

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
RN101_PARTS = (("layer2", 512), ("layer3", 1024))
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Backbone:
    """A frozen network that maps images to vectors.

    Attributes:
        name: registry name.
        parts: (layer name, width) of the layers whose spatial means make up the embedding.
        dim: sum of the widths.
        weights_hash: 16 hex digits over the network's tensors, independent of the file format.
        source: origin of the weights, in words.
        input_size: side of the square input, in pixels.
    """

    input_size = 224

    def __init__(self, name: str, module: nn.Module, parts: Sequence[tuple[str, int]], *, mean: Sequence[float],
                 std: Sequence[float], source: str, hardware: Hardware):
        self.name, self.parts, self.source, self.hardware = name, tuple(parts), source, hardware
        self.dim = sum(width for _, width in self.parts)
        self.weights_hash = _hash_of(module)
        self.mean_colour = tuple(round(255 * m) for m in mean)
        self._module = module.eval().requires_grad_(False).to(
            device=hardware.device, dtype=hardware.torch_dtype, memory_format=torch.channels_last)
        if torch.device(hardware.device).type == "cpu" and torch.backends.mkldnn.is_available():
            for layer in self._module.modules():
                if type(layer) is nn.Conv2d:
                    layer.__class__ = _OneDNNConvolution
        self._resizers = ThreadPoolExecutor(max(1, min(8, hardware.threads)))
        self._mean = torch.tensor(mean, device=hardware.device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(std, device=hardware.device).view(1, 3, 1, 1) * 255

    def prepare(self, images: Sequence[np.ndarray] | np.ndarray, fit: str = "squash") -> Tensor:
        """Uint8 RGB images (h, w, 3) of any sizes -> (N, 3, 224, 224) uint8 on the CPU, channels last in memory."""
        if fit not in FITS:
            raise ValueError(f"fit is {fit!r}, expected one of {FITS}")
        out = np.empty((len(images), self.input_size, self.input_size, 3), np.uint8)

        def place(number: int) -> None:
            out[number] = _square(images[number], self.input_size, fit, self.mean_colour)

        # PIL releases the GIL while it resizes
        list(self._resizers.map(place, range(len(images))))
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def maps(self, batch: Tensor) -> list[Tensor]:
        """(N, 3, 224, 224) uint8 (see `prepare`) -> one (N, C, h, w) float32 map per part, on the device."""
        return [m.float() for m in self._run(batch)]

    @torch.inference_mode()
    def embed(self, images: Sequence[np.ndarray] | np.ndarray, *, batch_size: int = 16, fit: str = "squash"
              ) -> np.ndarray:
        """Embed images: the spatial mean of each part, L2-normalised, concatenated.

        Args:
            images: uint8 RGB, a list of (h, w, 3) of any sizes, an (N, h, w, 3) array, or an object with a length whose
                slices are such; each slice is read once, in order, from another thread.
            batch_size: images per forward pass, at most `CPU_BATCH` on a CPU; the results do not depend on it.
            fit: see `FITS`.
        Returns:
            (N, dim) float32.
        """
        if torch.device(self.hardware.device).type == "cpu":
            batch_size = min(batch_size, CPU_BATCH)
        out = np.empty((len(images), self.dim), np.float32)
        for start, batch in self._batches(images, batch_size, fit):
            pooled = [nn.functional.normalize(m.mean((2, 3), dtype=torch.float32), dim=1) for m in self._run(batch)]
            out[start:start + len(batch)] = torch.cat(pooled, dim=1).cpu().numpy()
        return out

    def network_input(self, batch: Tensor) -> Tensor:
        """(N, 3, 224, 224) uint8 (see `prepare`) -> the network's input, normalised by its mean and std."""
        x = batch.to(self.hardware.device, non_blocking=True).float()
        return ((x - self._mean) / self._std).to(self.hardware.torch_dtype, memory_format=torch.channels_last)

    def _run(self, batch: Tensor) -> list[Tensor]:
        return self._module(self.network_input(batch))

    def _batches(self, images: Sequence[np.ndarray], size: int, fit: str) -> Iterator[tuple[int, Tensor]]:
        """Prepare batches one ahead of the network, in a second thread."""
        def prepare(start: int) -> Tensor:
            return self.prepare(images[start:start + size], fit)

        starts = range(0, len(images), size)
        # a single thread reads the images in order: they may come from a stream
        with ThreadPoolExecutor(1) as pool:
            ahead = [pool.submit(prepare, s) for s in starts[:2]]
            for number, start in enumerate(starts):
                batch = ahead.pop(0).result()
                if number + 2 < len(starts):
                    ahead.append(pool.submit(prepare, starts[number + 2]))
                yield start, batch


class _OneDNNConvolution(nn.Conv2d):
    """A convolution through oneDNN. With one thread and few images PyTorch picks another kernel, whose results
    differ in the last bits from those with several threads."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.mkldnn_convolution(x, self.weight, self.bias, self.padding, self.stride, self.dilation,
                                        self.groups)


def _square(image: np.ndarray, side: int, fit: str, colour: tuple[int, ...]) -> np.ndarray:
    from PIL import Image

    h, w = image.shape[:2]
    if (h, w) == (side, side):
        return image
    picture = Image.fromarray(image)
    if fit == "squash":
        return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
    fitting = min(h, w) if fit == "centre" else max(h, w)
    # rounded down, as in torchvision's Resize
    size = [max(1, int(side * n / fitting)) for n in (w, h)]
    resized = np.asarray(picture.resize(tuple(size), Image.Resampling.BICUBIC))
    top, left = (round(abs(side - n) / 2) for n in resized.shape[:2])
    if fit == "centre":
        return resized[top:top + side, left:left + side]
    out = np.empty((side, side, 3), np.uint8)
    out[:] = colour
    out[top:top + resized.shape[0], left:left + resized.shape[1]] = resized
    return out


def _hash_of(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


Builder = Callable[[Path | None, Hardware], Backbone]
BACKBONES: dict[str, Builder] = {}
_NEEDS: dict[str, Needs] = {}


def register(name: str, needs: Needs) -> Callable[[Builder], Builder]:
    """Decorator: register a builder under `name` with the packages and weights it needs."""
    def note(builder: Builder) -> Builder:
        BACKBONES[name], _NEEDS[name] = builder, needs
        return builder
    return note


def backbone_needs(name: str, *, weights: str | Path | None = None) -> Needs:
    """Packages and weights a backbone needs; no weights if the user gives a file."""
    _known(name)
    return dataclasses.replace(_NEEDS[name], weights=()) if weights else _NEEDS[name]


def _known(name: str) -> None:
    if name not in BACKBONES:
        raise PixelPlayError(f"there is no backbone '{name}'", expected="one of " + ", ".join(BACKBONES))


def load_backbone(name: str, *, weights: Path | str | None = None, sha256: str | None = None,
                  hardware: Hardware | None = None) -> Backbone:
    """Load a frozen backbone.

    Args:
        name: one of `BACKBONES`.
        weights: local weights file; None = the one in `pretrained.TABLE`: cached, shipped or downloaded.
        sha256: expected hex digest of that file.
        hardware: device and precision; this machine's when None.
    Raises:
        PixelPlayError: unknown name, or weights that are not available or do not fit.
    """
    if hardware is None:
        from pixelplay.distributed import local_hardware
        hardware = local_hardware()
    _known(name)
    weights = Path(weights) if weights else None
    if sha256 and weights is None:
        raise PixelPlayError(f"backbone {name}: a sha256 is given but no weights file",
                             hint="also give the path of the file")
    if sha256 and weights.is_file():
        check_sha256(weights, sha256)
    backbone = BACKBONES[name](weights, hardware)
    log.info("backbone %s: %s, %s on %s", name, backbone.source, hardware.dtype, hardware.name)
    return backbone


@register("clip-rn101", Needs(("timm",), ("clip-rn101",)))
def clip_rn101(weights: Path | None, hardware: Hardware) -> Backbone:
    """OpenAI's CLIP RN101 (Radford et al. 2021), layer2 (512) and layer3 (1024); later layers are not computed.

    Weights: OpenAI's RN101.pt, a state dict, or safetensors with the names of open_clip or of timm's resnet101_clip.
    """
    path = weights or obtain("clip-rn101")
    return Backbone("clip-rn101", _trunk("resnet101_clip", (2, 3), _timm_names(read_tensors(path)), path),
                    RN101_PARTS, mean=CLIP_MEAN, std=CLIP_STD, source=f"file {path.name}", hardware=hardware)


@register("efficientnet-lite0", Needs(("timm",), ("efficientnet-lite0",)))
def efficientnet_lite0(weights: Path | None, hardware: Hardware) -> Backbone:
    """ImageNet EfficientNet-Lite0 (Tan and Le 2019), last layers at strides 8, 16, 32; weights are shipped."""
    path = weights or obtain("efficientnet-lite0")
    parts = (("stride8", 40), ("stride16", 112), ("stride32", 320))
    return Backbone("efficientnet-lite0", _trunk("tf_efficientnet_lite0", (2, 3, 4), read_tensors(path), path), parts,
                    mean=IMAGENET_MEAN, std=IMAGENET_STD, hardware=hardware,
                    source=f"file {path.name}" if weights else "shipped with pixelplay")


@register("random-rn101", Needs(("timm",)))
def random_rn101(weights: Path | None, hardware: Hardware) -> Backbone:
    """RN101's trunk with random weights, for tests and timings only."""
    if weights:
        raise PixelPlayError(f"backbone random-rn101 takes no weights, {weights} given", hint="use clip-rn101")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _network("resnet101_clip", (2, 3))
    return Backbone("random-rn101", fold_batch_norm(network.eval()), RN101_PARTS, mean=CLIP_MEAN, std=CLIP_STD,
                    source="random, seed 0", hardware=hardware)


def _network(architecture: str, layers: tuple[int, ...]) -> nn.Module:
    """timm's network up to the last of these layers; returns their maps."""
    timm = require_package("timm", by=f"the network {architecture}")
    return timm.create_model(architecture, pretrained=False, features_only=True, out_indices=layers)


def _trunk(architecture: str, layers: tuple[int, ...], tensors: dict[str, Tensor], path: Path) -> nn.Module:
    """The network with weights under timm's names, float32, batch norm folded; tensors of later layers are ignored."""
    with torch.device("meta"):  # every tensor comes from the file, so initialisation would be wasted
        network = _network(architecture, layers)
    wanted, found = network.state_dict(), {}
    for name, tensor in tensors.items():
        # features_only joins the first two parts of a name: stages.1 becomes stages_1
        for key in (name, name.replace(".", "_", 1)):
            if key in wanted:
                found[key] = tensor.float()
    for key, slot in wanted.items():
        if key.endswith("num_batches_tracked"):  # a training counter that some files lack and inference ignores
            found[key] = torch.zeros(())
        elif key not in found:
            raise PixelPlayError(f"{path} holds no tensor for {key}", expected=f"the weights of {architecture}",
                                 hint="check that the file is this network's and not another one's or an adapter's")
        elif found[key].shape != slot.shape:
            raise PixelPlayError(f"{path}: {key} is {tuple(found[key].shape)}",
                                 expected=f"{tuple(slot.shape)}, as in {architecture}",
                                 hint="check that the file is this network's and not of a related one")
    network.load_state_dict(found, assign=True)
    return fold_batch_norm(network.eval())


def _timm_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors of CLIP's image tower from OpenAI's, open_clip's or timm's names to timm's."""
    byobnet = require_package("timm.models.byobnet", by="backbone clip-rn101")
    tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    if "conv1.weight" in tensors:  # the image tower alone
        tensors = {f"visual.{name}": tensor for name, tensor in tensors.items()}
    # timm reads only `head` of the network, to decide about CLIP's attention pool, which the trunk does not have
    return byobnet.checkpoint_filter_fn(tensors, types.SimpleNamespace(head=None))


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold each batch norm that follows a convolution into it, in float64; returns the network, in float32.

    timm's batch norms include the activation, which is kept.
    """
    network.double()
    for parent in network.modules():
        convolution = None
        for name, child in list(parent.named_children()):
            if convolution and isinstance(child, nn.BatchNorm2d):
                setattr(parent, convolution, nn.utils.fuse_conv_bn_eval(getattr(parent, convolution), child))
                setattr(parent, name, getattr(child, "act", nn.Identity()))
            convolution = name if isinstance(child, nn.Conv2d) else None
    return network.float()
