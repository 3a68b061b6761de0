"""`pixelplay evaluate`: scores, maps or boxes and labels in; table, JSON and figures out."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pixelplay.checks import new_file, new_folder
from pixelplay.data.extraction import Extraction
from pixelplay.data.manifest import Manifest
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.bootstrap import DRAWS, Interval
from pixelplay.evaluation.boxes import HEADERS, BoxTable
from pixelplay.evaluation.labels import FORMS, read_labels
from pixelplay.evaluation.localisation import frames_of_masks, read_detections, read_regions, region_intervals
from pixelplay.evaluation.metrics import PADDING_RULES, PADDINGS
from pixelplay.evaluation.report import Scored, evaluate, plain, read_scored, rows_as_json, table_lines
from pixelplay.files import write_json
from pixelplay.fusion.recipe import Frames
from pixelplay.paths import RunPaths

AT_LABELS = Path("the labels' place")
"""Value of a bare --regions: use the regions at the labels."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--scores", type=Path, nargs="+", default=[], metavar="CSV",
                        help="score files or submissions on the same frames; a folder means all in it")
    parser.add_argument("--labels", type=Path, metavar="PATH", help=FORMS + "; or the dataset's folder")
    parser.add_argument("--manifest", type=Path, metavar="DIR",
                        help="folder of manifest.csv: which frames the data has (default: beside the scores)")
    parser.add_argument("--partial", action="store_true",
                        help="evaluate only the scored frames, even if others are labelled")
    parser.add_argument("--padding", choices=PADDINGS, default="exclude",
                        help="; ".join(f"{k}: {v}" for k, v in PADDING_RULES.items()) + " (default: exclude)")
    parser.add_argument("--detections", type=Path, nargs="+", default=[], metavar="PATH",
                        help="RBDC and TBDC of these: score maps of a run (scores/maps/NAME.npy), or a CSV of scored "
                             f"boxes ({HEADERS['score']})")
    parser.add_argument("--regions", type=Path, nargs="?", const=AT_LABELS, metavar="PATH",
                        help="ground truth of RBDC and TBDC: mask folders, N_label.mat or .npy masks, or a "
                             f"CSV of boxes ({HEADERS['track']}); default: those at the labels. Without "
                             "--detections, the maps beside the score files are evaluated")
    parser.add_argument("--frame-size", metavar="WIDTHxHEIGHT",
                        help="of the original frames, for maps against boxes (default: the run's)")
    parser.add_argument("--bootstrap", type=int, default=DRAWS, metavar="N",
                        help=f"resamples for the 95 %% intervals, 0 for none (default: {DRAWS})")
    parser.add_argument("--seed", type=int, default=0, help="seed of the resamples")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="also write the metrics to this file")
    parser.add_argument("--figures", type=new_folder, metavar="DIR", help="write roc.png, pr.png, videos.png here")


@dataclasses.dataclass(frozen=True)
class _Known:
    """Known test frames: the scored ones, all in the manifest, and the frame size (H, W) in pixels."""

    scored: list[Scored]
    ids: list[str] | None
    size: tuple[int, int] | None


def run(args: argparse.Namespace) -> int:
    """Evaluate and print. Returns the exit status; raises PixelPlayError for invalid input."""
    if args.bootstrap < 0:
        raise PixelPlayError(f"--bootstrap {args.bootstrap}", expected="a number of resamples, 0 for no intervals")
    if not args.scores and not args.detections:
        raise PixelPlayError("nothing to evaluate", expected="--scores CSV ..., or --detections PATH ...")
    if args.labels is None and (args.scores or args.regions in (None, AT_LABELS)):
        raise PixelPlayError("no ground truth is named", expected="--labels PATH, or --regions PATH for --detections")
    files = [p for place in args.scores for p in score_files(place)]
    folder = args.manifest or manifest_beside([*files, *args.detections])
    known = Manifest.load(folder).split("test")["Id"].tolist() if folder else None
    test = _Known([read_scored(p) for p in files], known, _frame_size(args.frame_size, folder))
    paths = list(args.detections)
    if args.regions is not None and not paths:
        paths = [p for f in files if (p := f.parent / "maps" / f"{f.stem}.npy").exists()]
        if not paths:
            raise PixelPlayError("--regions finds no score maps", expected="maps/NAME.npy beside NAME.csv, or "
                                 "--detections")
    extra, regions = _regions(args, paths, test) if paths else ({}, "")
    if test.scored:
        found = evaluate(test.scored, read_labels(args.labels), known_ids=known, partial=args.partial,
                         padding=args.padding, draws=args.bootstrap, seed=args.seed, extra=extra, regions=regions)
        sys.stdout.write(found.table() + "\n")
        numbers = found.as_json()
    else:
        found = None
        sys.stdout.write("\n".join([*table_lines(extra), "", f"regions: {regions}"]) + "\n")
        numbers = plain({"rows": rows_as_json(extra), "regions": regions,
                         "interval": f"95 %, {args.bootstrap} draws of videos with replacement"})
    if args.json:
        write_json(args.json, numbers)
    if args.figures and found is not None:
        from pixelplay.evaluation.figures import write_figures

        for path in write_figures(found, args.figures):
            sys.stdout.write(f"{path}\n")
    return 0


def _regions(args: argparse.Namespace, paths: Sequence[Path], test: _Known
             ) -> tuple[dict[str, dict[str, Interval]], str]:
    """(name of the detections -> RBDC and TBDC, the ground truth in words)."""
    truth = read_regions(args.labels if args.regions in (None, AT_LABELS) else args.regions)
    scored = Frames.of_ids(test.scored[0].ids.tolist()).ids.tolist() if test.scored else None
    rows, words = {}, ""
    for path in paths:
        if path.stem in rows:
            raise PixelPlayError(f"two detections are called {path.stem}", hint="rename one of them")
        found = read_detections(path)
        # maps contain every test frame of their run; boxes do not tell how many frames there are
        ids = (scored or test.ids) if isinstance(found, BoxTable) else (test.ids or scored)
        if ids is None and isinstance(truth, BoxTable):
            raise PixelPlayError(f"{path}: which frames were scored is not known, and false positives are counted per "
                                 "frame", expected="--manifest FOLDER of stage 01, or --scores on the same frames")
        ids = ids or frames_of_masks(truth)
        rows[path.stem], words = region_intervals(found, ids, truth, size=test.size, known=test.ids,
                                                  partial=args.partial, draws=args.bootstrap, seed=args.seed,
                                                  source=str(path))
    return rows, words


def _frame_size(given: str | None, folder: Path | None) -> tuple[int, int] | None:
    """(H, W) of the original frames: the given size, else the run's, else None."""
    if given is not None:
        found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", given)
        if not found:
            raise PixelPlayError(f"--frame-size {given}", expected="WIDTHxHEIGHT in pixels, e.g. 640x360")
        return int(found[2]), int(found[1])
    if folder is None or not (Path(folder) / "extraction.json").exists():
        return None
    return Extraction.load(folder).full_size.get("test")


def score_files(place: Path) -> list[Path]:
    """A file itself, or the score CSVs of a folder."""
    if not place.is_dir():
        return [place]
    found = sorted(p for p in place.glob("*.csv") if not p.name.endswith(".train.csv"))
    if not found:
        raise PixelPlayError(f"no score files in {place}", expected="CSV files Id,Predicted")
    return found


def manifest_beside(files: Sequence[Path]) -> Path | None:
    """Stage 1's folder of the run that a score file or a file of maps belongs to."""
    runs = [run for run in map(RunPaths.around, files) if run is not None]
    return runs[0].extraction if runs else None
