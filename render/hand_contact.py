"""Where a posed hand runs into itself: balls that fill the fingers and line the palm.

Balls are set into the mesh at rest and skinned with it, so that they follow every person and every
pose. How deep two balls overlap says how deep one finger lies in another or in the palm; balls that
are neighbours by anatomy (along a finger, at the webs) are not compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render.anny_asset import Identity, skinned
from render.hand_model import FINGERS, HandModel, HandShape, vertex_normals

Floats = NDArray[np.float64]

SOFT_M = 0.0030
"""How deep flesh may lie in flesh: finger pads and palms give way by some 2 mm each where they
press on each other, and a mesh that doesn't give way shows no more than a contact."""

_STEP_M = 0.0045  # between the balls along a finger
_PALM_STEP_M, _PALM_BALL_M = 0.005, 0.006
_WEB = 0.6  # share of a first phalanx that lies in the web
_PALM = -1


@dataclass(frozen=True)
class Flesh:
    """One person's balls at rest: centres_m (N, 3), radii_m (N,)."""

    centres_m: Floats
    radii_m: Floats


@dataclass(frozen=True)
class _Ring:
    """Skin around one place of a finger: vertices, phalanx 0..2, how far along it, 0..1."""

    vertices: NDArray[np.int64]
    finger: int
    phalanx: int
    along: float


class HandContact:
    """Finds self-penetration of the hands of one model."""

    def __init__(self, model: HandModel) -> None:
        self._model = model
        average = model.shape(Identity({"age": 0.75}))
        self._rings = _rings(model, average)
        self._lining = _lining(model, average)
        rings = [model.weights[ring.vertices].mean(axis=0) for ring in self._rings]
        weights = np.concatenate([np.array(rings), model.weights[self._lining]])
        self._weights = np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
        finger = [ring.finger for ring in self._rings]
        self._finger = np.array(finger)
        self._phalanx = np.array([ring.phalanx for ring in self._rings])
        self._bone = 2 + 3 * self._finger + self._phalanx
        self._next = np.minimum(self._bone + 1, average.joints_m.shape[0] - 1)  # but for tips
        most = max(len(ring.vertices) for ring in self._rings)
        # (R, most) vertices of each ring, its last one repeated to fill up.
        self._around = np.array(
            [np.pad(ring.vertices, (0, most - len(ring.vertices)), "edge") for ring in self._rings]
        )
        self.part = np.array(finger + [_PALM] * len(self._lining))
        """(N,) index into `FINGERS` of every ball, -1 for the palm's."""
        phalanx = np.array([ring.phalanx for ring in self._rings] + [0] * len(self._lining))
        along = np.array([ring.along for ring in self._rings] + [0.0] * len(self._lining))
        self._fingers = len(finger)
        self._apart = _uncompared(
            self.part, phalanx, along, self.flesh(average), self._weights, self._fingers,
            model.transforms(average, {}),
        )  # fmt: skip

    def flesh(self, shape: HandShape) -> Flesh:
        """That person's balls."""
        skin = shape.vertices_m[self._around] - shape.joints_m[self._bone][:, None]
        ends = np.where(
            (self._phalanx == 2)[:, None], shape.tips_m[self._finger], shape.joints_m[self._next]
        )
        along = _units(ends - shape.joints_m[self._bone])
        hinges = shape.hinges[self._finger]
        side = _units(hinges - (hinges * along).sum(axis=1, keepdims=True) * along)
        frames = np.stack([along, side, np.cross(along, side)], axis=1)
        local = np.einsum("rkj,rij->rki", skin, frames)
        low, high = local.min(axis=1), local.max(axis=1)
        middle = np.einsum("ri,rij->rj", (low + high) / 2, frames)
        centres = shape.joints_m[self._bone] + middle
        radii = (high - low)[:, 1:].mean(axis=1) / 2
        inward = vertex_normals(shape.vertices_m, self._model.faces)[self._lining]
        lining = shape.vertices_m[self._lining] - _PALM_BALL_M * inward
        return Flesh(
            np.concatenate([centres, lining]),
            np.concatenate([radii, np.full(len(lining), _PALM_BALL_M)]),
        )

    def depths(self, flesh: Flesh, transforms: Floats) -> Floats:
        """(F, N) metres by which each ball of a finger overlaps each ball; negative when apart,
        -inf where the two are not compared."""
        centres = skinned(flesh.centres_m, self._weights, transforms)
        centres -= centres.mean(axis=0)
        fingers = centres[: self._fingers]
        square = (centres**2).sum(axis=1)
        apart = square[: self._fingers, None] + square - 2 * (fingers @ centres.T)
        reach = flesh.radii_m[: self._fingers, None] + flesh.radii_m
        return np.asarray(reach - np.sqrt(np.maximum(apart, 0)) - self._apart)

    def depth(self, flesh: Flesh, transforms: Floats) -> float:
        """Metres by which the hand lies deepest in itself; negative when nothing touches."""
        return float(self.depths(flesh, transforms).max())

    def deepest(self, flesh: Flesh, transforms: Floats) -> tuple[float, str, str]:
        """`depth`, and the names of the two parts that meet there."""
        depths = self.depths(flesh, transforms)
        worst = np.unravel_index(int(depths.argmax()), depths.shape)
        a, b = (int(self.part[ball]) for ball in worst)
        names = {_PALM: "palm", **dict(enumerate(FINGERS))}
        return float(depths[worst]), names[a], names[b]


