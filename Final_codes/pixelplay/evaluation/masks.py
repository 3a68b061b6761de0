"""Pixel-level ground truth.

Reads folders of mask images (one per frame), Avenue's `N_label.mat` and ShanghaiTech's pixel `.npy`; makes boolean
masks (H, W), True = anomalous.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from pixelplay.data.ids import frame_number, natural_key, video_name
from pixelplay.data.images import image_size
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.matlab import read_mat

IMAGES = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".gif")
PLACES = ("testing_label_mask", "ground_truth_demo/testing_label_mask", "testing/masks", "testing/test_pixel_mask",
          "test_pixel_mask", "Test", "test/masks", "masks", "ground_truth")


def read_mask(path: Path) -> np.ndarray:
    """(H, W) bool of a mask image: True above half brightness. Raises PixelPlayError if unreadable."""
    image = _values(path)
    if image is None:
        raise PixelPlayError(f"mask {path} cannot be read", hint="copy it again")
    if image.ndim == 3:
        image = image[..., :3].max(axis=2)
    # masks are stored as 0/1, as 0/255, and as JPEGs with ringing around 0
    return image > (127 if image.max() > 1 else 0)


def _values(path: Path) -> np.ndarray | None:
    """Values of an image as stored; None if it is not a regular file, too large or damaged."""
    if image_size(path) is None:
        return None
    try:
        return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error):
        return None


def mask_folders(path: Path) -> dict[str, Path]:
    """Video name -> folder of its mask images; if some end in `_gt` (UCSD), only those count.

    Folders whose first image is not a mask (frames, for example) are skipped.
    """
    folders = [p for p in path.iterdir() if p.is_dir()]
    truth = [p for p in folders if p.name.lower().endswith("_gt")]
    found = {}
    for folder in sorted(truth or folders, key=lambda p: natural_key(p.name)):
        first = min((p for p in folder.iterdir() if p.suffix.lower() in IMAGES), default=None)
        if first is not None and looks_like_mask(first):
            found[video_name(re.sub(r"_gt$", "", folder.name, flags=re.IGNORECASE))] = folder
    return found


def looks_like_mask(path: Path) -> bool:
    """True if an image holds two values, apart from JPEG ringing."""
    image = _values(path)
    if image is None or image.max() <= 1:
        return image is not None
    return bool(((image > 24) & (image < 231)).mean() < 0.02) and not 1 < image.max() < 231


def is_mask_mat(path: Path) -> bool:
    """True for Avenue's files: a variable volLabel that is a cell array of masks."""
    return "volLabel" in read_mat(path)


def cells_of(path: Path) -> Sequence[np.ndarray]:
    """The T masks (H, W) of an Avenue `N_label.mat`, in frame order from 0."""
    content = read_mat(path)
    if "volLabel" not in content:
        raise PixelPlayError(f"{path} holds {', '.join(content) or 'nothing'}", expected="volLabel, a cell of masks")
    cells = content["volLabel"]
    if cells.dtype != object:
        if cells.ndim == 3:
            return list(np.moveaxis(cells, -1, 0))
        raise PixelPlayError(f"{path}: volLabel is an array {cells.shape}", expected="a cell of masks, one per frame")
    return [one_mask(cell, f"{path}, frame {k}") for k, cell in enumerate(cells.ravel())]


def one_mask(cell: np.ndarray, where: str) -> np.ndarray:
    """A cell that must be a numeric mask, unchanged. Raises PixelPlayError otherwise."""
    cell = np.asarray(cell)
    if cell.dtype.kind not in "buif" or cell.ndim > 2:
        raise PixelPlayError(f"{where}: an array {cell.shape} of {cell.dtype}", expected="a mask (H, W) of numbers")
    return cell


def read_npy(path: Path) -> np.ndarray:
    """A numeric .npy file, memory-mapped. Raises PixelPlayError if it is damaged or another kind of file."""
    if not path.is_file():
        raise PixelPlayError(f"{path} is no file", expected="an .npy file of numbers")
    try:
        with path.open("rb") as stream:
            if stream.read(6) != b"\x93NUMPY":
                raise ValueError("it does not begin like one")
        # memory mapping detects a header that promises more than the file holds, without allocating memory
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    # NumPy raises many exception types for a damaged header, tokenize.TokenError among them
    except Exception as cause:
        raise PixelPlayError(f"{path} cannot be read: {cause}", expected="an .npy file of numbers",
                             hint="copy or write it again") from cause
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif":
        raise PixelPlayError(f"{path} holds no array of numbers", expected="an .npy file of numbers")
    return values


def find_masks(path: Path) -> Path | None:
    """The folder of pixel masks at or below a dataset folder, or beside a label file; None if there is none."""
    path = Path(path)
    for root in [path] if path.is_dir() else [path.parent]:
        for folder in [root, *(root / p for p in PLACES)]:
            if folder.is_dir() and (mask_folders(folder) or _mats(folder) or _pixel_arrays(folder)):
                return folder
    return None


def iterate_masks(path: Path) -> Iterator[tuple[str, list[tuple[int, np.ndarray]], bool]]:
    """Yield (video name, [(frame, mask (H, W) bool), ...], indexed) for a folder of masks, one video at a time.

    If `indexed`, frames are positions from 0; otherwise they are file numbers.
    """
    for name, place in mask_videos(path).items():
        yield (name, *_read(place))


def mask_videos(path: Path) -> dict[str, Path]:
    """Video name -> its `N_label.mat`, its `.npy` or its folder of images, in order."""
    if _mats(path):
        return {video_name(p.stem.removesuffix("_label")): p for p in _mats(path)}
    if _pixel_arrays(path):
        return {video_name(p.stem): p for p in _pixel_arrays(path)}
    return mask_folders(path)


def read_video_masks(path: Path, video: str) -> tuple[list[tuple[int, np.ndarray]], bool]:
    """([(frame, mask (H, W) bool), ...], indexed) of one video of `mask_videos`."""
    return _read(mask_videos(path)[video])


def _read(place: Path) -> tuple[list[tuple[int, np.ndarray]], bool]:
    if place.suffix == ".mat":
        return [(k, np.asarray(m) > 0) for k, m in enumerate(cells_of(place))], True
    if place.suffix == ".npy":
        return [(k, m > 0) for k, m in enumerate(read_npy(place))], True
    files = sorted((frame_number(p.stem) or 0, p) for p in place.iterdir() if p.suffix.lower() in IMAGES)
    return [(n, read_mask(p)) for n, p in files], False


def _mats(path: Path) -> list[Path]:
    return sorted((p for p in path.glob("*.mat") if re.fullmatch(r"\d+_label", p.stem)),
                  key=lambda p: natural_key(p.name))


def _pixel_arrays(path: Path) -> list[Path]:
    arrays = sorted(path.glob("*.npy"), key=lambda p: natural_key(p.name))
    return arrays if arrays and read_npy(arrays[0]).ndim == 3 else []
