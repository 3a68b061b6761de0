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
# ![Frames of the embedded sample, what Roadmap-lite expected, and its error](../Visuals/errors.jpg)
#
# | | |
# |---|---|
# | **needs** | `01_frame_extraction/` |
# | **makes** | `detector/roadmap/` (weights, held-out scores), `scores/roadmap.csv` |
# | **time** | CPU: 59 s to train and score as shown below (2 quiet cores) |
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
MODELS = ("roadmap",)
SETTINGS = {}  # of the models, e.g. {"stae.steps": 400}; without a model's name: of every model above that has it
SEED = 0

# %%
from pixelplay.notebook import artifacts, contract_check, describe, open_run, try_setting
from pixelplay.visual import plots

run = open_run(profile=PROFILE, data=DATA, train=TRAIN, test=TEST, output=OUTPUT, detector=DETECTOR, models=MODELS,
               settings=SETTINGS, seed=SEED)

# %% [markdown]
# ## What it believes is normal
# What comes next is normal if the recent past foretells it. A convolutional GRU at each resolution remembers a few
# frames; the coarse paths carry large fast things, the fine ones texture, and they are joined coarse to fine. Swaying
# leaves and compression flicker would be errors everywhere, so each pixel has a noise floor measured on training
# frames, and only what exceeds it counts, in the loss and in the score alike. The idea is
# [ROADMAP](https://arxiv.org/abs/2011.02763)'s, of which we had the abstract and the tables: layers and constants are
# ours. It foretells the speed of every place as well, and some pasts are played too fast with a normal future as
# target, so that a cyclist is not foretold from a cyclist's own past. **What it misses:** things that move predictably,
# however odd they look.

# %% [markdown]
# ## The network
# Its layers and the shape that leaves each, in the full profile; the line below says what this run has made of it.
#
# ![Layers of the network](../Visuals/model_roadmap.png)

# %%
scores = run.model("roadmap")
describe(run, "roadmap")

# %% [markdown]
# ## How it learned
# A point is the mean of a few steps. The dashed line is the error on training footage it does not learn from; where
# that no longer falls, training ends early. The weights that score are a running average over the last steps.

# %%
plots.training(run.output, "roadmap")

# %% [markdown]
# ## What it could not predict
# Input, prediction, the error of speed and of looks beyond the noise floor in units of what is usual at that place, and
# the same over the picture. First the highest anomaly, then the anomalous video it sees worst and the normal frame it
# takes for most anomalous.

# %%
plots.errors(run.output, "roadmap")

# %% [markdown]
# ## The score over time
# Raw, as the model gives it: smoothing and calibration belong to the ensemble. Shaded: true anomalies, where known.

# %%
plots.timeline(run.output, models=["roadmap"])

# %% [markdown]
# ## Change a setting
# The same network after 20 optimiser steps, in a folder of its own: this run's scores stay as they are. What you want
# to keep goes into `SETTINGS` above. Drawn are ranks among the test frames, raw and unsmoothed.

# %%
try_setting(run, "roadmap", steps=20)

# %% [markdown]
# ## Check and artifacts

# %%
contract_check(run)
artifacts(run.paths.trained("roadmap"))

# %% [markdown]
# Next: [05_unet.ipynb](05_unet.ipynb)
