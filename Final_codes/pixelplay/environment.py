"""What this machine is: device, precision, threads, seeds, Kaggle's folders.

Reads the hardware and the environment; changes nothing but the random seeds and thread counts it is asked to.
All knowledge about Kaggle and Colab lives here.
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
"""CPUs of a process that shares them with others (see `share_cpus`); 0 = all that are there."""

KAGGLE_INPUT = Path(os.environ.get("PIXELPLAY_KAGGLE_INPUT", "/kaggle/input"))
KAGGLE_WORKING = Path(os.environ.get("PIXELPLAY_KAGGLE_WORKING", "/kaggle/working"))


@dataclasses.dataclass(frozen=True)
class Hardware:
    """The device work runs on.

    Attributes:
        device: torch device string, 'cuda:0' or 'cpu'.
        dtype: 'float32', 'bfloat16' or 'float16': the fastest the device has natively (never emulated).
        threads: CPU threads torch may use.
        name: the device in words, for cards and tables.
        note: why a GPU that is there is not used; empty otherwise.
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
    """CPUs this process may use (affinity and container aware)."""
    if _share:
        return _share
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_cpus(count: int) -> None:
    """Have `cpu_count` say `count` in this process: it is one of several that share the CPUs."""
    global _share
    _share = count


def cpu_name() -> str:
    """Model name of the processor, or the machine type where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@functools.lru_cache(maxsize=1)
def hardware() -> Hardware:
    """Probe the machine once. A GPU counts only if torch holds code for it and it really multiplies two matrices."""
    import torch

    note = ""
    if torch.cuda.is_available() and os.environ.get("PIXELPLAY_DEVICE", "") != "cpu":
        note = gpu_problem(0)
        if not note:
            native_bf16 = torch.cuda.get_device_capability(0) >= (8, 0)
            return Hardware("cuda:0", "bfloat16" if native_bf16 else "float16", cpu_count(),
                            torch.cuda.get_device_name(0))
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    # without AMX bfloat16 is no faster, and on an AMD EPYC with avx512_bf16 losses were now and then not finite
    dtype = "bfloat16" if "amx_bf16" in flags else "float32"
    return Hardware("cpu", dtype, cpu_count(), f"{cpu_name()}, {cpu_count()} cores", note)


def gpu_problem(number: int) -> str:
    """Why a GPU that is listed cannot be used; '' where it can.

    Kaggle lists a P100, whose architecture the installed torch was not built for: the first operation fails.
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
    """Whether code built for some architectures runs on a card: machine code (sm_75) on the same major version from its
    minor version on, intermediate code (compute_75) on every later card, too. Other architectures (gfx90a)
    say nothing here: an operation on the card decides."""
    known = [(kind, divmod(int(number), 10)) for kind, number in re.findall(r"\b(sm|compute)_(\d+)", " ".join(built))]
    if built and not known:
        return True
    return any(version <= capability and (kind == "compute" or version[0] == capability[0]) for kind, version in known)


def usable_gpus() -> list[int]:
    """Numbers of the GPUs that can be used; none where PIXELPLAY_DEVICE is 'cpu'."""
    import torch

    if hardware().device == "cpu":
        return []
    return [number for number in range(torch.cuda.device_count()) if not gpu_problem(number)]


def free_memory() -> int | None:
    """Bytes of memory a process can still take without swapping; None where the system does not tell.

    In a container the smaller of the machine's and the container's own (cgroup 2).
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
    """Bytes of memory this process holds; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def set_seed(seed: int) -> None:
    """Seed python, numpy and torch for code of other libraries; our own code takes explicit generators."""
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  third-party code draws from the legacy generator
    torch.manual_seed(seed)


def limit_threads(threads: int | None = None) -> int:
    """Give torch and OpenCV as many threads as there are CPUs (oversubscription slows steps up to tenfold), and have
    large tensors' memory used again."""
    import cv2
    import torch

    threads = threads or cpu_count()
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    reuse_memory()
    return threads


def reuse_memory() -> None:
    """Have glibc keep the memory of large arrays instead of giving it back to the system after each use.

    Otherwise every feature map is mapped anew and its pages are cleared one by one: half the time of a small network on
    a virtual machine (Experiments/E21). Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for parameter in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
        library.mallopt(parameter, 1 << 30)


def on_kaggle() -> bool:
    """True where Kaggle's input folder exists."""
    return KAGGLE_INPUT.is_dir()


def default_output() -> Path:
    """/kaggle/working on Kaggle, ./outputs elsewhere."""
    return KAGGLE_WORKING if on_kaggle() else Path("outputs")


def missing_requirements(requirements: Path) -> list[str]:
    """Lines of a requirements file whose package is not installed here (versions are pip's business)."""
    missing = []
    for line in Path(requirements).read_text().splitlines():
        name = re.match(r"[A-Za-z0-9_.-]+", line.partition("#")[0].strip())
        if name and not installed(name.group()):
            missing.append(line.strip())
    return missing


def ensure_requirements(requirements: Path) -> list[str]:
    """Install what a requirements file names and this environment lacks; nothing that is there is touched.

    Wheels in an attached dataset come first: they need no internet.

    Returns the lines installed.
    Raises:
        PixelPlayError: pip could not install them (on Kaggle: internet is off).
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
    """As `ensure_requirements`, but of packages that cannot be installed it only warns: a notebook may not need them,
    and what does need them says so."""
    try:
        ensure_requirements(requirements)
    except PixelPlayError as problem:
        warnings.warn(str(problem), stacklevel=2)


def attached_wheels() -> list[Path]:
    """Folders called `wheels` in the datasets attached on Kaggle, at the depths it mounts them at."""
    return sorted(p for depth in range(1, 4) for p in KAGGLE_INPUT.glob("*/" * depth + "wheels") if p.is_dir())


def _given_by_another(line: str) -> bool:
    """OpenCV comes under four package names that hold the same module: installing a second one breaks the first."""
    names = ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
    return line.startswith("opencv-python") and any(installed(n) for n in names)


def installed(name: str) -> bool:
    """Whether a distribution of this name is installed."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
