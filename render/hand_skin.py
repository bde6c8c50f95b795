"""Colours of a hand's skin, vertex by vertex: palms, knuckles, fingertips, nails; its creases."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from render.hand_model import FINGERS, HandModel, HandShape, vertex_normals
from render.skin_tones import tone_albedo

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HandLook:
    """How one hand's skin looks.

    Attributes:
        tone: name of the skin tone.
        warmth, depth: -1..1, see `tone_albedo`.
        redness: 0..1 of knuckles and fingertips.
        polish: linear RGB of nail varnish, or None.
        nail_length: 0..1, how much of the nails is white.
    """

    tone: str
    warmth: float
    depth: float
    redness: float
    polish: tuple[float, float, float] | None
    nail_length: float


class HandPainter:
    """Where on the hand model each colour goes; worked out once on an average hand."""

    def __init__(self, model: HandModel, average: HandShape) -> None:
        vertices = average.vertices_m
        normals = vertex_normals(vertices, model.faces)
        out = normals @ average.palmar
        thumb = model.vertex_part == 2
        # The thumb's pad looks along its own direction, not the palm's.
        axis = average.joints_m[4] - average.joints_m[3]
        pad = np.cross(average.hinges[0], axis / np.linalg.norm(axis))
        out = np.where(thumb, normals @ pad, out)
        on_arm = model.weights[:, 0].astype(np.float64)
        self._palmar = _ramp(out, -0.1, 0.5) * (1 - on_arm)
        self._nails = np.clip(model.nails * 1.3, 0, 1)
        self._knuckles = _near(vertices, average.joints_m[_KNUCKLES], 0.009) * _ramp(-out, 0.1, 0.6)
        self._tips = _near(vertices, average.tips_m, 0.010)
        self.detail = _detail(model, average, self._palmar, out)
        """(V, 3) what `skin_material` reads: metres to a crease, its depth, tendons."""
        self._free_edge = self._nails * _near(vertices, _nail_ends(average), 0.0035)

    def paint(self, look: HandLook) -> NDArray[np.float32]:
        """(V, 4) linear RGB albedo, and 1 for dry skin, less where it shines."""
        base = tone_albedo(look.tone, look.warmth, look.depth)
        # Palms hold little melanin: on dark hands far lighter than the back, on light ones redder.
        palm = np.maximum(base, 0.55 * base + 0.45 * np.array([0.46, 0.25, 0.17]))
        palm = palm * np.array([1.02, 0.93, 0.90])
        colour = np.broadcast_to(base, (len(self._palmar), 3)).copy()
        colour = _mix(colour, palm, self._palmar)
        red = np.array([1.06, 0.78, 0.74])
        strength = 0.35 + 0.65 * look.redness
        colour *= 1 + (red * 0.9 - 1) * (self._knuckles * strength)[:, None]
        colour *= 1 + (red - 1) * (self._tips * strength)[:, None]
        nail = look.polish if look.polish is not None else base * 0.5 + np.array([0.3, 0.19, 0.16])
        colour = _mix(colour, np.asarray(nail), self._nails)
        if look.polish is None:
            white = np.array([0.62, 0.56, 0.48])
            colour = _mix(colour, white, self._free_edge * 0.7 * look.nail_length)
        dry = 1 - self._nails * 0.9
        return np.concatenate([np.clip(colour, 0.005, 0.9), dry[:, None]], axis=1).astype(
            np.float32
        )


def random_look(rng: np.random.Generator, tones: tuple[str, ...]) -> HandLook:
    """Skin of any tone with equal chance."""
    polish = None
    if rng.random() < 0.1:
        polish = tuple(float(v) for v in rng.uniform(0.02, 0.7, 3) ** 1.5)
    return HandLook(
        tone=tones[int(rng.integers(len(tones)))],
        warmth=float(np.clip(rng.normal(0, 0.5), -1, 1)),
        depth=float(rng.uniform(-1, 1)),
        redness=float(rng.uniform(0, 1)),
        polish=polish,  # type: ignore[arg-type]
        nail_length=float(rng.uniform(0, 1)),
    )


_CREASE_REACH_M = 0.006  # farther away none is drawn, and the nearest one may change
_TENDON_M = 0.0022  # half of its width

# Lines of the palm through points given as shares of the way from the wrist to the middle knuckle,
# and of the way from the little finger's knuckle to the index finger's, counted from its middle.
_PALM_LINES = (
    ((0.72, -0.52), (0.72, -0.2), (0.80, 0.08), (0.93, 0.22)),  # heart
    ((0.72, 0.46), (0.64, 0.2), (0.54, -0.1), (0.42, -0.36)),  # head
    ((0.60, 0.46), (0.42, 0.24), (0.24, 0.14), (0.06, 0.12)),  # life
)


def _detail(model: HandModel, shape: HandShape, palmar: Floats, out: Floats) -> Floats:
    """(V, 3) signed metres to the nearest crease, its depth 0..1, height of tendons 0..1."""
    vertices, joints = shape.vertices_m, shape.joints_m
    distance = np.full(len(vertices), 1.0)
    for f in range(len(FINGERS)):
        own = model.vertex_part == 2 + f
        chain = [*joints[2 + 3 * f : 5 + 3 * f], shape.tips_m[f]]
        places = [(chain[k], chain[k + 1] - chain[k - 1]) for k in (1, 2)]
        if f:  # where the finger leaves the palm, in the middle of its first phalanx
            places.append(((chain[0] + chain[1]) / 2, chain[1] - chain[0]))
        for place, axis in places:
            along = (vertices - place) @ (axis / np.linalg.norm(axis))
            nearer = own & (np.abs(along) < np.abs(distance))
            distance = np.where(nearer, along, distance)
    hand = model.vertex_part == 1
    origin, across = shape.wrist_m, joints[5] - joints[14]
    forward = joints[8] - origin
    for line in _PALM_LINES:
        points = np.array([origin + a * forward + b * across for a, b in line])
        aside = _signed_distance(vertices, points, shape.palmar)
        nearer = hand & (np.abs(aside) < np.abs(distance))
        distance = np.where(nearer, aside, distance)
    depth = palmar * _ramp(-np.abs(distance), -_CREASE_REACH_M, -0.7 * _CREASE_REACH_M)
    tendons = np.zeros(len(vertices))
    for knuckle in joints[[5, 8, 11, 14]]:
        start = origin + 0.35 * (knuckle - origin)
        aside = _signed_distance(vertices, np.stack([start, knuckle]), shape.palmar)
        tendons = np.maximum(tendons, np.exp(-((aside / _TENDON_M) ** 2)))
    tendons *= hand * _ramp(-out, 0.3, 0.8)
    return np.stack([np.clip(distance, -0.05, 0.05), depth, tendons], axis=1)


def _signed_distance(vertices: Floats, line: Floats, normal: Floats) -> Floats:
    """(V,) metres to a line of points, seen along `normal`; its sign says on which side."""
    nearest = np.full(len(vertices), np.inf)
    for start, end in pairwise(line):
        axis = end - start
        axis = axis - (axis @ normal) * normal
        offset = vertices - start
        offset = offset - (offset @ normal)[:, None] * normal
        share = np.clip(offset @ axis / (axis @ axis), 0, 1)
        apart = np.linalg.norm(offset - share[:, None] * axis, axis=1)
        side = np.sign(np.cross(axis, offset) @ normal)
        nearest = np.where(apart < np.abs(nearest), apart * side, nearest)
    return nearest


_KNUCKLES = [2 + 3 * f + k for f in range(len(FINGERS)) for k in range(3) if f or k]


def _nail_ends(shape: HandShape) -> Floats:
    last = shape.joints_m[4::3]
    return np.asarray(last + 1.18 * (shape.tips_m - last))


def _near(vertices: Floats, points: Floats, radius: float) -> Floats:
    """1 at any of the points, falling off to 0 at twice the radius."""
    distance = np.linalg.norm(vertices[:, None] - points[None], axis=2).min(axis=1)
    return _ramp(-distance, -2 * radius, -0.4 * radius)


def _mix(colour: Floats, other: Floats, amount: Floats) -> Floats:
    return np.asarray(colour + (other - colour) * amount[:, None])


def _ramp(value: Floats, low: float, high: float) -> Floats:
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
