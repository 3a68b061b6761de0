"""Rank, shares of work and barriers for runs with several processes.

Reads the environment of `torchrun` and `accelerate launch` (RANK, WORLD_SIZE, LOCAL_RANK); without it there is one
process and nothing waits. Processes exchange results as files, so the gloo backend suffices even with GPUs.
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
    """(rank, number of processes); (0, 1) for a single process."""
    return int(os.environ.get("RANK", "0")), max(1, int(os.environ.get("WORLD_SIZE", "1")))


def is_main() -> bool:
    """Whether this is the process that merges results and writes final files."""
    return world()[0] == 0


def share(count: int) -> range:
    """This process's part of `count` items; the parts of all processes cover every item once.

    Parts are contiguous because frames are decoded in order: each process then reads its own videos.
    """
    rank, size = world()
    return range(count * rank // size, count * (rank + 1) // size)


def barrier() -> None:
    """Wait until every process has reached this call."""
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
    # an existing group may use nccl, which would need the GPU for a barrier
    return dist.group.WORLD if dist.get_backend() == "gloo" else dist.new_group(backend="gloo", timeout=_PATIENCE)


def local_hardware() -> Hardware:
    """The hardware of this machine, with the GPU of this process if several were launched."""
    found = hardware()
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if world()[1] > 1 and found.device.startswith("cuda"):
        import torch
        return dataclasses.replace(found, device=f"cuda:{rank % torch.cuda.device_count()}")
    return found
