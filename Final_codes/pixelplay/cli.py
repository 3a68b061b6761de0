"""The command line: `pixelplay COMMAND ...` or `python -m pixelplay COMMAND ...`.

A command consists of a function that declares its arguments (without heavy imports; paths are checked while parsing)
and one that runs it; only those of the chosen command are imported. Exit status: 0 success, 2 an error the user can
fix, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from pixelplay.errors import PixelPlayError, did_you_mean
from pixelplay.version import VERSION

COMMANDS = {
    "run": ("run_arguments:run", "run_command:run", "fit, then score: data in, submission and report out"),
    "fit": ("run_arguments:fit", "fit_command:run", "learn a camera from its normal footage: a detector out"),
    "update": ("run_arguments:update", "update_command:run", "teach a detector more normal footage, without training"),
    "score": ("run_arguments:score", "run_command:run", "score new footage with a detector"),
    "cameras": ("run_arguments:cameras", "cameras_command:run",
                "learn and score many cameras, each by itself, from a table video,camera,split"),
    "sample": ("sample.command:add_arguments", "sample.command:run", "write the embedded sample dataset"),
    "repair": ("repair.command:add_repair_arguments", "repair.command:run_repair", "find and repair corrupted frames"),
    "corrupt": ("repair.command:add_corrupt_arguments", "repair.command:run_corrupt",
                "make a corrupted copy of a dataset, with the truth"),
    "ensemble": ("fusion.command:add_arguments", "fusion.command:run", "merge score files into a submission"),
    "evaluate": ("evaluation.command:add_arguments", "evaluation.command:run", "metrics of score files against labels"),
    "watch": ("watch.command:add_arguments", "watch.command:run",
              "score a live camera, a stream or a file as it comes"),
    "feedback": ("run_arguments:feedback", "update_command:run_feedback", "tell a detector that an event was normal"),
    "watch-file": ("visual.arguments:watch_file", "visual.command:run", "annotated video of a finished run"),
    "report": ("visual.arguments:report", "visual.report_command:run", "write a finished run's report, and open it"),
    "fetch": ("fetch_command:add_arguments", "fetch_command:run",
              "make the dataset that lets Kaggle run without internet: weights, wheels, this code"),
    "verify": ("verify_command:add_arguments", "verify_command:run", "check that the files of a run are undamaged"),
    "settings": ("settings_command:add_arguments", "settings_command:run", "list the settings of each model"),
    "doctor": ("doctor_command:add_arguments", "doctor_command:run", "show what this machine has and what is missing"),
}
"""Command -> (function that declares its arguments, function that runs it, description)."""
FIXABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}
"""Disk errors that need no traceback: no permission, or no space."""


class Parser(argparse.ArgumentParser):
    """A parser that suggests corrections of misspelt words; its help may end with text from a function (`more`)."""

    def format_help(self) -> str:
        """The help text, with the result of the function named by the default `more` appended."""
        more = self.get_default("more")
        return super().format_help() + (f"\n{imported(more)()}\n" if more else "")

    def error(self, message: str) -> NoReturn:
        """Print the error with a suggestion and exit with status 2."""
        choice = re.search(r"invalid choice: '?(.*?)'? \(choose from (.*)\)", message)
        if choice:
            known = re.findall(r"[\w.-]+", choice[2])
            message = f"{message}; {did_you_mean(choice[1], known)}".rstrip("; ")
        super().error(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run one command; returns the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        args = parse(argv)
        if args is None:
            return 0
        from pixelplay.progress import quiet

        with quiet(args.quiet):
            logging.getLogger("pixelplay").setLevel(logging.WARNING if args.quiet else logging.NOTSET)
            return args.action(args)
    except PixelPlayError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as cause:
        if cause.errno not in FIXABLE:
            raise
        print(f"error: {cause.filename or 'a file'}: {cause.strerror}\n  hint:     free some space, or choose another "
              "place; run the same command again to resume", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to resume", file=sys.stderr)
        return 130


def parse(argv: Sequence[str]) -> argparse.Namespace | None:
    """Parse the arguments; `action` is the function of the command. None if the list of commands was printed.

    Raises:
        PixelPlayError: unknown command or option, or a path that is missing or not writable.
    """
    parser = Parser(prog="pixelplay", description="Semi-supervised video anomaly detection.")
    parser.add_argument("--version", action="version", version=f"pixelplay {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    if not argv:
        for name, (_, _, text) in COMMANDS.items():
            commands.add_parser(name, help=text)
        parser.print_help()
        return None
    if not argv[0].startswith("-") and argv[0] not in COMMANDS:
        raise PixelPlayError(f"there is no command '{argv[0]}'", expected="one of " + ", ".join(COMMANDS),
                             hint=did_you_mean(argv[0], COMMANDS))
    for name, (declare, run, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".",
                                      formatter_class=argparse.HelpFormatter)
        if argv[0] == name:
            imported(declare)(command)
            command.add_argument("--quiet", action="store_true", help="print only results, warnings and errors")
            chosen, action = command, run
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        option = next((word for word in unknown if word.startswith("-")), unknown[0])
        # dashes are removed because they would make all options similar
        known = [name.lstrip("-") for name in chosen._option_string_actions]
        raise PixelPlayError(f"pixelplay {argv[0]} does not know {option}",
                             hint=did_you_mean(option.lstrip("-").partition("=")[0], known).replace("mean ", "mean --")
                             or f"pixelplay {argv[0]} --help lists its options")
    args.action = imported(action)
    return args


def imported(name: str) -> Callable[..., Any]:
    """Import the function 'module:function' of this package."""
    module, _, function = name.removeprefix("pixelplay.").partition(":")
    return getattr(importlib.import_module(f"pixelplay.{module}"), function)
