"""Leader clustering of videos by their backgrounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def group_videos(descriptions: np.ndarray, distances: Callable[[np.ndarray, np.ndarray], np.ndarray], limit: float,
                 most: int | None = None) -> list[list[int]]:
    """Leader clustering: a video joins the group with the nearest first video if within `limit`, else starts a group.

    Used to group videos by camera position (`cameras.by_camera`) and by illumination (`lighting.by_lighting`).

    Args:
        descriptions: (N, ...) one descriptor per video, in order.
        distances: (...), (K, ...) -> (K,) distances of one descriptor to others; ties go to the first.
        limit: largest distance to the first video of a group.
        most: maximum number of groups; once reached, videos join the nearest group.
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
