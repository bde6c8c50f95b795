"""Colours of a hand's skin, vertex by vertex: palms, knuckles, fingertips, nails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render.anny_asset import Identity
from render.hand_model import FINGERS, HandModel, HandShape, vertex_normals
from render.hand_relief import VEIN_PATTERNS, HandRelief
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
        creases, veins: 0..1, how clearly they show, other things being equal.
        vein_pattern: 0..VEIN_PATTERNS - 1.
    """

    tone: str
    warmth: float
    depth: float
    redness: float
    polish: tuple[float, float, float] | None
    nail_length: float
    creases: float = 0.5
    veins: float = 0.3
    vein_pattern: int = 0

    def nails(self) -> dict[str, NDArray[np.float64] | float]:
        """Inputs of `render.hand_material`."""
        if self.polish is not None:
            varnish = np.array(self.polish)
            return {"nail": varnish, "nail_end": varnish, "free_edge": 2.0}
        base = tone_albedo(self.tone, self.warmth, self.depth)
        nail = 0.66 * base + np.array([0.15, 0.065, 0.055])
        end = 0.4 * nail + np.array([0.34, 0.30, 0.25])
        return {"nail": nail, "nail_end": end, "free_edge": 0.97 - 0.2 * self.nail_length}


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
        self._knuckles = _near(vertices, average.joints_m[_KNUCKLES], 0.009) * _ramp(-out, 0.1, 0.6)
        self._tips = _near(vertices, average.tips_m, 0.010)
        self._nail, self._along_nail = _nails(model, average)
        self._relief = HandRelief(model, average, out)

    def paint(self, look: HandLook) -> NDArray[np.float32]:
        """(V, 4) linear RGB albedo, and the place along a nail: 0 its root, 1 its end."""
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
        return np.concatenate(
            [np.clip(colour, 0.005, 0.9), self._along_nail[:, None]], axis=1
        ).astype(np.float32)

    def detail(
        self, look: HandLook, identity: Identity, angles: Mapping[str, float]
    ) -> NDArray[np.float32]:
        """(V, 4) what `render.hand_material` reads beside the colours: signed metres to the nearest
        crease or vein; depth of a crease, negative of a vein; height of tendons, negative of
        wrinkles; how far inside a nail, 0 at its rim."""
        lines = self._relief.lines(look, identity, angles)
        return np.concatenate([lines, self._nail[:, None]], axis=1).astype(np.float32)


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
        creases=float(rng.uniform(0.15, 0.85)),
        veins=float(rng.uniform(0, 1)),
        vein_pattern=int(rng.integers(VEIN_PATTERNS)),
    )


def _nails(model: HandModel, shape: HandShape) -> tuple[Floats, Floats]:
    """(V,) how far inside a nail's oval, 1 in its middle and negative outside, and the place along
    it; an oval in place of the mask, whose border would follow the mesh."""
    inside, along = np.full(len(model.nails), -1.0), np.zeros(len(model.nails))
    normals = vertex_normals(shape.vertices_m, model.faces)
    for f in range(len(FINGERS)):
        on_nail = (model.vertex_part == 2 + f) & (model.nails > 0.5)
        last, tip, side = shape.joints_m[4 + 3 * f], shape.tips_m[f], shape.hinges[f]
        up = normals[on_nail].mean(axis=0)
        side = side - (side @ up) * up / (up @ up)
        axes = np.stack([np.cross(side, up), side])
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        axes[0] *= np.sign((tip - last) @ axes[0])
        local = shape.vertices_m @ axes.T
        low, high = np.quantile(local[on_nail], [0.02, 0.98], axis=0)
        half = (high - low) / 2 + 0.0006  # the mask's vertices lie within it
        at = (local - (low + high) / 2) / half
        own = (model.vertex_part == 2 + f) & (normals @ up > 0.1)
        oval = 1 - (np.abs(at) ** 2.6).sum(axis=1) ** (1 / 2.6)
        inside = np.where(own, np.maximum(inside, np.clip(oval, -1, 1)), inside)
        along = np.where(own, np.clip((at[:, 0] + 1) / 2, 0, 1), along)
    return inside, along


_KNUCKLES = [2 + 3 * f + k for f in range(len(FINGERS)) for k in range(3) if f or k]


def _near(vertices: Floats, points: Floats, radius: float) -> Floats:
    """1 at any of the points, falling off to 0 at twice the radius."""
    distance = np.linalg.norm(vertices[:, None] - points[None], axis=2).min(axis=1)
    return _ramp(-distance, -2 * radius, -0.4 * radius)


def _mix(colour: Floats, other: Floats, amount: Floats) -> Floats:
    return np.asarray(colour + (other - colour) * amount[:, None])


def _ramp(value: Floats, low: float, high: float) -> Floats:
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
