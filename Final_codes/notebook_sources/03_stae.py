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
# ![Frames of the embedded sample, what STAE expected, and its error](../Visuals/errors.jpg)
#
# | | |
# |---|---|
# | **needs** | `01_frame_extraction/` |
# | **makes** | `detector/stae/` (weights, held-out scores), `scores/stae.csv` |
# | **time** | CPU: 68 s to train and score as shown below (2 quiet cores) |
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
MODELS = ("stae",)
SETTINGS = {}  # of the models, e.g. {"stae.steps": 400}; without a model's name: of every model above that has it
SEED = 0

# %%
from pixelplay.notebook import artifacts, contract_check, describe, open_run, try_setting
from pixelplay.visual import plots

run = open_run(profile=PROFILE, data=DATA, train=TRAIN, test=TEST, output=OUTPUT, detector=DETECTOR, models=MODELS,
               settings=SETTINGS, seed=SEED)

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

# %% [markdown]
# ## The network
# Its layers and the shape that leaves each, in the full profile; the line below says what this run has made of it.
#
# ![Layers of the network](../Visuals/model_stae.png)

# %%
scores = run.model("stae")
describe(run, "stae")

# %% [markdown]
# ## How it learned
# A point is the mean of a few steps. The dashed line is the error on training footage it does not learn from; where
# that no longer falls, training ends early. The weights that score are a running average over the last steps.

# %%
plots.training(run.output, "stae")

# %% [markdown]
# ## What it could not rebuild
# Input, the network's version of it, the error of speed and looks in units of what is usual at that place, and the same
# over the picture. After as few steps as here the version is little more than the empty scene, for walkers, too: what
# tells them apart is the speed. First the highest anomaly, then the anomalous video it sees worst and the normal frame
# it takes for most anomalous.

# %%
plots.errors(run.output, "stae")

# %% [markdown]
# ## The score over time
# Raw, as the model gives it: smoothing and calibration belong to the ensemble. Shaded: true anomalies, where known.

# %%
plots.timeline(run.output, models=["stae"])

# %% [markdown]
# ## Change a setting
# The same network after 20 optimiser steps, in a folder of its own: this run's scores stay as they are. What you want
# to keep goes into `SETTINGS` above. Drawn are ranks among the test frames, raw and unsmoothed.

# %%
try_setting(run, "stae", steps=20)

# %% [markdown]
# ## Check and artifacts

# %%
contract_check(run)
artifacts(run.paths.trained("stae"))

# %% [markdown]
# Next: [04_roadmap_lite.ipynb](04_roadmap_lite.ipynb)
