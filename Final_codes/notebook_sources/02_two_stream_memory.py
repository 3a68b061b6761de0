# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 2. Two-stream memory
#
# Remembers what normal frames and normal actors look like and how they move; what is far from every memory is odd.
#
# | | |
# |---|---|
# | **needs** | `01_frame_extraction/` |
# | **makes** | `detector/` (both banks), `scores/global_memory.csv`, `local_memory.csv` |
# | **time** | CPU: 186 s for both models as shown below (2 quiet cores); T4 x 2: not measured |
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
MODELS = ("global_memory", "local_memory")
SEED = 0

# %%
from pixelplay.notebook import artifacts, contract_check, open_run

run = open_run(profile=PROFILE, data=DATA, train=TRAIN, test=TEST, output=OUTPUT, detector=DETECTOR, models=MODELS,
               seed=SEED)

# %% [markdown]
# ## Global stream: has this view been seen before?
# A frozen network that was trained on photographs describes each frame by a vector: layers 2 and 3 of CLIP's
# ResNet-101 in the full profile (weights are found among the attached datasets, or downloaded), EfficientNet-Lite0,
# which comes with the code, otherwise. Normal frames fill a cloud of such vectors. A *coreset* of 1 % covers the
# cloud: each pick is the frame farthest from all picks before it ([Gonzalez
# 1985](https://doi.org/10.1016/0304-3975(85)90224-5), used for anomaly detection by
# [PatchCore](https://arxiv.org/abs/2106.08265)). The score of a frame is its distance to the nearest pick. **What it
# misses:** a small actor hardly moves the vector of a whole frame, so this is context only.

# %%
global_scores = run.model("global_memory")

# %% [markdown]
# Training frames, the picks among them, and the test frames, on the two axes along which they differ most.

# %%
from pixelplay.visual import plots

plots.memory(run.output, "global_memory")

# %% [markdown]
# How the largest distance from any training frame to its nearest pick (the covering radius) falls as picks are added.

# %%
plots.radius(run.output, "global_memory")

# %% [markdown]
# ## Local stream: does each actor look and move as actors do here?
# Actors are found by a person detector *and* as moving foreground against the training background, so that a thrown
# bag or a bicycle counts too. Each is described twice: by how it **looks** (the same network on a square crop, distance
# to the nearest training crop) and by how it **moves** (optical flow divided by the frame gap; the idea of one
# attribute a density is [AI-VAD](https://arxiv.org/abs/2212.00789)'s). Both are compared with what training has shown
# in that image row: who is far away looks blurred and moves few pixels. Each is turned into its rarity, how few
# training frames that the memory had not seen score as high, and the rarities are added; looks as common as in every
# tenth of those frames count for a third. A frame without actors gets the floor of normal, not a zero.
# **What it misses:** an act whose oddness lies in a relation (two people fighting), and things that stand still.

# %%
local_scores = run.model("local_memory")

# %% [markdown]
# The highest actors of this run with the reason in words, and what the memory compared them with.

# %%
plots.actors(run.output)

# %% [markdown]
# The loudest actor of each event above the training actor its crop was nearest to.

# %%
plots.nearest(run.output)

# %% [markdown]
# How far normal and anomalous frames lie apart, beside training frames scored without their own video.

# %%
plots.histograms(run.output, ["global_memory", "local_memory"])

# %% [markdown]
# ## Check and artifacts

# %%
contract_check(run)
artifacts(run.paths.trained("global_memory"))
artifacts(run.paths.trained("local_memory"))

# %% [markdown]
# Next: [03_stae.ipynb](03_stae.ipynb)
