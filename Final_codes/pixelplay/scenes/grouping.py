"""Videos grouped by what their backgrounds look like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def group_videos(descriptions: np.ndarray, distances: Callable[[np.ndarray, np.ndarray], np.ndarray], limit: float,
                 most: int | None = None) -> list[list[int]]:
    """Leader clustering: a video joins the group whose first video is nearest, if within `limit`, else it founds one.

    Two questions are asked this way: which videos show the same camera position (`cameras.by_camera`), and which show
    the same camera in the same light (`lighting.by_lighting`).

    Args:
        descriptions: (N, ...) one a video, in order.
        distances: (...), (K, ...) -> (K,) distance of one description to others; the first of equal ones wins.
        limit: largest distance within a group.
        most: groups at most; later videos then join the nearest.
    Returns:
        Positions of the videos of each group.
    """
    groups: list[list[int]] = []
    for i, description in enumerate(descriptions):
        far = distances(description, descriptions[[g[0] for g in groups]]) if groups else np.array([np.inf])
        if far.min() <= limit or len(groups) == most:
            groups[int(far.argmin())].append(i)
        else:
            groups.append([i])
    return groups
