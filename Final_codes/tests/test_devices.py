"""Several processes on several GPUs: each keeps everything on its own. No GPU is needed: names are what is tested."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pixelplay.registry import MODELS, model_class

QUAD = [name for name in MODELS if model_class(name).family == "quad"]

PROGRAM = """
    import dataclasses, os, sys
    from concurrent.futures import Future, ThreadPoolExecutor
    from pathlib import Path

    import torch
    from torch.overrides import TorchFunctionMode

    from footage import make_footage
    from pixelplay import environment
    from pixelplay.autoencoders import windows
    from pixelplay.registry import MODELS, model_class

    class HereAndNow(ThreadPoolExecutor):
        \"\"\"Runs everything in the thread that asks: a mode of torch's functions holds for its own thread alone.\"\"\"

        def submit(self, function, *args):
            done = Future()
            done.set_result(function(*args))
            return done

    windows.ThreadPoolExecutor = HereAndNow
    rank = int(os.environ["RANK"])
    real = torch.nn.Module.to, torch.autocast

    class TwoGpus(TorchFunctionMode):
        \"\"\"Notes every GPU a tensor is sent to, and lets it stay on the processor.\"\"\"

        def __torch_function__(self, function, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            if function is torch.device:  # a name alone places nothing
                return function(*args)
            return function(*map(noted, args), **{k: noted(v) for k, v in kwargs.items()})

    def noted(value):
        if isinstance(value, str | torch.device) and str(value).startswith("cuda"):
            named.add(str(value))
            return "cpu"
        return value

    torch.set_num_threads(1)
    torch.nn.Module.to = lambda self, *args: real[0](self, *map(noted, args))
    torch.autocast = lambda kind, *args, **more: real[1]("cpu", *args, **more)
    torch.cuda.device_count, torch.cuda.mem_get_info = lambda: 2, lambda device: (noted(device), 1 << 32)[1:] * 2
    environment.hardware.cache_clear()
    found = environment.Hardware("cuda:0", "float32", 1, "two GPUs that are not there")
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("pixelplay") and hasattr(module, "hardware"):
            module.hardware = lambda: found

    for name in MODELS:
        cls = model_class(name)
        if cls.family != "quad":
            continue
        config = dataclasses.replace(cls.Config.profile("smoke"), steps=2, epoch_steps=2, batch=2, precision="float32")
        here, named = Path(sys.argv[1]) / name, set()
        with TwoGpus():
            model, train = cls(config), make_footage(videos=2, frames=34)
            model.fit(train, here)
            model.held_out(train, here)
            model.save(here / f"weights{rank}")
            cls.load(here / f"weights{rank}").score(train, here / str(rank))
        (here / f"named{rank}").write_text(" ".join(sorted(named)))
"""


@pytest.mark.slow
def test_every_process_keeps_its_tensors_on_its_own_device(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}", "OMP_NUM_THREADS": "1"}
    environment.pop("PIXELPLAY_DEVICE", None)
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
                           str(program), str(tmp_path)], env=environment, capture_output=True, text=True, check=False,
                          timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    named = {name: [(tmp_path / name / f"named{rank}").read_text() for rank in range(2)] for name in QUAD}
    assert named == {name: ["cuda:0", "cuda:1"] for name in QUAD}
