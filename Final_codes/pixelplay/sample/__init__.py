"""The embedded sample: a rendered dataset with known anomalies, for use without any other dataset.

Reads: nothing.
Makes: a dataset in the competition's layout, with labels and masks.
Open: `script.py` for actors and events; `view.py` for cameras and places; `actors.py` and `scene.py` for rendering;
    `dataset.py` for files and labels.
"""
