"""The embedded scene: videos with known anomalies, rendered for whoever has no dataset at hand.

Reads: nothing.
Makes: a dataset in the competition's layout, with labels and masks.
Open: `script.py` for who does what and when; `view.py` for cameras and places; `actors.py` and `scene.py` for how it
    is drawn; `dataset.py` for files and labels.
"""
