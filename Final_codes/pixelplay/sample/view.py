"""Camera and site of the embedded sample.

Reads a number; makes a `Camera` and a `Site`. Number 0 is the standard view of the demo; every other number draws
height, lens, sun, colours, trees and furniture at random. The routes of people are always the same (`script.py`). World
coordinates are in metres: X to the right, Y up, Z away from the camera; the ground is Y = 0.
"""

from __future__ import annotations

import dataclasses

import numpy as np

Colour = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Camera:
    """A fixed level camera with a shifted lens, so that verticals stay vertical.

    Attributes:
        height, width: frame size in pixels.
        above: metres above the ground.
        lens: focal length as a share of the frame width.
        shift: row of the horizon as a share of the frame height.
    """

    height: int = 360
    width: int = 640
    above: float = 4.2
    lens: float = 0.8125
    shift: float = 7 / 36

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.lens * self.width

    @property
    def horizon(self) -> float:
        """Row of the horizon in pixels."""
        return self.shift * self.height

    def project(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) world points in metres -> (n, 2) pixel positions (x, y)."""
        scale = self.focal / points[:, 2]
        return np.stack([self.width / 2 + points[:, 0] * scale, self.horizon + (self.above - points[:, 1]) * scale], 1)

    def scale(self, depth: np.ndarray | float) -> np.ndarray | float:
        """Pixels per metre at a depth."""
        return self.focal / depth

    def half_view(self, depth: float) -> float:
        """Half the visible width at a depth in metres, plus a margin outside the view."""
        return depth / self.lens / 2 + 0.6


@dataclasses.dataclass(frozen=True)
class Tree:
    """A tree: foot (x, z), crown from `low` to `high`, half width `spread`, all in metres."""

    x: float
    z: float
    low: float
    high: float
    spread: float


TREES = (Tree(-8.6, 14.6, 3.0, 7.6, 2.9), Tree(7.6, 20.5, 2.3, 6.4, 2.2), Tree(-9.6, 22.5, 2.4, 6.8, 2.3))


@dataclasses.dataclass(frozen=True)
class Site:
    """A place.

    Attributes:
        sun: offset of shadows in metres, to the right and away from the camera, per metre of height.
        wall, paving, grass, banner: colours.
        slab: width of a paving slab in metres.
        corner: right end of the building in metres.
        trees: left of, right of and behind the plaza.
        lamp, bench, bin: foot (x, z) in metres.
        mirrored: the frame is flipped horizontally, and with it every walking direction.
    """

    sun: tuple[float, float] = (0.80, 0.28)
    wall: Colour = (186, 172, 152)
    paving: Colour = (158, 152, 143)
    grass: Colour = (104, 118, 72)
    banner: Colour = (126, 52, 54)
    slab: float = 0.9
    corner: float = 10.5
    trees: tuple[Tree, ...] = TREES
    lamp: tuple[float, float] = (3.7, 11.4)
    bench: tuple[float, float] = (-4.9, 15.3)
    bin: tuple[float, float] = (5.3, 15.2)
    mirrored: bool = False


WALLS: tuple[Colour, ...] = ((158, 108, 88), (196, 192, 182), (150, 152, 156), (190, 164, 120))
PAVINGS: tuple[Colour, ...] = ((132, 130, 130), (172, 158, 136), (146, 134, 126))


def make_view(number: int, height: int, width: int) -> tuple[Camera, Site]:
    """Camera and site of a number, for a frame size in pixels."""
    if number == 0:
        return Camera(height, width), Site()
    rng = np.random.default_rng([number, 11])
    above = float(rng.uniform(3.3, 5.8))
    lens = float(rng.uniform(0.66, 0.84))
    # keep the near lane, at least 8.2 m away, inside the frame
    shift = min(0.21, 1 - above * lens * width / 8.2 / height)
    trees = tuple(dataclasses.replace(t, x=t.x + rng.uniform(-1.2, 1.2), z=t.z + rng.uniform(-0.4, 1.5),
                                      spread=t.spread * rng.uniform(0.8, 1.15), high=t.high + rng.uniform(-0.8, 0.8))
                  for t in TREES)
    wall, paving = WALLS[rng.integers(len(WALLS))], PAVINGS[rng.integers(len(PAVINGS))]
    site = Site(sun=(float(rng.uniform(-1.0, 1.0)), float(rng.uniform(0.1, 0.5))), wall=wall, paving=paving,
                grass=tuple((np.array(Site.grass) * rng.uniform(0.85, 1.1)).tolist()),
                banner=tuple(rng.uniform(40, 150, 3).tolist()), slab=float(rng.uniform(0.5, 1.4)),
                corner=float(rng.uniform(7.5, 14.0)), trees=trees,
                lamp=(float(rng.choice([-1, 1]) * rng.uniform(3.4, 4.6)), float(rng.uniform(11.0, 11.8))),
                bench=(float(-rng.uniform(4.4, 6.2)), 15.3), bin=(float(rng.uniform(4.6, 6.2)), 15.2),
                mirrored=bool(rng.random() < 0.5))
    return Camera(height, width, above, lens, shift), site
