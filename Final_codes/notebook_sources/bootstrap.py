import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

REPOSITORY = ""  # address to clone where the code is neither beside this notebook nor attached
here, attached = Path.cwd(), Path(os.environ.get("PIXELPLAY_KAGGLE_INPUT", "/kaggle/input"))
places = chain((p / f for p in (here, *here.parents) for f in (".", "Final_codes", "pixel-play/Final_codes")),
               (p.parents[1] for depth in range(6) for p in attached.glob("*/" * depth + "pixelplay/model.py")))
code = next((p for p in places if (p / "pixelplay/model.py").exists()), Path("pixel-play/Final_codes"))
if not code.exists() and REPOSITORY:
    subprocess.run(["git", "clone", "--depth", "1", REPOSITORY, "pixel-play"], check=True)
assert code.exists(), "Pixel Play's code is not here: attach it as a dataset, or set REPOSITORY to its address"
sys.path.insert(0, str(code.resolve()))

from pixelplay.environment import install_missing

install_missing(code.resolve().parent / "requirements.txt")
