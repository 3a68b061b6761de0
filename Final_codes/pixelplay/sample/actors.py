"""Rendering the actors of the embedded sample: articulated people, a bicycle, a cart, a thrown bag.

Reads poses and positions in metres; makes `Parts` (convex hulls of spheres in world coordinates) and renders them, with
their cast shadows, as small anti-aliased sprites. The body frame is (forward, left to right, up), origin at the feet.
"""

from __future__ import annotations

import dataclasses
import itertools

import cv2
import numpy as np

from pixelplay.sample.view import Camera

CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 10, endpoint=False)),
                   np.sin(np.linspace(0, 2 * np.pi, 10, endpoint=False))], 1)


@dataclasses.dataclass
class Parts:
    """Convex pieces of one actor, each the hull of spheres.

    Attributes:
        points: (n, 3) sphere centres of all pieces in order, in metres.
        radii: (n,) radii in metres.
        counts: number of spheres per piece.
        colours: (r, g, b) per piece.
        gloss: brightness of the side towards the sun, per piece; 0 = flat.
    """

    points: np.ndarray
    radii: np.ndarray
    counts: list[int]
    colours: list[tuple[float, float, float]]
    gloss: list[float]

    def __add__(self, other: Parts) -> Parts:
        return Parts(np.concatenate([self.points, other.points]), np.concatenate([self.radii, other.radii]),
                     self.counts + other.counts, self.colours + other.colours, self.gloss + other.gloss)


class _Builder:
    """Collects pieces in the body frame; `unit` multiplies the radii."""

    def __init__(self, unit: float = 1.0):
        self.unit, self.points, self.radii, self.counts, self.colours, self.gloss = unit, [], [], [], [], []

    def __call__(self, points, radii, colour, gloss=0.22) -> None:
        self.points += [tuple(p) for p in points]
        self.radii += [r * self.unit for r in radii]
        self.counts.append(len(radii))
        self.colours.append(colour)
        self.gloss.append(gloss)

    def place(self, pose: Pose) -> Parts:
        """Body frame -> world: fall forwards, rotate to the heading, translate."""
        radii = np.array(self.radii, dtype=float)
        f, s, u = np.array(self.points, dtype=float).T
        if pose.fall > 0:
            angle = pose.fall * np.pi / 2 * 0.97
            f, u = f * np.cos(angle) + u * np.sin(angle), u * np.cos(angle) - f * np.sin(angle)
            u = np.maximum(u, radii)
        dx, dz = pose.heading
        world = np.stack([pose.x + f * dx + s * dz, u, pose.z + f * dz - s * dx], 1)
        return Parts(world, radii, self.counts, self.colours, self.gloss)


TOPS = ((52, 60, 78), (148, 60, 52), (206, 200, 188), (70, 96, 74), (122, 126, 132), (44, 44, 48), (188, 150, 86),
        (92, 122, 160), (150, 110, 130), (224, 220, 214), (96, 74, 58), (60, 110, 118))
TROUSERS = ((50, 56, 74), (40, 40, 44), (108, 98, 82), (78, 84, 96), (138, 128, 112), (64, 54, 48))
SHOES = ((36, 34, 34), (90, 70, 56), (196, 194, 190))
SKINS = ((214, 172, 144), (190, 142, 112), (146, 102, 76), (98, 68, 52), (228, 190, 164))
HAIRS = ((40, 32, 28), (26, 24, 24), (94, 66, 44), (146, 116, 76), (120, 116, 112))
BAGS = ((66, 48, 40), (40, 44, 60), (130, 40, 44), (170, 150, 110))


