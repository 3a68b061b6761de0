"""Command line as `python -m pixelplay ...`, without an installed script."""

import sys

from pixelplay.cli import main

if __name__ == "__main__":
    sys.exit(main())
