# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # 7. Ensemble and report
#
# Brings all score files to one scale, smooths them in time, merges them and writes the submission and a report.
#
# ![Final score of every test video of the embedded sample](../Visuals/timelines.png)
#
# | | |
# |---|---|
# | **needs** | `01_frame_extraction/`, `detector/` and any of `scores/*.csv` |
# | **makes** | `submission.csv`, `submission_two_stream.csv`, `submission_quad_ensemble.csv`, `report/index.html` |
# | **time** | CPU: 34 s for all cells as shown below (2 quiet cores) |
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
MODELS = ("global_memory", "local_memory", "stae", "roadmap", "unet", "joint")
SETTINGS = {}  # of the models, e.g. {"stae.steps": 400}; without a model's name: of every model above that has it
SEED = 0

# %%
from pixelplay.notebook import contract_check, open_run, try_smoothing
from pixelplay.visual import plots

run = open_run(profile=PROFILE, data=DATA, train=TRAIN, test=TEST, output=OUTPUT, detector=DETECTOR, models=MODELS,
               settings=SETTINGS, seed=SEED)

# %% [markdown]
# ## One scale
# Raw scores of different models cannot be added. Each becomes its rarity among the scores of *training* frames that the
# model had not learnt from: 1 is reached by one of them in ten, 3 by one in a thousand. No statistic of the test set
# enters, so a frame's score does not depend on which other videos are scored with it. It is then smoothed within its
# video, in frame time, leaning on reliable frames, and the weighted mean is taken.

# %%
done = run.finish()  # the detector is closed, scores are merged and measured, receipt and report are written
print(*done["submissions"].values(), done["report"], sep="\n")

# %% [markdown]
# ## Do the models say different things?
# Rank correlation of the models: two that agree completely are one model paid for twice.

# %%
plots.correlation(run.output)

# %% [markdown]
# ## How good is it?
# Only where ground truth is known. Average precision is the competition's metric; its floor is the share of anomalous
# frames (drawn), not one half. Intervals are 95 %, by drawing videos again with replacement.

# %%
plots.metrics_table(run.output)

# %%
plots.models(run.output)

# %% [markdown]
# What these numbers stand for: the whole trade between alarms missed and false alarms raised.

# %%
plots.curves(run.output)

# %% [markdown]
# ## Every video at a glance

# %%
plots.timelines(run.output)

# %% [markdown]
# ## Change a setting
# The same merge without smoothing. Each model's own width lies beside its scores; the files of this run stay as they
# are.

# %%
try_smoothing(run, sigma=0)

# %% [markdown]
# ## The report
# One folder, no network: open `report/index.html` for the annotated videos, the top events and what they
# were compared with.

# %% [markdown]
# ## Check and artifacts

# %%
contract_check(run)

# %%
import pandas as pd

pd.read_csv(done["submissions"]["submission"]).head()

# %% [markdown]
# On Kaggle: *Save Version*, then *Submit* the file `submission.csv` of this notebook's output.
