"""Corrupted frames: found, mended or marked.

Reads: working-size frames, and what is normal in the training footage (`TrainingNorms`).
Makes: a plan (one row a frame: flags, mends, reliability), and the frames mended as it says.
Open: `plan.py` for what is done to which frame; `orientation.py`, `noise.py`, `geometry.py`, `camera_path.py` and
    `timeline.py` for how flips, noise, shifts and repeats are found; `denoise.py` and `neighbours.py` for how noise is
    removed; `reliability.py` for how much a frame counts.
"""
