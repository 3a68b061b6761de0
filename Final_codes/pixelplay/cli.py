"""The command line: `pixelplay COMMAND ...` or `python -m pixelplay COMMAND ...`.

Each command lives in its own subpackage as two functions, one that declares arguments and one that runs; only the
chosen one is imported. Exit status: 0 done, 2 a mistake the user can mend, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence

from pixelplay.errors import PixelPlayError
from pixelplay.version import VERSION

COMMANDS = {
    "run": ("pixelplay.run_command", "add_arguments", "run", "fit, then score: data in, submission and report out"),
    "fit": ("pixelplay.fit_command", "add_arguments", "run", "learn a camera from its normal footage: a detector out"),
    "score": ("pixelplay.score_command", "add_arguments", "run", "score new footage with a detector"),
    "sample": ("pixelplay.sample.command", "add_arguments", "run", "write the embedded sample dataset"),
    "repair": ("pixelplay.repair.command", "add_repair_arguments", "run_repair", "find and repair corrupted frames"),
    "corrupt": ("pixelplay.repair.command", "add_corrupt_arguments", "run_corrupt",
                "make a corrupted copy of a dataset, with the truth"),
    "ensemble": ("pixelplay.fusion.command", "add_arguments", "run", "merge score files into a submission"),
    "evaluate": ("pixelplay.evaluation.command", "add_arguments", "run", "metrics of score files against labels"),
    "watch": ("pixelplay.watch.command", "add_arguments", "run", "score a live camera, a stream or a file as it comes"),
    "feedback": ("pixelplay.watch.feedback_command", "add_arguments", "run",
                 "tell a detector that an event was normal"),
    "watch-file": ("pixelplay.visual.command", "add_arguments", "run", "annotated video of a finished run"),
    "report": ("pixelplay.visual.report_command", "add_arguments", "run", "write a finished run's report, and open it"),
    "fetch": ("pixelplay.fetch_command", "add_arguments", "run",
              "make the dataset that lets Kaggle run without internet: weights, wheels, this code"),
    "verify": ("pixelplay.verify_command", "add_arguments", "run", "check that the files of a run are undamaged"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run one command; returns the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="pixelplay", description="Semi-supervised video anomaly detection.")
    parser.add_argument("--version", action="version", version=f"pixelplay {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, declare, run, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if argv[:1] == [name]:
            module_ = importlib.import_module(module)
            getattr(module_, declare)(command)
            command.set_defaults(action=getattr(module_, run))
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return args.action(args)
    except PixelPlayError as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
