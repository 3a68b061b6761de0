# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 4. Roadmap-lite: prediction along several paths
#
# Predicts the next frame with recurrent paths at several resolutions, and forgives errors as small as the usual noise.
#
# | | |
# |---|---|
# | **needs** | `01_frame_extraction/` |
# | **makes** | `detector/roadmap/` (weights, held-out scores), `scores/roadmap.csv` |
# | **time** | CPU: 50 s to train and score as shown below (2 quiet cores); T4 x 2: not measured |
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
MODELS = ("roadmap",)
SEED = 0

# %%
from pixelplay.notebook import artifacts, contract_check, open_run

run = open_run(profile=PROFILE, data=DATA, train=TRAIN, test=TEST, output=OUTPUT, detector=DETECTOR, models=MODELS,
               seed=SEED)

# %% [markdown]
# ## What it believes is normal
# What comes next is normal if the recent past foretells it. A convolutional GRU at each resolution remembers a few
# frames; the coarse paths carry large fast things, the fine ones texture, and they are joined coarse to fine. Swaying
# leaves and compression flicker would be errors everywhere, so each pixel has a noise floor measured on training
# frames, and only what exceeds it counts, in the loss and in the score alike. The idea is
# [ROADMAP](https://arxiv.org/abs/2011.02763)'s; its layers and constants are not public, so those here are ours. It
# foretells the speed of every place as well, and some pasts are played too fast with a normal future as target, so that
# a cyclist is not foretold from a cyclist's own past. **What it misses:** things that move predictably, however odd
# they look.

# %%
scores = run.model("roadmap")

# %% [markdown]
# ## How it learned
# The error on training videos it does not learn from decides when to stop; the weights that score are a running
# average over the last steps.

# %%
from pixelplay.visual import plots

plots.training(run.output, "roadmap")

# %% [markdown]
# ## What it could not predict
# Input, prediction, what exceeds the noise floor, and the same over the picture.

# %%
plots.errors(run.output, "roadmap")

# %% [markdown]
# ## The score over time
# Raw, as the model gives it: smoothing and calibration belong to the ensemble. Shaded: true anomalies, where known.

# %%
plots.timeline(run.output, models=["roadmap"])

# %% [markdown]
# ## Check and artifacts

# %%
contract_check(run)
artifacts(run.paths.trained("roadmap"))

# %% [markdown]
# Next: [05_unet.ipynb](05_unet.ipynb)
