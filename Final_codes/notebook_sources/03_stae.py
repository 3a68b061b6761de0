# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 3. STAE: a spatio-temporal autoencoder
#
# Squeezes a short clip through a narrow middle and asks for it back, together with its future.
#
# | | |
# |---|---|
# | **needs** | `01_frame_extraction/` |
# | **makes** | `detector/stae/` (weights, held-out scores), `scores/stae.csv` |
# | **time** | CPU: 53 s to train and score as shown below (2 quiet cores); T4 x 2: not measured |
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
MODELS = ("stae",)
SEED = 0

# %%
from pixelplay.notebook import artifacts, contract_check, open_run

run = open_run(profile=PROFILE, data=DATA, train=TRAIN, test=TEST, output=OUTPUT, detector=DETECTOR, models=MODELS,
               seed=SEED)

# %% [markdown]
# ## What it believes is normal
# A clip is normal if it can be rebuilt from a short code *and* its near future follows from that code. 3-D
# convolutions see space and time at once; two decoders share the code, one rebuilds the clip, one predicts what comes
# next, and the far future counts less because even normal video does not determine it
# ([Zhao et al., ACM MM 2017](https://doi.org/10.1145/3123266.3123451)). Ours is strided instead of pooled, sees how
# fast every place moves beside how it looks, and trains on some clips played too fast with the normal clip as target
# ([Astrid et al., BMVC 2021](https://arxiv.org/abs/2110.09742)): asked about a runner, it answers with a walker. The
# score is the worst patch, its error divided by what is usual near that place, averaged over all windows that hold the
# frame; far predictions count most, for an unusual speed shows the more the further ahead one looks. **What it
# misses:** who stands or walks slowly where nobody should.

# %%
scores = run.model("stae")

# %% [markdown]
# ## How it learned
# The error on training videos it does not learn from decides when to stop; the weights that score are a running
# average over the last steps.

# %%
from pixelplay.visual import plots

plots.training(run.output, "stae")

# %% [markdown]
# ## What it could not rebuild
# Input, the network's version, the error, and the error over the picture, for a normal frame and the highest one.

# %%
plots.errors(run.output, "stae")

# %% [markdown]
# ## The score over time
# Raw, as the model gives it: smoothing and calibration belong to the ensemble. Shaded: true anomalies, where known.

# %%
plots.timeline(run.output, models=["stae"])

# %% [markdown]
# ## Check and artifacts

# %%
contract_check(run)
artifacts(run.paths.trained("stae"))

# %% [markdown]
# Next: [04_roadmap_lite.ipynb](04_roadmap_lite.ipynb)
