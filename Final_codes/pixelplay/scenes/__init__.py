"""What fixed cameras see, and which of them a frame shows.

Reads: small pictures of frames.
Makes: descriptions of frames, videos grouped into scenes, per-pixel medians (backgrounds), the scene of new footage.
Open: `description.py` for what tells two places apart; `grouping.py` for when videos share a scene; `medians.py` for
    backgrounds; `cameras.py` for recognising a scene in other footage.
"""
