"""The embedded scene: videos with known anomalies, rendered for whoever has no dataset at hand.

Reads nothing; makes a dataset in the competition's layout. Only the command line and the pipeline import it.
"""
