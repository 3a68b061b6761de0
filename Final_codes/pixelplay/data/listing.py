"""Listing the videos and folders of frames in a folder.

Reads directory entries and video headers; makes lists of `Video`s with frame numbers. Only regular files are input:
pipes, devices, hidden files and circular links are skipped, and `left_out` reports them.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import os
import re
import unicodedata
from pathlib import Path

from pixelplay.data.decoding import probe
from pixelplay.data.ids import MOST_NUMBER, natural_key, video_name
from pixelplay.errors import PixelPlayError

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv", ".webm"})
NOT_INPUT = frozenset({"masks", "mask", "gt", "ground_truth", "ground_truth_demo", "labels", "testing_label_mask",
                       "test_frame_mask", "test_pixel_mask", "training_vol", "testing_vol", "__macosx", "__pycache__"})
"""Folders of ground truth, volumes or system files, in lower case; names ending in `_gt` are skipped too."""
UNREAD_SUFFIXES = frozenset({".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".dng", ".ts", ".mts", ".m2ts", ".flv",
                             ".3gp", ".asf", ".vob", ".h264", ".h265", ".264", ".265", ".dav", ".ogv"})
"""Unsupported image and video formats; such files are reported when skipped."""
DEEPEST = 16
"""Maximum depth of folders below that of a split."""
SHOWN = 12
"""Number of folders that an error message lists."""
BLOCK, BLOCKS = 512, 32
"""Size in bytes and number of the samples of a file's content in a fingerprint."""


