"""Glasses: frames of several outlines, clear and tinted lenses, fitted to a face.

Lenses are single sheets that let light through straight: what lies behind a lens without power is
moved by less than half a millimetre, while refraction would leave the eyes in its shadow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from render.worn import Bearer
from render.worn_shapes import Mesh, joined, sheet_faces, tube

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outline:
    """A lens' outline: height by width, how square (2 is an ellipse), and by how much of the height
    its outer upper corner rises and its outer lower one drops."""

    height: float
    square: float
    rise: float = 0.0
    drop: float = 0.0


OUTLINES: Mapping[str, Outline] = {
    "round": Outline(0.94, 2.1),
    "oval": Outline(0.68, 2.3),
    "panto": Outline(0.86, 2.6, 0.06),
    "rectangle": Outline(0.60, 4.5),
    "square": Outline(0.80, 3.6),
    "cat eye": Outline(0.70, 2.8, 0.22),
    "aviator": Outline(0.86, 2.7, 0.0, 0.14),
}


@dataclass(frozen=True)
class Glasses:
    """A pair of glasses.

    Attributes:
        outline: name out of `OUTLINES`.
        breadth: of the frame by that of the face.
        rim_m: half of the rim's height and depth.
        half_rim: whether the rim runs along the upper half only.
        albedo, metallic, roughness: of the frame.
        tint: (3,) share of light that the lenses let through.
        sun: whether they are sunglasses.
        slip_m: how far they have slipped down the nose.
    """

    outline: str
    breadth: float
    rim_m: tuple[float, float]
    half_rim: bool
    albedo: tuple[float, float, float]
    metallic: float
    roughness: float
    tint: tuple[float, float, float]
    sun: bool
    slip_m: float


_AROUND = 48  # points of an outline
_CURVE_M, _TILT_RAD = 0.11, math.radians(8)  # bend across the face, and lower rims farther back
_CLEAR_M = 0.0015  # between skin and lens
_VERTEX_M = 0.011  # between cornea and lens: opticians have 12 to 14 mm
_MOST_FORWARD_M = 0.028


def random_glasses(rng: np.random.Generator) -> Glasses:
    """Mostly clear ones of thin metal or of plastic, a quarter of them sunglasses."""
    metal = rng.random() < 0.4
    if metal:
        shade = float(rng.choice([0.75, 0.55, 0.12]))
        albedo = (shade, shade * float(rng.uniform(0.75, 1)), shade * float(rng.uniform(0.5, 1)))
        rim = (float(rng.uniform(0.0006, 0.001)), float(rng.uniform(0.0008, 0.0012)))
    else:
        dark = rng.random() < 0.65
        colour = rng.uniform(0.004, 0.05, 3) if dark else rng.uniform(0.02, 0.6, 3)
        albedo = (float(colour[0]), float(colour[1]), float(colour[2]))
        rim = (float(rng.uniform(0.0011, 0.0026)), float(rng.uniform(0.0012, 0.0022)))
    sun = rng.random() < 0.25
    tint = _tint(rng, sun)
    return Glasses(
        outline=str(rng.choice(list(OUTLINES))),
        breadth=float(rng.uniform(0.9, 1.03)),
        rim_m=rim,
        half_rim=bool(rng.random() < 0.15),
        albedo=albedo,
        metallic=float(metal),
        roughness=float(rng.uniform(0.12, 0.45)),
        tint=tint,
        sun=sun,
        slip_m=float(max(0.0, rng.normal(0.0, 0.003))),
    )


def _tint(rng: np.random.Generator, sun: bool) -> tuple[float, float, float]:
    if not sun:
        clear = float(rng.uniform(0.93, 0.985))
        return clear, clear, clear * float(rng.uniform(0.97, 1.0))
    through = float(rng.uniform(0.03, 0.3)) if rng.random() < 0.75 else float(rng.uniform(0.3, 0.6))
    hue = rng.uniform(0.6, 1.0, 3)
    red, green, blue = (through * hue / hue.max()).tolist()
    return red, green, blue


def glasses_meshes(glasses: Glasses, bearer: Bearer) -> tuple[Mesh, Mesh]:
    """Frame and lenses on a face, in its skull's axes."""
    fit = _Fit(glasses, bearer)
    lenses, frame = [], [fit.bridge()]
    for side in (-1.0, 1.0):
        outline = fit.outline(side)
        lenses.append(_pane(outline, fit.middle(side), fit))
        rim = fit.rim(outline)
        frame += [rim, fit.temple(side)]
    return joined(frame), joined(lenses)


