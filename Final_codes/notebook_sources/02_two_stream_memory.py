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
# ![A test frame of the embedded sample with its actors by score](../Visuals/actors.jpg)
#
# | | |
# |---|---|
# | **needs** | `01_frame_extraction/` |
# | **makes** | `detector/` (both banks), `scores/global_memory.csv`, `local_memory.csv` |
# | **time** | CPU: 88 s for both models as shown below (2 cores that tests kept busy) |
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
MODELS = ("global_memory", "local_memory")
SETTINGS = {}  # of the models, e.g. {"stae.steps": 400}; without a model's name: of every model above that has it
SEED = 0

# %%
from pixelplay.notebook import artifacts, contract_check, open_run, try_setting
from pixelplay.visual import plots

run = open_run(profile=PROFILE, data=DATA, train=TRAIN, test=TEST, output=OUTPUT, detector=DETECTOR, models=MODELS,
               settings=SETTINGS, seed=SEED)

# %% [markdown]
# ## Global stream: has this view been seen before?
# A frozen network that was trained on photographs describes each frame by a vector: layers 2 and 3 of CLIP's
# ResNet-101 in the full profile (weights are found among the attached datasets, or downloaded), EfficientNet-Lite0,
# which comes with the code, otherwise. Normal frames fill a cloud of such vectors. A *coreset* of 1 %, but at least
# 256 frames, covers the cloud: each pick is the frame farthest from all picks before it ([Gonzalez
# 1985](https://doi.org/10.1016/0304-3975(85)90224-5), used for anomaly detection by
# [PatchCore](https://arxiv.org/abs/2106.08265)). The score of a frame is its distance to the nearest pick. **What it
# misses:** a small actor hardly moves the vector of a whole frame, so this is context only.

# %%
global_scores = run.model("global_memory")

# %% [markdown]
# Training frames, the picks among them, and the test frames, on the two axes along which they differ most.

# %%
plots.memory(run.output, "global_memory")

# %% [markdown]
# How the largest distance from any training frame to its nearest pick (the covering radius) falls as picks are added.

# %%
plots.radius(run.output, "global_memory")

# %% [markdown]
# ## Local stream: does each actor look and move as actors do here?
# Actors are found as moving foreground against the training background, so that a thrown bag or a bicycle counts too,
# and in the full profile by a person detector as well. Each is judged by four *channels* (the idea is
# [AI-VAD](https://arxiv.org/abs/2212.00789)'s): its **speed**, against the fastest of its image rows; its **velocity**,
# direction and speed together, against actors of its size, so that walking the wrong way or standing where all walk
# counts; its **articulation**, how its body moves in itself; and its **appearance**, the distance of its crop to the
# nearest crop of a bank of training crops. Each becomes a rarity, how few training frames that the memory had not seen
# score as high, and the rarities are added, appearance by less. A frame without actors counts
# as the least that can happen. **What it misses:** an act whose oddness lies in a relation (two people fighting), and
# what is neither odd nor moves.

# %%
local_scores = run.model("local_memory")

# %% [markdown]
# The frame with the highest actor: those that stand out, with the reason in words, beside what the memory compared them
# with.

# %%
plots.actors(run.output)

# %% [markdown]
# The highest actor of each event, or of each video where there are none, above the training actor its crop was nearest
# to.

# %%
plots.nearest(run.output)

# %% [markdown]
# One crop's way to its score: the actor that looks least like training, its crop, the crop's features beside those of
# the nearest training crop, the nearest crops of the bank with their distances, and how rare such a distance is among
# training frames whose own video the memory did not use.

# %%
plots.one_crop(run.output)

# %% [markdown]
# How far normal and anomalous frames lie apart, beside training frames scored without their own video.

# %%
plots.histograms(run.output, ["global_memory", "local_memory"])

# %% [markdown]
# ## Change a setting
# A global memory that may keep 16 frames, in a folder of its own: this run's scores stay as they are. What you want to
# keep goes into `SETTINGS` above. Drawn are ranks among the test frames.

# %%
try_setting(run, "global_memory", ratio=0.0, floor=16)

# %% [markdown]
# ## Check and artifacts

# %%
contract_check(run)
artifacts(run.paths.trained("global_memory"))
artifacts(run.paths.trained("local_memory"))

# %% [markdown]
# Next: [03_stae.ipynb](03_stae.ipynb)
