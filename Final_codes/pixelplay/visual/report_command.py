"""`pixelplay report`: writes the report of a finished run again, and opens it.

Reads a run's output folder; writes its `report` folder.
"""

from __future__ import annotations

import argparse
import logging
import webbrowser

from pixelplay.environment import default_output
from pixelplay.visual.command import run_folder_of
from pixelplay.visual.report import write_report

log = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """Write the report. Returns the exit status; raises PixelPlayError if there is no run."""
    index = write_report(run_folder_of(args.run or default_output()))
    log.info("%s", index)
    if args.open and not webbrowser.open(index.resolve().as_uri()):
        log.info("no browser could be started here: open the file above in one")
    return 0