class Listing:
    """Entries of one folder in natural order, without hidden files and ground truth.

    Attributes:
        path: the folder.
        all_folders: names of all subfolders except hidden ones.
        folders: subfolders that may hold input.
        images, videos: names of image and video files, including broken links: their frames are reported as unreadable.
        left_out: reason -> names of skipped images, videos and folders.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.all_folders, self.images, self.videos = [], [], []
        self.left_out: dict[str, list[str]] = {}
        try:
            with os.scandir(self.path) as found:
                entries = sorted(found, key=lambda e: natural_key(e.name))
        except OSError as cause:
            raise PixelPlayError(f"folder {path} cannot be read: {cause.strerror}",
                                 hint="check its permissions and the disk") from cause
        for entry in entries:
            suffix = f".{entry.name.rpartition('.')[2].lower()}"
            frames = suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES
            if entry.name.startswith("."):
                # macOS writes ._NAME beside files on foreign disks
                if frames and not entry.name.startswith("._"):
                    self.left_out.setdefault("hidden files", []).append(entry.name)
                continue
            kind = _kind(entry)
            if kind == "folder":
                self.all_folders.append(entry.name)
            elif kind == "circle":
                self.left_out.setdefault("circular links", []).append(entry.name)
            elif suffix in UNREAD_SUFFIXES:
                self.left_out.setdefault("files of unsupported formats", []).append(entry.name)
            elif frames and kind == "special":
                self.left_out.setdefault("pipes, devices or sockets", []).append(entry.name)
            elif suffix in IMAGE_SUFFIXES:
                self.images.append(entry.name)
            elif suffix in VIDEO_SUFFIXES:
                self.videos.append(entry.name)
        self.folders = [n for n in self.all_folders if n.lower() not in NOT_INPUT and not n.lower().endswith("_gt")]

    def child(self, name: str) -> Path | None:
        """The subfolder of that name, ignoring case."""
        exact = [n for n in self.all_folders if n == name] or [n for n in self.all_folders if n.lower() == name.lower()]
        return self.path / exact[0] if exact else None


def _kind(entry: os.DirEntry) -> str:
    """'folder', 'file', 'circle' (a link to one of its parents) or 'special' (may block when read)."""
    try:
        if entry.is_dir():
            around = {os.path.realpath(p) for p in Path(entry.path).absolute().parents} if entry.is_symlink() else ()
            return "circle" if os.path.realpath(entry.path) in around else "folder"
        if entry.is_file():
            return "file"
        return "special" if Path(entry.path).exists() else "file"
    except OSError:
        # a link to itself counts as an unreadable file
        return "file"


def left_out(place: Path) -> dict[str, list[Path]]:
    """Reason -> skipped files and folders in and below the folder of a split."""
    found: dict[str, list[Path]] = {}
    queue = [Path(place)] if Path(place).is_dir() else []
    while queue:
        listing = Listing(queue.pop())
        for why, names in listing.left_out.items():
            found.setdefault(why, []).extend(listing.path / name for name in names)
        queue += [listing.path / name for name in listing.folders]
    return found


def check_name(name: str, path: Path) -> None:
    """Raise PixelPlayError for a name that CSV files cannot hold: blank, with control characters or line breaks, or not
    valid UTF-8."""
    # Cc, Cs, Zl, Zp: control characters, undecodable bytes, line and paragraph separators
    if not name.strip() or any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name):
        raise PixelPlayError(f"the name {str(path)!a} cannot be stored in a CSV file",
                             expected="a name of printable characters, in UTF-8", hint="rename it")


@dataclasses.dataclass(frozen=True)
class Video:
    """One video: a file or a folder of frames.

    Attributes:
        name: canonical video name.
        path: the file or folder.
        relative: POSIX path relative to the root of the split; '' for the root itself.
    """

    name: str
    path: Path
    relative: str

    @property
    def is_file(self) -> bool:
        """True for a video file (readable or not), False for a folder of frames."""
        return self.path.suffix.lower() in VIDEO_SUFFIXES and not self.path.is_dir()

    @functools.cached_property
    def _header(self):
        return probe(self.path) if self.is_file else None

    @property
    def fps(self) -> float | None:
        """Frames per second of a video file, None for a folder of frames."""
        return self._header.fps if self._header else None

    def frames(self) -> list[tuple[int, str]]:
        """(frame number, path relative to the root) of every frame; frames of a video file are numbered from 0."""
        if self._header:
            return [(i, self.relative) for i in range(self._header.frames)]
        names = Listing(self.path).images
        for name in names:
            check_name(name, self.path / name)
        prefix = f"{self.relative}/" if self.relative else ""
        return [(number, prefix + name) for number, name in zip(frame_numbers(names, self.path), names)]

    def file_prints(self) -> list[tuple[str, str]]:
        """(path relative to the root, `file_print`) of every file."""
        if self.is_file:
            return [(self.relative, file_print(self.path))]
        prefix = f"{self.relative}/" if self.relative else ""
        return [(prefix + name, file_print(self.path / name)) for name in Listing(self.path).images]


def file_print(path: Path) -> str:
    """Size of a file and a hash of evenly spaced samples of its content; '' if it cannot be read.

    The modification time is not used because it differs between copies of a dataset. A change between two samples is
    missed; in compressed files a change rarely stays so local.
    """
    try:
        if not path.is_file():
            return ""
        size, digest = path.stat().st_size, hashlib.blake2b(digest_size=8)
        with path.open("rb", buffering=0) as stream:
            for k in range(BLOCKS if size > BLOCK * BLOCKS else 1):
                stream.seek(k * (size - BLOCK) // (BLOCKS - 1) if k else 0)
                digest.update(stream.read(BLOCK if size > BLOCK * BLOCKS else size))
    except OSError as cause:
        log.warning("%s cannot be read: %s", path, cause.strerror)
        return ""
    return f"{size}-{digest.hexdigest()}"


def frame_numbers(names: list[str], folder: Path) -> list[int]:
    """Frame numbers from file names: the last group of digits that differs between all frames.

    Frames without digits, or with time stamps in which no single group is unique, are numbered 0, 1, ... in natural
    order, with a warning.

    Raises:
        PixelPlayError: only some names have a number, two frames have the same number, or a number is too large.
    """
    if not names:
        return []
    stems = [Path(name).stem for name in names]
    groups = [tuple(int(g) for g in re.findall(r"[0-9]+", stem)) for stem in stems]
    counts = sorted({len(g) for g in groups})
    if counts[0] > 0:
        for position in range(1, counts[0] + 1):
            numbers = [g[-position] for g in groups]
            if len(set(numbers)) == len(numbers):
                if max(numbers) >= MOST_NUMBER:
                    raise PixelPlayError(f"{folder / names[numbers.index(max(numbers))]} has too large a frame number",
                                         expected=f"numbers below {MOST_NUMBER}", hint="rename the frames")
                return numbers
    if len(counts) > 1 or (counts[0] > 0 and len(set(groups)) < len(groups)):
        known = [g[-1] if g else None for g in groups]
        odd = next((i for i, n in enumerate(known) if n is None or n in known[:i]), 0)
        raise PixelPlayError(f"{folder / names[odd]} has no frame number of its own", expected="one number in every "
                             "name, each once, e.g. frame_00939.jpg", hint="rename it, or remove it if it is no frame")
    log.warning("%s: file names do not number the frames; numbered 0 to %d in natural order", folder, len(names) - 1)
    return list(range(len(names)))


def list_videos(place: Path) -> list[Video]:
    """List all videos of a split.

    A video file, or a folder that contains only images, is one video. In any other folder, every video file and every
    folder of images is a video. Names of videos in nested folders get the folder names as prefix ('cam1-night'); a
    level with a single folder adds none. Folders without frames are skipped with a warning.

    Raises:
        PixelPlayError: two videos have the same name, a name is invalid (see `check_name`), or folders are too deep.
    """
    place = Path(place)
    if place.is_file():
        if place.suffix.lower() not in VIDEO_SUFFIXES:
            raise PixelPlayError(f"{place} is not a video", expected="one of " + " ".join(sorted(VIDEO_SUFFIXES)))
        check_name(place.name, place)
        return [Video(video_name(place.stem), place, place.name)]
    videos = _below(place, "", "")
    if not videos and Listing(place).images:
        videos = [Video(video_name(place.resolve().name), place, "")]
    seen: dict[str, Video] = {}
    for video in videos:
        check_name(video.name, video.path)
        check_name(video.relative or video.name, video.path)
        if video.name in seen:
            raise PixelPlayError(f"two videos are called '{video.name}': {seen[video.name].path} and {video.path}",
                                 expected="each video once in a split", hint="rename or remove one of them")
        seen[video.name] = video
    return videos


def _below(folder: Path, relative: str, prefix: str) -> list[Video]:
    """Videos in and below a folder; `relative` is its path, `prefix` the prefix of video names."""
    listing = Listing(folder)
    if relative.count("/") > DEEPEST:
        raise PixelPlayError(f"{folder} is nested too deeply",
                             expected=f"at most {DEEPEST} levels of folders below that of a split",
                             hint="move the videos up, or name their folder itself")
    for special in ("frames", "videos"):
        if special in listing.folders and not listing.videos:
            return _below(folder / special, f"{relative}{special}/", prefix)
    found = [Video(video_name(prefix + Path(n).stem), folder / n, relative + n) for n in listing.videos]
    single = len(listing.folders) == 1 and not listing.videos
    for name in listing.folders:
        inner = Listing(folder / name)
        if inner.images:
            found.append(Video(video_name(prefix + name), folder / name, relative + name))
        elif inner.folders or inner.videos:
            found += _below(folder / name, f"{relative}{name}/", prefix if single else f"{prefix}{name}-")
        else:
            log.warning("%s is empty and skipped", folder / name)
    return found


def describe(looked: Path, visited: list[Path]) -> str:
    """List of searched folders for an error message."""
    names = [str(p.relative_to(looked)) or "." for p in visited[:SHOWN]]
    more = f" and {len(visited) - SHOWN} more" if len(visited) > SHOWN else ""
    return ", ".join(names) + more
