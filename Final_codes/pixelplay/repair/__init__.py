"""Detection and repair of corrupted frames.

Reads: working-size frames, and the normal ranges of the training footage (`TrainingNorms`).
Makes: a plan (one row per frame: flags, repair parameters, reliability), and the repaired frames.
Open: `plan.py` for what is done to a frame; `orientation.py`, `noise.py`, `geometry.py`, `camera_path.py` and
    `timeline.py` for detecting flips, noise, shifts and repeats; `denoise.py` and `neighbours.py` for denoising;
    `reliability.py` for the quality weight of a frame.
"""
