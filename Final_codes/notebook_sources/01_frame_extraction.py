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
# ![Frames of the embedded sample before and after repair](../Visuals/repairs.jpg)
#
# | | |
# |---|---|
# | **needs** | a dataset (competition, Avenue, Ped2, ShanghaiTech, your own), or nothing: then the embedded sample |
# | **makes** | `01_frame_extraction/`: `manifest.csv`, frames at working size, flags and reliabilities |
# | **time** | CPU: 36 s for all cells as shown below (2 quiet cores) |
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
MODELS = ()  # none in this notebook
SETTINGS = {}  # of the models, e.g. {"stae.steps": 400}; without a model's name: of every model above that has it
SEED = 0

# %%
from pixelplay.notebook import artifacts, open_run
from pixelplay.visual import plots

run = open_run(profile=PROFILE, data=DATA, train=TRAIN, test=TEST, output=OUTPUT, detector=DETECTOR, models=MODELS,
               settings=SETTINGS, seed=SEED)

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
