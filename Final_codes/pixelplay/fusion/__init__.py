"""Score files, and the fusion of several models' scores into one.

Reads: score files of models, ours or others'.
Makes: calibrated and smoothed scores, the ensemble, events, submission files.
Open: `prior.py` for the ensemble's weights; `recipes/default.py` for the fusion rule, `recipe.py` to add another;
    `calibrated.py` for the unit of scores; `smoothing.py` for temporal smoothing; `events.py` for the start and end of
    events; `formats.py` for the CSV files that are read and converted.
"""
