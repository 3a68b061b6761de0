"""Score files, and how several become one score.

Reads: score files of models, ours or others'.
Makes: calibrated and smoothed scores, the ensemble, events, submission files.
Open: `prior.py` for the ensemble's weights; `recipes/default.py` for the rule that merges, `recipe.py` to add
    another; `calibrated.py` for the unit of scores; `smoothing.py`; `events.py` for when an event begins; `formats.py`
    for which CSV files are read and mended.
"""
