"""Several processes, one result: who am I, which share is mine, wait for the others.

Reads the environment that `torchrun` and `accelerate launch` set (RANK, WORLD_SIZE, LOCAL_RANK); without it there is
one process and every call is free. Files, not tensors, carry the results, so gloo is enough on GPUs, too.
"""

from __future__ import annotations

import atexit
import dataclasses
import datetime
import functools
import os

from pixelplay.environment import Hardware, hardware

_PATIENCE = datetime.timedelta(hours=12)


def world() -> tuple[int, int]:
    """(rank, number of processes) of this process; (0, 1) where nothing launched several."""
    return int(os.environ.get("RANK", "0")), max(1, int(os.environ.get("WORLD_SIZE", "1")))


def is_main() -> bool:
    """True in the one process that joins shares and writes final files."""
    return world()[0] == 0


def share(count: int) -> range:
    """This process's contiguous part of `count` pieces of work; the parts of all processes cover them once.

    Contiguous, because frames are decoded in order: each process then reads its own videos.
    """
    rank, size = world()
    return range(count * rank // size, count * (rank + 1) // size)


def barrier() -> None:
    """Wait until every process has come here."""
    if world()[1] == 1:
        return
    import torch.distributed as dist

    dist.barrier(group=_group())


@functools.lru_cache(maxsize=1)
def _group():
    import torch.distributed as dist

    if not dist.is_initialized():
        dist.init_process_group("gloo", timeout=_PATIENCE)
        atexit.register(dist.destroy_process_group)
    # a group started elsewhere may be nccl, which needs the device for what are only messages about files
    return dist.group.WORLD if dist.get_backend() == "gloo" else dist.new_group(backend="gloo", timeout=_PATIENCE)


def local_hardware() -> Hardware:
    """This machine's hardware, with the GPU that belongs to this process where several were launched."""
    found = hardware()
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if world()[1] > 1 and found.device.startswith("cuda"):
        import torch
        return dataclasses.replace(found, device=f"cuda:{rank % torch.cuda.device_count()}")
    return found
