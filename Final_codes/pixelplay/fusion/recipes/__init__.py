"""One small file a recipe; see `pixelplay.fusion.recipe`."""
