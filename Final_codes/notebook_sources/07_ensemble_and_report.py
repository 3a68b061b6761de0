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
# | | |
# |---|---|
# | **needs** | `01_frame_extraction/`, `detector/` and any of `scores/*.csv` |
# | **makes** | `submission.csv`, `submission_two_stream.csv`, `submission_quad_ensemble.csv`, `report/index.html` |
# | **time** | CPU: 31 s for all cells as shown below (2 quiet cores); T4 x 2: not measured |
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
MODELS = ("global_memory", "local_memory", "stae", "roadmap", "unet", "joint")
SEED = 0

# %%
from pixelplay.notebook import contract_check, open_run

run = open_run(profile=PROFILE, data=DATA, train=TRAIN, test=TEST, output=OUTPUT, detector=DETECTOR, models=MODELS,
               seed=SEED)

# %% [markdown]
# ## One scale
# Raw scores of different models cannot be added. Each is brought to robust standard deviations above normal by the
# scores of *training* frames that the model had not learnt from, logged first where it is an error or a distance. No
# statistic of the test set enters, so a frame's score does not depend on which other videos are scored with it.
# Each is then smoothed within its video, in frame time, leaning on reliable frames, and the weighted mean is taken.

# %%
submissions = run.ensemble()
print(*submissions.values(), sep="\n")

# %% [markdown]
# ## Do the models say different things?
# Rank correlation of the models: two that agree completely are one model paid for twice.

# %%
from pixelplay.visual import plots

plots.correlation(run.output)

# %% [markdown]
# ## How good is it?
# Only where ground truth is known. Average precision is the competition's metric; its floor is the share of anomalous
# frames (drawn), not one half. Intervals are 95 %, by drawing videos again with replacement.

# %%
metrics = run.evaluate()
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
# ## The report
# One folder, no network: open `report/index.html` for the annotated videos, the top events and what they
# were compared with.

# %%
done = run.finish()  # the same merge and metrics again, then the receipt of the whole run and the report
print(done["report"])

# %% [markdown]
# ## Check and artifacts

# %%
contract_check(run)

# %%
import pandas as pd

pd.read_csv(submissions["submission"]).head()

# %% [markdown]
# On Kaggle: *Save Version*, then *Submit* the file `submission.csv` of this notebook's output.
