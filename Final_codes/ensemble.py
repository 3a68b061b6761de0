"""Score files -> submission: python Final_codes/ensemble.py --scores FOLDER --sample sample_submission.csv

Reads one CSV a model (`Id,Predicted`, any teammate's included); writes submission_two_stream.csv,
submission_quad_ensemble.csv and submission.csv. `--labels` adds AP and AUC to the table, never to the scores.
`pixelplay ensemble` is the same command.
"""

import argparse
import logging
import sys
from pathlib import Path

from pixelplay.errors import PixelPlayError
from pixelplay.fusion import command


def main(argv: list[str] | None = None) -> int:
    """Fuse score files; returns 0, or 2 for invalid input, in which case nothing is written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_arguments(parser)
    parser.add_argument("--labels", type=Path, metavar="PATH", help="ground truth, for the table alone")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        quality = None
        if args.labels:
            from pixelplay.evaluation.labels import read_labels
            from pixelplay.evaluation.metrics import quality_of

            quality = quality_of(read_labels(args.labels))
        return command.run(args, quality)
    except PixelPlayError as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
