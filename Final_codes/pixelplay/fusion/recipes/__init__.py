"""One file per recipe; see `pixelplay.fusion.recipe`."""
