"""Things that hands hold, or that come between a hand and the camera: superellipsoids.

Balls, tins, boxes, sticks and what lies between them are one family of surfaces (Barr 1981), so
that one mesh serves for all. Their implicit functions are homogeneous, so the largest size that no
skin enters follows in one step. A held thing moves and turns until that size is greatest: then it
touches skin on every side to which it could give way, as what is held does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from render.hand_model import HandModel, HandShape, PosedHand, rotation, vertex_normals

Floats = NDArray[np.float64]

ROWS, COLUMNS = 20, 32
LEAST_M, MOST_M, MOST_LONG_M = 0.003, 0.055, 0.14
"""Half of a held thing's shortest side, at least and at most, and of its longest."""

TOUCH_M = 0.003
"""What holds a thing lies no farther from it."""

_TRIES = 3  # forms and places
_FIRST_STEP_M, _LAST_STEP_M, _TURN_M, _FEW = 0.006, 0.0007, 0.04, 500


@dataclass(frozen=True)
class Form:
    """A superellipsoid.

    Attributes:
        name: for labels.
        half: (3,) half sides, the shortest being 1.
        upright, around: exponents, 1 round, near 0 with edges: of the outline along the third
            axis, and of the cross-section.
    """

    name: str
    half: tuple[float, float, float]
    upright: float
    around: float


FORMS = (
    Form("ball", (1.0, 1.0, 1.0), 1.0, 1.0),
    Form("egg", (1.0, 1.0, 1.35), 1.0, 1.0),
    Form("tin", (1.0, 1.0, 1.6), 0.12, 1.0),
    Form("stick", (1.0, 1.0, 9.0), 0.1, 1.0),
    Form("pen", (1.0, 1.0, 18.0), 0.2, 0.5),
    Form("box", (1.0, 1.3, 1.8), 0.1, 0.1),
    Form("phone", (1.0, 8.5, 17.0), 0.12, 0.12),
    Form("disc", (5.0, 5.0, 1.0), 0.25, 1.0),
)


@dataclass(frozen=True)
class Thing:
    """A thing in its place.

    Attributes:
        form: of it.
        role: "held" or "before" the hand.
        scale_m: half of its shortest side.
        centre_m: (3,) in the axes of the posed right hand.
        axes: (3, 3) rows: its own axes there.
        albedo, second: (3,) linear colours.
        pattern: 0 one colour, 1 stripes, 2 patches.
        roughness: of its surface.
    """

    form: Form
    role: str
    scale_m: float
    centre_m: Floats
    axes: Floats
    albedo: tuple[float, float, float]
    second: tuple[float, float, float]
    pattern: int
    roughness: float

    def vertices(self) -> Floats:
        """(ROWS * COLUMNS, 3) in the axes of the posed right hand."""
        local = _surface(self.form) * self.scale_m
        return np.asarray(self.centre_m + local @ self.axes)


def faces() -> NDArray[np.int32]:
    """(F, 4) quads of a thing's mesh, counter-clockwise from outside."""
    row, column = np.meshgrid(np.arange(ROWS - 1), np.arange(COLUMNS), indexing="ij")
    after = (column + 1) % COLUMNS
    corners = [
        row * COLUMNS + column,
        row * COLUMNS + after,
        (row + 1) * COLUMNS + after,
        (row + 1) * COLUMNS + column,
    ]
    return np.stack(corners, axis=-1).reshape(-1, 4).astype(np.int32)


def held_thing(
    rng: np.random.Generator, model: HandModel, shape: HandShape, posed: PosedHand
) -> Thing | None:
    """Something in the hand as it is held: it grows and gives way until skin stops it from both
    sides; None where nothing is held between thumb, fingers and palm.

    Args:
        rng: of the sample.
        model, shape, posed: whose hand.
    """
    normals = vertex_normals(posed.vertices_m, model.faces)
    own = np.flatnonzero(model.vertex_part > 0)
    rng.shuffle(own)
    skin = _Skin(posed.vertices_m[own], normals[own], model.vertex_part[own])
    for _ in range(_TRIES):
        form = FORMS[int(rng.integers(len(FORMS)))]
        centre, axes = _between_fingers(rng, shape, posed)
        place = _held_place(form, skin, centre, axes)
        if place is not None:
            return _painted(rng, form, "held", *place)
    return None


@dataclass(frozen=True)
class _Skin:
    """Of palm and fingers in random order: points_m, normals (N, 3), parts (N,)."""

    points_m: Floats
    normals: Floats
    parts: NDArray[np.int32]


def _between_fingers(
    rng: np.random.Generator, shape: HandShape, posed: PosedHand
) -> tuple[Floats, Floats]:
    """A place (3,) and axes (3, 3) to begin with: in the palm, or between thumb and fingertips."""
    points = posed.keypoints_m
    across = _unit(points[17] - points[5])
    if rng.random() < 0.45:
        tip = points[8] if rng.random() < 0.6 else points[[8, 12]].mean(axis=0)
        line = _unit(tip - points[4])
        middle, reach = (points[4] + tip) / 2, 0.003
        axes = _frame(_unit(np.cross(line, across)), line)
    else:
        palm, tips = points[[0, 5, 17]].mean(axis=0), points[[8, 12, 16, 20]].mean(axis=0)
        middle, reach = (palm + tips) / 2 + 0.008 * shape.palmar, 0.01
        axes = _frame(across, shape.palmar)
    return middle + rng.normal(0.0, reach, 3), axes


