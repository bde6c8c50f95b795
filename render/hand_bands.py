"""Rings, bracelets and watches: bands that lie on a posed hand's own skin.

A band follows the outline of the skin around a bone, so that it fits thick and thin fingers and
neither floats nor cuts in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from render.hand_model import FINGERS, HandModel, HandShape, PosedHand

Floats = NDArray[np.float64]

AROUND = 48
"""Vertices around a band."""

_PROFILE = 8  # vertices around its cross-section
_DIAL = 24  # vertices around a watch's case
SLOTS = ("ring 1", "ring 2", "strap", "dial")
"""What one hand may wear; a slot that isn't worn lies hidden in the arm."""

WATCH_BELOW_WRIST_M = 0.028
"""Toward the elbow from Anny's wrist joint."""

CLEARANCE_M = 0.0003


@dataclass(frozen=True)
class Band:
    """A ring, bracelet or watch strap.

    Attributes:
        finger: whose first phalanx wears it; "" for the forearm.
        along: where between the bone's ends, 0..1; of a finger's.
        width_m: along the bone.
        thickness_m: out from the skin.
        dial_m: radius of a watch's case on the back of the arm; 0 for none.
        albedo: (3,) linear.
        metallic, roughness: of the material.
    """

    finger: str
    along: float
    width_m: float
    thickness_m: float
    dial_m: float
    albedo: tuple[float, float, float]
    metallic: float
    roughness: float


_METALS = ((1.0, 0.77, 0.34), (0.91, 0.9, 0.88), (0.95, 0.64, 0.54), (0.35, 0.35, 0.37))


def random_bands(rng: np.random.Generator, arm_is_bare: bool) -> tuple[Band, ...]:
    """What a hand wears: often nothing, at most two rings, and one band on a bare arm."""
    bands = []
    if rng.random() < 0.3:
        count = 1 + int(rng.random() < 0.3)
        fingers = rng.choice(FINGERS[1:], count, replace=False, p=[0.15, 0.25, 0.45, 0.15])
        bands = [_random_ring(rng, str(finger)) for finger in fingers]
    if arm_is_bare and rng.random() < 0.3:
        bands.append(_random_strap(rng))
    return tuple(bands)


def _random_ring(rng: np.random.Generator, finger: str) -> Band:
    return Band(
        finger=finger,
        along=float(rng.uniform(0.35, 0.5)),
        width_m=float(rng.uniform(0.002, 0.007)),
        thickness_m=float(rng.uniform(0.001, 0.0022)),
        dial_m=0.0,
        albedo=_METALS[int(rng.integers(3))],
        metallic=1.0,
        roughness=float(rng.uniform(0.1, 0.35)),
    )


def _random_strap(rng: np.random.Generator) -> Band:
    watch, metal = rng.random() < 0.55, rng.random() < 0.4
    red, green, blue = rng.uniform(0.01, 0.5, 3).tolist()
    return Band(
        finger="",
        along=0.0,
        width_m=float(rng.uniform(0.012, 0.022) if watch else rng.uniform(0.003, 0.02)),
        thickness_m=float(rng.uniform(0.0015, 0.003)),
        dial_m=float(rng.uniform(0.014, 0.021)) if watch else 0.0,
        albedo=_METALS[int(rng.integers(4))] if metal else (red, green, blue),
        metallic=float(metal),
        roughness=float(rng.uniform(0.2, 0.4) if metal else rng.uniform(0.5, 0.9)),
    )


class BandModel:
    """One mesh that holds every slot."""

    def __init__(self, model: HandModel) -> None:
        self._model = model
        strip = _torus_faces(AROUND, _PROFILE)
        case = _case_faces(_DIAL)
        sizes = [AROUND * _PROFILE] * 3 + [3 * _DIAL + 1]
        starts = np.cumsum([0, *sizes])
        parts = [strip, strip, strip, case]
        self.faces = np.concatenate([part + start for part, start in zip(parts, starts)])
        self.face_slot = np.repeat(np.arange(4), [len(part) for part in parts])
        self.size = int(starts[-1])
        self._slots = [slice(a, b) for a, b in pairwise(starts.tolist())]

    def vertices(
        self, bands: Sequence[Band], shape: HandShape, posed: PosedHand, hidden_m: Floats
    ) -> Floats:
        """(size, 3) vertices in the posed hand's axes.

        Args:
            bands: at most two on fingers and one on the arm.
            shape, posed: whose hand.
            hidden_m: (3,) a point out of sight.
        """
        result = np.tile(np.asarray(hidden_m, dtype=np.float64), (self.size, 1))
        rings = [band for band in bands if band.finger]
        for band, slot in zip(rings, self._slots):
            result[slot] = self._strip(band, *self._finger_outline(band, posed))
        for band in bands:
            if not band.finger:
                outline = self._arm_outline(shape, posed)
                result[self._slots[2]] = self._strip(band, *outline)
                if band.dial_m:
                    result[self._slots[3]] = _case(band, *outline)
        return result

    def _finger_outline(self, band: Band, posed: PosedHand) -> tuple[Floats, Floats, Floats]:
        f = FINGERS.index(band.finger)
        first, second = posed.keypoints_m[1 + 4 * f], posed.keypoints_m[2 + 4 * f]
        axis = (second - first) / np.linalg.norm(second - first)
        centre = first + band.along * (second - first)
        own = self._model.weights[:, 2 + 3 * f] > 0.35  # a curled finger's end may lie beside it
        return _outline(posed.vertices_m[own], centre, axis, _across(axis), band.width_m)

    def _arm_outline(self, shape: HandShape, posed: PosedHand) -> tuple[Floats, Floats, Floats]:
        elbow, wrist = shape.joints_m[0], shape.joints_m[1]
        axis = (wrist - elbow) / np.linalg.norm(wrist - elbow)
        own = self._model.vertex_part <= 1
        back = -shape.palmar + (shape.palmar @ axis) * axis
        centre = wrist - WATCH_BELOW_WRIST_M * axis
        return _outline(posed.vertices_m[own], centre, axis, back / np.linalg.norm(back), 0.01)

    @staticmethod
    def _strip(band: Band, centre: Floats, axes: Floats, radius: Floats) -> Floats:
        """(AROUND * _PROFILE, 3): a rounded cross-section carried around the outline."""
        turn = 2 * math.pi * (np.arange(_PROFILE) + 0.5) / _PROFILE
        squared = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.5
        out = band.thickness_m / 2 * (1 + squared)
        aside = band.width_m / 2 * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.5
        angle = 2 * math.pi * np.arange(AROUND) / AROUND
        radial = np.cos(angle)[:, None] * axes[1] + np.sin(angle)[:, None] * axes[2]
        reach = (radius + CLEARANCE_M)[:, None] + out
        points = centre + reach[..., None] * radial[:, None] + aside[:, None] * axes[0]
        return points.reshape(-1, 3)


