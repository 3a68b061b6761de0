"""The gallery: all figures of a finished run and their page, as in Visuals/.

    python Final_codes/tools/gallery --run outputs/demo --output Visuals
"""

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import gallery

from pixelplay.errors import PixelPlayError

parser = argparse.ArgumentParser(description="All figures of a finished run, and the page that explains them.")
gallery.add_arguments(parser)
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
try:
    gallery.run(parser.parse_args())
except PixelPlayError as mistake:
    print(f"error: {mistake}", file=sys.stderr)
    sys.exit(2)
