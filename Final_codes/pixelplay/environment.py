"""The machine: device, precision, threads, memory, seeds, Kaggle's folders, installed packages.

Reads the hardware and the environment. Everything specific to Kaggle and Colab lives here.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import os
import platform
import random
import re
import subprocess
import sys
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from pixelplay.errors import PixelPlayError

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt` (malloc.h)."""
_share = 0
"""Number of CPUs assigned to this process (see `share_cpus`); 0 = all of them."""

KAGGLE_INPUT = Path(os.environ.get("PIXELPLAY_KAGGLE_INPUT", "/kaggle/input"))
KAGGLE_WORKING = Path(os.environ.get("PIXELPLAY_KAGGLE_WORKING", "/kaggle/working"))


@dataclasses.dataclass(frozen=True)
class Hardware:
    """The compute device.

    Attributes:
        device: torch device string, 'cuda:0' or 'cpu'.
        dtype: 'float32', 'bfloat16' or 'float16': the fastest type with native support.
        threads: CPU threads for torch.
        name: name of the device, for cards and tables.
        note: why an installed GPU is not used; '' otherwise.
    """

    device: str
    dtype: str
    threads: int
    name: str
    note: str = ""

    @property
    def torch_dtype(self):
        """The torch dtype that `dtype` names."""
        import torch
        return getattr(torch, self.dtype)


def cpu_count() -> int:
    """Number of CPUs this process may use, respecting its affinity."""
    if _share:
        return _share
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_cpus(count: int) -> None:
    """Make `cpu_count` return `count`, in a process that shares the CPUs with others."""
    global _share
    _share = count


def cpu_name() -> str:
    """Model name of the processor, or the machine type if it is unknown."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@functools.lru_cache(maxsize=1)
def hardware() -> Hardware:
    """Probe the machine once. A GPU counts if torch has code for it and a test multiplication succeeds."""
    import torch

    note = ""
    if torch.cuda.is_available() and os.environ.get("PIXELPLAY_DEVICE", "") != "cpu":
        note = gpu_problem(0)
        if not note:
            native_bf16 = torch.cuda.get_device_capability(0) >= (8, 0)
            return Hardware("cuda:0", "bfloat16" if native_bf16 else "float16", cpu_count(),
                            torch.cuda.get_device_name(0))
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    # without AMX bfloat16 is not faster, and on an AMD EPYC with avx512_bf16 losses were sometimes not finite
    dtype = "bfloat16" if "amx_bf16" in flags else "float32"
    return Hardware("cpu", dtype, cpu_count(), f"{cpu_name()}, {cpu_count()} cores", note)


def gpu_problem(number: int) -> str:
    """Why a listed GPU cannot be used; '' if it can.

    Kaggle offers a P100, but its torch is not built for that architecture: the first operation fails.
    """
    import torch

    name, capability = torch.cuda.get_device_name(number), torch.cuda.get_device_capability(number)
    built = torch.cuda.get_arch_list()
    if not runs_on(built, capability):
        return (f"GPU {number}, {name}, is of architecture sm_{capability[0]}{capability[1]}, for which this torch was "
                f"not built (it was for {' '.join(built)})")
    try:
        x = torch.ones(8, 8, device=f"cuda:{number}")
        right = float((x @ x).sum()) == 512.0
    except RuntimeError as cause:
        return f"GPU {number}, {name}, is listed but cannot compute: {str(cause).splitlines()[0]}"
    return "" if right else f"GPU {number}, {name}, multiplies wrongly"


def runs_on(built: Sequence[str], capability: tuple[int, int]) -> bool:
    """Whether code built for some architectures runs on a GPU of a compute capability.

    Machine code (sm_75) runs on the same major version with an equal or higher minor version, PTX (compute_75) on every
    later GPU. Unknown names (gfx90a) count as supported; `gpu_problem` tests them with a real operation.
    """
    known = [(kind, divmod(int(number), 10)) for kind, number in re.findall(r"\b(sm|compute)_(\d+)", " ".join(built))]
    if built and not known:
        return True
    return any(version <= capability and (kind == "compute" or version[0] == capability[0]) for kind, version in known)


def usable_gpus() -> list[int]:
    """Indices of the usable GPUs; empty if PIXELPLAY_DEVICE is 'cpu'."""
    import torch

    if hardware().device == "cpu":
        return []
    return [number for number in range(torch.cuda.device_count()) if not gpu_problem(number)]


def free_memory() -> int | None:
    """Bytes of memory available without swapping; None if unknown.

    The smaller of the machine's and the container's limit (cgroup 2).
    """
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    with contextlib.suppress(OSError, ValueError):  # no limit: 'max', or no such file
        group = Path("/sys/fs/cgroup")
        free = min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return free


def used_memory() -> int:
    """Resident memory of this process in bytes; 0 if unknown."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and torch for third-party code; this package passes explicit generators."""
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  third-party code draws from the legacy generator
    torch.manual_seed(seed)