class _Fit:
    """Where one pair sits on one face."""

    def __init__(self, glasses: Glasses, bearer: Bearer) -> None:
        self._glasses, self._bearer = glasses, bearer
        points = bearer.landmarks_m
        self._x0 = float(bearer.middle[0])
        # Landmarks 127 and 356 lie at the temples, at the height of the eyes.
        self.half = glasses.breadth * float(np.linalg.norm(points[127] - points[356])) / 2
        self._gap = 0.0085 * bearer.scale
        self._width = self.half - self._gap - 2 * glasses.rim_m[0] - 0.002
        self._outline = OUTLINES[glasses.outline]
        self._height = self._width * self._outline.height
        self._z = float(bearer.middle[2]) - 0.002 * bearer.scale - glasses.slip_m
        self._front = self._fitted_front()

    def _fitted_front(self) -> float:
        """y of the lenses' surface in the middle: as near as skin and lashes let it come."""
        skin, eyes = self._bearer.skin_m, self._bearer
        x = skin[:, 0] - self._x0
        beside = (np.abs(x) > self._gap) & (np.abs(x) < self._gap + self._width)
        high = np.abs(skin[:, 2] - self._z) < self._height / 2 + 0.002
        near = skin[beside & high & (skin[:, 1] < eyes.middle[1])]
        cornea = float(eyes.eyes_m[:, 1].min()) - eyes.eye_radius_m
        wanted = cornea - _VERTEX_M * eyes.scale
        if len(near):
            shape = self._behind(near[:, 0], near[:, 2])
            wanted = min(wanted, float((near[:, 1] - shape).min()) - _CLEAR_M)
        return max(wanted, cornea - _MOST_FORWARD_M)

    def _behind(self, x: Floats, z: Floats) -> Floats:
        """How far behind the middle the lenses' surface lies there."""
        aside = x - self._x0
        return np.asarray(aside**2 / (2 * _CURVE_M) - (z - self._z) * math.tan(_TILT_RAD))

    def on_surface(self, x: ArrayLike, z: ArrayLike) -> Floats:
        """(..., 3) places on the surface that both lenses lie in."""
        x, z = np.asarray(x, dtype=np.float64), np.asarray(z, dtype=np.float64)
        return np.stack([x, self._front + self._behind(x, z), z], axis=-1)

    def middle(self, side: float) -> Floats:
        """(2,) x and z of a lens' middle."""
        return np.array([self._x0 + side * (self._gap + self._width / 2), self._z])

    def outline(self, side: float) -> Floats:
        """(K, 3) around a lens from its outermost place upward, the left one's and mirrored."""
        form = self._outline
        turn = 2 * np.pi * np.arange(_AROUND) / _AROUND
        c, s = np.cos(turn), np.sin(turn)
        out = np.sign(c) * np.abs(c) ** (2 / form.square)
        up = np.sign(s) * np.abs(s) ** (2 / form.square)
        outer = np.clip(0.5 + 0.5 * out, 0, 1) ** 2
        up = up + 2 * (form.rise * np.clip(up, 0, 1) - form.drop * np.clip(-up, 0, 1)) * outer
        x = self.middle(side)[0] + side * out * self._width / 2
        return self.on_surface(x, self._z + up * self._height / 2)

    def rim(self, outline: Floats) -> Mesh:
        high, deep = self._glasses.rim_m
        half = np.tile([high, deep], (_AROUND, 1))
        if self._glasses.half_rim:
            below = np.clip((self._z + 0.1 * self._height - outline[:, 2]) / 0.004, 0, 1)
            half *= (1 - 0.85 * below)[:, None]
        middle = outline.mean(axis=0)
        return tube(outline, half, outline - middle, closed=True)

    def bridge(self) -> Mesh:
        """From rim to rim over the nose, clear of it."""
        share = np.linspace(-1, 1, 11)
        height = self._z + 0.16 * self._height
        inner = self._gap + 0.0012 + 0.04 * self._width
        line = self.on_surface(self._x0 + share * inner, height + 0.003 * (1 - share**2))
        skin = self._bearer.skin_m
        nose = skin[(np.abs(skin[:, 0] - self._x0) < 0.006)
                    & (np.abs(skin[:, 2] - height) < 0.006)]  # fmt: skip
        if len(nose):
            lack = max(0.0, float(line[5, 1] - (nose[:, 1].min() - 0.002)))
            line[:, 1] -= lack * (1 - share**2)
        high, deep = self._glasses.rim_m
        return tube(line, (max(high, 0.001), max(deep, 0.001)), (0, 0, 1.0))

    def temple(self, side: float) -> Mesh:
        """From the hinge over the ear and down behind it, outside the head."""
        bearer = self._bearer
        hinge = self.on_surface(self._x0 + side * (self.half + 0.001), self._z + 0.3 * self._height)
        ear = bearer.ears_m[0 if side < 0 else 1]
        size = bearer.scale
        over = ear + np.array([0.0, 0.014, 0.024]) * size
        share = np.linspace(0, 1, 12)[:, None]
        line = hinge + share * (over - hinge)
        skin = bearer.skin_m
        for place in line:
            if place[1] > ear[1] - 0.006:
                place[0] = line[line[:, 1] <= ear[1] - 0.006][-1, 0]
                continue
            near = skin[(np.abs(skin[:, 1:] - place[1:]) < 0.006).all(axis=1)]
            if len(near):
                out = float((side * near[:, 0]).max()) + 0.002
                place[0] = side * max(side * place[0], out)
        hook = line[-1] + np.array([[-0.002 * side, 0.012, -0.006], [-0.006 * side, 0.02, -0.022],
                                    [-0.01 * side, 0.024, -0.038]]) * size  # fmt: skip
        high, deep = self._glasses.rim_m
        half = (max(high * 0.9, 0.0008), max(0.6 * deep, 0.0006))
        return tube(np.concatenate([line, hook]), half, (0, 0, 1.0))


def _pane(outline: Floats, middle: Floats, fit: _Fit) -> Mesh:
    """The sheet inside an outline."""
    flat = outline[:, [0, 2]]
    rows = []
    for scale in (0.0, 0.35, 0.7, 1.0):
        x, z = (middle + scale * (flat - middle)).T
        rows.append(fit.on_surface(x, z))
    # Seen from in front the left lens' outline runs counter-clockwise, the right one's clockwise.
    faces = sheet_faces(len(rows), len(outline), closed=True)
    return Mesh(np.concatenate(rows), faces if middle[0] < 0 else faces[:, ::-1])
