"""Two processes, started the way a user starts them, write the same files as one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pixelplay.sample.dataset import make_sample

RUN = Path(__file__).parents[1] / "run_all.py"
LAUNCHERS = {
    "python": [],
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"],
    # without --multi_gpu accelerate starts two processes through MPI only; the launcher itself needs no GPU
    "accelerate": ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1",
                   "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"],
}


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """Runs the local stream on a tiny sample with a launcher; gives the scores and caches it wrote."""
    sample = make_sample(tmp_path_factory.mktemp("sample") / "data", size="tiny")
    made: dict[str, dict[Path, bytes]] = {}

    def run(launcher: str) -> dict[Path, bytes]:
        if launcher not in made:
            output = tmp_path_factory.mktemp(launcher)
            environ = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
            done = subprocess.run(
                [sys.executable, *LAUNCHERS[launcher], str(RUN), "--data", str(sample), "--output", str(output),
                 "--profile", "smoke", "--models", "local_memory"],
                env=environ | {"OMP_NUM_THREADS": "1", "PIXELPLAY_DEVICE": "cpu"}, capture_output=True, text=True,
                check=False, timeout=600)
            assert done.returncode == 0, done.stderr[-3000:]
            assert done.stdout.count("plan:") == (1 if launcher == "python" else 2), "as many processes as asked for"
            made[launcher] = _files(output)
        return made[launcher]

    return run


def _files(output: Path) -> dict[Path, bytes]:
    """Scores and everything that processes share the making of: features, actor tables, banks."""
    wanted = [*output.rglob("scores/**/*.csv"), *output.rglob("*.npy"), *output.rglob("*.npz"),
              *output.rglob("*.safetensors")]
    return {p.relative_to(output): p.read_bytes() for p in wanted}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_two_processes_write_the_same_files_as_one(launched, launcher):
    alone, together = launched("python"), launched(launcher)
    names = {str(p) for p in alone}
    for part in ("scores/local_memory.csv", "-actors-", "-crops-", "local_memory/weights.safetensors"):
        assert any(part in name for name in names), part
    assert names == {str(p) for p in together}
    assert [str(p) for p in alone if alone[p] != together[p]] == []
