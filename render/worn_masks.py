"""Masks over nose and mouth: pleated surgical ones, folded respirators, cloth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render.worn import Bearer
from render.worn_shapes import Envelope, Mesh, joined, sheet_faces, taut, tube, unit

Floats = NDArray[np.float64]

KINDS: Mapping[str, float] = {"surgical": 0.55, "respirator": 0.2, "cloth": 0.25}
"""Kinds of masks and their shares."""


@dataclass(frozen=True)
class Mask:
    """A mask.

    Attributes:
        kind: out of `KINDS`.
        albedo, second: (3,) linear colours.
        striped: whether it has stripes of the second one.
        breadth: how far it reaches toward the ears.
        top: 0..1, from the nose's tip up to its bridge.
    """

    kind: str
    albedo: tuple[float, float, float]
    second: tuple[float, float, float]
    striped: bool
    breadth: float
    top: float


_ROWS, _COLUMNS = 25, 37
_CLEAR_M = 0.003
_SURGICAL = ((0.30, 0.55, 0.72), (0.62, 0.66, 0.68), (0.02, 0.02, 0.022), (0.55, 0.32, 0.36),
             (0.28, 0.52, 0.42))  # fmt: skip


def random_mask(rng: np.random.Generator) -> Mask:
    """A mask that is worn properly, or with the nose half out."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    if kind == "cloth":
        red, green, blue = (rng.uniform(0.02, 0.85, 3) ** 1.4).tolist()
        colour = (red, green, blue)
    elif kind == "surgical":
        colour = _SURGICAL[int(rng.choice(len(_SURGICAL), p=[0.45, 0.2, 0.2, 0.08, 0.07]))]
    else:
        colour = (0.68, 0.68, 0.66) if rng.random() < 0.75 else (0.02, 0.02, 0.022)
    r, g, b = rng.uniform(0.02, 0.8, 3).tolist()
    return Mask(
        kind, colour, (r, g, b), bool(kind == "cloth" and rng.random() < 0.3),
        float(rng.uniform(0.8, 0.95)), float(rng.uniform(0.55, 1.0)),
    )  # fmt: skip


def mask_mesh(mask: Mask, bearer: Bearer) -> tuple[Mesh, Mesh]:
    """The mask's cloth, and that with its loops round the ears, in the skull's axes; the cloth's
    vertices come first in the second one."""
    points, size = bearer.landmarks_m, bearer.scale
    mouth = points[[13, 14]].mean(axis=0)
    centre = np.array([bearer.middle[0], mouth[1] + 0.075 * size, mouth[2]])
    # Not the chest, which what passes below the chin would come to.
    reach = 1.15 * np.linalg.norm(points[[4, 152]] - centre, axis=1).max()
    near = np.linalg.norm(bearer.skin_m - centre, axis=1) < reach
    near &= bearer.skin_m[:, 2] > points[152, 2] - 0.02 * size
    envelope = Envelope(bearer.skin_m[near], centre)
    directions = _directions(mask, points, centre)
    least = envelope.radius(directions) + _CLEAR_M
    # Beside the nose and below the lip cloth spans what the face leaves hollow.
    radius = taut(directions, least, 120)
    radius = radius + _form(mask, size)
    sheet = centre + radius[..., None] * directions
    cloth = Mesh(sheet.reshape(-1, 3), sheet_faces(_ROWS, _COLUMNS))
    loops = [_loop(sheet[:, column], bearer, envelope) for column in (0, -1)]
    return cloth, joined([cloth, *loops])


def _angles(points: Floats, centre: Floats) -> tuple[Floats, Floats]:
    """Azimuth toward the subject's left and elevation, in radians."""
    x, y, z = (np.atleast_2d(points) - centre).T
    return np.arctan2(x, -y), np.arctan2(z, np.hypot(x, y))


def _directions(mask: Mask, points: Floats, centre: Floats) -> Floats:
    """(rows, columns, 3) from the lower rim up and from the subject's right to the left."""
    bridge = points[4] + mask.top * (points[6] - points[4])
    bridge_up = float(_angles(bridge, centre)[1][0])
    chin_up = float(_angles(points[152], centre)[1][0]) - 0.2
    aside = np.abs(_angles(points[[132, 361]], centre)[0]).mean() * mask.breadth
    upper = float(_angles(points[[123, 352]], centre)[1].mean()) + 0.02
    lower = float(_angles(points[[172, 397]], centre)[1].mean()) + 0.06
    s = np.linspace(-1, 1, _COLUMNS)
    top = upper + (bridge_up - upper) * (1 - np.abs(s) ** 1.3)
    bottom = lower + (chin_up - lower) * (1 - np.abs(s) ** 2.2)
    t = np.linspace(0, 1, _ROWS)[:, None]
    up = bottom + t * (top - bottom)
    azimuth = np.broadcast_to(aside * s, up.shape)
    return np.stack(
        [np.sin(azimuth) * np.cos(up), -np.cos(azimuth) * np.cos(up), np.sin(up)], axis=-1
    )


def _form(mask: Mask, size: float) -> Floats:
    """(rows, columns) metres by which the cloth stands off where the face doesn't hold it."""
    s = np.linspace(-1, 1, _COLUMNS)[None]
    t = np.linspace(0, 1, _ROWS)[:, None]
    free = (1 - s**2) * np.clip(4 * t * (1 - t), 0, 1)
    if mask.kind == "surgical":
        within = np.mod(t * 4 + 0.1, 1.0)
        inside = np.clip(np.minimum(t, 1 - t) / 0.18 - 0.2, 0, 1)
        return np.asarray(0.0025 * size * within * inside * (1 - s**4) + 0.003 * size * free)
    if mask.kind == "respirator":
        ridge = np.exp(-((s / 0.05) ** 2))
        return np.asarray((0.012 * free**0.8 + 0.0015 * ridge * free) * size)
    return np.asarray(0.004 * size * free)


def _loop(edge: Floats, bearer: Bearer, envelope: Envelope) -> Mesh:
    """An elastic from the mask's upper corner round the ear to the lower one."""
    side = 1.0 if edge[:, 0].mean() > bearer.middle[0] else -1.0
    ear = bearer.ears_m[1 if side > 0 else 0]
    size = bearer.scale
    over, behind, under = (
        ear + np.array(offset) * size
        for offset in ((0.001 * side, 0.014, 0.024), (-0.006 * side, 0.026, -0.002),
                       (-0.002 * side, 0.012, -0.03))
    )  # fmt: skip
    line = np.concatenate(
        [_between(edge[-2], over, 8, envelope), behind[None],
         _between(under, edge[1], 8, envelope)]
    )  # fmt: skip
    return tube(line, (0.0014 * size, 0.0007 * size), unit(line - envelope.centre_m), around=6)


def _between(start: Floats, end: Floats, count: int, envelope: Envelope) -> Floats:
    """(count, 3) from one place to another, outside the head."""
    line = start + np.linspace(0, 1, count)[:, None] * (end - start)
    offset = line - envelope.centre_m
    radius = np.linalg.norm(offset, axis=1)
    directions = offset / radius[:, None]
    free = envelope.radius(directions, 0.03) + 0.001
    # The ends stay where cloth and ear hold them.
    free[[0, -1]] = 0.0
    return np.asarray(envelope.centre_m + np.maximum(radius, free)[:, None] * directions)
