"""What a folder holds: videos, folders of frames, ground truth to leave alone.

Reads directory entries and video headers; makes `Video` lists with every frame's own number.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import re
from pathlib import Path

from pixelplay.data.decoding import probe
from pixelplay.data.ids import natural_key, video_name
from pixelplay.errors import PixelPlayError

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv", ".webm"})
NOT_INPUT = frozenset({"masks", "mask", "gt", "ground_truth", "ground_truth_demo", "labels", "testing_label_mask",
                       "test_frame_mask", "test_pixel_mask", "training_vol", "testing_vol", "__macosx", "__pycache__"})
"""Folders that hold ground truth, volumes or rubbish, in lower case; names ending in `_gt` as well."""


class Listing:
    """One folder's entries, sorted naturally; hidden files and ground truth are left out.

    Attributes:
        path: the folder.
        all_folders: names of all sub-folders but hidden ones.
        folders: those that may hold input.
        images, videos: names of image and video files.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.all_folders, self.images, self.videos = [], [], []
        try:
            entries = sorted(os.scandir(self.path), key=lambda e: natural_key(e.name))
        except PermissionError as cause:
            raise PixelPlayError(f"{path} may not be read", mend="change its permissions") from cause
        for entry in entries:
            suffix = Path(entry.name).suffix.lower()
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                self.all_folders.append(entry.name)
            elif suffix in IMAGE_SUFFIXES:
                self.images.append(entry.name)
            elif suffix in VIDEO_SUFFIXES:
                self.videos.append(entry.name)
        self.folders = [n for n in self.all_folders if n.lower() not in NOT_INPUT and not n.lower().endswith("_gt")]

    def child(self, name: str) -> Path | None:
        """The sub-folder of that name, whatever its case."""
        exact = [n for n in self.all_folders if n == name] or [n for n in self.all_folders if n.lower() == name.lower()]
        return self.path / exact[0] if exact else None


@dataclasses.dataclass(frozen=True)
class Video:
    """One video: a file, or a folder of frames.

    Attributes:
        name: canonical video name.
        path: the file or folder.
        relative: its path below the split's root, posix form ('' for the root itself).
    """

    name: str
    path: Path
    relative: str

    @functools.cached_property
    def _header(self):
        return probe(self.path) if self.path.is_file() else None

    @property
    def fps(self) -> float | None:
        """Frames a second of a video file, None for a folder of frames."""
        return self._header.fps if self._header else None

    def frames(self) -> list[tuple[int, str]]:
        """(frame number, path below the split's root) of every frame; a file's numbers are its 0-based indices."""
        if self._header:
            return [(i, self.relative) for i in range(self._header.frames)]
        names = Listing(self.path).images
        prefix = f"{self.relative}/" if self.relative else ""
        return [(number, prefix + name) for number, name in zip(frame_numbers(names, self.path), names)]

    def file_sizes(self) -> list[tuple[str, int]]:
        """(path below the split's root, bytes) of every file."""
        if self.path.is_file():
            return [(self.relative, self.path.stat().st_size)]
        prefix = f"{self.relative}/" if self.relative else ""
        sizes = {e.name: e.stat().st_size for e in os.scandir(self.path) if e.is_file()}
        return [(prefix + name, sizes.get(name, 0)) for name in Listing(self.path).images]


def frame_numbers(names: list[str], folder: Path) -> list[int]:
    """Every frame's own number: the last group of digits in its name.

    Where that group repeats (a camera number after the frame's), the last group that does not is taken. Names
    without any digits, and time stamps of which no single group tells the frames apart, are numbered 0, 1, ... in
    natural order, and the log says so.
    Raises:
        PixelPlayError: names that number some frames only, or two frames with the same number.
    """
    stems = [Path(name).stem for name in names]
    groups = [tuple(int(g) for g in re.findall(r"[0-9]+", stem)) for stem in stems]
    counts = sorted({len(g) for g in groups})
    if counts[0] > 0:
        for position in range(1, counts[0] + 1):
            numbers = [g[-position] for g in groups]
            if len(set(numbers)) == len(numbers):
                return numbers
    if len(counts) > 1 or (counts[0] > 0 and len(set(groups)) < len(groups)):
        known = [g[-1] if g else None for g in groups]
        odd = next((i for i, n in enumerate(known) if n is None or n in known[:i]), 0)
        raise PixelPlayError(f"{folder / names[odd]} has no frame number of its own", expected="one number in every "
                             "name, each once, e.g. frame_00939.jpg", mend="rename it, or remove it if it is no frame")
    log.warning("%s: file names do not number the frames; numbered 0 to %d in natural order", folder, len(names) - 1)
    return list(range(len(names)))


def list_videos(place: Path) -> list[Video]:
    """All videos of a split.

    A video file, or a folder that directly holds nothing but images, is one video. Below any other folder every
    video file and every folder of images is one; from deeper levels the folders' names come first
    ('cam1-night'), unless there is just one chain of folders. Folders without frames are left out, with a warning.
    Raises:
        PixelPlayError: two videos of the same name.
    """
    place = Path(place)
    if place.is_file():
        if place.suffix.lower() not in VIDEO_SUFFIXES:
            raise PixelPlayError(f"{place} is not a video", expected="one of " + " ".join(sorted(VIDEO_SUFFIXES)))
        return [Video(video_name(place.stem), place, place.name)]
    videos = _below(place, "", "")
    if not videos and Listing(place).images:
        videos = [Video(video_name(place.resolve().name), place, "")]
    seen: dict[str, Video] = {}
    for video in videos:
        if video.name in seen:
            raise PixelPlayError(f"two videos are called '{video.name}': {seen[video.name].path} and {video.path}",
                                 expected="each video once in a split", mend="rename or remove one of them")
        seen[video.name] = video
    return videos


def _below(folder: Path, relative: str, prefix: str) -> list[Video]:
    """Videos in and below a folder; `relative` and `prefix` are its path and its videos' name prefix."""
    listing = Listing(folder)
    for special in ("frames", "videos"):
        if special in listing.folders and not listing.videos:
            return _below(folder / special, f"{relative}{special}/", prefix)
    found = [Video(video_name(prefix + Path(n).stem), folder / n, relative + n) for n in listing.videos]
    alone = len(listing.folders) == 1 and not listing.videos
    for name in listing.folders:
        inner = Listing(folder / name)
        if inner.images:
            found.append(Video(video_name(prefix + name), folder / name, relative + name))
        elif inner.folders or inner.videos:
            found += _below(folder / name, f"{relative}{name}/", prefix if alone else f"{prefix}{name}-")
        else:
            log.warning("%s is empty: no video made of it", folder / name)
    return found


def describe(looked: Path, visited: list[Path], most: int = 12) -> str:
    """A few lines for an error message: which folders were looked into."""
    names = [str(p.relative_to(looked)) or "." for p in visited[:most]]
    more = f" and {len(visited) - most} more" if len(visited) > most else ""
    return ", ".join(names) + more
