"""Events that somebody called normal: what is like one of them raises no alarm any more.

Reads the scored frames of such an event; keeps, in the detector's bundle, what stood out in each of its frames: where
it was, how it looked (features of the frozen network, no picture), and how high each model's score rose. A later frame
is accepted where all three agree: a place the event passed, a look as near as the event's own from half a second to the
next, and no model higher than it was then. Something else at that place, the same thing elsewhere, or the same thing
faster still raises one. Banks and networks stay as they are: nothing else the detector knows is forgotten.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pixelplay.arrays import read_arrays, write_arrays
from pixelplay.box_ops import box_iou
from pixelplay.detector import Detector, with_file
from pixelplay.environment import hardware
from pixelplay.two_stream.actors import crop
from pixelplay.two_stream.backbones import load_backbone
from pixelplay.two_stream.memory import nearest
from pixelplay.watch.scorer import Scored

BACKBONE = "efficientnet-lite0"
"""The network that compares looks: the one that comes with the package, whatever the models use."""
NAME = "accepted-*.npz"
NEAR = 0.1
"""Intersection over union of two places from which they are the same."""
MARGIN = 0.5
"""Deviations that a model may be higher than it was: scores differ by that much for what the camera's encoder did."""
APART = 0.5
"""Seconds over which an event shows how much its own look changes."""
SPOT = 0.2
"""Side of the square around the hottest place where there is no actor, in parts of the picture's height."""
PAD = 0.1

Embed = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Pictures (h, w, 3) uint8 RGB -> (n, dim) features."""


def embedder() -> Embed:
    """The network, loaded when it is first asked."""
    network = []

    def embed(pictures: Sequence[np.ndarray]) -> np.ndarray:
        if not network:
            network.append(load_backbone(BACKBONE, hardware=hardware()))
        return network[0].embed(pictures)

    return embed


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
        places: (n, 4) xyxy in pixels of the training footage; features: (n, dim) of what stood there.
        radius: distance of features up to which a look is the same.
    """

    id: str
    models: tuple[str, ...]
    highest: np.ndarray
    places: np.ndarray
    features: np.ndarray
    radius: float

    @classmethod
    def of(cls, name: str, frames: Sequence[Scored], embed: Embed, fps: float) -> Event:
        """From the frames of the event, at least one."""
        models = tuple(frames[0].models)
        places = np.stack([place_of(s) for s in frames])
        features = embed([crop(s.frame, place, PAD) for s, place in zip(frames, places)])
        numbers = np.array([s.number for s in frames])
        apart = np.linalg.norm(features[:, None] - features[None], axis=2)
        # a frame and the next are always alike; in a short event the frames furthest apart have to do
        far = min(APART * fps, (numbers[-1] - numbers[0]) / 2)
        apart[np.abs(numbers[:, None] - numbers) < max(far, 1)] = np.inf
        own = apart.min(1)
        own = own[np.isfinite(own)]
        return cls(name, models, np.array([max(s.models.get(m, -np.inf) for s in frames) for m in models]), places,
                   features.astype(np.float16), float(np.quantile(own, 0.95)) if len(own) else 0.0)

    def holds(self, scored: Scored, place: np.ndarray, look: Callable[[], np.ndarray]) -> bool:
        """Whether a frame is like this event; `look` gives the (dim,) features of its place."""
        highest = dict(zip(self.models, self.highest))
        if any(z > highest.get(name, np.inf) + MARGIN for name, z in scored.models.items()):
            return False
        near = box_iou(place[None], self.places)[0] >= NEAR
        return bool(near.any()) and float(nearest(look()[None], self.features[near])[0][0, 0]) <= self.radius


class Accepted:
    """All events of a detector that were called normal.

    Args:
        events: of them; embed: what compares looks.
    """

    def __init__(self, events: Sequence[Event] = (), embed: Embed | None = None):
        self.events, self.embed = list(events), embed or embedder()

    @classmethod
    def load(cls, detector: Detector) -> Accepted:
        """Those that the bundle holds."""
        found = []
        for path in sorted(Path(detector.folder).glob(NAME)):
            kept = read_arrays(path)
            found.append(Event(str(kept["id"]), tuple(kept["models"].tolist()), kept["highest"], kept["places"],
                               kept["features"], float(kept["radius"])))
        return cls(found)

    def holds(self, scored: Scored) -> str | None:
        """The id of the event that a frame is like; None where it is like none."""
        if not self.events:
            return None
        place, found = place_of(scored), []

        def look() -> np.ndarray:
            if not found:
                found.append(self.embed([crop(scored.frame, place, PAD)])[0])
            return found[0]

        return next((e.id for e in self.events if e.holds(scored, place, look)), None)


def accept(detector: Detector, event: Event) -> Path:
    """Put an event into a bundle; returns the new file. One of the same id is replaced."""
    arrays = {"id": np.array(event.id), "models": np.array(event.models), "highest": event.highest,
              "places": event.places, "features": event.features, "radius": np.array(event.radius)}
    name = NAME.replace("*", hashlib.sha256(event.id.encode()).hexdigest()[:12])
    return with_file(detector, name, lambda path: write_arrays(path, compress=True, **arrays))
