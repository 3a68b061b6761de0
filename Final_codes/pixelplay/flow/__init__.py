"""Optical flow and speed maps, computed once for all models.

Reads: `Footage`.
Makes: dense flow between two frames, and (N, h, w) speed maps in pixels per frame.
Open: `dense.py` for another flow method; `references.py` for the choice of reference frames and their
    distance; `speed.py` for speed maps and their files; `stream.py` for live streams.
"""
