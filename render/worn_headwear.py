"""Caps, hats, knitted hats and headscarves, laid over the shape of a head."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from render.worn import Bearer
from render.worn_shapes import Envelope, Mesh, Shell, joined, sheet_faces, taut
from runtime.topology import topology

Floats = NDArray[np.float64]

KINDS: Mapping[str, float] = {"cap": 0.34, "knitted": 0.28, "scarf": 0.26, "hat": 0.12}
"""Kinds of headwear and their shares."""


@dataclass(frozen=True)
class Headwear:
    """Something on the head.

    Attributes:
        kind: out of `KINDS`.
        low: 0..1, how far it comes down over the forehead.
        loose: 0..1, how far it stands off or hangs.
        backward: a cap's visor points backward.
        brim_m: length of visor or brim.
        albedo, second: (3,) linear colours.
        stripes: metres from stripe to stripe, 0 for none.
        phase: of its folds.
    """

    kind: str
    low: float
    loose: float
    backward: bool
    brim_m: float
    albedo: tuple[float, float, float]
    second: tuple[float, float, float]
    stripes: float
    phase: float

    @property
    def hides_hair(self) -> bool:
        """Whether no hair comes out below it."""
        return self.kind == "scarf"

    def cloth(self) -> dict[str, float | tuple[float, float, float]]:
        """Inputs of `render.cloth.sleeve_material`."""
        return {
            "albedo": self.albedo,
            "second": self.second,
            "stripes": float(self.stripes > 0),
            "checks": 0.0,
            "knit": float(self.kind == "knitted"),
            "pitch": max(self.stripes, 0.01),
        }


@dataclass(frozen=True)
class Laid:
    """Headwear on a head, in the skull's axes: its mesh, where each vertex lies on a cylinder as
    `sleeve_material` has it (V, 3), and what keeps hair below it."""

    mesh: Mesh
    places: Floats
    shell: Shell


_AROUND, _UP = 64, 20
_THICK_M: Mapping[str, float] = {"cap": 0.006, "knitted": 0.006, "hat": 0.009, "scarf": 0.004}
# Elevation of the rim over the ears and in the neck, seen from the middle of the skull, degrees.
_RIM_DEG: Mapping[str, tuple[float, float]] = {
    "cap": (6, -16), "knitted": (-10, -26), "hat": (8, -8),
}  # fmt: skip
_SCARF_REACH_M = 0.235  # farther from the head's middle it lies under the clothes


def random_headwear(rng: np.random.Generator, female: bool) -> Headwear:
    """Any kind; headscarves are women's."""
    shares = {k: v for k, v in KINDS.items() if female or k != "scarf"}
    weights = np.array(list(shares.values()))
    kind = str(rng.choice(list(shares), p=weights / weights.sum()))
    colours = rng.uniform(0.01, 0.85, (2, 3)) ** 1.6
    if rng.random() < 0.35:
        colours[0] = rng.uniform(0.008, 0.05)
    (r, g, b), (r2, g2, b2) = colours.tolist()
    brim = {"cap": rng.uniform(0.055, 0.078), "hat": rng.uniform(0.035, 0.09)}.get(kind, 0.0)
    return Headwear(
        kind=kind,
        low=float(rng.uniform(0, 1)),
        loose=float(rng.uniform(0, 1)),
        backward=bool(kind == "cap" and rng.random() < 0.2),
        brim_m=float(brim),
        albedo=(r, g, b),
        second=(r2, g2, b2),
        stripes=float(rng.uniform(0.008, 0.03))
        if kind in ("knitted", "scarf") and rng.random() < 0.3
        else 0.0,
        phase=float(rng.uniform(0, 2 * math.pi)),
    )


