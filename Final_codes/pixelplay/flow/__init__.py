"""Optical flow and speed maps, measured once for every model.

Reads: `Footage`.
Makes: (N, h, w) speed maps in each scene's unit, and dense flow between two frames.
Open: `dense.py` for another flow method; `references.py` for which frames are compared; `speed.py` for the maps and
    what is kept of them.
"""
