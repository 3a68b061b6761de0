"""Third-party weights: finding, downloading and verifying them.

Reads the folders of $PIXELPLAY_WEIGHTS, `weights` beside the code, Kaggle's input and the cache; writes the cache.
`TABLE` lists all third-party weights. It states a digest only where the publisher does. For other files the digest of
the first download is recorded in a lock file beside them and checked from then on.
"""

from __future__ import annotations

import dataclasses
import functools
import http.client
import importlib
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from pixelplay import environment
from pixelplay.errors import PixelPlayError
from pixelplay.files import read_json, sha256_of, write_json

log = logging.getLogger(__name__)

LOCK = "weights.lock.json"
"""Lock file in the folder of the weights: file name -> sha256 of the first download."""

PACKAGE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """One file of weights.

    Attributes:
        name: file name.
        url: source of the download; '' if it is never downloaded.
        sha256: hex digest stated by the publisher, possibly only its leading digits; '' if none is stated.
        megabytes: size of the download.
        folder: location inside the package, for shipped weights.
    """

    name: str
    url: str = ""
    sha256: str = ""
    megabytes: int = 0
    folder: Path | None = None


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights of one network: title, licence, and alternative files, the preferred one first."""

    title: str
    licence: str
    files: tuple[WeightsFile, ...]


_RN101 = "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599"

TABLE: dict[str, Weights] = {
    # safetensors is preferred; its publisher states no digest
    "clip-rn101": Weights("CLIP RN101 (OpenAI)", "MIT", (
        WeightsFile("resnet101_clip.openai.safetensors", megabytes=226,
                    url="https://huggingface.co/timm/resnet101_clip.openai/resolve/main/model.safetensors"),
        WeightsFile("RN101.pt", f"https://openaipublic.azureedge.net/clip/models/{_RN101}/RN101.pt", _RN101, 292))),
    "yolov5s": Weights("YOLOv5s (ultralytics, COCO)", "AGPL-3.0", (
        WeightsFile("yolov5su.pt", megabytes=18,
                    url="https://github.com/ultralytics/assets/releases/download/v8.4.0/yolov5su.pt"),)),
    "yolox-nano": Weights("YOLOX-nano (Megvii, COCO)", "Apache-2.0", (
        WeightsFile("yolox_nano.onnx", megabytes=4,
                    url="https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/yolox_nano.onnx",
                    sha256="c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d"),
        # another export of the same network, used if present
        WeightsFile("yolox_nano_416x416.onnx"))),
    # torchvision puts the first digits of the digest into the file name
    "faster-rcnn": Weights("Faster R-CNN ResNet-50 FPN v2 (torchvision, COCO)", "BSD-3-Clause", (
        WeightsFile("fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth", sha256="dd69338a", megabytes=167,
                    url="https://download.pytorch.org/models/fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth"),)),
    "efficientnet-lite0": Weights("EfficientNet-Lite0 (ImageNet)", "Apache-2.0", (
        WeightsFile("trunk.safetensors", folder=PACKAGE / "two_stream" / "weights" / "efficientnet_lite0",
                    sha256="84b799ccd0761db49d95aa2e2c4ded7ac8849cbba14cf63380eaf55a7d4fc9e1"),)),
}


@dataclasses.dataclass(frozen=True)
class Needs:
    """Requirements of a model.

    Attributes:
        packages: names of distributions, as pip knows them.
        weights: keys of `TABLE`.
    """

    packages: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()

    def __or__(self, other: Needs) -> Needs:
        """Union, in order."""
        return Needs(tuple(dict.fromkeys(self.packages + other.packages)),
                     tuple(dict.fromkeys(self.weights + other.weights)))


def require_package(name: str, *, by: str) -> ModuleType:
    """Import an optional package.

    Args:
        name: the module or submodule; the distribution must have the name of the top-level module.
        by: name of the feature that needs it, for the message.
    Raises:
        PixelPlayError: the package, or one of its dependencies, is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as cause:
        missing = (cause.name or name).partition(".")[0]
        raise PixelPlayError(f"{by} needs the package {missing}, which is not installed",
                             hint=f"pip install {missing}   (internet off: pip install --no-index --no-deps "
                                  "WHEELS/*.whl, with the folder of wheels that `pixelplay fetch` makes)") from cause


