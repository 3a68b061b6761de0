"""The default recipe with past frames only, as on a live camera.

A centred Gaussian looks about three sigmas ahead; here only its earlier half is used. Results of live systems are
comparable with this recipe only.
"""

from __future__ import annotations

import functools

from pixelplay.fusion.recipe import Recipe
from pixelplay.fusion.recipes.default import choose, fuse

RECIPE = Recipe("causal", "like default, but smoothed with past frames alone (for live use)",
                choose, functools.partial(fuse, causal=True), families=True, fixed=False)