def laid(headwear: Headwear, bearer: Bearer, hair_m: float = 0.0) -> Laid:
    """Put it on.

    Args:
        headwear: what.
        bearer: whose head.
        hair_m: how thick the hair below it is.
    """
    if headwear.kind == "scarf":
        return _scarf(headwear, bearer)
    size = bearer.scale
    centre = bearer.middle + np.array([0.0, 0.09, 0.02]) * size
    rim = _rim(headwear, bearer.landmarks_m, centre)
    azimuth = 2 * np.pi * np.arange(_AROUND) / _AROUND
    t = np.linspace(0, 1, _UP)[:, None]
    up = rim + t * (math.pi / 2 - rim)
    directions = _polar(np.broadcast_to(azimuth, up.shape), up)
    head = Envelope(bearer.skin_m, centre).radius(directions, 0.08)
    thick = (_THICK_M[headwear.kind] + hair_m) * size
    smooth = gaussian_filter(np.maximum(head, gaussian_filter(head, 1.5, mode=_WRAP)), 1.0,
                             mode=_WRAP)  # fmt: skip
    radius = np.maximum(smooth, head) + thick + _stand_off(headwear, t, azimuth) * size
    crown = centre + radius[..., None] * directions
    # The rim turns inward, so that no light passes between cloth and skin.
    lip = centre + (0.955 * head[:1, :, None]) * directions[:1]
    sheet = np.concatenate([lip, crown])
    dome = Mesh(sheet.reshape(-1, 3), sheet_faces(_UP + 1, _AROUND, closed=True))
    parts = [dome]
    if headwear.brim_m:
        parts.append(_brim(headwear, crown[0], azimuth, size))
    mesh = joined(parts)
    return Laid(mesh, _places(mesh.vertices_m, centre), Shell(crown.reshape(-1, 3), centre, 0.1))


_WRAP = ("nearest", "wrap")


def _polar(azimuth: Floats, up: Floats) -> Floats:
    """Unit directions; azimuth 0 is forward, a quarter turn the subject's left."""
    return np.stack(
        [np.sin(azimuth) * np.cos(up), -np.cos(azimuth) * np.cos(up), np.sin(up)], axis=-1
    )


def _rim(headwear: Headwear, points: Floats, centre: Floats) -> Floats:
    """(C,) elevation of the rim around the head."""
    forehead = points[10] + (0.25 + 0.5 * headwear.low) * (points[9] - points[10])
    if headwear.backward:
        forehead = points[10] + 0.2 * (points[9] - points[10])
    offset = forehead - centre
    front = math.atan2(offset[2], -offset[1])
    side, back = (math.radians(angle) for angle in _RIM_DEG[headwear.kind])
    azimuth = 2 * np.pi * np.arange(_AROUND) / _AROUND
    ahead = np.cos(azimuth)
    return np.asarray(
        side + (front - side) * np.clip(ahead, 0, 1) ** 1.3
        + (back - side) * np.clip(-ahead, 0, 1) ** 1.3
    )  # fmt: skip


def _stand_off(headwear: Headwear, t: Floats, azimuth: Floats) -> Floats:
    """(rows, columns) metres beyond thickness."""
    step = np.clip
    if headwear.kind == "knitted":
        band = 0.0035 * (1 - step((t - 0.22) / 0.03, 0, 1))
        hang = 0.03 * headwear.loose**2 * step((t - 0.5) / 0.5, 0, 1) ** 1.5
        behind = 0.02 * headwear.loose**2 * np.clip(-np.cos(azimuth), 0, 1) * np.sin(np.pi * t)
        return np.asarray(band + hang + behind)
    front = np.clip(np.cos(azimuth), 0, 1)
    if headwear.kind == "cap":
        panel = 0.010 * front * step(t / 0.2, 0, 1) * (1 - step((t - 0.35) / 0.5, 0, 1))
        seams = 0.0008 * np.cos(6 * azimuth) * step(t / 0.2, 0, 1) * (1 - t)
        return np.asarray(panel + seams + 0.004 * headwear.loose)
    crown = 0.022 * step(t / 0.45, 0, 1) * (1 - 0.35 * step((t - 0.75) / 0.25, 0, 1))
    return np.asarray(crown + 0.006 * headwear.loose + 0 * front)


