"""Fixed camera positions (scenes), and recognising them in footage.

Reads: thumbnails of frames.
Makes: frame descriptors, videos grouped into scenes, per-pixel medians (backgrounds), the scene index of new footage.
Open: `description.py` for the descriptor; `grouping.py` for when videos share a scene; `medians.py` for backgrounds;
    `cameras.py` for recognising a scene in other footage; `lighting.py` for grouping by illumination.
"""
