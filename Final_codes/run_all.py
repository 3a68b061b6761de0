"""Run all seven stages without a notebook: `python Final_codes/run_all.py [--data DIR] [--profile lite] ...`.

Reads a dataset, by default the embedded sample; writes submissions and a report (see --help).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pixelplay.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
