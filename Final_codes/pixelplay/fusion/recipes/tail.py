"""Like the default recipe, but each score becomes -log10 of the share of normal frames that score as high.

Light- and heavy-tailed models then mean the same by the same number, and the far tail counts more than in a z-score.
"""

from __future__ import annotations

import functools

from pixelplay.fusion.recipe import Recipe
from pixelplay.fusion.recipes.default import choose, fuse

RECIPE = Recipe("tail", "tail share of held-out training scores, smoothed per video in frame time, weighted mean",
                choose, functools.partial(fuse, tail=True), families=True, fixed=False)