def cache_folder() -> Path:
    """Folder of downloads: $XDG_CACHE_HOME/pixelplay, else ~/.cache/pixelplay."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pixelplay"


def search_places() -> list[Path]:
    """Existing folders that are searched for weights, in order.

    Besides the environment variable, Kaggle's input and the cache: `Final_codes/weights`, and `weights` beside
    `Final_codes`.
    """
    named = [Path(p) for p in os.environ.get("PIXELPLAY_WEIGHTS", "").split(os.pathsep) if p]
    beside = [PACKAGE.parents[0] / "weights", PACKAGE.parents[1] / "weights"]
    return [p for p in (*named, *beside, environment.KAGGLE_INPUT, cache_folder()) if p.is_dir()]


def find(name: str) -> Path | None:
    """Path of the weights on this machine, or None.

    Raises:
        PixelPlayError: unknown name, or a file with the right name has the wrong digest.
    """
    entry = _entry(name)
    for file in entry.files:
        if file.folder:
            return _checked(file.folder / file.name, file, entry)
    for place in search_places():
        if place == cache_folder():
            return held(name, place)
        hits = list(_below(place, {f.name for f in entry.files}))
        for file in entry.files:
            for path in hits:
                if path.name == file.name:
                    return _checked(path, file, entry)
    return None


def held(name: str, folder: Path) -> Path | None:
    """Path of the weights in a download folder, or None; logs a warning for a damaged file."""
    for file in _entry(name).files:
        path = folder / file.name
        if path.is_file():
            if _matches(path, file):
                return path
            log.warning("%s is damaged: its sha256 is not %s; downloading it again", path, _known_digest(path, file))
    return None


def obtain(name: str) -> Path:
    """Path of the weights: found on this machine, else downloaded to the cache.

    Raises:
        PixelPlayError: as `find`; or the download fails or has the wrong digest.
    """
    return find(name) or download(name, cache_folder())


def download(name: str, folder: Path) -> Path:
    """Download the weights to `folder` from the first source that responds; returns the path.

    Raises:
        PixelPlayError: no source responds, or the digest is wrong.
    """
    entry, failures = _entry(name), []
    for file in (f for f in entry.files if f.url):
        try:
            return _download(file, entry, Path(folder))
        except (OSError, http.client.HTTPException) as cause:
            log.info("%s: %s", file.url, cause)
            failures.append(f"{file.url}: {cause}")
    raise _unavailable(entry, failures)


def require_source(name: str) -> None:
    """Check that a source of the weights responds, without downloading.

    Raises:
        PixelPlayError: no source responds.
    """
    entry, failures = _entry(name), []
    for file in (f for f in entry.files if f.url):
        try:
            request = urllib.request.Request(file.url, method="HEAD", headers={"User-Agent": "pixelplay"})
            urllib.request.urlopen(request, timeout=10).close()
            return
        except (OSError, http.client.HTTPException) as cause:
            failures.append(f"{file.url}: {cause}")
    raise _unavailable(entry, failures)


def check_sha256(path: Path, sha256: str | None) -> str:
    """The sha256 of a weights file. Raises PixelPlayError if it is not the expected one."""
    found = _digest(path)
    if sha256 and found != sha256.lower():
        raise PixelPlayError(f"{path} is not the expected weights file: its sha256 is {found}",
                             expected=sha256, hint="download it again, or set the sha256 of the file you trust")
    return found


def _unavailable(entry: Weights, failures: list[str]) -> PixelPlayError:
    names = " or ".join(f.name for f in entry.files)
    return PixelPlayError(f"the weights of {entry.title} are not on this machine and cannot be downloaded: "
                          + "; ".join(failures or ["no source is known"]), expected=f"internet access, or {names}",
                          hint="download it on another machine into a folder named by PIXELPLAY_WEIGHTS; "
                               "on Kaggle attach it as a dataset (`pixelplay fetch` makes one)")


def _entry(name: str) -> Weights:
    if name not in TABLE:
        raise PixelPlayError(f"there are no weights called '{name}'", expected="one of " + ", ".join(TABLE))
    return TABLE[name]


_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".npy"})
_MOST_PICTURES, _DEPTH = 32, 7


def _below(place: Path, names: set[str]) -> Iterator[Path]:
    """Files with these names below a folder, breadth first.

    A folder of frames and its subfolders are skipped after 32 images: Kaggle's input holds tens of thousands of frames
    on a network disk.
    """
    level = [str(place)]
    for _ in range(_DEPTH):
        deeper: list[str] = []
        for folder in level:
            try:
                with os.scandir(folder) as entries:
                    folders, files = _look(entries, names)
            except OSError as cause:
                log.debug("%s is not searched for weights: %s", folder, cause)
                continue
            deeper += folders
            yield from (Path(f) for f in files)
        level = deeper


def _look(entries: Iterator[os.DirEntry[str]], names: set[str]) -> tuple[list[str], list[str]]:
    """(subfolders, files with these names) of one folder; empty for a folder of frames."""
    folders, files, pictures = [], [], 0
    for entry in entries:
        if entry.name in names and entry.is_file():
            files.append(entry.path)
        elif os.path.splitext(entry.name)[1].lower() in _PICTURES:  # noqa: PTH122  a Path per entry is slow
            pictures += 1
            if pictures > _MOST_PICTURES:
                return [], []
        elif not entry.name.startswith(".") and entry.is_dir():
            folders.append(entry.path)
    return sorted(folders), sorted(files)


def _digest(path: Path) -> str:
    state = path.stat()
    return _digest_of(str(path), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _digest_of(path: str, _size: int, _modified: int) -> str:
    """sha256 of a file, cached by size and modification time."""
    return sha256_of(path)


def _known_digest(path: Path, file: WeightsFile) -> str:
    """The expected digest of a file: the published one, else that of the lock file, else ''."""
    lock = path.parent / LOCK
    return file.sha256 or (read_json(lock).get(file.name, "") if lock.is_file() else "")


def _matches(path: Path, file: WeightsFile) -> bool:
    known = _known_digest(path, file)
    return not known or _digest(path).startswith(known)


def _checked(path: Path, file: WeightsFile, entry: Weights) -> Path:
    if not _matches(path, file):
        raise PixelPlayError(f"{path} is not the file of {entry.title}: its sha256 is {_digest(path)}",
                             expected=f"sha256 {_known_digest(path, file)}",
                             hint="download it again or remove it; for your own weights, give their path in the "
                                  "settings of the model")
    return path


def _download(file: WeightsFile, entry: Weights, folder: Path) -> Path:
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / file.name, folder / f"{file.name}.part"
    # two models in separate processes may need the same file
    with FileLock(folder / f".{file.name}.lock"):
        if target.is_file() and _known_digest(target, file) and _matches(target, file):
            return target
        log.info("downloading %s (%d MB, %s): %s", entry.title, file.megabytes, entry.licence, file.url)
        _receive(file, part)
        found, known = _digest(part), _known_digest(target, file)
        if known and not found.startswith(known):
            part.unlink()
            raise PixelPlayError(f"{file.url} gave a file whose sha256 is {found}", expected=f"sha256 {known}",
                                 hint="try again; if the publisher has replaced the file, remove its line from "
                                      f"{folder / LOCK}, if it exists")
        if not known:
            lock = folder / LOCK
            write_json(lock, {**(read_json(lock) if lock.is_file() else {}), file.name: found})
        part.replace(target)
    return target


def _receive(file: WeightsFile, part: Path) -> None:
    """Download a file to `part`; resumes a partial download if a digest can verify the result."""
    from pixelplay.progress import tqdm

    start = part.stat().st_size if file.sha256 and part.is_file() else 0
    request = urllib.request.Request(file.url, headers={"User-Agent": "pixelplay"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as cause:
        if cause.code != 416:
            raise
        # range not satisfiable: the part is complete or wrong, which the digest decides
        return
    with answer:
        start = start if answer.status == 206 else 0
        length = answer.headers.get("Content-Length")
        with part.open("ab" if start else "wb") as out, tqdm(
                total=start + int(length) if length else None, initial=start, unit="B", unit_scale=True,
                unit_divisor=1024, desc=file.name) as bar:
            while block := answer.read(1 << 18):
                out.write(block)
                bar.update(len(block))
    if length and part.stat().st_size != start + int(length):
        raise OSError(f"the connection ended after {part.stat().st_size} of {start + int(length)} bytes")
