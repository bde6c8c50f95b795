"""Things that hands hold, or that come between a hand and the camera: superellipsoids.

Balls, tins, boxes, sticks and what lies between them are one family of surfaces (Barr 1981), so
that one mesh serves for all. A held thing is as large as the fingers leave room for: its implicit
function is homogeneous, so the largest size that no skin enters follows in one step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render.hand_model import HandShape, PosedHand

Floats = NDArray[np.float64]

ROWS, COLUMNS = 20, 32
LEAST_M, MOST_M = 0.004, 0.055
"""Half of a held thing's shortest side."""

_TRIES = 24


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


def held_thing(rng: np.random.Generator, shape: HandShape, posed: PosedHand) -> Thing | None:
    """Something in the hand as it is held; None where the fingers leave no room for it.

    Args:
        rng: of the sample.
        shape, posed: whose hand.
    """
    form = FORMS[int(rng.integers(len(FORMS)))]
    points = posed.keypoints_m
    across = _unit(points[17] - points[5])
    palm = points[[0, 5, 17]].mean(axis=0)
    tips = points[[8, 12, 16, 20]].mean(axis=0)
    # Between palm and fingertips, or between thumb and index finger.
    pinched = rng.random() < 0.35
    if pinched:
        middle, reach = (points[4] + points[8]) / 2, 0.004
        line = _unit(points[8] - points[4])
        axes = _frame(_unit(np.cross(line, across)), line)
    else:
        middle, reach = (palm + tips) / 2 + 0.012 * shape.palmar, 0.015
        axes = _frame(across, shape.palmar)
    skin = posed.vertices_m[np.linalg.norm(posed.vertices_m - middle, axis=1) < 0.2]
    best_scale, best_centre = 0.0, middle
    for offset in rng.normal(0.0, reach, (_TRIES, 3)):
        scale = largest_scale(form, skin, middle + offset, axes)
        if scale > best_scale:
            best_scale, best_centre = scale, middle + offset
    most = MOST_M * rng.uniform(0.4, 1.0)
    if best_scale < LEAST_M or (best_scale > 1.6 * most):
        return None  # too little room, or so much that it would hang in the air
    return _painted(rng, form, "held", min(best_scale, most), best_centre, axes)


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
    local = np.abs((skin_m - centre_m) @ axes.T) / np.array(form.half)
    flat = (local[:, 0] ** (2 / form.around) + local[:, 1] ** (2 / form.around)) ** (
        form.around / form.upright
    )
    return float(((flat + local[:, 2] ** (2 / form.upright)) ** (form.upright / 2)).min())


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
