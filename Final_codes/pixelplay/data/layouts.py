"""Recognising datasets by their folder structure.

Reads folder listings and video headers, never pixels; makes a `Manifest`. Known layouts, at any depth below the root:

    competition    training_videos/01/frame_00939.jpg   testing_videos/01/...        (.mat volumes ignored)
    avenue         training_videos/01.avi               testing_videos/01.avi        testing_label_mask/1_label.mat
    ucsd           Train/Train001/001.tif               Test/Test001/001.tif         Test/Test001_gt/
    shanghaitech   training/videos/01_001.avi           testing/frames/01_0014/000.jpg   testing/test_frame_mask/
    frames         training/frames/01/000.jpg           testing/frames/01/000.jpg    testing/masks/ or frame_labels.csv
    folders        train/...                            test/...                     your own

and `train=`/`test=`: any file or folder with videos, folders of frames, or both. The path of ground truth beside the
data is recorded (`Manifest.labels`); only evaluation opens it.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable
from pathlib import Path

from pixelplay import environment
from pixelplay.config import config_hash
from pixelplay.data.listing import Listing, describe, left_out, list_videos
from pixelplay.data.manifest import Manifest, make_table, validate
from pixelplay.errors import PixelPlayError

log = logging.getLogger(__name__)

MAX_DEPTH = 8
"""Depth of the search below the root; the deepest mount of the competition on Kaggle needs five."""

EXPECTED = ("training_videos/ with testing_videos/ (competition or Avenue), training/ with testing/ holding frames/ or "
            "videos/ (ShanghaiTech, Ped2), Train/ with Test/ (UCSD or your own)")
HINT = "give the dataset's folder with --data DIR, or your own videos with --train DIR --test DIR"
KAGGLE_HINT = ("on Kaggle: 'Add Input' in the right-hand panel, choose the competition or a dataset, run this cell "
               "again; elsewhere: " + HINT)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A recognised dataset.

    Attributes:
        layout: name of the layout.
        root: the recognised folder.
        train, test: folders (or files) with the videos of a split; None if missing.
        labels: ground truth beside the data, or None.
    """

    layout: str
    root: Path
    train: Path | None
    test: Path | None
    labels: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether both splits exist."""
        return self.train is not None and self.test is not None


def recognise_avenue(folder: Listing) -> Dataset | None:
    """`training_videos` and `testing_videos`: frame folders (the competition) or video files (original Avenue)."""
    train, test = folder.child("training_videos"), folder.child("testing_videos")
    if train is None and test is None:
        return None
    of_files = any(Listing(side).videos for side in (test, train) if side is not None)
    return Dataset("avenue" if of_files else "competition", folder.path, train, test, _labels(
        folder.path, "frame_labels.csv", "testing_label_mask", "ground_truth_demo/testing_label_mask",
        "../testing_label_mask", "../ground_truth_demo/testing_label_mask"))


def recognise_ucsd(folder: Listing) -> Dataset | None:
    """`Train/Train001/001.tif`, `Test/Test001`, `Test/Test001_gt` (UCSD Ped1 and Ped2 as published)."""
    train, test = folder.child("Train"), folder.child("Test")
    sides = [Listing(side) for side in (train, test) if side is not None]
    if not any(name.lower().startswith(("train0", "test0")) for side in sides for name in side.folders):
        return None
    truth = test if test is not None and (any(test.glob("*.m")) or any(test.glob("*_gt"))) else None
    return Dataset("ucsd", folder.path, train, test, _labels(folder.path, "frame_labels.csv") or truth)


def recognise_shanghaitech(folder: Listing) -> Dataset | None:
    """`training/videos/*.avi` (or `training/frames`), `testing/frames/01_0014/000.jpg`, `testing/test_frame_mask`."""
    train, test = folder.child("training"), folder.child("testing")
    masks = _labels(folder.path, "testing/test_frame_mask", "test_frame_mask")
    if masks is None and (train is None or Listing(train).child("videos") is None):
        return None
    return Dataset("shanghaitech", folder.path, _inner(train), _inner(test), masks)


def recognise_frames(folder: Listing) -> Dataset | None:
    """`training/frames/01/000.jpg` and `testing/frames/01/000.jpg`, as in the code of most papers."""
    train, test = _inner(folder.child("training")), _inner(folder.child("testing"))
    if train is None and test is None:
        return None
    return Dataset("frames", folder.path, train, test,
                 _labels(folder.path, "frame_labels.csv", "testing/masks", "masks", "ground_truth"))


def recognise_folders(folder: Listing) -> Dataset | None:
    """`train` and `test` with videos, frame folders or both below them."""
    train, test = folder.child("train"), folder.child("test")
    if train is None or test is None or not (list_videos(train) and list_videos(test)):
        return None
    return Dataset("folders", folder.path, train, test, _labels(folder.path, "frame_labels.csv", "masks", "test/masks"))


RECOGNISERS: list[Callable[[Listing], Dataset | None]] = [
    recognise_avenue, recognise_ucsd, recognise_shanghaitech, recognise_frames, recognise_folders]
"""Tried in this order; the first match wins. Add a function here for a new layout."""


def find_dataset(root: Path | str | None, train: Path | str | None = None, test: Path | str | None = None) -> Manifest:
    """Find a dataset and list its frames.

    Args:
        root: folder to search; None for Kaggle's input folder, unless `train` or `test` is given.
        train, test: a video file, a folder of videos, of frame folders or of both, or one folder of frames. Each
            replaces that split of the dataset found below `root`; without `root`, a split that is not given is empty.
    Raises:
        PixelPlayError: no dataset or several datasets are found, a split is missing or empty, or a video cannot be
            opened.
    """
    root, train, test = (Path(p) if p is not None else None for p in (root, train, test))
    for path, option in ((root, "--data"), (train, "--train"), (test, "--test")):
        # os.path: Path.exists raises where a name is too long
        if path is not None and not os.path.exists(path):  # noqa: PTH110
            raise PixelPlayError(f"{option} {path} does not exist", hint="check the path for spelling and mount point")
    if (train is not None and test is not None) or (root is None and (train or test) is not None):
        if train is not None and test is not None and train.resolve() == test.resolve():
            raise PixelPlayError(f"--train and --test both name {train}", expected="two different folders",
                                 hint="training videos must be other videos, without anomalies")
        return _manifest(Dataset("own", (train or test).parent, train, test, _labels_of(test)))
    found = _search(root, partial=train is not None or test is not None)
    return _manifest(dataclasses.replace(found, train=train or found.train, test=test or found.test,
                                         labels=found.labels if test is None else _labels_of(test)))


def find_split(place: Path | str, split: str) -> Manifest:
    """Find footage for one split and list its frames.

    Args:
        place: a known dataset, whose split is used; else any footage that `find_dataset` accepts as `train`.
        split: 'train' or 'test'.
    Raises:
        PixelPlayError: as `find_dataset`.
    """
    place = Path(place)
    known = _candidates(place)[0] if place.is_dir() else []
    if any(getattr(found, split) is not None for found in known):
        return _manifest(_search(place, partial=True)).only(split)
    return find_dataset(None, **{split: place})


def _search(root: Path | None, *, partial: bool) -> Dataset:
    """The only dataset below `root`; with `partial`, one split suffices."""
    looked = root if root is not None else environment.KAGGLE_INPUT
    hint = HINT if root is not None else KAGGLE_HINT
    if root is None and not looked.is_dir():
        raise PixelPlayError(f"no dataset was named and there is no {looked}", expected=EXPECTED, hint=hint)
    if looked.is_file():
        raise PixelPlayError(f"{looked} is a single file; training and test videos are needed", expected=EXPECTED,
                             hint=HINT)
    candidates, visited = _candidates(looked)
    whole = [c for c in candidates if c.complete] or (candidates if partial else [])
    if not whole and candidates:
        half = candidates[0]
        missing = "test" if half.test is None else "training"
        raise PixelPlayError(f"{half.root} holds the {half.layout} layout without its {missing} videos",
                             expected=EXPECTED,
                             hint=f"add them, or name them with --{'test' if half.test is None else 'train'} DIR")
    if not whole:
        raise PixelPlayError(f"no dataset found below {looked}\n  looked in: {describe(looked, visited)}",
                             expected=EXPECTED, hint=hint)
    # datasets for image classification also have train/ and test/, so named layouts take precedence
    whole = [c for c in whole if c.layout != "folders"] or whole
    return _choose_copy(whole, looked) if len(whole) > 1 else whole[0]


def _candidates(looked: Path) -> tuple[list[Dataset], list[Path]]:
    """Recognised folders below `looked`, not nested in one another, and all visited folders."""
    found, visited, queue = [], [], [(looked, 0)]
    while queue:
        folder, depth = queue.pop(0)
        visited.append(folder)
        listing = Listing(folder)
        hit = next((f for f in (recognise(listing) for recognise in RECOGNISERS) if f is not None), None)
        if hit is not None:
            found.append(hit)
        elif depth < MAX_DEPTH:
            queue.extend((folder / name, depth + 1) for name in listing.folders)
    return found, visited


def _choose_copy(whole: list[Dataset], looked: Path) -> Dataset:
    """The first of several datasets if all are identical (e.g. the competition and a re-upload); raises otherwise."""
    manifests = [_manifest(found) for found in whole]
    if len({m.fingerprint for m in manifests}) == 1:
        log.info("%d copies of the same dataset below %s: reading %s", len(whole), looked, whole[0].root)
        return whole[0]
    listed = "".join(f"\n    {found.layout:12} {found.root}" for found in whole)
    raise PixelPlayError(f"{len(whole)} datasets found below {looked}:{listed}", expected="one dataset",
                         hint="name the one you mean with --data DIR")


def _manifest(found: Dataset) -> Manifest:
    """List the frames of a recognised dataset."""
    rows, roots, prints, rates, contents = [], {}, {}, {}, {}
    for split, place in (("train", found.train), ("test", found.test)):
        if place is None:
            continue
        roots[split] = (place.parent if place.is_file() else place).resolve()
        videos = list_videos(place)
        if not videos:
            raise PixelPlayError(f"{place} holds no videos and no folders of frames ({split} split)",
                                 expected="videos (mp4, avi, mov, mkv) or folders of images (jpg, png, tif, bmp)",
                                 hint="check that the download or the unpacking finished")
        own = [(split, video.name, frame, path) for video in videos for frame, path in video.frames()]
        rows += own
        files = {video.name: video.file_prints() for video in videos}
        prints[split] = _fingerprint(own, [p for of_video in files.values() for p in of_video])
        contents[split] = {v.name: config_hash([p for _, p in files[v.name]]) for v in videos}
        stated = [video.fps for video in videos if video.fps]
        if stated:
            rates[split] = float(stated[0])
        for why, paths in left_out(place).items():
            log.warning("%s split: %d %s left out (first: %s)", split, len(paths), why, ascii(str(paths[0])))
    table = make_table(rows)
    validate(table)
    return Manifest(table, roots, found.layout, rates, prints, found.labels, contents)


def _fingerprint(rows: list[tuple[str, str, int, str]], prints: list[tuple[str, str]]) -> str:
    """Hash of the video and number of every frame and of the path, size and sampled content of every file."""
    return config_hash(sorted(f"{video}/{number}" for _, video, number, _ in rows), sorted(prints))


def _inner(folder: Path | None) -> Path | None:
    """`frames` or `videos` below the folder of a split; frames are preferred if both exist."""
    if folder is None:
        return None
    listing = Listing(folder)
    for name in ("frames", "videos"):
        inner = listing.child(name)
        if inner is not None and (Listing(inner).folders or Listing(inner).videos):
            return inner
    return None


def _labels_of(test: Path | None) -> Path | None:
    """Ground truth beside test videos given by the user."""
    if test is None or test.is_file():
        return None
    return _labels(test, "frame_labels.csv", "masks", "testing_label_mask", "../frame_labels.csv", "../masks")


def _labels(root: Path, *names: str) -> Path | None:
    """The first of some relative paths that exists."""
    return next((Path(os.path.normpath(root / n)) for n in names if (root / n).exists()), None)