@dataclasses.dataclass(frozen=True)
class Outfit:
    """Appearance of a person: height in metres, build (1 = average), colours, accessories."""

    height: float
    build: float
    top: tuple[float, float, float]
    trousers: tuple[float, float, float]
    shoes: tuple[float, float, float]
    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    sleeves: bool
    skirt: bool
    bag: str
    bag_colour: tuple[float, float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Outfit:
        """Draw at random."""
        def pick(palette: tuple) -> tuple[float, float, float]:
            return tuple((np.array(palette[rng.integers(len(palette))]) + rng.normal(0, 7, 3)).clip(12, 240).tolist())

        return cls(height=rng.uniform(1.56, 1.88), build=rng.uniform(0.9, 1.18), top=pick(TOPS),
                   trousers=pick(TROUSERS), shoes=pick(SHOES), skin=pick(SKINS), hair=pick(HAIRS),
                   sleeves=bool(rng.random() < 0.75), skirt=bool(rng.random() < 0.22),
                   bag=str(rng.choice(["", "", "back", "hand", "shoulder"])), bag_colour=pick(BAGS))


@dataclasses.dataclass
class Pose:
    """Pose of a body.

    Attributes:
        x, z: position of the feet in metres.
        heading: unit vector (dx, dz) of the facing direction.
        phase: gait phase in radians.
        stride: 0 standing, 1 walking.
        run: 0 walking gait, 1 running gait.
        raised: 0 to 1, right arm overhead.
        fall: 0 upright, 1 lying.
        turn: rotation of the head in radians.
    """

    x: float
    z: float
    heading: tuple[float, float]
    phase: float = 0.0
    stride: float = 1.0
    run: float = 0.0
    raised: float = 0.0
    fall: float = 0.0
    turn: float = 0.0


def _leg(phase: float, stride: float, run: float, upper: float, lower: float) -> np.ndarray:
    """(3, 2) hip, knee and ankle as (forward, up) below a hip at the origin."""
    swing = stride * (0.42 + 0.36 * run)
    hip = swing * np.sin(phase) + 0.10 * run
    flex = 0.06 + stride * (0.85 + 0.95 * run) * max(0.0, np.cos(phase + 0.15)) ** 1.5
    knee = np.array([np.sin(hip), -np.cos(hip)]) * upper
    return np.array([[0.0, 0.0], knee, knee + np.array([np.sin(hip - flex), -np.cos(hip - flex)]) * lower])


def _arm(phase: float, stride: float, run: float, raised: float, upper: float, lower: float) -> np.ndarray:
    """(3, 2) shoulder, elbow and hand as (forward, up) below a shoulder at the origin."""
    angle = -stride * (0.36 + 0.5 * run) * np.sin(phase) * (1 - raised) + 2.75 * raised
    bend = (0.22 + 1.25 * run + 0.15 * np.sin(phase) * stride) * (1 - raised) + 0.25 * raised
    elbow = np.array([np.sin(angle), -np.cos(angle)]) * upper
    return np.array([[0.0, 0.0], elbow, elbow + np.array([np.sin(angle + bend), -np.cos(angle + bend)]) * lower])


def person(pose: Pose, outfit: Outfit) -> Parts:
    """The parts of a walking, running, standing, reaching or fallen person."""
    h, b = outfit.height, outfit.build
    legs = [_leg(pose.phase + side, pose.stride, pose.run, 0.245 * h, 0.245 * h) for side in (0.0, np.pi)]
    hip_up = -min(leg[2, 1] for leg in legs) + 0.045 * h
    hip_up += pose.run * pose.stride * 0.05 * h * abs(np.sin(pose.phase))
    lean = 0.03 + 0.20 * pose.run * pose.stride
    chest = np.array([np.sin(lean), np.cos(lean)]) * 0.300 * h + (0.0, hip_up)
    head = np.array([np.sin(lean * 0.8), np.cos(lean * 0.8)]) * 0.425 * h + (0.0, hip_up)
    add = _Builder(h)

    for side, leg, sign in ((-0.052, legs[0], 0), (0.052, legs[1], 1)):
        shade = 1.0 if sign else 0.9
        colour = tuple(c * shade for c in outfit.trousers)
        hip, knee, ankle = ([f, side * h * b, up + hip_up] for f, up in leg)
        below_knee = outfit.skin if outfit.skirt else colour
        add([hip, knee], [0.052 * b, 0.038 * b], colour)
        add([knee, ankle], [0.036 * b, 0.024], below_knee)
        toe = [ankle[0] + 0.085 * h, ankle[1], ankle[2] - 0.022 * h]
        add([[ankle[0] - 0.01 * h, ankle[1], ankle[2] - 0.018 * h], toe], [0.026, 0.016], outfit.shoes)
    if outfit.skirt:
        spread = 0.5 * pose.stride * abs(np.sin(pose.phase)) * 0.10
        add([[0, -0.05 * h, hip_up + 0.03 * h], [0, 0.05 * h, hip_up + 0.03 * h],
             [spread * h, 0.06 * h, hip_up - 0.20 * h], [-spread * h, -0.06 * h, hip_up - 0.20 * h]],
            [0.055, 0.055, 0.06, 0.06], outfit.trousers)
    add([[0, -0.042 * h * b, hip_up], [0, 0.042 * h * b, hip_up], [chest[0], -0.068 * h * b, chest[1] - 0.036 * h],
         [chest[0], 0.068 * h * b, chest[1] - 0.036 * h], [chest[0], 0, chest[1] + 0.012 * h]],
        [0.056 * b, 0.056 * b, 0.044 * b, 0.044 * b, 0.034], outfit.top)
    # each arm swings against the leg of its own side
    for side, swing, raised in ((-0.108, 0.0, 0.0), (0.108, np.pi, pose.raised)):
        arm = _arm(pose.phase + swing, pose.stride, pose.run, raised, 0.172 * h, 0.16 * h)
        shoulder, elbow, hand = ([f + chest[0], side * h * b, up + chest[1]] for f, up in arm)
        add([[shoulder[0], shoulder[1], shoulder[2] - 0.036 * h], elbow], [0.033 * b, 0.027 * b], outfit.top)
        add([elbow, hand], [0.025 * b, 0.018], outfit.top if outfit.sleeves else outfit.skin)
        add([hand], [0.024], outfit.skin)
        if side > 0 and outfit.bag == "hand":
            add([[hand[0], hand[1], hand[2] - 0.10 * h], [hand[0], hand[1], hand[2] - 0.19 * h]], [0.045, 0.055],
                outfit.bag_colour)
    if outfit.bag == "back":
        add([[chest[0] - 0.10 * h, 0, chest[1] - 0.03 * h], [-0.10 * h, 0, hip_up + 0.10 * h]], [0.055, 0.062],
            outfit.bag_colour)
    if outfit.bag == "shoulder":
        beside = -0.115 * h * b
        add([[0.02 * h, beside, hip_up + 0.02 * h], [-0.03 * h, beside, hip_up - 0.02 * h]], [0.05, 0.055],
            outfit.bag_colour)
    add([[chest[0], 0, chest[1] + 0.02 * h], [head[0] * 0.95, 0, head[1] - 0.03 * h]], [0.028, 0.026], outfit.skin)
    face = np.array([np.cos(pose.turn), np.sin(pose.turn)]) * 0.024 * h
    add([[head[0] - 0.4 * face[0], -0.4 * face[1], head[1] + 0.020 * h],
         [head[0] - face[0], -face[1], head[1] - 0.010 * h]], [0.060, 0.056], outfit.hair)
    add([[head[0] + face[0], face[1], head[1] - 0.006 * h], [head[0] + face[0], face[1], head[1] - 0.030 * h]],
        [0.047, 0.039], outfit.skin)
    return add.place(pose)


def hand_of(pose: Pose, outfit: Outfit) -> np.ndarray:
    """World position (3,) of the right hand, where a thrown bag starts and ends."""
    parts = person(pose, outfit)
    # pieces in order: two legs of three, optional skirt, torso, left arm of three, right arm of three
    hand = 6 + int(outfit.skirt) + 1 + 3 + 2
    return parts.points[sum(parts.counts[:hand])]


def _v(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


def bicycle(pose: Pose, outfit: Outfit, colour: tuple[float, float, float]) -> Parts:
    """A rider on a bicycle; `pose.phase` turns the pedals."""
    add = _Builder()
    dark, r = (34, 34, 36), 0.34
    for centre in (-0.52, 0.55):
        ring = [[centre + r * np.cos(a), 0.0, r + r * np.sin(a)] for a in np.linspace(0, 2 * np.pi, 15)]
        for a, b in itertools.pairwise(ring):
            add([a, b], [0.022, 0.022], dark, 0)
        for a in np.arange(3) * np.pi / 3 + pose.phase:
            d = np.array([np.cos(a), 0, np.sin(a)]) * r
            hub = _v(centre, 0, r)
            add([hub - d, hub + d], [0.004, 0.004], (120, 120, 122), 0)
    crank, saddle, bars = [-0.05, 0, 0.30], [-0.22, 0, 0.92], [0.42, 0, 1.0]
    for a, b in ((crank, saddle), (crank, [0.40, 0, 0.78]), (saddle, [0.40, 0, 0.86]), ([-0.52, 0, r], crank),
                 ([-0.52, 0, r], [-0.2, 0, 0.8]), ([0.55, 0, r], bars)):
        add([a, b], [0.02, 0.02], colour)
    add([[-0.30, 0, 0.95], [-0.12, 0, 0.95]], [0.045, 0.03], dark)
    add([[0.42, -0.22, 1.02], [0.42, 0.22, 1.02]], [0.018, 0.018], dark)
    h, hip = outfit.height, np.array([-0.22, 0.0, 1.02])
    shoulder = np.array([0.13, 0.0, 1.02 + 0.27 * h])
    for side, turn in ((-0.09, 0.0), (0.09, np.pi)):
        foot = np.array([-0.05 + 0.17 * np.cos(-pose.phase + turn), side, 0.34 + 0.17 * np.sin(-pose.phase + turn)])
        top = hip + _v(0, side, 0)
        knee = _bend(top, foot, 0.265 * h, 0.265 * h)
        add([top, knee], [0.085, 0.062], outfit.trousers)
        add([knee, foot], [0.058, 0.04], outfit.trousers)
        add([foot, foot + _v(0.13, 0, -0.03)], [0.04, 0.025], outfit.shoes)
    add([hip + _v(0, -0.08, 0), hip + _v(0, 0.08, 0), shoulder + _v(0, -0.14, -0.03), shoulder + _v(0, 0.14, -0.03)],
        [0.10, 0.10, 0.085, 0.085], outfit.top)
    for side in (-0.2, 0.2):
        start, hand = shoulder + _v(0, side, 0), np.array([0.42, side, 1.04])
        elbow = (start + hand) / 2 + _v(-0.02, side * 0.3, -0.06)
        add([start, elbow], [0.055, 0.045], outfit.top)
        add([elbow, hand], [0.042, 0.032], outfit.top if outfit.sleeves else outfit.skin)
    head = shoulder + _v(0.07, 0, 0.135 * h)
    add([shoulder + _v(0.01, 0, 0.03), head], [0.055, 0.05], outfit.skin)
    add([head + _v(-0.01, 0, 0.035), head + _v(-0.04, 0, -0.01)], [0.105, 0.10], outfit.hair)
    add([head + _v(0.04, 0, -0.01), head + _v(0.04, 0, -0.05)], [0.08, 0.068], outfit.skin)
    return add.place(pose)


def _bend(top: np.ndarray, end: np.ndarray, upper: float, lower: float) -> np.ndarray:
    """Position of the knee, bent forwards, between hip and foot (two-link inverse kinematics)."""
    line = end - top
    reach = min(float(np.linalg.norm(line)), 0.999 * (upper + lower))
    along = (upper ** 2 - lower ** 2 + reach ** 2) / (2 * reach)
    away = np.sqrt(max(upper ** 2 - along ** 2, 0.0))
    unit = line / np.linalg.norm(line)
    return top + unit * along + np.array([-unit[2], 0.0, unit[0]]) * away


def cart(pose: Pose, outfit: Outfit, colour: tuple[float, float, float]) -> Parts:
    """A small open electric cart with a driver; `pose.phase` turns the wheels."""
    build = _Builder()

    def add(points, radius, tint, gloss=0.15):
        build(points, [radius] * len(points), tint, gloss)

    def box(f0, f1, s0, s1, u0, u1, tint):
        shades = {"side": 0.86, "end": 0.95, "top": 1.12}
        for s in (s0, s1):
            add([[f0, s, u0], [f1, s, u0], [f1, s, u1], [f0, s, u1]], 0.015, tuple(c * shades["side"] for c in tint), 0)
        for f in (f0, f1):
            add([[f, s0, u0], [f, s1, u0], [f, s1, u1], [f, s0, u1]], 0.015, tuple(c * shades["end"] for c in tint), 0)
        add([[f0, s0, u1], [f1, s0, u1], [f1, s1, u1], [f0, s1, u1]], 0.015, tuple(c * shades["top"] for c in tint), 0)

    box(-1.1, 1.1, -0.55, 0.55, 0.28, 0.48, (70, 72, 74))
    box(-1.1, -0.25, -0.52, 0.52, 0.48, 0.86, colour)
    box(0.62, 1.1, -0.52, 0.52, 0.48, 0.98, colour)
    for f, s in ((-1.0, -0.5), (-1.0, 0.5), (0.75, -0.5), (0.75, 0.5)):
        add([[f, s, 0.8], [f * 0.86, s, 1.86]], 0.022, (60, 62, 64), 0)
    box(-1.05, 0.85, -0.56, 0.56, 1.86, 1.94, (222, 220, 212))
    for f in (-0.72, 0.74):
        for s in (-0.56, 0.56):
            ring = [[f + 0.26 * np.cos(a), s, 0.26 + 0.26 * np.sin(a)] for a in np.linspace(0, 2 * np.pi, 12)]
            add(ring, 0.01, (32, 32, 34), 0)
            spoke = np.array([np.cos(pose.phase), 0, np.sin(pose.phase)]) * 0.14
            hub = _v(f, s * 1.04, 0.26)
            add([hub - spoke, hub + spoke], 0.05, (150, 150, 150), 0)
    h = outfit.height
    add([[-0.3, -0.2, 0.86], [-0.3, 0.12, 0.86], [-0.33, -0.2, 0.80 + 0.28 * h], [-0.33, 0.12, 0.80 + 0.28 * h]], 0.10,
        outfit.top)
    add([[-0.28, -0.04, 0.84], [0.22, -0.04, 0.84]], 0.08, outfit.trousers)
    add([[-0.28, -0.1, 1.20], [0.32, -0.1, 1.04]], 0.045, outfit.top)
    add([[-0.32, -0.04, 0.82 + 0.42 * h]], 0.11, outfit.hair)
    add([[-0.27, -0.04, 0.80 + 0.41 * h]], 0.09, outfit.skin)
    return build.place(pose)


def bag(position: np.ndarray, spin: float, colour: tuple[float, float, float]) -> Parts:
    """A thrown rucksack."""
    axis = np.array([np.cos(spin), np.sin(spin), 0.3 * np.sin(spin * 0.7)]) * 0.11
    points = np.stack([position - axis, position + axis, position + axis * 1.6, position + axis * 2.0])
    return Parts(points, np.array([0.12, 0.14, 0.03, 0.03]), [2, 2], [colour, (40, 38, 36)], [0.22, 0.0])


@dataclasses.dataclass
class Sprite:
    """An image with alpha to composite onto the frame.

    Attributes:
        left, top: position in pixels.
        colour: (h, w, 3) uint8, premultiplied by alpha.
        through: (h, w, 3) uint8, 255 - alpha, repeated in three channels.
        z: depth in metres; nearer sprites cover farther ones.
    """

    left: int
    top: int
    colour: np.ndarray
    through: np.ndarray
    z: float

    @classmethod
    def of(cls, rgba: np.ndarray, left: int, top: int, z: float) -> Sprite:
        """From (h, w, 4) uint8 with colour premultiplied by alpha."""
        through = cv2.bitwise_not(rgba[..., 3])
        return cls(left, top, cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), cv2.merge([through] * 3), z)


def draw(camera: Camera, parts: Parts) -> Sprite | None:
    """Render the pieces of an actor, the farthest first; None outside the view."""
    if parts.points[:, 2].min() < NEAREST:
        return None
    scale = camera.scale(parts.points[:, 2])
    centres, sizes = camera.project(parts.points), parts.radii * scale
    window = _window(camera, centres, sizes)
    if window is None:
        return None
    left, top, right, bottom = window
    factor = 4 if bottom - top < 60 else 2
    canvas = np.zeros(((bottom - top) * factor, (right - left) * factor, 4), np.uint8)
    centres, sizes = (centres - (left, top)) * (factor * 4), sizes * (factor * 4)
    rims = _rims(centres, sizes, 1.0)
    lit = _rims(centres - sizes[:, None] * (0.26, 0.12), sizes * 0.66, 1.0)
    edges = np.concatenate([[0], np.cumsum(parts.counts)])
    depth = np.add.reduceat(parts.points[:, 2], edges[:-1]) / np.diff(edges)
    for i in np.argsort(-depth, kind="stable").tolist():
        a, b = edges[i], edges[i + 1]
        # skip highlights narrower than a canvas pixel
        glossy = parts.gloss[i] > 0 and sizes[a] > 8
        _fill(canvas, rims[a:b], parts.colours[i], 1.0 - (0.5 * parts.gloss[i] if glossy else 0.0))
        if glossy:
            _fill(canvas, lit[a:b], parts.colours[i], 1.0 + 0.6 * parts.gloss[i])
    small = cv2.resize(canvas, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return Sprite.of(small, left, top, float(parts.points[:, 2].mean()))


def draw_shadow(camera: Camera, sun: tuple[float, float], parts: Parts, shade: np.ndarray) -> None:
    """Add the shadow of the pieces on the ground (see `Site.sun`) to the (H, W) uint8 shade map, in place."""
    x, y, z = parts.points.T
    cast = np.stack([x + sun[0] * y, np.zeros(len(x)), z + sun[1] * y], 1)
    if cast[:, 2].min() < NEAREST:
        return
    centres, sizes = camera.project(cast), parts.radii * camera.scale(cast[:, 2])
    window = _window(camera, centres, sizes)
    if window is None:
        return
    left, top, right, bottom = window
    canvas = np.zeros(((bottom - top) * 2, (right - left) * 2), np.uint8)
    rims = _rims((centres - (left, top)) * 8, sizes * 8, 0.45)
    edges = np.concatenate([[0], np.cumsum(parts.counts)]).tolist()
    for a, b in itertools.pairwise(edges):
        _fill(canvas, rims[a:b], (255,), 1.0)
    soft = cv2.resize(cv2.GaussianBlur(canvas, (5, 5), 0), (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    view = shade[top:bottom, left:right]
    np.maximum(view, soft, out=view)


NEAREST = 2.0
"""Smallest distance to the camera in metres at which actors are drawn."""


def _rims(centres: np.ndarray, sizes: np.ndarray, flat: float) -> np.ndarray:
    """(n, 10, 2) int32 outlines of circles in quarter pixels; `flat` scales them vertically."""
    return np.rint(centres[:, None] + CIRCLE * (1.0, flat) * sizes[:, None, None]).astype(np.int32)


def _window(camera: Camera, centres: np.ndarray, sizes: np.ndarray) -> tuple[int, int, int, int] | None:
    """Pixel bounds (left, top, right, bottom) clipped to the view; None if nothing is visible."""
    low = np.floor((centres - sizes[:, None]).min(0)).astype(int) - 2
    high = np.ceil((centres + sizes[:, None]).max(0)).astype(int) + 2
    left, top = max(0, int(low[0])), max(0, int(low[1]))
    right, bottom = min(camera.width, int(high[0])), min(camera.height, int(high[1]))
    return (left, top, right, bottom) if right - left >= 1 and bottom - top >= 1 else None


def _fill(canvas: np.ndarray, rims: np.ndarray, colour: tuple[float, ...], light: float) -> None:
    """Fill the convex hull of (n, 10, 2) outlines in quarter pixels."""
    tint = (*(min(255.0, c * light) for c in colour), 255)
    cv2.fillConvexPoly(canvas, cv2.convexHull(rims.reshape(-1, 1, 2)), tint, shift=2)
