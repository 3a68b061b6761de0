"""Like the default recipe, but with past frames alone: what a live camera would have shown at that moment.

A centred Gaussian looks about three sigmas ahead; here it has its earlier half alone. Numbers of live systems compare
with this recipe only.
"""

from __future__ import annotations

import functools

from pixelplay.fusion.recipe import Recipe
from pixelplay.fusion.recipes.default import choose, fuse

RECIPE = Recipe("causal", "like default, but smoothed with past frames alone (for live use)",
                choose, functools.partial(fuse, causal=True), families=True, fixed=False)