def limit_threads(threads: int | None = None) -> int:
    """Set the threads of torch and OpenCV to the number of CPUs, and keep large buffers (see `reuse_memory`).

    Oversubscription slows training steps up to tenfold.
    """
    import cv2
    import torch

    threads = threads or cpu_count()
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    reuse_memory()
    return threads


def reuse_memory() -> None:
    """Make glibc reuse the memory of large arrays instead of returning it to the system.

    Otherwise every feature map is mapped anew and its pages are cleared, which takes half the time of a small network
    on a virtual machine (Experiments/E21). No effect with other C libraries.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for parameter in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
        library.mallopt(parameter, 1 << 30)


def on_kaggle() -> bool:
    """Whether Kaggle's input folder exists."""
    return KAGGLE_INPUT.is_dir()


def default_output() -> Path:
    """/kaggle/working on Kaggle, ./outputs elsewhere."""
    return KAGGLE_WORKING if on_kaggle() else Path("outputs")


def missing_requirements(requirements: Path) -> list[str]:
    """Lines of a requirements file whose package is not installed; versions are not checked."""
    missing = []
    for line in Path(requirements).read_text().splitlines():
        name = re.match(r"[A-Za-z0-9_.-]+", line.partition("#")[0].strip())
        if name and not installed(name.group()):
            missing.append(line.strip())
    return missing


def ensure_requirements(requirements: Path) -> list[str]:
    """Install the packages of a requirements file that are missing; installed ones are not changed.

    Wheels in an attached dataset are tried first: they need no internet.

    Returns:
        The installed lines.
    Raises:
        PixelPlayError: pip could not install them (on Kaggle, if internet is off).
    """
    missing = [line for line in missing_requirements(requirements) if not _given_by_another(line)]
    wheels = [f"--find-links={folder}" for folder in attached_wheels()]
    for source in [["--no-index", *wheels], []] if wheels else [[]]:
        command = [sys.executable, "-m", "pip", "install", "--quiet", *source, *missing]
        if not missing or subprocess.run(command, check=False).returncode == 0:
            return missing
    raise PixelPlayError("these packages are missing and could not be installed: " + ", ".join(missing),
                         hint="switch Internet on in the notebook's settings, or attach the dataset that "
                              "`pixelplay fetch --to DIR` makes")


def install_missing(requirements: Path) -> None:
    """As `ensure_requirements`, but only warn if packages cannot be installed: a notebook may not need them."""
    try:
        ensure_requirements(requirements)
    except PixelPlayError as problem:
        warnings.warn(str(problem), stacklevel=2)


def attached_wheels() -> list[Path]:
    """Folders named `wheels` in datasets attached on Kaggle."""
    return sorted(p for depth in range(1, 4) for p in KAGGLE_INPUT.glob("*/" * depth + "wheels") if p.is_dir())


def _given_by_another(line: str) -> bool:
    """Whether another OpenCV distribution is installed: four packages provide the same module and break each other."""
    names = ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
    return line.startswith("opencv-python") and any(installed(n) for n in names)


def installed(name: str) -> bool:
    """Whether a distribution is installed."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
