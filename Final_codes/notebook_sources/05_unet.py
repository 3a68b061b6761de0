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
# ![Frames of the embedded sample, what U-Net filled in, and its error](../Visuals/errors.jpg)
#
# | | |
# |---|---|
# | **needs** | `01_frame_extraction/` |
# | **makes** | `detector/unet/` (weights, held-out scores), `scores/unet.csv` |
# | **time** | CPU: 56 s to train and score as shown below (2 quiet cores) |
# | **shown** | the embedded sample, a scene the project draws, profile `lite`: how it works, not how good it gets |

# %%
# bootstrap

# %% [markdown]
# ## Parameters
# The only cell to edit. `smoke` proves the wiring in seconds and cannot end in a real submission; `lite` is for
# two CPU cores; `full` wants a GPU (Kaggle: *Settings -> Accelerator -> GPU T4 x2*).

# %% tags=["parameters"]
PROFILE = ""  # smoke | lite | full; "" = full with a GPU, lite without
DATA = ""  # a folder; "" = Kaggle's input there, the embedded sample elsewhere
TRAIN, TEST = "", ""  # or two folders of your own videos: anomaly-free, and to be scored
OUTPUT = ""  # "" = the working folder on Kaggle, ./outputs elsewhere
DETECTOR = ""  # a finished detector, e.g. Final_models/avenue, to score without training
MODELS = ("unet",)
SETTINGS = {}  # of the models, e.g. {"stae.steps": 400}; without a model's name: of every model above that has it
SEED = 0

# %%
from pixelplay.notebook import artifacts, contract_check, describe, open_run, try_setting
from pixelplay.visual import plots

run = open_run(profile=PROFILE, data=DATA, train=TRAIN, test=TEST, output=OUTPUT, detector=DETECTOR, models=MODELS,
               settings=SETTINGS, seed=SEED)

# %% [markdown]
# ## What it believes is normal
# A patch is normal if it can be guessed from its surroundings. A plain U-Net asked to *reconstruct* simply carries its
# input across the shallow skips, anomalies included; so here blocks are masked and only the hidden ones are compared.
# Complementary masks at test time hide every pixel exactly once, and no skip above an eighth of the resolution. What is
# hidden is rebuilt twice: how it looks, and how fast it moves; the patch whose speed was guessed worst decides, and its
# looks add to that. The shape is the predictor's of [Liu et al., CVPR 2018](https://arxiv.org/abs/1712.09867); the task
# is ours. **What it misses:** an oddity much larger than a block gives itself away to the network by what is left of
# it.

# %% [markdown]
# ## The network
# Its layers and the shape that leaves each, in the full profile; the line below says what this run has made of it.
#
# ![Layers of the network](../Visuals/model_unet.png)

# %%
scores = run.model("unet")
describe(run, "unet")

# %% [markdown]
# ## How it learned
# A point is the mean of a few steps. The dashed line is the error on training footage it does not learn from; where
# that no longer falls, training ends early. The weights that score are a running average over the last steps.

# %%
plots.training(run.output, "unet")

# %% [markdown]
# ## What it could not fill in
# Input, the filled-in frame, the error of speed and looks in units of what is usual at that place, and the same over
# the picture. First the highest anomaly, then the anomalous video it sees worst and the normal frame it takes for most
# anomalous.

# %%
plots.errors(run.output, "unet")

# %% [markdown]
# ## The score over time
# Raw, as the model gives it: smoothing and calibration belong to the ensemble. Shaded: true anomalies, where known.

# %%
plots.timeline(run.output, models=["unet"])

# %% [markdown]
# ## Change a setting
# The same network after 20 optimiser steps, in a folder of its own: this run's scores stay as they are. What you want
# to keep goes into `SETTINGS` above. Drawn are ranks among the test frames, raw and unsmoothed.

# %%
try_setting(run, "unet", steps=20)

# %% [markdown]
# ## Check and artifacts

# %%
contract_check(run)
artifacts(run.paths.trained("unet"))

# %% [markdown]
# Next: [06_joint.ipynb](06_joint.ipynb)
