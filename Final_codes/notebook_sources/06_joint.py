# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 6. Joint: appearance and motion together
#
# Learns which motion belongs to which appearance at which place.
#
# ![Frames of the embedded sample, what Joint rebuilt, and its error](../Visuals/errors.jpg)
#
# | | |
# |---|---|
# | **needs** | `01_frame_extraction/` |
# | **makes** | `detector/joint/` (weights, held-out scores), `scores/joint.csv` |
# | **time** | CPU: 44 s to train and score as shown below (2 quiet cores) |
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
MODELS = ("joint",)
SETTINGS = {}  # of the models, e.g. {"stae.steps": 400}; without a model's name: of every model above that has it
SEED = 0

# %%
from pixelplay.notebook import artifacts, contract_check, describe, open_run, try_setting
from pixelplay.visual import plots

run = open_run(profile=PROFILE, data=DATA, train=TRAIN, test=TEST, output=OUTPUT, detector=DETECTOR, models=MODELS,
               settings=SETTINGS, seed=SEED)

# %% [markdown]
# ## What it believes is normal
# Walkers move like walkers. One encoder sees a single frame, one sees recent frames; decoders give the frame back, the
# motion back, and, the telling one, the motion *from the appearance alone*: what speed does a thing that looks like
# this usually have here? Motion keeps its speed (nothing is normalised per frame), and the same target is used in
# training and at test. After [Nguyen and Meunier, ICCV 2019](https://arxiv.org/abs/1908.06351): the patch is chosen
# where motion fails most. **What it misses:** loitering.

# %% [markdown]
# ## The network
# Its layers and the shape that leaves each, in the full profile; the line below says what this run has made of it.
#
# ![Layers of the network](../Visuals/model_joint.png)

# %%
scores = run.model("joint")
describe(run, "joint")

# %% [markdown]
# ## How it learned
# A point is the mean of a few steps. The dashed line is the error on training footage it does not learn from; where
# that no longer falls, training ends early. The weights that score are a running average over the last steps.

# %%
plots.training(run.output, "joint")

# %% [markdown]
# ## What it could not match
# Input, the frame rebuilt from its own code, the mismatch of speed and looks in units of what is usual at that place,
# and the same over the picture. The speeds it expected are compared but have no picture here. First the highest
# anomaly, then the anomalous video it sees worst and the normal frame it takes for most anomalous.

# %%
plots.errors(run.output, "joint")

# %% [markdown]
# ## The score over time
# Raw, as the model gives it: smoothing and calibration belong to the ensemble. Shaded: true anomalies, where known.

# %%
plots.timeline(run.output, models=["joint"])

# %% [markdown]
# ## Change a setting
# The same network after 20 optimiser steps, in a folder of its own: this run's scores stay as they are. What you want
# to keep goes into `SETTINGS` above. Drawn are ranks among the test frames, raw and unsmoothed.

# %%
try_setting(run, "joint", steps=20)

# %% [markdown]
# ## Check and artifacts

# %%
contract_check(run)
artifacts(run.paths.trained("joint"))

# %% [markdown]
# Next: [07_ensemble_and_report.ipynb](07_ensemble_and_report.ipynb)