def _brim(headwear: Headwear, rim: Floats, azimuth: Floats, size: float) -> Mesh:
    """A cap's visor or a hat's brim: two sheets from the rim outward."""
    inner = rim.mean(axis=0)
    if headwear.kind == "hat":
        out = rim - inner
        out[:, 2] = 0
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        wave = 0.12 * np.cos(2 * azimuth + headwear.phase)
        way = out + [0.0, 0.0, 1.0] * (-0.12 - 0.1 * headwear.loose + wave)[:, None]
        length = np.full(_AROUND, headwear.brim_m * size)
        start, closed = rim, True
    else:
        turned = math.pi if headwear.backward else 0.0
        u = np.linspace(-1, 1, 29)
        angle = np.mod(turned + math.radians(62) * u, 2 * np.pi)
        start = np.stack(
            [np.interp(angle, azimuth, rim[:, k], period=2 * np.pi) for k in range(3)], axis=1
        )
        ahead = np.array([0.0, 1.0 if headwear.backward else -1.0, -0.16])
        way = ahead + np.stack(
            [0.3 * np.sin(angle), 0 * u, -0.25 * u**2 - 0.05], axis=1
        )  # fmt: skip
        length = headwear.brim_m * size * np.sqrt(np.clip(1 - u**2, 0, 1)) ** 0.8 + 0.002
        closed = False
    v = np.linspace(-0.12, 1, 7)[:, None, None]
    droop = np.array([0.0, 0.0, -0.006 * size]) * np.clip(v, 0, 1) ** 2
    sheet = start + v * length[None, :, None] * way + droop
    below = sheet - [0.0, 0.0, 0.0022 * size]
    rows, columns = sheet.shape[:2]
    faces = sheet_faces(rows, columns, closed)
    # Rows lead outward and columns to the subject's left: seen from above, clockwise.
    up = faces[:, ::-1] if not headwear.backward or closed else faces
    top = Mesh(sheet.reshape(-1, 3), up)
    under = Mesh(below.reshape(-1, 3), up[:, ::-1])
    edge = np.stack([sheet[-1], below[-1]])
    return joined([top, under, Mesh(edge.reshape(-1, 3), sheet_faces(2, columns, closed))])


def _scarf(headwear: Headwear, bearer: Bearer) -> Laid:
    """From the face's oval over ears, hair and neck to the chest."""
    size, points = bearer.scale, bearer.landmarks_m
    centre = bearer.middle + np.array([0.0, 0.075, -0.03]) * size
    columns, rows = 72, 30
    turn = 2 * np.pi * np.arange(columns) / columns
    opening = _opening(headwear, points, centre, turn)
    t = np.linspace(0, 1, rows)[:, None] ** 1.15
    away = opening + t * (0.985 * math.pi - opening)
    directions = np.stack(
        [np.sin(away) * np.cos(turn), -np.cos(away), np.sin(away) * np.sin(turn)], axis=-1
    )
    head = Envelope(bearer.skin_m, centre).radius(directions, 0.07)
    folds = 0.5 + 0.5 * np.sin(7 * turn + headwear.phase + 3 * np.sin(2 * turn + 9 * t))
    depth = (0.002 + 0.006 * headwear.loose) * folds * np.clip(4 * t, 0, 1)
    # A bun or folded hair lies behind the head.
    bun = 0.018 * np.exp(-(((away - 2.6) / 0.45) ** 2)) * (np.sin(turn) > -0.6)
    limit = _SCARF_REACH_M * size
    least = np.minimum(head + (_THICK_M["scarf"] + depth + bun) * size, limit)
    radius = taut(directions, least, 60, around=True)
    radius = np.maximum(gaussian_filter(radius, 0.7, mode=_WRAP), np.minimum(head + 0.002, limit))
    cloth = centre + radius[..., None] * directions
    lip = centre + 0.95 * radius[:1, :, None] * directions[:1]
    sheet = np.concatenate([lip, cloth])
    # Rows lead backward and columns from the subject's left upward.
    faces = sheet_faces(rows + 1, columns, closed=True)
    mesh = Mesh(sheet.reshape(-1, 3), faces)
    return Laid(mesh, _places(mesh.vertices_m, centre), Shell(cloth.reshape(-1, 3), centre, 0.1))


def _opening(headwear: Headwear, points: Floats, centre: Floats, turn: Floats) -> Floats:
    """(C,) angle between straight ahead and the cloth's rim, around the face."""
    oval = points[list(topology("face478@1").contours["oval"].indices)] - centre
    angle = np.arctan2(np.hypot(oval[:, 0], oval[:, 2]), -oval[:, 1])
    around = np.arctan2(oval[:, 2], oval[:, 0])
    rim = np.interp(turn, around, angle, period=2 * np.pi)
    high = np.clip(np.sin(turn), 0, 1)
    rim = rim * (0.97 - 0.05 * headwear.low * high) + 0.1 * np.clip(-np.sin(turn), 0, 1) ** 2
    return np.asarray(gaussian_filter(rim, 1.5, mode="wrap"))


def _places(vertices: Floats, centre: Floats) -> Floats:
    """(V, 3) on a cylinder about the vertical: a unit direction as two numbers, and metres up."""
    offset = vertices - centre
    flat = offset[:, :2] / np.maximum(np.linalg.norm(offset[:, :2], axis=1, keepdims=True), 1e-6)
    return np.concatenate([flat, offset[:, 2:]], axis=1)