def _held_place(
    form: Form, skin: _Skin, centre: Floats, axes: Floats
) -> tuple[float, Floats, Floats] | None:
    """Size, place and axes at which a thing can't grow any more, whichever way it gives."""
    most = min(MOST_M, MOST_LONG_M / max(form.half))
    few = _Skin(skin.points_m[:_FEW], skin.normals[:_FEW], skin.parts[:_FEW])
    scale = _free_scale(form, few, centre, axes)
    step = _FIRST_STEP_M
    while step > _LAST_STEP_M:
        before = scale
        for move, turn in _MOVES:
            place, turned = centre + step * move @ axes, turn(step / _TURN_M) @ axes
            found = _free_scale(form, few, place, turned)
            if found > 1.001 * scale:
                scale, centre, axes = found, place, turned
        if scale > 1.25 * most:
            return None  # it would slip out of the hand
        if scale <= 1.02 * before:
            step /= 2
    scale = _free_scale(form, skin, centre, axes)
    if not LEAST_M <= scale <= most or not _is_gripped(form, skin, scale, centre, axes):
        return None
    return scale, centre, axes


def _free_scale(form: Form, skin: _Skin, centre: Floats, axes: Floats) -> float:
    """The size at which a thing touches the first skin; 0 if it would lie within the flesh."""
    scales = _scales(form, skin.points_m, centre, axes)
    first = int(scales.argmin())
    outside = (centre - skin.points_m[first]) @ skin.normals[first] > 0
    return float(scales[first]) if outside else 0.0


def _is_gripped(form: Form, skin: _Skin, scale: float, centre: Floats, axes: Floats) -> bool:
    """Whether parts of the hand touch the thing from opposite sides."""
    away = np.linalg.norm(skin.points_m - centre, axis=1)
    gaps = away * (1 - scale / _scales(form, skin.points_m, centre, axes))
    touching = gaps < TOUCH_M
    normals, parts = skin.normals[touching], skin.parts[touching]
    opposed = (normals @ normals.T < -0.4) & (parts[:, None] != parts)
    return bool(opposed.any())


_MOVES: tuple[tuple[Floats, Callable[[float], Floats]], ...] = (
    *((sign * axis, lambda _: np.eye(3)) for axis in np.eye(3) for sign in (1, -1)),
    *((np.zeros(3), partial(rotation, sign * axis)) for axis in np.eye(3) for sign in (1.0, -1.0)),
)


def thing_before(
    rng: np.random.Generator, keypoints_m: Floats, eye_m: Floats, depth_share: float
) -> Thing:
    """Something between the eye and a keypoint of the hand.

    Args:
        rng: of the sample.
        keypoints_m: (21, 3) of the hand.
        eye_m: (3,) the camera's place in the same axes.
        depth_share: where it stands on the way from the eye to the hand, 0..1.
    """
    form = FORMS[int(rng.integers(len(FORMS)))]
    target = keypoints_m[int(rng.integers(21))]
    centre = eye_m + depth_share * (target - eye_m)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    hand = float(np.linalg.norm(keypoints_m[9] - keypoints_m[0]))
    size = hand * depth_share * rng.uniform(0.15, 0.4) / np.mean(form.half) * 1.2
    return _painted(rng, form, "before", float(size), centre, turn)


def largest_scale(form: Form, skin_m: Floats, centre_m: Floats, axes: Floats) -> float:
    """The size at which the first of the (N, 3) skin points touches the thing, in metres."""
    if not len(skin_m):
        return math.inf
    return float(_scales(form, skin_m, centre_m, axes).min())


def _scales(form: Form, points_m: Floats, centre_m: Floats, axes: Floats) -> Floats:
    """(N,) the size at which a thing's surface passes through each point."""
    local = np.abs((points_m - centre_m) @ axes.T) / np.array(form.half)
    flat = (local[:, 0] ** (2 / form.around) + local[:, 1] ** (2 / form.around)) ** (
        form.around / form.upright
    )
    return np.asarray((flat + local[:, 2] ** (2 / form.upright)) ** (form.upright / 2))


def _painted(
    rng: np.random.Generator, form: Form, role: str, scale_m: float, centre_m: Floats, axes: Floats
) -> Thing:
    colours = rng.uniform(0.0, 0.9, (2, 3)) ** 1.4
    first, second = (tuple(colour) for colour in colours.tolist())
    return Thing(
        form, role, scale_m, centre_m, axes, first, second, int(rng.integers(3)),
        float(rng.uniform(0.08, 0.8)),
    )  # fmt: skip


def _surface(form: Form) -> Floats:
    """(ROWS * COLUMNS, 3) points of the form of scale 1, rows from pole to pole."""
    # Rows crowd toward the rims, where boxes and tins bend.
    up = np.linspace(-1, 1, ROWS) * math.pi / 2
    turn = 2 * math.pi * np.arange(COLUMNS) / COLUMNS
    up, turn = np.meshgrid(up, turn, indexing="ij")

    def power(value: Floats, exponent: float) -> Floats:
        return np.asarray(np.sign(value) * np.abs(value) ** exponent)

    wide = power(np.cos(up), form.upright)
    points = np.stack(
        [
            wide * power(np.cos(turn), form.around),
            wide * power(np.sin(turn), form.around),
            power(np.sin(up), form.upright),
        ],
        axis=-1,
    )
    return np.asarray(points.reshape(-1, 3) * np.array(form.half))


def _frame(third: Floats, hint: Floats) -> Floats:
    """(3, 3) right-handed axes, the third as given, the first near `hint`."""
    first = _unit(hint - (hint @ third) * third)
    return np.stack([first, np.cross(third, first), third])


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))
