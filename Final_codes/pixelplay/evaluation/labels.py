"""Ground truth: the anomalous frames of a test set, with the version of the labels.

Reads mask folders, UCSD `.m` lists, Avenue's `N_label.mat`, ShanghaiTech's `.npy`, interval `.mat` files, a CSV
`Id,label`, or a dataset folder that contains one of them; makes `Labels`, and from them the label of each scored Id.
Labels serve evaluation only: no other subpackage reads them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pixelplay.data.ids import frame_id, frame_number, natural_key, split_ids, video_name
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.masks import IMAGES, cells_of, is_mask_mat, mask_folders, read_mask, read_npy
from pixelplay.evaluation.matlab import read_mat
from pixelplay.fusion.formats import read_strings

FORMS = "a CSV Id,label; a folder of mask folders; N_label.mat, .npy or .m files; a .mat of intervals"
MOST_FRAMES = 10_000_000
"""Largest frame number in an interval list: four and a half days at 25 frames a second."""
PLACES = ("frame_labels.csv", "testing_label_mask", "ground_truth_demo/testing_label_mask", "testing/test_frame_mask",
          "test_frame_mask", "testing/masks", "Test", "test/masks", "masks", "ground_truth")


@dataclasses.dataclass(frozen=True)
class Track:
    """Labels of one video.

    Attributes:
        frames: (M,) int64 ascending frame numbers.
        values: (M,) uint8, 1 = anomalous.
    """

    frames: np.ndarray
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Aligned:
    """Labels of N scored frames.

    Attributes:
        values: (N,) uint8, 1 = anomalous, in the order of the Ids.
        about: version, source, frames, positives, videos, labelled frames that were not scored, notes.
    """

    values: np.ndarray
    about: dict


@dataclasses.dataclass(frozen=True)
class Labels:
    """All labels of a test set.

    Attributes:
        version: name of these labels.
        source: path they were read from.
        videos: name -> `Track`; if `ordered`, the names are 1, 2, 3 ...
        indexed: frames are positions in the original video, from 0; otherwise they are file numbers.
        open_ended: unlisted frames are normal (interval lists do not give the length of a video).
        ordered: videos are identified by their order only.
    """

    version: str
    source: str
    videos: dict[str, Track]
    indexed: bool = False
    open_ended: bool = False
    ordered: bool = False

    @property
    def positives(self) -> int:
        """Number of frames labelled anomalous."""
        return int(sum(int(t.values.sum()) for t in self.videos.values()))

    def align(self, ids: Sequence[str], known_ids: Sequence[str] | None = None, *, partial: bool = False) -> Aligned:
        """Labels of scored frames.

        Args:
            ids: the scored Ids.
            known_ids: every test Id of the manifest. Labelled frames outside it are missing from the data (the
                competition drops frames) and need no score.
            partial: evaluate the scored frames even if others are labelled.
        Raises:
            PixelPlayError: scored frames without a label, or labelled frames without a score; names three.
        """
        scored = _frames_of(ids, "scores")
        known = _frames_of(known_ids, "manifest") if known_ids is not None else scored
        base = first_number(known["video"], known["frame"]) if self.indexed else 0
        match = self.match(list(dict.fromkeys(known["video"])), list(dict.fromkeys(scored["video"])))
        values = np.zeros(len(scored), dtype=np.uint8)
        unlabelled: list[str] = []
        unscored: list[str] = []
        for video, name in match.items():
            track, mine = self.videos[name], scored[scored["video"] == video]
            lookup = pd.Series(track.values, index=track.frames + base)
            found = lookup.reindex(mine["frame"])
            if not self.open_ended:
                unlabelled += mine["id"].to_numpy()[found.isna().to_numpy()].tolist()
                rest = lookup.index.difference(mine["frame"], sort=True)
                unscored += [frame_id(video, f) for f in rest]
            values[mine.index] = found.fillna(0).to_numpy(np.uint8)
        if unlabelled:
            raise PixelPlayError(f"{len(unlabelled)} scored frames have no label in {self.source} (first: "
                                 f"{', '.join(unlabelled[:3])})", expected="labels as long as the videos",
                                 hint="take the labels of this dataset, or scores under the frames' own numbers")
        unscored += [frame_id(name, f) for name in self.videos if name not in match.values()
                     for f in self.videos[name].frames] if not self.ordered else []
        return Aligned(values, self._about(values, match, base, self._unscored(unscored, known_ids, partial)))

    def match(self, known: list[str], scored: list[str]) -> dict[str, str]:
        """Scored video -> name of its labels: by name, else by number, else (ordered lists) by order.

        Raises:
            PixelPlayError: a scored video without labels; names three.
        """
        if self.ordered:
            if len(known) != len(self.videos):
                raise PixelPlayError(f"{self.source} labels {len(self.videos)} videos in order, but {len(known)} are "
                                     f"scored ({', '.join(known[:3])} ...)", expected="the same number of videos")
            return dict(zip(sorted(known, key=natural_key), self.videos))
        by_number: dict[int | None, list[str]] = {}
        for name in self.videos:
            by_number.setdefault(frame_number(name), []).append(name)
        match = {}
        for video in scored:
            number = frame_number(video)
            alike = by_number.get(number, []) if number is not None else []
            same_number = [v for v in scored if frame_number(v) == number]
            if video in self.videos:
                match[video] = video
            elif len(alike) == 1 and len(same_number) == 1:
                match[video] = alike[0]
        absent = [v for v in scored if v not in match]
        if absent:
            raise PixelPlayError(f"{self.source} has no labels for {len(absent)} scored videos (first: "
                                 f"{', '.join(absent[:3])})",
                                 expected=f"videos like {', '.join(list(self.videos)[:3])}",
                                 hint="take the labels of this dataset")
        return match

    def _unscored(self, unscored: list[str], known_ids: Sequence[str] | None, partial: bool) -> list[str]:
        """Check the labelled frames without a score; return those that are missing from the data."""
        if not unscored or partial:
            return unscored
        wanted = set(known_ids) if known_ids is not None else None
        lost = [i for i in unscored if wanted is None or i in wanted]
        if lost:
            raise PixelPlayError(f"{len(lost)} labelled frames have no score (first: {', '.join(lost[:3])})",
                                 expected=f"a score for every frame that {self.source} labels",
                                 hint="score every frame; where the data itself lacks them, give --manifest FOLDER of "
                                 "stage 01, or --partial to evaluate the scored frames alone")
        return unscored

    def _about(self, values: np.ndarray, match: dict[str, str], base: int, absent: list[str]) -> dict:
        notes = []
        if absent:
            notes.append(f"{len(absent)} labelled frames are not in the scored data (first: {', '.join(absent[:3])})")
        if base:
            notes.append("frame numbers start at 1 in every video: label k belongs to frame k + 1")
        if self.ordered:
            notes.append("labels were matched to videos by order: "
                         + ", ".join(f"{n} = {v}" for v, n in list(match.items())[:3]) + " ...")
        return {"version": self.version, "source": self.source, "videos": len(match), "frames": len(values),
                "positives": int(values.sum()), "base_rate": float(values.mean()) if len(values) else float("nan"),
                "unscored": len(absent), "notes": notes}


def first_number(videos: Sequence[str], frames: Sequence[int]) -> int:
    """Number of the first frame of a video: 1 if every video starts at 1 (as in UCSD), else 0."""
    least = pd.Series(np.asarray(frames)).groupby(np.asarray(videos, dtype=object)).min()
    return 1 if len(least) and (least == 1).all() else 0


def read_labels(path: Path | str) -> Labels:
    """Read ground truth in any supported form (see the module).

    Raises:
        PixelPlayError: no labels found; says where it looked.
    """
    path = Path(path)
    if not path.exists():
        raise PixelPlayError(f"labels {path} do not exist", expected=FORMS)
    if path.is_file():
        reader = {".csv": _csv, ".m": _ucsd_list, ".mat": _mat_file, ".npy": _npy_file}.get(path.suffix.lower())
        if reader is None:
            raise PixelPlayError(f"{path} is no known form of labels", expected=FORMS)
        return reader(path)
    found = _folder(path)
    if found is not None:
        return found
    for place in PLACES:
        inner = path / place
        if inner.is_file():
            return read_labels(inner)
        if inner.is_dir() and (found := _folder(inner)) is not None:
            return found
    raise PixelPlayError(f"no labels in {path}", expected=FORMS,
                         hint="looked there and in " + ", ".join(PLACES) + "; name the labels themselves")


def _folder(path: Path) -> Labels | None:
    """Labels that a folder contains directly; None if there are none."""
    mats = sorted(path.glob("*.mat"), key=lambda p: natural_key(p.name))
    if mats and all(re.fullmatch(r"\d+_label", p.stem) for p in mats):
        tracks = {video_name(p.stem.removesuffix("_label")): _counted(_any(cells_of(p))) for p in mats}
        return Labels("pixel masks in .mat files (frame anomalous where any pixel is)", str(path), tracks, indexed=True)
    arrays = sorted(path.glob("*.npy"), key=lambda p: natural_key(p.name))
    if arrays:
        tracks = {video_name(p.stem): _npy(p) for p in arrays}
        return Labels("frame masks in .npy files", str(path), tracks, indexed=True)
    lists = sorted(path.glob("*.m"))
    folders = mask_folders(path)
    scenes = [p for p in path.iterdir() if p.is_dir() and not p.name.endswith("_gt")]
    if lists and len(folders) < len(scenes):
        return _ucsd_list(lists[0])
    if folders:
        return Labels("pixel masks (frame anomalous where any pixel is)", str(path),
                      {name: _mask_track(folder) for name, folder in folders.items()})
    return _ucsd_list(lists[0]) if lists else None


def _mask_track(folder: Path) -> Track:
    files = [(frame_number(p.stem), p) for p in folder.iterdir() if p.suffix.lower() in IMAGES]
    unnamed = [p for n, p in files if n is None]
    if unnamed:
        raise PixelPlayError(f"mask {unnamed[0]} has no frame number in its name")
    files.sort()
    return Track(np.array([n for n, _ in files], dtype=np.int64),
                 np.array([read_mask(p).any() for _, p in files], dtype=np.uint8))


def _any(masks: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([np.asarray(m).any() for m in masks], dtype=np.uint8)


def _counted(values: np.ndarray) -> Track:
    return Track(np.arange(len(values), dtype=np.int64), values)


def _npy(path: Path) -> Track:
    values = read_npy(path)
    if values.ndim == 3:
        values = values.any(axis=(1, 2))
    if values.ndim != 1 or not np.isin(values, (0, 1)).all():
        raise PixelPlayError(f"{path} holds an array {values.shape} of {values.dtype}",
                             expected="(T,) zeros and ones, or (T, H, W) masks")
    return _counted(values.astype(np.uint8))


def _npy_file(path: Path) -> Labels:
    return Labels("frame masks in a .npy file", str(path), {video_name(path.stem): _npy(path)}, indexed=True)


def _mat_file(path: Path) -> Labels:
    """Avenue's `volLabel`, or ano_pred's `gt`: one cell per video, each (2, K) first and last frame, counted from 1."""
    if is_mask_mat(path):
        return Labels("pixel masks in a .mat file (frame anomalous where any pixel is)", str(path),
                      {video_name(path.stem.removesuffix("_label")): _counted(_any(cells_of(path)))}, indexed=True)
    content = read_mat(path)
    if "gt" not in content:
        raise PixelPlayError(f"{path} holds {', '.join(content) or 'nothing'}",
                             expected="volLabel (masks) or gt (intervals)")
    videos = {}
    for k, cell in enumerate(np.asarray(content["gt"], dtype=object).ravel(), start=1):
        pairs = np.asarray(cell)
        if pairs.dtype.kind not in "buif" or pairs.size % 2 or not (np.abs(pairs) < 2 ** 53).all():
            raise PixelPlayError(f"{path}, video {k}: an array {pairs.shape} of {pairs.dtype}",
                                 expected="(2, K) numbers, the first and last frame of K intervals")
        pairs = pairs.astype(np.int64).reshape(2, -1)
        videos[str(k)] = _intervals([(int(a), int(b)) for a, b in pairs.T], f"{path}, video {k}")
    return Labels(f"intervals ({path.name})", str(path), videos, indexed=True, open_ended=True, ordered=True)


def _ucsd_list(path: Path) -> Labels:
    """UCSD's MATLAB list: one line `TestVideoFile{end+1}.gt_frame = [61:180, 190:200];` per video, counted from 1."""
    lines = re.findall(r"gt_frame\s*=\s*\[?([^\];]*)\]?", path.read_text(encoding="utf-8", errors="replace"))
    if not lines:
        raise PixelPlayError(f"{path} lists no gt_frame", expected="lines like TestVideoFile{1}.gt_frame = [61:180];")
    videos = {}
    for k, line in enumerate(lines, start=1):
        # at most 18 digits, to fit int64; a longer number then fails the interval check
        pairs = [(int(a), int(b or a)) for a, b in re.findall(r"([0-9]{1,18})(?:\s*:\s*([0-9]{1,18}))?", line)]
        videos[str(k)] = _intervals(pairs, f"{path}, video {k}")
    return Labels(f"intervals ({path.name})", str(path), videos, indexed=True, open_ended=True, ordered=True)


