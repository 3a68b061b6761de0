"""Score files, smoothing, recipes and the ensemble."""
