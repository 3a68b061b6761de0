"""What fixed cameras see: descriptions of frames, videos grouped into scenes, per-pixel medians, recognition."""