def _rings(model: HandModel, shape: HandShape) -> list[_Ring]:
    result = []
    for f in range(len(FINGERS)):
        own = model.vertex_part == 2 + f
        for k in range(1 if f == 0 else 0, 3):  # the thumb's metacarpal is palm
            start = shape.joints_m[2 + 3 * f + k]
            end = shape.tips_m[f] if k == 2 else shape.joints_m[3 + 3 * f + k]
            length = float(np.linalg.norm(end - start))
            along = (shape.vertices_m - start) @ ((end - start) / length)
            mine = own & (model.weights[:, 2 + 3 * f + k] > 0.4)
            for at in np.arange(_STEP_M / 2, length, _STEP_M):
                ring = np.flatnonzero(mine & (np.abs(along - at) < _STEP_M / 2))
                if len(ring) >= 8:
                    result.append(_Ring(ring, f, k, float(at / length)))
    return result


def _lining(model: HandModel, shape: HandShape) -> NDArray[np.int64]:
    """Vertices of palm and thenar, some millimetres apart."""
    left = np.flatnonzero(model.weights[:, 1] + model.weights[:, 2] > 0.75)
    chosen = []
    while len(left):
        chosen.append(left[0])
        apart = np.linalg.norm(shape.vertices_m[left] - shape.vertices_m[left[0]], axis=1)
        left = left[apart >= _PALM_STEP_M]
    return np.array(chosen)


def _uncompared(
    part: NDArray[np.int64],
    phalanx: NDArray[np.int64],
    along: Floats,
    flesh: Flesh,
    weights: NDArray[np.float32],
    fingers: int,
    flat: Floats,
) -> Floats:
    """(F, N) inf for balls that are neighbours by anatomy, 0 for the others."""
    centres = skinned(flesh.centres_m, weights, flat)
    one, other = np.arange(fingers)[:, None], np.arange(len(part))[None]
    apart = np.linalg.norm(centres[one] - centres[other], axis=-1)
    touching = apart < flesh.radii_m[one] + flesh.radii_m[other]  # though the hand is flat
    on_palm = part[other] == _PALM
    chained = (part[one] == part[other]) & (np.abs(phalanx[one] - phalanx[other]) < 2)
    rooted = (part > 0) & (phalanx == 0)  # first phalanges of fingers, which begin in the web
    low = rooted & (along < _WEB)
    webbed = (rooted[one] & on_palm) | (low[one] & rooted[other]) | (rooted[one] & low[other])
    thumb_root = (part == 0) & (phalanx == 1) & (along < 0.5)
    skipped = chained | webbed | (thumb_root[one] & on_palm) | (on_palm & touching)
    return np.where(skipped, np.inf, 0.0)


def _units(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
