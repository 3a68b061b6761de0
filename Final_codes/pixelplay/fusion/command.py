"""`pixelplay ensemble` (and `Final_codes/ensemble.py`): writes the submissions and prints the table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pixelplay.checks import new_file
from pixelplay.data.manifest import Manifest
from pixelplay.environment import default_output
from pixelplay.errors import PixelPlayError
from pixelplay.files import write_text
from pixelplay.fusion.ensemble import Merged, Quality, Row
from pixelplay.fusion.formats import mend
from pixelplay.fusion.recipe import RECIPES, load_recipe
from pixelplay.fusion.scores import check, read_strings, write_table
from pixelplay.fusion.stage import WEIGHTINGS, find_sample, merge_files, read_sample
from pixelplay.paths import RunPaths
from pixelplay.tables import number, text_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    output = default_output()
    parser.add_argument("--scores", type=Path, nargs="+", metavar="PATH", default=[output / "scores"],
                        help=f"folders of score files, or score files (default: {output / 'scores'})")
    parser.add_argument("--sample", type=Path, metavar="CSV",
                        help="sample submission (default: the one beside the data, else the Ids of the manifest)")
    parser.add_argument("--manifest", type=Path, metavar="DIR",
                        help="folder of manifest.csv, for reliabilities (default: beside the scores)")
    parser.add_argument("--recipe", default="default", help="; ".join(RECIPES) + " (default: default)")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="merge only these models (default: all found)")
    parser.add_argument("--weights", default="", metavar="RULE",
                        help=" or ".join(WEIGHTINGS) + " (default: the recipe's own)")
    parser.add_argument("--output", type=new_file, metavar="CSV",
                        help=f"submission of all models (default: {output / 'submission.csv'})")
    parser.add_argument("--allow-smoke", action="store_true", help="accept scores of smoke runs")
    parser.add_argument("--mend", type=Path, metavar="CSV", help="convert this file to Id,Predicted instead of merging")
    parser.add_argument("--by-order", action="store_true",
                        help="with --mend: trust the order of the rows where the frames were renumbered")


def run(args: argparse.Namespace, quality: Quality | None = None) -> int:
    """Merge and print the table, or convert one file. Returns the exit status; raises PixelPlayError."""
    manifest = args.manifest or _manifest_beside(args.scores)
    if args.mend:
        return _mend(args, manifest)
    target = args.output or default_output() / "submission.csv"
    if target.is_dir() or not target.suffix:
        target = target / "submission.csv"
    models = [m for n in args.models or [] for m in n.split(",")]
    made, merged = merge_files(args.scores, target, recipe=args.recipe, sample=args.sample, manifest=manifest,
                               models=models, weights=args.weights, allow_smoke=args.allow_smoke, quality=quality)
    sys.stdout.write(f"recipe {args.recipe}: {load_recipe(args.recipe).about}\n\n")
    for name, result in zip(made, merged):
        sys.stdout.write(table_text(name, result) + "\n")
    sys.stdout.write("".join(f"{name + ':':28}{path} ({len(result.values)} rows)\n"
                             for (name, path), result in zip(made.items(), merged)))
    return 0


def table_text(name: str, merged: Merged) -> str:
    """The table of one submission as text."""
    metrics = list(merged.rows[0].alone) if merged.rows else []
    header = [name, "weight", "corr.", "without it: corr.", "shift %"]
    header += [title for m in metrics for title in (m, "w/o")]
    rows = [[r.model, number(r.weight, 3), number(r.correlation, 3), number(r.without_correlation, 4),
             number(r.without_shift, 2), *_alone_and_without(r, metrics)] for r in merged.rows]
    notes = [f"{r.calibration}{' [SMOKE RUN]' if r.smoke else ''}" for r in merged.rows]
    return "\n".join(text_table(header, rows, notes=notes)) + "\n"


def _alone_and_without(row: Row, metrics: Sequence[str]) -> list[str]:
    return [number(100 * found[m] if m in found else None, 2) for m in metrics for found in (row.alone, row.without)]


def _manifest_beside(places: Sequence[Path]) -> Path | None:
    """The manifest of the run that a scores folder, or a file in it, belongs to."""
    runs = [run for run in map(RunPaths.around, places) if run is not None]
    return runs[0].extraction if runs else None


def _mend(args: argparse.Namespace, manifest: Path | None) -> int:
    if args.output is None:
        raise PixelPlayError("--mend needs --output", expected="the file to write the mended scores to")
    if args.sample is None and manifest is None:
        raise PixelPlayError("--mend needs the expected Ids", hint="give --sample sample_submission.csv or --manifest")
    wanted = read_sample(args.sample) if args.sample else find_sample(Manifest.load(manifest))
    ids, values, what = mend(read_strings(args.mend), wanted.ids, args.mend, by_order=args.by_order)
    check(values, ids, None, str(args.mend))
    write_table(args.output, ids, values)
    write_text(args.output.with_suffix(".json"), '{\n  "family": "other",\n  "kind": "other"\n}\n')
    sys.stdout.write(f"{args.mend}: {what}\n{args.output}: {len(ids)} rows written\n")
    return 0