def _intervals(pairs: Sequence[tuple[int, int]], where: str) -> Track:
    """First and last anomalous frames, counted from 1, inclusive -> positions from 0."""
    for a, b in pairs:
        if not 1 <= a <= b <= MOST_FRAMES:
            raise PixelPlayError(f"{where}: interval {a} to {b}", expected=f"1 <= first <= last <= {MOST_FRAMES}")
    frames = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *(np.arange(a - 1, b) for a, b in pairs)]))
    return Track(frames.astype(np.int64), np.ones(len(frames), dtype=np.uint8))


def _csv(path: Path) -> Labels:
    table = read_strings(path)
    if len(table.columns) != 2 or str(table.columns[0]).lower() != "id":
        raise PixelPlayError(f"{path} has the header {','.join(map(str, table.columns))}", expected="Id,label")
    wrong = table[~table.iloc[:, 1].isin(["0", "1", "0.0", "1.0"])]
    if len(wrong):
        raise PixelPlayError(f"{path}: label of Id {wrong.iloc[0, 0]} is {wrong.iloc[0, 1]!r}", expected="0 or 1")
    rows = _frames_of(table.iloc[:, 0], str(path))
    rows["value"] = table.iloc[:, 1].astype(float).astype(np.uint8)
    videos = {}
    for video, some in rows.groupby("video", sort=False, observed=True):
        some = some.sort_values("frame")
        videos[str(video)] = Track(some["frame"].to_numpy(np.int64), some["value"].to_numpy(np.uint8))
    return Labels(f"CSV ({path.name})", str(path), videos)


def _frames_of(ids: Sequence[str], source: str) -> pd.DataFrame:
    """Columns id, video, frame of (possibly padded) Ids. Raises PixelPlayError for malformed or repeated ones."""
    ids = np.asarray(ids, dtype=object)
    try:
        videos, numbers, frames = split_ids(ids)
    except ValueError as cause:
        raise PixelPlayError(f"{source}: {cause}", expected="Ids like 1_939") from cause
    order = np.lexsort((frames, numbers))
    same = (np.diff(numbers[order]) == 0) & (np.diff(frames[order]) == 0)
    if same.any():
        raise PixelPlayError(f"{source}: Id {ids[order[1:][same].min()]} appears more than once",
                             expected="each Id exactly once")
    return pd.DataFrame({"id": ids, "video": pd.Categorical.from_codes(numbers, videos), "frame": frames})
