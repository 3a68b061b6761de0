"""Room: how fast every place of a frame moves, measured once for every model that asks."""
