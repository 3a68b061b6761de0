"""Scene of the embedded sample: plaza, building, trees, light.

Reads a camera, a site and a random generator; makes a static background (H, W, 3), props that occlude actors, swaying
foliage and a light curve. World coordinates are those of `view.py`.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from pixelplay.sample.view import Camera, Site, Tree

FACADE, LAWN_FRONT, LAWN_BACK, PATH_HALF = 30.0, 15.8, 25.2, 3.2
"""Depths of the building and of the edges of the lawns, and half the width of the path between them, in metres."""


class Noise:
    """Smooth random textures over world coordinates."""

    def __init__(self, rng: np.random.Generator):
        self.tiles = [cv2.GaussianBlur(np.tile(rng.random((128, 128), dtype=np.float32), (3, 3)), (0, 0), 1.0)
                      [128:256, 128:256] for _ in range(3)]
        self.tiles = [(t - t.mean()) / t.std() for t in self.tiles]

    def __call__(self, x: np.ndarray, y: np.ndarray, *sizes: float) -> np.ndarray:
        """Sum of octaves with features of the given sizes (same unit as x and y), unit variance, float32."""
        total = np.zeros(x.shape, np.float32)
        for i, size in enumerate(sizes):
            u = np.mod(x / size * 2 + 17.3 * i, 128).astype(np.float32)
            v = np.mod(y / size * 2 + 41.7 * i, 128).astype(np.float32)
            total += cv2.remap(self.tiles[i % 3], u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return total / np.float32(np.sqrt(len(sizes)))


def paint_background(camera: Camera, site: Site, rng: np.random.Generator) -> np.ndarray:
    """The empty scene, (H, W, 3) uint8 RGB, rendered at twice the size and averaged down."""
    big = dataclasses.replace(camera, height=camera.height * 2, width=camera.width * 2)
    noise = Noise(rng)
    y, x = np.mgrid[0:big.height, 0:big.width].astype(np.float32) + 0.5
    foot = int(big.horizon + big.above * big.focal / FACADE)
    picture = np.empty((big.height, big.width, 3), np.float32)
    upper = picture[:foot]
    upper[:] = _sky(big, noise, x[:foot], y[:foot])
    wall_x = (x[:foot] - big.width / 2) * FACADE / big.focal
    wall_y = big.above - (y[:foot] - big.horizon) * FACADE / big.focal
    _paint_garden(upper, site, noise, wall_x, wall_y)
    _paint_building(upper, site, noise, wall_x, wall_y)
    depth = big.focal * big.above / (y[foot:] - big.horizon)
    ground_x = (x[foot:] - big.width / 2) * depth / big.focal
    picture[foot:] = _ground(site, noise, ground_x, depth, depth / big.focal, rng)
    _paint_tree_shadows(picture[foot:], site, noise, ground_x, depth)
    return cv2.resize(np.clip(picture, 0, 255).astype(np.uint8), (camera.width, camera.height),
                      interpolation=cv2.INTER_AREA)


def _sky(camera: Camera, noise: Noise, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    fade = (y / camera.horizon)[..., None]
    cloud = noise(x / camera.width * 8, y / camera.width * 24, 4, 2, 1)[..., None] * 6
    return np.array([176, 193, 212], np.float32) * (1 - 0.12 * (1 - fade)) + cloud


def _paint_garden(picture: np.ndarray, site: Site, noise: Noise, x: np.ndarray, y: np.ndarray) -> None:
    """Paint distant trees and a wall beside the building."""
    crown = 3.4 + 0.9 * noise(x, np.zeros_like(x), 5, 2, 0.9)
    trees = (x > site.corner) & (y < crown)
    leaf = noise(x, y, 1.2, 0.5, 0.25)[..., None] * 15
    picture[trees] = (np.array([82, 97, 66], np.float32) + leaf + 6 * y[..., None])[trees]
    wall = (x > site.corner) & (y < 1.15)
    stone = noise(x, y, 1.5, 0.3)[..., None] * 6 - 18 * (y[..., None] > 1.03) * -1
    picture[wall] = (np.array([150, 138, 122], np.float32) + stone)[wall]


def _paint_building(picture: np.ndarray, site: Site, noise: Noise, x: np.ndarray, y: np.ndarray) -> None:
    """Paint a two-storey facade with windows, joints and the entrance."""
    inside = x < site.corner
    colour = np.empty((*x.shape, 3), np.float32)
    colour[:] = site.wall
    row = np.floor(y / 0.25)
    brick = ((x + 0.25 * (row % 2)) % 0.5 < 0.035) | (y % 0.25 < 0.035)
    colour += (noise(x, y, 6, 2, 0.4) * 5)[..., None] - 9 * brick[..., None]
    colour -= 26 * np.exp(-np.maximum(y, 0) / 0.5)[..., None]
    colour[(y > 3.55) & (y < 3.85)] += 14
    colour[(y > 3.45) & (y <= 3.55)] -= 34
    colour[y < 0.55] *= 0.82
    u = (x + 18.0) % 3.0
    for low, high in ((1.05, 2.95), (4.65, 6.6)):
        frame = (u > 0.55) & (u < 2.45) & (y > low - 0.09) & (y < high + 0.09)
        glass = (u > 0.65) & (u < 2.35) & (y > low) & (y < high) & (abs(u - 1.5) > 0.05) & (abs(y - low - 1.2) > 0.04)
        colour[frame] = (206, 202, 192)
        tone = np.floor((x + 18.0) / 3.0) * 1.7 % 1.0
        shine = 30 * (y - low) / 1.9 + 18 * tone + 10 * noise(x, y, 1.6) + 16 * ((u + 0.6 * y) % 1.9 < 0.5)
        colour[glass] = (np.array([58, 68, 80], np.float32) + shine[..., None])[glass]
        sill = (u > 0.5) & (u < 2.5) & (y > low - 0.17) & (y <= low - 0.09)
        colour[sill] = (160, 150, 134)
    door = (abs(x) < 1.75) & (y < 3.1)
    colour[(abs(x) < 2.05) & (y < 3.35)] = (150, 140, 128)
    colour[door] = (np.array([46, 44, 44], np.float32) + 14 * np.maximum(0, 1.2 - y)[..., None])[door]
    colour[(abs(x) < 2.5) & (y > 3.35) & (y < 3.6)] = (122, 116, 110)
    picture[inside] = colour[inside]
    corner = (x >= site.corner - 0.3) & inside
    picture[corner] *= 0.86


def _ground(site: Site, noise: Noise, x: np.ndarray, z: np.ndarray, pixel: np.ndarray, rng: np.random.Generator
            ) -> np.ndarray:
    """Slabs, lawns and kerbs over world coordinates; `pixel` is the width of a pixel in metres."""
    edge = 0.10 * noise(x, z, 1.5)
    lawn = (z > LAWN_FRONT) & (z < LAWN_BACK) & (np.abs(x) > PATH_HALF)
    kerb = (z > LAWN_FRONT - 0.18) & (z < LAWN_BACK + 0.25) & (np.abs(x) > PATH_HALF - 0.18) & ~lawn
    size = site.slab
    i, j = np.floor(x / size).astype(int), np.floor(z / size).astype(int)
    tone = rng.normal(0, 5.5, 4096).astype(np.float32)[(i * 73 + j * 151) % 4096]
    across, along = np.abs((x / size) % 1 - 0.5), np.abs((z / size) % 1 - 0.5)
    # a joint narrower than a pixel darkens it proportionally
    joint = np.maximum((across > 0.5 - np.maximum(0.015, pixel / size / 2)) * np.minimum(1, 0.03 / pixel * size),
                       (along > 0.5 - np.maximum(0.015, pixel * 2 / size)) * np.minimum(1, 0.012 / pixel * size))
    colour = np.empty((*x.shape, 3), np.float32)
    colour[:] = site.paving
    grain = noise(x, z, 0.06, 0.13) * 3.5 * np.minimum(1, 0.02 / pixel)
    colour += (tone * np.minimum(1, 0.05 / pixel) + noise(x, z, 5, 2.2, 0.8) * 6 + grain - 30 * joint)[..., None]
    for mx, mz in ((1.4, 8.9), (-5.6, 12.4)):
        radius = np.hypot(x - mx, z - mz)
        colour[radius < 0.36] = (96, 93, 88)
        colour[(radius < 0.30) & (((x * 14).astype(int) + (z * 14).astype(int)) % 2 == 0)] = (112, 108, 102)
    grass = np.array(site.grass, np.float32) + (
        noise(x, z, 3, 1) * 5 + noise(x * 2.5, z, 0.22, 0.1) * 8 * np.minimum(1, 0.05 / pixel)
        + 4 * np.sign(np.sin(x * 2.2)))[..., None] * np.array([1.0, 1.0, 0.7], np.float32)
    worn = np.exp(-np.maximum(np.minimum(z - LAWN_FRONT, np.abs(x) - PATH_HALF) + edge, 0) / 0.25)[..., None]
    colour[lawn] = (grass * (1 - 0.25 * worn) + 0.25 * worn * np.array([140, 122, 92], np.float32))[lawn]
    colour[kerb] = (np.array([184, 180, 172], np.float32) + (noise(x, z, 0.7) * 5)[..., None])[kerb]
    colour[z > FACADE - 1.0] *= 0.90
    return colour


def _paint_tree_shadows(ground: np.ndarray, site: Site, noise: Noise, x: np.ndarray, z: np.ndarray) -> None:
    """Paint dappled shadows of the tree crowns."""
    leaves = noise(x, z, 1.1, 0.5) * 0.35
    for tree in site.trees:
        high = (tree.low + tree.high) / 2
        u = (x - tree.x - site.sun[0] * high) / (tree.spread * 1.1)
        v = (z - tree.z - site.sun[1] * high) / (tree.spread * 0.9)
        ground *= 1 - 0.34 * np.clip((1.05 - np.hypot(u, v) + leaves) * 2.2, 0, 1)[..., None]


@dataclasses.dataclass
class Prop:
    """A fixed object that can occlude actors.

    Attributes:
        z: depth in metres.
        left, top: position of the sprite in pixels.
        rgba: (h, w, 4) uint8, colour multiplied by alpha.
        sway: largest movement in pixels; 0 = rigid.
    """

    z: float
    left: int
    top: int
    rgba: np.ndarray
    sway: float = 0.0

    def at(self, time: float, wind: float) -> np.ndarray:
        """The sprite at a time in seconds, deformed by wind (0 to 1)."""
        if self.sway == 0.0:
            return self.rgba
        h, w = self.rgba.shape[:2]
        # the displacement is smooth, so every fourth pixel suffices
        y, x = np.mgrid[0:h + 4:4, 0:w + 4:4].astype(np.float32)
        reach = self.sway * wind * (1.0 - 0.6 * y / h)
        move = np.sin(2.1 * time + x * 0.045 + y * 0.03) + 0.5 * np.sin(5.3 * time + x * 0.13 - y * 0.09)
        field = cv2.merge([x + (reach * move).astype(np.float32),
                           y + (0.4 * reach * np.cos(3.1 * time + x * 0.08)).astype(np.float32)])
        affine = np.float32([[0.25, 0, 0], [0, 0.25, 0]])
        field = cv2.warpAffine(field, affine, (w, h), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                               borderMode=cv2.BORDER_REPLICATE)
        return cv2.remap(self.rgba, field, None, cv2.INTER_LINEAR)


def make_props(camera: Camera, site: Site, rng: np.random.Generator) -> list[Prop]:
    """Trees, a lamp post with a banner, a bench and a bin, the farthest first."""
    props = []
    for tree in site.trees:
        props += [_trunk(camera, tree), _crown(camera, tree, rng)]
    x, z = site.lamp
    props += [_lamp(camera, x, z), _banner(camera, x, z - 0.02, site.banner), _bench(camera, *site.bench),
              _bin(camera, *site.bin)]
    return sorted(props, key=lambda p: -p.z)


def _canvas(camera: Camera, z: float, x0: float, x1: float, y0: float, y1: float, factor: int = 3):
    """Oversampled canvas of a flat prop between world bounds: (pixels, left, top, function world -> canvas points)."""
    corners = camera.project(np.array([[x0, y1, z], [x1, y0, z]]))
    left, top = np.floor(corners[0]).astype(int) - 2
    right, bottom = np.ceil(corners[1]).astype(int) + 2
    canvas = np.zeros(((bottom - top) * factor, (right - left) * factor, 4), np.uint8)

    def place(*points: tuple[float, float]) -> np.ndarray:
        world = np.array([[px, py, z] for px, py in points])
        return np.rint((camera.project(world) - (left, top)) * factor).astype(np.int32)

    return canvas, int(left), int(top), place


def _finish(camera: Camera, canvas: np.ndarray, left: int, top: int, z: float, sway: float = 0.0, factor: int = 3
            ) -> Prop:
    small = cv2.resize(canvas, (canvas.shape[1] // factor, canvas.shape[0] // factor), interpolation=cv2.INTER_AREA)
    return Prop(z, left, top, small, sway * camera.width / 640)


def _trunk(camera: Camera, tree: Tree) -> Prop:
    canvas, left, top, place = _canvas(camera, tree.z, tree.x - 0.8, tree.x + 0.8, 0.0, tree.low + 1.2)
    above = tree.low + 1.2
    shape = place((tree.x - 0.26, 0), (tree.x - 0.16, 0.5), (tree.x - 0.11, above), (tree.x + 0.11, above),
                  (tree.x + 0.16, 0.5), (tree.x + 0.28, 0))
    cv2.fillPoly(canvas, [shape], (84, 70, 56, 255))
    cv2.fillPoly(canvas, [place((tree.x - 0.22, 0), (tree.x - 0.10, tree.low + 1.2), (tree.x - 0.02, tree.low + 1.2),
                                (tree.x - 0.06, 0))], (112, 95, 76, 255))
    return _finish(camera, canvas, left, top, tree.z + 0.01)


def _crown(camera: Camera, tree: Tree, rng: np.random.Generator) -> Prop:
    """Tree crown of 1,300 leaf clumps in five layers, from dark behind to light towards the sun."""
    canvas, left, top, place = _canvas(camera, tree.z, tree.x - tree.spread - 0.5, tree.x + tree.spread + 0.5,
                                       tree.low - 0.6, tree.high + 0.4)
    middle, half = (tree.low + tree.high) / 2, (tree.high - tree.low) / 2
    pixels = camera.scale(tree.z) * 3
    for layer in range(5):
        for _ in range(260):
            angle, radius = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1)) * (1.0 - 0.06 * layer)
            u, v = np.cos(angle) * radius, np.sin(angle) * radius
            centre = place((tree.x + u * tree.spread * (1 + 0.12 * np.sin(5 * angle)) - 0.06 * layer,
                            middle + v * half + 0.08 * layer))[0]
            light = 0.55 + 0.10 * layer + 0.10 * (v - u) + rng.normal(0, 0.06)
            colour = (np.array([96, 118, 62]) * light * 1.15).clip(0, 255)
            axes = (int(max(1, rng.uniform(0.07, 0.20) * pixels)), int(max(1, rng.uniform(0.05, 0.12) * pixels)))
            cv2.ellipse(canvas, centre.tolist(), axes, float(rng.uniform(0, 180)), 0, 360, (*colour.tolist(), 255), -1)
    return _finish(camera, canvas, left, top, tree.z, sway=2.6)


def _lamp(camera: Camera, x: float, z: float) -> Prop:
    canvas, left, top, place = _canvas(camera, z, x - 0.5, x + 0.5, 0.0, 4.9)
    for colour, corners in (((58, 60, 62), ((-0.13, 0), (-0.13, 0.5), (0.13, 0.5), (0.13, 0))),
                            ((66, 68, 70), ((-0.06, 0.5), (-0.045, 4.4), (0.045, 4.4), (0.06, 0.5))),
                            ((104, 106, 106), ((-0.05, 0.5), (-0.04, 4.4), (-0.01, 4.4), (-0.02, 0.5))),
                            ((214, 212, 200), ((-0.3, 4.4), (-0.2, 4.75), (0.2, 4.75), (0.3, 4.4))),
                            ((52, 54, 56), ((-0.33, 4.75), (0, 4.9), (0.33, 4.75)))):
        cv2.fillPoly(canvas, [place(*((x + dx, y) for dx, y in corners))], (*colour, 255))
    return _finish(camera, canvas, left, top, z)


def _banner(camera: Camera, x: float, z: float, colour: tuple[float, float, float]) -> Prop:
    canvas, left, top, place = _canvas(camera, z, x, x + 0.9, 2.2, 3.9)
    for tint, corners in ((colour, ((0.07, 3.8), (0.75, 3.76), (0.73, 2.32), (0.07, 2.36))),
                          ((206, 196, 170), ((0.2, 3.5), (0.6, 3.48), (0.6, 3.2), (0.2, 3.22))),
                          ((206, 196, 170), ((0.2, 3.0), (0.6, 2.98), (0.6, 2.9), (0.2, 2.92)))):
        cv2.fillPoly(canvas, [place(*((x + dx, y) for dx, y in corners))], (*tint, 255))
    return _finish(camera, canvas, left, top, z, sway=2.0)


def _bench(camera: Camera, x: float, z: float) -> Prop:
    canvas, left, top, place = _canvas(camera, z, x - 1.1, x + 1.1, 0.0, 1.0)
    for leg in (-0.8, 0.75):
        cv2.fillPoly(canvas, [place((x + leg, 0), (x + leg, 0.85), (x + leg + 0.07, 0.85), (x + leg + 0.07, 0))],
                     (60, 58, 56, 255))
    for low, tone in ((0.40, 1.0), (0.55, 0.85), (0.68, 0.95), (0.80, 1.05)):
        cv2.fillPoly(canvas, [place((x - 1, low), (x - 1, low + 0.09), (x + 1, low + 0.09), (x + 1, low))],
                     (int(136 * tone), int(104 * tone), int(72 * tone), 255))
    return _finish(camera, canvas, left, top, z)


def _bin(camera: Camera, x: float, z: float) -> Prop:
    canvas, left, top, place = _canvas(camera, z, x - 0.4, x + 0.4, 0.0, 1.1)
    cv2.fillPoly(canvas, [place((x - 0.24, 0), (x - 0.28, 0.9), (x + 0.28, 0.9), (x + 0.24, 0))], (62, 78, 66, 255))
    cv2.fillPoly(canvas, [place((x - 0.20, 0), (x - 0.23, 0.9), (x - 0.08, 0.9), (x - 0.08, 0))], (92, 110, 94, 255))
    cv2.fillPoly(canvas, [place((x - 0.3, 0.9), (x - 0.2, 1.05), (x + 0.2, 1.05), (x + 0.3, 0.9))], (44, 50, 46, 255))
    return _finish(camera, canvas, left, top, z)


@dataclasses.dataclass(frozen=True)
class Light:
    """Daylight of one video, with slow changes by clouds.

    Attributes:
        level, swing: mean gain and half its range.
        period, phase: of the slow change, in frames and radians.
        warmth: gain of red over blue.
        wind: 0 to 1, how much leaves move.
    """

    level: float
    swing: float
    period: float
    phase: float
    warmth: float
    wind: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Light:
        """Draw at random."""
        return cls(rng.uniform(0.90, 1.06), rng.uniform(0.02, 0.07), rng.uniform(160, 420), rng.uniform(0, 2 * np.pi),
                   rng.uniform(0.97, 1.04), rng.uniform(0.35, 1.0))

    def gains(self, frame: int) -> np.ndarray:
        """(3,) gains of red, green and blue in a frame."""
        gain = self.level + self.swing * np.sin(2 * np.pi * frame / self.period + self.phase)
        return gain * np.array([np.sqrt(self.warmth), 1.0, 1 / np.sqrt(self.warmth)])

    def shadow(self, frame: int) -> float:
        """Strength of shadows, 0 to 1; weaker under clouds."""
        return float(0.40 + 1.6 * (self.gains(frame)[1] - self.level))
