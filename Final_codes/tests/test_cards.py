"""Cards and weights of all kinds: a pair that does not fit ends in one clear error; files are readable for others."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from card_mutations import mutations

from pixelplay.calibration import Calibration
from pixelplay.errors import PixelPlayError
from pixelplay.registry import model_class
from pixelplay.two_stream.global_memory import GlobalMemory, GlobalMemoryConfig
from pixelplay.two_stream.memory import MemoryBank

RELEASED = Path(__file__).parents[1] / "Final_models" / "ped2" / "unet"


def memory(folder):
    model = GlobalMemory(GlobalMemoryConfig(), seed=3)
    model.banks = [MemoryBank(np.random.default_rng(i).random((4, 8)), about={"radius": 0.5}) for i in range(2)]
    model.calibrations = [Calibration(0.1, 1.0, True, 1e-3)] * 2
    model.about = {"backbone": "efficientnet-lite0"}
    model.save(folder)


@pytest.mark.parametrize("name", ["global_memory", "unet"])
def test_a_wrong_card_is_one_clear_error_or_says_nothing_that_counts(tmp_path, name):
    if name == "unet":
        for path in RELEASED.glob("[!.]*"):
            shutil.copy(path, tmp_path)
    else:
        memory(tmp_path)
    card = tmp_path / "card.json"
    (tmp_path / f".{card.name}.digest").unlink(missing_ok=True)
    cls, good = model_class(name), json.loads(card.read_text())
    loaded, refused = [], 0
    for what, bad in mutations(good):
        card.write_text(json.dumps(bad))
        try:
            cls.load(tmp_path)
            loaded.append(what)
        except PixelPlayError as mistake:
            assert str(tmp_path) in str(mistake), (what, str(mistake))
            refused += 1
    assert refused > 50
    for part in ("('model',)", "('version',)", "('sha256',)", "('config',) is", "('seed',) is 'abc'", "the whole"):
        assert not any(w.startswith(part) for w in loaded), part


def test_flipped_bits_of_a_memory_are_refused_without_a_seal_too(tmp_path):
    memory(tmp_path)
    path = tmp_path / "weights.safetensors"
    path.with_name(f".{path.name}.digest").unlink()
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(PixelPlayError, match="sha256 differs"):
        GlobalMemory.load(tmp_path)


def test_files_are_readable_for_others(tmp_path):
    memory(tmp_path)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    plain = tmp_path / "plain"
    plain.write_text("")
    assert set(modes.values()) == {stat.S_IMODE(plain.stat().st_mode)}, modes
