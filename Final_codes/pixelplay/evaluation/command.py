"""`pixelplay evaluate`: score files and labels in; table, JSON and figures out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from pixelplay.data.manifest import Manifest
from pixelplay.errors import PixelPlayError
from pixelplay.evaluation.bootstrap import DRAWS, Interval
from pixelplay.evaluation.labels import FORMS, read_labels
from pixelplay.evaluation.localisation import region_intervals
from pixelplay.evaluation.masks import find_masks
from pixelplay.evaluation.metrics import PADDING_RULES, PADDINGS
from pixelplay.evaluation.report import Scored, evaluate, read_scored
from pixelplay.files import write_json

EXTRACTION = "01_frame_extraction"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--scores", type=Path, nargs="+", required=True, metavar="CSV",
                        help="score files or submissions on the same frames; a folder means all in it")
    parser.add_argument("--labels", type=Path, required=True, metavar="PATH", help=FORMS + "; or the dataset's folder")
    parser.add_argument("--manifest", type=Path, metavar="DIR",
                        help="folder of manifest.csv: which frames the data has (default: beside the scores)")
    parser.add_argument("--partial", action="store_true", help="evaluate the scored frames, whatever else is labelled")
    parser.add_argument("--padding", choices=PADDINGS, default="exclude",
                        help="; ".join(f"{k}: {v}" for k, v in PADDING_RULES.items()) + " (default: exclude)")
    parser.add_argument("--regions", action="store_true",
                        help="RBDC and TBDC too, from maps/NAME.npy beside a score file and pixel masks at the labels")
    parser.add_argument("--bootstrap", type=int, default=DRAWS, metavar="N",
                        help=f"draws for the 95 %% intervals, 0 for none (default: {DRAWS})")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here as well")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="write roc.png, pr.png, videos.png here")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print. Returns the exit status; raises PixelPlayError for a user's mistake."""
    if args.bootstrap < 0:
        raise PixelPlayError(f"--bootstrap {args.bootstrap}", expected="a number of draws, 0 for no intervals")
    files = [p for place in args.scores for p in score_files(place)]
    folder = args.manifest or manifest_beside(files)
    known = Manifest.load(folder).split("test")["Id"].tolist() if folder else None
    scored = [read_scored(p) for p in files]
    extra = _regions(args, files, scored) if args.regions else None
    found = evaluate(scored, read_labels(args.labels), known_ids=known, partial=args.partial, padding=args.padding,
                     draws=args.bootstrap, seed=args.seed, extra=extra)
    sys.stdout.write(found.table() + "\n")
    if args.json:
        write_json(args.json, found.as_json())
    if args.figures:
        from pixelplay.evaluation.figures import write_figures

        for path in write_figures(found, args.figures):
            sys.stdout.write(f"{path}\n")
    return 0


def _regions(args: argparse.Namespace, files: list[Path], scored: list[Scored]) -> dict[str, dict[str, Interval]]:
    """RBDC and TBDC of the score files that have maps."""
    maps = {s.name: (p.parent / "maps" / f"{p.stem}.npy", s) for p, s in zip(files, scored)}
    maps = {n: (p, s) for n, (p, s) in maps.items() if p.exists()}
    masks = find_masks(args.labels)
    if not maps or masks is None:
        raise PixelPlayError("--regions finds no score maps" if not maps else f"no pixel masks at {args.labels}",
                             expected="maps/NAME.npy beside NAME.csv, and a folder of masks in --labels")
    return {n: region_intervals(np.load(p, mmap_mode="r"), s.ids, masks, draws=args.bootstrap, seed=args.seed,
                                source=str(p)) for n, (p, s) in maps.items()}


def score_files(place: Path) -> list[Path]:
    """A file itself, or the score CSVs of a folder."""
    if not place.is_dir():
        return [place]
    found = sorted(p for p in place.glob("*.csv") if not p.name.endswith(".train.csv"))
    if not found:
        raise PixelPlayError(f"no score files in {place}", expected="CSV files Id,Predicted")
    return found


def manifest_beside(files: list[Path]) -> Path | None:
    """Stage 1's folder of the run that a score file belongs to."""
    for path in files:
        for folder in list(path.resolve().parents)[:3]:
            if (folder / EXTRACTION / "manifest.csv").is_file():
                return folder / EXTRACTION
    return None
