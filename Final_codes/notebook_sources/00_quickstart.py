# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Quickstart: learn what is normal, score new video
#
# A detector is learnt from anomaly-free footage of a fixed camera, without any label. Then it scores new footage of the
# same camera, frame by frame, and says where something is unlike what it has seen. Here a finished detector, which
# comes with the code, scores a scene that the project draws.
#
# ![Score of a test video over time, with what the camera saw at its peaks](../Visuals/timeline.png)
#
# | | |
# |---|---|
# | **needs** | nothing: it runs on the embedded sample, a scene the project draws |
# | **makes** | `quickstart/scored/` with `submission.csv` and `report/index.html` |
# | **time** | CPU: 119 s for all cells as shown below (2 cores that tests kept busy); never timed on a GPU |
# | **shown** | all six models on the embedded sample, profile `lite`, learnt by `make demo` |

# %%
# bootstrap

# %% [markdown]
# ## Parameters

# %% tags=["parameters"]
DETECTOR = "Final_models/sample"  # a finished detector; "" = learn one from DATA's normal footage first
DATA = ""  # a folder with training and test videos; "" = the embedded sample
OUTPUT = ""  # "" = the working folder on Kaggle, ./outputs elsewhere
PROFILE = "lite"  # for learning: smoke (wiring only) | lite (two CPU cores) | full (a GPU)
MODELS = ("global_memory", "local_memory", "stae", "roadmap", "unet", "joint")
SETTINGS = {}  # for learning, e.g. {"unet.steps": 400}

# %%
from pathlib import Path

import pixelplay
from pixelplay.environment import default_output
from pixelplay.sample.dataset import make_sample
from pixelplay.visual import plots

folder = Path(OUTPUT or default_output()) / "quickstart"
videos = DATA or make_sample(folder / "sample")

# %% [markdown]
# ## Three lines
# `fit` takes the training videos of a known dataset, or a folder of your own normal videos, and makes a detector: a
# folder of a few MB that works wherever it is copied. `load` opens one. `score` takes the test videos of a dataset, or
# a folder of new ones.

# %%
if DETECTOR:
    detector = pixelplay.load(Path(pixelplay.__file__).parents[1] / DETECTOR)
else:
    detector = pixelplay.fit(videos, folder / "detector", profile=PROFILE, models=MODELS, settings=SETTINGS)

# %%
result = detector.score(videos, folder / "scored")
print(result)

# %% [markdown]
# ## Scores
# A row is a frame. `score` lies in (0, 1); `rarity` says how few normal frames score as high: 3 is one in a thousand,
# and a score of 0.5. Then what repair found, and each model's own rarity in a column of its name.

# %%
result.frames.sort_values("score", ascending=False).head()

# %% [markdown]
# The test video with the highest score. Shaded: true anomalies, which the sample knows and the detector has never seen.

# %%
plots.timeline(result.folder)

# %% [markdown]
# ## Events
# An event begins where the score crosses a threshold taken from held-out training footage.

# %%
result.events.round(2)

# %% [markdown]
# The frame with the highest actor, and the training actors that look most like those that stand out.

# %%
plots.actors(result.folder)

# %% [markdown]
# ## Submission and report
# The CSV that the competition takes, and a report with the annotated videos: open `report/index.html`.

# %%
import pandas as pd

pd.read_csv(result.submission).head()

# %% [markdown]
# Next: [01_frame_extraction.ipynb](01_frame_extraction.ipynb), the first of seven notebooks that do the same one step
# at a time.
