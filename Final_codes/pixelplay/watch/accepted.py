"""Events that somebody called normal: what is like one of them raises no alarm any more.

Reads the scored frames of such an event; keeps, in the detector's bundle, what stood out in each of its frames: where
it was, how it looked (8 x 8 pixels), and how high each model's score rose. A later frame is accepted where all three
agree: a place the event passed, a look as near as the event's own from half a second to the next, and no model higher
than it was then. Coarse pixels, because features of a frozen network see what the clip's encoder left out. Something
else at that place, the same thing elsewhere, or the same thing faster still raises an alarm. Banks and networks stay
as they are: nothing else that the detector knows is forgotten.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pixelplay.arrays import read_arrays, write_arrays
from pixelplay.box_ops import box_iou
from pixelplay.detector import Detector, with_file
from pixelplay.two_stream.actors import crop
from pixelplay.watch.scorer import Scored

NAME = "accepted-*.npz"
NEAR = 0.1
"""Intersection over union of two places from which they are the same."""
MARGIN = 0.5
"""Deviations that a model may be higher than it was: scores differ by that much for what the camera's encoder did."""
APART = 0.5
"""Seconds over which an event shows how much its own look changes."""
SPOT = 0.2
"""Side of the square around the hottest place where there is no actor, in parts of the picture's height."""
SIDE, PAD = 8, 0.1
"""Pixels a side of a look, and margin around its place."""
ALIKE = 12.0
"""Root mean square difference of grey levels up to which two looks are the same in any case. On the embedded scene the
clip's encoder made up to 7, a box that is a twelfth off 12; of other places 99 % were further apart."""


def look(scored: Scored, place: np.ndarray) -> np.ndarray:
    """(192,) grey levels of the place."""
    return crop(scored.frame, place, PAD, SIDE).astype(np.float32).ravel()


def place_of(scored: Scored) -> np.ndarray:
    """(4,) xyxy in pixels of the place that stands out most: an actor, or around the hottest spot, or everything."""
    height, width = scored.frame.shape[:2]
    if scored.boxes:
        return np.array(max(scored.boxes, key=lambda box: box.score).xyxy, np.float32)
    if scored.heat is None or scored.heat.max() <= 0:
        return np.array([0, 0, width, height], np.float32)
    row, column = np.unravel_index(int(scored.heat.argmax()), scored.heat.shape)
    x, y = (column + 0.5) / scored.heat.shape[1] * width, (row + 0.5) / scored.heat.shape[0] * height
    half = SPOT * height / 2
    return np.array([max(0, x - half), max(0, y - half), min(width, x + half), min(height, y + half)], np.float32)


@dataclasses.dataclass(frozen=True)
class Event:
    """One event that was called normal.

    Attributes:
        id: its name; models: names, highest: (K,) their highest scores in it.
        places: (n, 4) xyxy in pixels of the training footage; looks: (n, 192) of what stood there.
        radius: difference of looks up to which they are the same, in grey levels.
    """

    id: str
    models: tuple[str, ...]
    highest: np.ndarray
    places: np.ndarray
    looks: np.ndarray
    radius: float

    @classmethod
    def of(cls, name: str, frames: Sequence[Scored], fps: float) -> Event:
        """From the frames of the event, at least one."""
        models, numbers = tuple(frames[0].models), np.array([s.number for s in frames])
        places = np.stack([place_of(s) for s in frames])
        looks = np.stack([look(s, place) for s, place in zip(frames, places)])
        apart = np.stack([difference(one, looks) for one in looks])
        # a frame and the next are always alike
        apart[np.abs(numbers[:, None] - numbers) < APART * fps] = np.inf
        own = apart.min(1)[np.isfinite(apart.min(1))]
        return cls(name, models, np.array([max(s.models.get(m, -np.inf) for s in frames) for m in models]), places,
                   looks, max(ALIKE, float(np.quantile(own, 0.95)) if len(own) else 0.0))

    def holds(self, scored: Scored) -> bool:
        """Whether a frame is like this event."""
        highest = dict(zip(self.models, self.highest))
        if any(z > highest.get(name, np.inf) + MARGIN for name, z in scored.models.items()):
            return False
        place = place_of(scored)
        near = box_iou(place[None], self.places)[0] >= NEAR
        return bool(near.any()) and float(difference(look(scored, place), self.looks[near]).min()) <= self.radius


def difference(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) root mean square differences between a look and n others."""
    return np.sqrt(((others - one) ** 2).mean(axis=1))


def accepted_events(detector: Detector) -> list[Event]:
    """The events of a detector that were called normal."""
    found = []
    for path in sorted(Path(detector.folder).glob(NAME)):
        kept = read_arrays(path)
        found.append(Event(str(kept["id"]), tuple(kept["models"].tolist()), kept["highest"], kept["places"],
                           kept["looks"], float(kept["radius"])))
    return found


def accept(detector: Detector, event: Event) -> Path:
    """Put an event into a bundle; returns the new file. One of the same id is replaced."""
    arrays = {"id": np.array(event.id), "models": np.array(event.models), "highest": event.highest,
              "places": event.places, "looks": event.looks, "radius": np.array(event.radius)}
    name = NAME.replace("*", hashlib.sha256(event.id.encode()).hexdigest()[:12])
    return with_file(detector, name, lambda path: write_arrays(path, compress=True, **arrays))
