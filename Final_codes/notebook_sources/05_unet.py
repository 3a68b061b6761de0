# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 5. U-Net: an in-painter that cannot copy
#
# Hides parts of a frame and fills them in from what surrounds them in space and time.
#
# | | |
# |---|---|
# | **needs** | `01_frame_extraction/` |
# | **makes** | `detector/unet/` (weights, held-out scores), `scores/unet.csv` |
# | **time** | CPU: 66 s to train and score as shown below (2 quiet cores); T4 x 2: not measured |
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
MODELS = ("unet",)
SEED = 0

# %%
from pixelplay.notebook import artifacts, contract_check, open_run

run = open_run(profile=PROFILE, data=DATA, train=TRAIN, test=TEST, output=OUTPUT, detector=DETECTOR, models=MODELS,
               seed=SEED)

# %% [markdown]
# ## What it believes is normal
# A patch is normal if it can be guessed from its surroundings. A plain U-Net asked to *reconstruct* simply carries its
# input across the shallow skips, anomalies included; so here blocks are masked and only the hidden ones are compared.
# Complementary masks at test time hide every pixel exactly once, and there is no skip at full resolution. What is
# hidden is rebuilt twice: how it looks, and how fast it moves; the patch whose speed was guessed worst decides, and its
# looks add to that. The shape is the predictor's of [Liu et al., CVPR 2018](https://arxiv.org/abs/1712.09867); the task
# is ours. **What it misses:** an oddity much larger than a block gives itself away to the network by what is left of
# it.

# %%
scores = run.model("unet")

# %% [markdown]
# ## How it learned
# The error on training videos it does not learn from decides when to stop; the weights that score are a running
# average over the last steps.

# %%
from pixelplay.visual import plots

plots.training(run.output, "unet")

# %% [markdown]
# ## What it could not fill in
# Input, the filled-in frame, the error, and the same over the picture.

# %%
plots.errors(run.output, "unet")

# %% [markdown]
# ## The score over time
# Raw, as the model gives it: smoothing and calibration belong to the ensemble. Shaded: true anomalies, where known.

# %%
plots.timeline(run.output, models=["unet"])

# %% [markdown]
# ## Check and artifacts

# %%
contract_check(run)
artifacts(run.paths.trained("unet"))

# %% [markdown]
# Next: [06_joint.ipynb](06_joint.ipynb)