def _outline(
    skin: Floats, centre: Floats, axis: Floats, across: Floats, width_m: float
) -> tuple[Floats, Floats, Floats]:
    """The skin's convex outline around a bone.

    Returns:
        Its centre (3,), axes (3, 3) with the bone first and `across` second, and the distance of
        the outline from the centre at each of `AROUND` angles.
    """
    import cv2

    axes = np.stack([axis, across, np.cross(axis, across)])
    local = (skin - centre) @ axes.T
    near = np.abs(local[:, 0]) < max(width_m / 2, 0.003)
    flat = local[near][:, 1:]
    hull = cv2.convexHull(flat.astype(np.float32)).reshape(-1, 2).astype(np.float64)
    middle = (hull.min(axis=0) + hull.max(axis=0)) / 2
    start, end = hull - middle, np.roll(hull, -1, axis=0) - middle
    angle = 2 * math.pi * np.arange(AROUND) / AROUND
    ray = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    # Each ray leaves a convex outline through the nearest of its edges' lines before it.
    edge = end - start
    normal = np.stack([edge[:, 1], -edge[:, 0]], axis=1)
    normal *= np.sign((normal * start).sum(axis=1, keepdims=True))
    facing = ray @ normal.T
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(facing > 1e-12, (normal * start).sum(axis=1) / facing, np.inf)
    return centre + middle @ axes[1:], axes, reach.min(axis=1)


def _case(band: Band, centre: Floats, axes: Floats, radius: Floats) -> Floats:
    """(3 * _DIAL + 1, 3): a flat drum on the back of the arm."""
    angle = 2 * math.pi * np.arange(_DIAL) / _DIAL
    rim = np.cos(angle)[:, None] * axes[0] + np.sin(angle)[:, None] * axes[2]
    low = radius[0] + CLEARANCE_M
    high = low + band.thickness_m + 0.006
    rings = [
        centre + band.dial_m * rim + low * axes[1],
        centre + band.dial_m * rim + (high - 0.001) * axes[1],
        centre + 0.9 * band.dial_m * rim + high * axes[1],
    ]
    return np.concatenate([*rings, [centre + high * axes[1]]])


def _torus_faces(around: int, profile: int) -> NDArray[np.int32]:
    i, j = np.meshgrid(np.arange(around), np.arange(profile), indexing="ij")
    right, up = (i + 1) % around, (j + 1) % profile
    corners = [i * profile + j, right * profile + j, right * profile + up, i * profile + up]
    return np.stack(corners, axis=-1).reshape(-1, 4).astype(np.int32)


def _case_faces(count: int) -> NDArray[np.int32]:
    k = np.arange(count)
    after = (k + 1) % count
    sides = [
        np.stack([ring * count + k, ring * count + after, (ring + 1) * count + after,
                  (ring + 1) * count + k], axis=1)
        for ring in (0, 1)
    ]  # fmt: skip
    # Quads for the lid, too, as Blender gets one kind of face: pairs of its triangles.
    middle = np.full(count // 2, 3 * count)
    lid = np.stack([2 * count + k[::2], 2 * count + k[::2] + 1,
                    2 * count + (k[::2] + 2) % count, middle], axis=1)  # fmt: skip
    return np.concatenate([*sides, lid]).astype(np.int32)


def _across(axis: Floats) -> Floats:
    other = np.eye(3)[int(np.abs(axis).argmin())]
    across = np.cross(axis, other)
    return np.asarray(across / np.linalg.norm(across))
