# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 1. Frame extraction and repair
#
# Turns videos or frame folders into one manifest and one block of repaired frames that every later notebook shares.
#
# | | |
# |---|---|
# | **needs** | a dataset (competition, Avenue, Ped2, ShanghaiTech, your own), or nothing: then the embedded sample |
# | **makes** | `01_frame_extraction/`: `manifest.csv`, frames at working size, flags and reliabilities |
# | **time** | CPU: 41 s for all cells as shown below (2 quiet cores); T4 x 2: not measured |
# | **shown** | the embedded sample, a scene the project draws, profile `lite`: how it works, not how good it gets |

# %% [markdown]
# ## Bootstrap
# Finds the code beside this notebook, in a clone, or among the attached datasets; clones it where `REPOSITORY`
# names an address; installs only what is missing. Safe to run twice.

# %%
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = os.environ.get("PIXELPLAY_REPOSITORY", "")  # address to clone, where the code is not here yet
ATTACHED = Path(os.environ.get("PIXELPLAY_KAGGLE_INPUT", "/kaggle/input"))
tails = (".", "Final_codes", "pixel-play/Final_codes")
places = [Path.cwd(), *Path.cwd().parents, *(p for depth in range(1, 5) for p in ATTACHED.glob("/".join("*" * depth)))]
found = [p / t for p in places for t in tails if (p / t / "pixelplay/model.py").exists()]
if not found and REPOSITORY:
    subprocess.run(["git", "clone", "--depth", "1", REPOSITORY, "pixel-play"], check=True)
    found = [Path("pixel-play/Final_codes")]
assert found, "Pixel Play's code is not here: attach it as a dataset, or set REPOSITORY to its address"
sys.path.insert(0, str(found[0].resolve()))

# %%
from pixelplay.environment import ensure_requirements
from pixelplay.errors import PixelPlayError

try:
    ensure_requirements(found[0].parent / "requirements.txt")
except PixelPlayError as problem:  # internet is off: what is missing may not be needed, and says so where it is
    print(problem)

# %% [markdown]
# ## Parameters
# The only cell to edit. `smoke` proves the wiring in seconds and cannot end in a real submission; `lite` is for
# two CPU cores; `full` wants a GPU (Kaggle: *Settings -> Accelerator -> GPU T4 x2*).

# %% tags=["parameters"]
PROFILE = os.environ.get("PIXELPLAY_PROFILE", "")  # smoke | lite | full; "" = full with a GPU, lite without
DATA = os.environ.get("PIXELPLAY_DATASET", "")  # a folder; "" = Kaggle's input there, the embedded sample elsewhere
TRAIN, TEST = "", ""  # or two folders of your own videos: anomaly-free, and to be scored
OUTPUT = os.environ.get("PIXELPLAY_OUTPUT", "")  # "" = the working folder on Kaggle, ./outputs elsewhere
DETECTOR = ""  # a finished detector, e.g. Final_models/avenue, to score without training
MODELS = ()  # none in this notebook
SEED = 0

# %%
from pixelplay.notebook import artifacts, open_run

run = open_run(profile=PROFILE, data=DATA, train=TRAIN, test=TEST, output=OUTPUT, detector=DETECTOR, models=MODELS,
               seed=SEED)

# %% [markdown]
# ## Every frame keeps its own number
# The manifest has one row a frame. Ids are made of the video's and the frame's *own* numbers (`1_939` is frame 939 of
# video 1), so a clip that starts late or lost frames on the way still matches the sample submission. Holes in the
# numbers are holes in time: nothing later reaches across them.

# %%
manifest = run.extract()
manifest.table.groupby(["split", "video"], sort=False)["frame"].agg(["count", "min", "max"])

# %% [markdown]
# ## What was wrong with the frames
# Each test frame is compared with the training background in four orientations, its noise is measured against the
# training noise, and its neighbours tell frozen, blank and jumping frames apart from real change. No label and no
# statistic of the test set as a whole is used, and training frames are never touched.

# %%
from pixelplay.pipeline import flag_counts

flag_counts(manifest)

# %% [markdown]
# Repaired frames, each beside what came in. A frame that cannot be mended keeps its Id but gets a low
# *reliability*: later its score leans on its neighbours, so that corruption alone never looks like an anomaly.

# %%
from pixelplay.visual import plots

plots.repairs(run.output)

# %% [markdown]
# ## What the models will see

# %%
plots.frames(run.output)

# %% [markdown]
# ## How fast every place moves
# Speed tells most of what is odd in surveillance video, so it is measured once, here, for every model that asks: dense
# optical flow towards an earlier and a later frame, the slower of both at every pixel, in pixels per frame. A false
# match or a piece of uncovered background seldom shows towards both sides. Missing frames do not look like speed, and
# how far apart the compared frames lie is chosen on training video.

# %%
plots.speeds(run.output)

# %% [markdown]
# ## Check and artifacts

# %%
artifacts(run.output / "01_frame_extraction")

# %% [markdown]
# Next: [02_two_stream_memory.ipynb](02_two_stream_memory.ipynb)
