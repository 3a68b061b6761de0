"""Actors of the embedded sample: normal routes and anomalies.

Reads a random generator, a camera and the length of a video; makes `Actor`s. In normal footage people walk at 0.85 to
1.8 m/s: to the right on the near lane, to the left on the middle lane, both ways on the path between entrance and plaza
(keeping right), and both ways along the facade. Nobody stops, runs, rides or drives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pixelplay.sample import actors as draw
from pixelplay.sample.actors import Outfit, Parts, Pose
from pixelplay.sample.view import Camera

FPS = 25.0
ANOMALIES = ("runner", "cyclist", "cart", "throw", "fall", "wrong_way", "loiterer")
NEAR, MIDDLE, FAR = (8.6, 10.6), (12.2, 15.0), (26.2, 28.6)
"""Depth ranges of the lanes in metres."""


@dataclasses.dataclass
class Actor:
    """One participant over a whole video of T frames.

    Attributes:
        poses: T poses, None while absent.
        outfit: appearance.
        anomalous: (T,) bool.
        kind: 'walker' or one of `ANOMALIES`.
        colour: of the vehicle or the thrown bag.
        flight: frame -> (world position (3,), spin) of a thrown bag.
    """

    poses: list[Pose | None]
    outfit: Outfit
    anomalous: np.ndarray
    kind: str = "walker"
    colour: tuple[float, float, float] = (0, 0, 0)
    flight: dict[int, tuple[np.ndarray, float]] = dataclasses.field(default_factory=dict)

    def parts(self, frame: int) -> Parts | None:
        """Parts to draw in a frame; None while absent."""
        pose = self.poses[frame]
        if pose is None:
            return None
        if self.kind == "cyclist":
            return draw.bicycle(pose, self.outfit, self.colour)
        if self.kind == "cart":
            return draw.cart(pose, self.outfit, self.colour)
        parts = draw.person(pose, self.outfit)
        if frame in self.flight:
            parts += draw.bag(*self.flight[frame], self.colour)
        return parts


def walk(line: np.ndarray, speed: np.ndarray, rng: np.random.Generator, *, start: float = 0.0,
         run: np.ndarray | None = None, cycle: float | None = None) -> list[Pose | None]:
    """Poses along a polyline.

    Args:
        line: (n, 2) points (x, z) in metres.
        speed: (T,) metres per second.
        start: metres along the line at frame 0; negative = appears later.
        run: (T,) running gait, 0 to 1.
        cycle: length of a gait cycle (two steps) in metres; None derives it from the speed (1.35 at a normal walk).
    """
    steps = np.hypot(*np.diff(line, axis=0).T)
    marks = np.concatenate([[0], np.cumsum(steps)])
    way = start + np.concatenate([[0], np.cumsum(speed[:-1])]) / FPS
    x, z = np.interp(way, marks, line[:, 0]), np.interp(way, marks, line[:, 1])
    weave = 0.05 * np.sin(way * 0.9 + rng.uniform(0, 6))
    run = np.zeros(len(speed)) if run is None else run
    length = (cycle or 0.75 + 0.46 * np.clip(float(np.median(speed)), 0.6, 1.8)) * (1 + 0.75 * run)
    phase = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.cumsum(speed / FPS / length)
    ahead = np.stack([np.interp(way + 0.4, marks, line[:, 0]) - np.interp(way - 0.4, marks, line[:, 0]),
                      np.interp(way + 0.4, marks, line[:, 1]) - np.interp(way - 0.4, marks, line[:, 1])], 1)
    poses: list[Pose | None] = []
    for t in range(len(speed)):
        if way[t] < 0 or way[t] > marks[-1]:
            poses.append(None)
            continue
        d = ahead[t] / max(float(np.hypot(*ahead[t])), 1e-6)
        poses.append(Pose(x[t] + weave[t] * d[1], z[t] - weave[t] * d[0], (d[0], d[1]), phase[t],
                          stride=min(1.0, speed[t] / 0.9), run=run[t]))
    return poses


def lane_line(rng: np.random.Generator, camera: Camera, lane: tuple[float, float], to_right: bool) -> np.ndarray:
    """A slightly slanted line across the view."""
    a, b = rng.uniform(*lane, 2)
    b = a + 0.4 * (b - a)
    reach = camera.half_view(max(a, b))
    return np.array([[-reach, a], [reach, b]] if to_right else [[reach, a], [-reach, b]])


def route(rng: np.random.Generator, camera: Camera) -> np.ndarray:
    """A random normal route through the scene."""
    kind = rng.choice(5, p=[0.26, 0.28, 0.18, 0.16, 0.12])
    if kind == 0:
        return lane_line(rng, camera, NEAR, True)
    if kind == 1:
        return lane_line(rng, camera, MIDDLE, False)
    if kind == 2:  # from the entrance down the path, on its left side as seen from the camera
        x, end = rng.uniform(-1.2, -0.3), rng.uniform(-4.5, -1.5)
        return np.array([[x, 29.3], [rng.uniform(-2.2, -0.8), 17.0], [end, 9.5], [end - 0.5, 5.2]])
    if kind == 3:  # towards the entrance on the other side
        x, begin = rng.uniform(0.4, 1.3), rng.uniform(1.5, 3.0)
        return np.array([[begin + 0.4, 5.2], [begin, 9.5], [rng.uniform(0.9, 2.3), 17.0], [x, 29.3]])
    return lane_line(rng, camera, FAR, bool(rng.random() < 0.5))


def walkers(rng: np.random.Generator, camera: Camera, frames: int, density: float) -> list[Actor]:
    """Pedestrians of one video: about `density` visible at a time, some in pairs."""
    actors: list[Actor] = []
    # a crossing takes about twelve seconds
    for _ in range(max(2, round(density * (1 + frames / (12 * FPS))))):
        line, pace = route(rng, camera), float(np.clip(rng.normal(1.3, 0.22), 0.85, 1.8))
        length = float(np.hypot(*np.diff(line, axis=0).T).sum())
        start = rng.uniform(-pace * frames / FPS * 0.7, length * 0.85)
        sideways = np.array([0.1, 0.62] if abs(line[0, 0] - line[-1, 0]) > 6 else [0.62, 0.1])
        for mate in range(1 + int(rng.random() < 0.22)):
            beside = line + sideways * mate
            speed = pace * (1 + 0.04 * np.sin(np.arange(frames) / 19 + rng.uniform(0, 6)))
            poses = walk(beside, speed, rng, start=start - 0.25 * mate)
            actors.append(Actor(poses, Outfit.draw(rng), np.zeros(frames, bool)))
    return actors


DURATION = {"runner": 60, "cyclist": 85, "cart": 108, "throw": 64, "fall": 66, "wrong_way": 80, "loiterer": 72}
"""Approximate frames of an anomaly; before and after it the actor is absent or behaves normally."""


def begins(rng: np.random.Generator, kinds: Sequence[str], frames: int) -> list[int]:
    """First frame of each anomaly of a video: consecutive, with normal frames around each."""
    gap = (frames - sum(DURATION[k] for k in kinds)) / (len(kinds) + 1)
    if gap < 0.1 * frames:  # in short videos anomalies are cut off by the next one or by the end
        return [int(frames * (i + 0.35) / len(kinds)) for i in range(len(kinds))]
    out, start = [], 0.0
    for kind in kinds:
        out.append(int(start + gap * rng.uniform(0.9, 1.1)))
        start += gap + DURATION[kind]
    return out


def anomaly(kind: str, rng: np.random.Generator, camera: Camera, frames: int, begin: int) -> Actor:
    """One anomalous actor.

    Args:
        kind: one of `ANOMALIES`.
        frames: T of the video; the anomaly is cut off there.
        begin: first frame of the anomaly.
    """
    return {"runner": _runner, "cyclist": _cyclist, "cart": _cart, "throw": _throw, "fall": _fall,
            "wrong_way": _wrong_way, "loiterer": _loiterer}[kind](rng, camera, frames, begin)


def _ramp(frames: int, start: float, length: float = 6.0) -> np.ndarray:
    """(T,) 0 before `start`, 1 from `start + length` on."""
    return np.clip((np.arange(frames) - start) / length, 0.0, 1.0)


def _between(frames: int, start: float, stop: float) -> np.ndarray:
    t = np.arange(frames)
    return (t >= start) & (t < stop)


def _present(poses: list[Pose | None]) -> np.ndarray:
    return np.array([p is not None for p in poses])


def _outfit(rng: np.random.Generator, **changes) -> Outfit:
    return dataclasses.replace(Outfit.draw(rng), skirt=False, **changes)


def _runner(rng: np.random.Generator, camera: Camera, frames: int, begin: int) -> Actor:
    """A pedestrian on the middle lane who runs for a while."""
    run = _ramp(frames, begin) - _ramp(frames, begin + DURATION["runner"] - 6)
    line = lane_line(rng, camera, MIDDLE, False)
    poses = walk(line, 1.4 + 2.6 * run, rng, start=rng.uniform(2.0, 4.0) - 1.4 * begin / FPS, run=run)
    return Actor(poses, _outfit(rng), _present(poses) & (run > 0.3), "runner")


def _cyclist(rng: np.random.Generator, camera: Camera, frames: int, begin: int) -> Actor:
    """A cyclist who crosses the plaza."""
    line, speed = lane_line(rng, camera, (11.5, 14.5), bool(rng.random() < 0.5)), rng.uniform(5.2, 6.0)
    poses = walk(line, np.full(frames, speed), rng, start=-speed * begin / FPS, cycle=5.2)
    return Actor(poses, _outfit(rng, bag=""), _present(poses), "cyclist",
                 tuple(rng.choice([(150, 40, 40), (40, 70, 130), (60, 60, 62)]).tolist()))


def _cart(rng: np.random.Generator, camera: Camera, frames: int, begin: int) -> Actor:
    """A small cart on the middle lane."""
    line, speed = lane_line(rng, camera, (12.8, 14.6), bool(rng.random() < 0.5)), rng.uniform(3.6, 4.4)
    poses = walk(line, np.full(frames, speed), rng, start=-speed * begin / FPS, cycle=1.63)
    return Actor(poses, _outfit(rng, bag=""), _present(poses), "cart",
                 tuple(rng.choice([(196, 196, 190), (150, 160, 120), (120, 140, 170)]).tolist()))


def _throw(rng: np.random.Generator, camera: Camera, frames: int, begin: int) -> Actor:
    """A pedestrian who stops, throws a bag into the air three times, and walks on."""
    end = begin + DURATION["throw"]
    pause = _ramp(frames, begin, 5) - _ramp(frames, end - 5, 5)
    line = lane_line(rng, camera, (10.8, 13.5), False)
    poses = walk(line, 1.25 * (1 - pause), rng, start=camera.half_view(12) * rng.uniform(0.7, 1.1) - 1.25 * begin / FPS)
    outfit = _outfit(rng, bag="")
    lift = np.clip(_ramp(frames, begin + 2, 4) - _ramp(frames, end - 5, 5), 0, 1)
    actor = Actor(poses, outfit, _between(frames, begin, end) & _present(poses), "throw",
                  tuple(rng.choice([(170, 60, 50), (60, 70, 120), (200, 180, 90)]).tolist()))
    release, air = begin + 6, 17
    for t, pose in enumerate(poses):
        if pose is None:
            continue
        pose.raised = 0.92 * lift[t]
        pose.stride *= 1 - pause[t]
        hand = draw.hand_of(pose, outfit) - (0.0, 0.16, 0.0)
        # each throw is a parabola of `air` frames that begins and ends in the raised hand
        share = ((t - release) % air) / air if release <= t < release + 3 * air else 0.0
        up = 0.5 * 9.81 * (air / FPS) ** 2 * share * (1 - share)
        drift = 0.4 * np.sin(np.pi * share)
        actor.flight[t] = (hand + np.array([drift * pose.heading[0], up, drift * pose.heading[1]]), 0.3 + 7.0 * share)
    return actor


def _fall(rng: np.random.Generator, camera: Camera, frames: int, begin: int) -> Actor:
    """A pedestrian who falls, lies for about 1.5 seconds, gets up and walks on."""
    end = begin + DURATION["fall"]
    down = _ramp(frames, begin, 9) ** 1.6 - _ramp(frames, end - 20, 20) ** 0.8
    still = _ramp(frames, begin, 8) - _ramp(frames, end - 4, 10)
    line = lane_line(rng, camera, (9.6, 13.0), True)
    poses = walk(line, 1.35 * (1 - still) + 1e-3, rng,
                 start=camera.half_view(11) * rng.uniform(0.6, 0.95) - 1.35 * begin / FPS)
    for t, pose in enumerate(poses):
        if pose is not None:
            pose.fall, pose.stride = float(down[t]), pose.stride * (1 - 0.6 * down[t])
            pose.raised = 0.6 * float(down[t])
    return Actor(poses, _outfit(rng), _between(frames, begin + 1, end) & _present(poses), "fall")


def _wrong_way(rng: np.random.Generator, camera: Camera, frames: int, begin: int) -> Actor:
    """A pedestrian on the near lane against its direction, who then takes the path like others."""
    pace, z = rng.uniform(1.4, 1.7), rng.uniform(*NEAR)
    line = np.array([[camera.half_view(z), z], [1.9, z - 0.3], [1.5, 17.0], [0.8, 29.3]])
    poses = walk(line, np.full(frames, pace), rng, start=-pace * begin / FPS)
    against = np.array([p is not None and p.heading[0] < -0.5 for p in poses])
    return Actor(poses, _outfit(rng), against, "wrong_way")


def _loiterer(rng: np.random.Generator, camera: Camera, frames: int, begin: int) -> Actor:
    """A pedestrian who stops in the middle of the plaza, looks around, and walks on."""
    stay = _ramp(frames, begin, 7) - _ramp(frames, begin + DURATION["loiterer"] - 7, 7)
    line = lane_line(rng, camera, (10.6, 13.5), False)
    poses = walk(line, 1.2 * (1 - stay) + 1e-3, rng,
                 start=camera.half_view(12) * rng.uniform(0.6, 1.0) - 1.2 * begin / FPS)
    turning = np.sin((np.arange(frames) - begin) / 9.0) * stay
    for t, pose in enumerate(poses):
        if pose is not None:
            d, a = pose.heading, 1.3 * turning[t]
            pose.heading = (d[0] * np.cos(a) - d[1] * np.sin(a), d[0] * np.sin(a) + d[1] * np.cos(a))
            pose.turn = float(0.8 * turning[t])
    return Actor(poses, _outfit(rng), _present(poses) & (stay > 0.5), "loiterer")
