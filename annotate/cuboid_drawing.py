"""How boxes look: pieces of line, marks and their colours as arrays, without any canvas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from annotate.cuboid_fitted import Fitted
from annotate.cuboid_handles import Handle
from annotate.cuboid_placing import EDGES
from annotate.drawing import rgba
from arsession.cuboid_evidence import FACES, PlacedBox
from arsession.cuboid_fit import ROBUST_FROM
from arsession.cuboid_residuals import points_and_derivative
from arsession.propagate import pixel_rows
from arsession.session import Plane
from bootstrap.box_overlap import FACE_LOOPS

Array = NDArray[np.float64]
Colours = NDArray[np.float32]

FRONT_COLOUR, EDGE_COLOUR, OTHER_COLOUR = "#ffb84d", "#4dd2ff", "#c3c9d1"
CLICK_COLOUR, OFF_COLOUR, HELD_COLOUR, PLACING_COLOUR = "#7ae582", "#ff5a5a", "#ffe14d", "#ff4df0"
BEFORE_COLOUR = "#b48cff"
"""Of a box as the tracker's poses have it, where others are in use."""
SPREAD_COLOURS = {"dark": "#ffe14d", "light": "#b87700"}
"""Of uncertainty, by theme."""
_HIDDEN_ALPHA, _OTHER_ALPHA, _ELLIPSE_ALPHA = 0.3, 0.7, 0.9
# A deviation of two covers 86 % of what two dimensions may bring.
ELLIPSE_SIGMAS = 2.0
_ROUND = np.stack([np.cos(np.linspace(0, 2 * np.pi, 25)), np.sin(np.linspace(0, 2 * np.pi, 25))])
FRONT = frozenset(int(k) + 1 for k in FACE_LOOPS[FACES.index("front")])
"""The keypoints of the face +z."""
_ENDS = np.array(EDGES)
_FACES_OF_EDGES = np.array([Handle("edge", number).faces for number in range(len(EDGES))])
_GRID = 9


@dataclass(frozen=True)
class Lines:
    """Pieces of straight line.

    Attributes:
        ends: (2 S, 2) or (2 S, 3), two rows a piece.
        colours: (2 S, 4) RGBA.
    """

    ends: Array
    colours: Colours

    @classmethod
    def of(cls, pieces: Array, colour: str, alpha: float = 1.0) -> Lines:
        """(S, 2, D) pieces in one colour."""
        ends = pieces.reshape(-1, pieces.shape[-1])
        return cls(ends, np.tile(rgba(colour, alpha), (len(ends), 1)))

    @classmethod
    def joined(cls, parts: list[Lines], dimensions: int) -> Lines:
        """All of them; pieces with an end that isn't there are left out."""
        if not parts:
            return cls(np.empty((0, dimensions)), np.empty((0, 4), np.float32))
        ends = np.concatenate([part.ends for part in parts])
        colours = np.concatenate([part.colours for part in parts])
        there = np.isfinite(ends).all(axis=1).reshape(-1, 2).all(axis=1).repeat(2)
        return cls(ends[there], colours[there])


def box_lines(points: Array, turned: NDArray[np.bool_], chosen: bool) -> Lines:
    """The edges of a box; the front's in a colour of their own, hidden ones faint.

    Args:
        points: (9, D) keypoints.
        turned: (6,) the faces turned to the eye.
        chosen: whether it is the box worked on.
    """
    ends = points[_ENDS].reshape(-1, points.shape[1])
    return Lines(ends, _edge_colours(turned.tobytes(), chosen))


@cache
def _edge_colours(turned: bytes, chosen: bool) -> Colours:
    shown = np.frombuffer(turned, np.bool_)[_FACES_OF_EDGES].any(axis=1)
    colours = np.empty((len(EDGES), 4), np.float32)
    for number, edge in enumerate(EDGES):
        name = FRONT_COLOUR if FRONT.issuperset(edge) else EDGE_COLOUR
        colours[number] = rgba(name if chosen else OTHER_COLOUR, 1.0 if chosen else _OTHER_ALPHA)
        colours[number, 3] *= 1.0 if shown[number] else _HIDDEN_ALPHA
    return colours.repeat(2, axis=0)


def handle_pieces(points: Array, handle: Handle) -> Array:
    """(S, 2, D) the edges of what is under the cursor; none for a corner."""
    if handle.part == "corner":
        return np.empty((0, 2, points.shape[1]))
    if handle.part == "edge":
        return points[[list(EDGES[handle.index])]]
    loop = points[FACE_LOOPS[handle.index] + 1]
    return np.stack([loop, np.roll(loop, -1, axis=0)], axis=1)


def ellipses(fitted: Fitted, frame: int, px: Array) -> Lines:
    """Where each corner may be in a frame, two standard deviations: closed lines around it.

    Args:
        fitted: a box with its fit.
        frame: of the picture.
        px: (9, 2) its keypoints there.
    """
    if fitted.fit is None:
        return Lines.joined([], 2)
    _, slope = points_and_derivative(fitted.box)
    view = fitted.views.only([frame])
    at = view.in_camera(fitted.box.points_world_m())
    rows = (pixel_rows(view, at) @ slope)[0, 1:]
    spread = rows @ fitted.fit.covariance @ rows.transpose(0, 2, 1)
    there = np.isfinite(spread).all(axis=(1, 2))
    values, axes = np.linalg.eigh(np.where(there[:, None, None], spread, np.eye(2)))
    reach = axes * (ELLIPSE_SIGMAS * np.sqrt(np.maximum(values, 0)))[:, None]
    rings = np.where(there[:, None], px[1:], np.nan)[:, None] + np.einsum(
        "kij,jn->kni", reach, _ROUND
    )
    pieces = np.stack([rings[:, :-1], rings[:, 1:]], axis=2).reshape(-1, 2, 2)
    return Lines.of(pieces, HELD_COLOUR, _ELLIPSE_ALPHA)


@dataclass(frozen=True)
class ClickMarks:
    """The clicks of a box in one frame.

    Attributes:
        px: (C, 2) where they are.
        off: (C,) whether the box misses them by more than they may be off.
        misses: (C, 2, 2) from each corner's click to the corner; nothing for others.
    """

    px: Array
    off: NDArray[np.bool_]
    misses: Array


def click_marks(fitted: Fitted, frame: int, px: Array) -> ClickMarks:
    """What people clicked in a frame, and how far the box is from it."""
    rows = [i for i, click in enumerate(fitted.cuboid.clicks) if click.frame == frame]
    clicks = [fitted.cuboid.clicks[i] for i in rows]
    at = np.array([click.px for click in clicks]).reshape(-1, 2)
    to = at.copy()
    for number, click in enumerate(clicks):
        if click.corner is not None:
            to[number] = px[click.corner]
    sigmas = np.array([click.sigma_px for click in clicks])
    errors = np.zeros(len(rows)) if fitted.fit is None else fitted.fit.click_errors_px[rows]
    return ClickMarks(at, errors > ROBUST_FROM * sigmas, np.stack([at, to], axis=1))


def spread_bars(fitted: Fitted) -> Array:
    """(S, 2, 3) the box's uncertainty in space, two standard deviations each way: of the centre
    along each world axis, of each face along its normal, and of the turn about the up axis."""
    if fitted.fit is None:
        return np.empty((0, 2, 3))
    box, covariance = fitted.box, fitted.fit.covariance
    sigma = ELLIPSE_SIGMAS * np.sqrt(np.diag(covariance))
    pieces = [
        (box.centre_m - sigma[3 + axis] * unit, box.centre_m + sigma[3 + axis] * unit)
        for axis, unit in enumerate(np.eye(3))
    ]
    for face in range(6):
        axis, side = face // 2, 2.0 * (face % 2) - 1
        normal = side * box.rotation[:, axis]
        slope = np.zeros(9)
        slope[3:6], slope[6 + axis] = normal, box.size_m[axis] / 2
        reach = ELLIPSE_SIGMAS * math.sqrt(max(float(slope @ covariance @ slope), 0.0))
        middle = box.centre_m + normal * box.size_m[axis] / 2
        pieces.append((middle - reach * normal, middle + reach * normal))
    return np.concatenate([np.array(pieces), _turn_arcs(box, sigma)])


def _turn_arcs(box: PlacedBox, sigma: Array) -> Array:
    """Arcs before the front, the top and the right, one for each axis that the box may turn on."""
    found = []
    for axis, towards in ((0, 1), (1, 2), (2, 0)):
        angles = np.linspace(-sigma[axis], sigma[axis], 9)
        across = 3 - axis - towards
        sign = 1.0 if (axis, towards) in ((0, 1), (1, 2), (2, 0)) else -1.0
        radius = 0.6 * box.size_m[towards] + 0.02 * box.size_m.max()
        local = np.zeros((9, 3))
        local[:, towards] = radius * np.cos(angles)
        local[:, across] = sign * radius * np.sin(angles)
        arc = box.centre_m + local @ box.rotation.T
        found.append(np.stack([arc[:-1], arc[1:]], axis=1))
    return np.concatenate(found)


def plane_lines(plane: Plane) -> Array:
    """(S, 2, 3) a plane's outline, with a grid in it where it has four corners."""
    outline = plane.boundary_world_m
    if len(outline) < 3:
        return np.empty((0, 2, 3))
    pieces = [np.stack([outline, np.roll(outline, -1, axis=0)], axis=1)]
    if len(outline) == 4:
        share = np.linspace(0, 1, _GRID)[1:-1, None]
        a, b, c, d = outline
        pieces.append(np.stack([a + share * (b - a), d + share * (c - d)], axis=1))
        pieces.append(np.stack([a + share * (d - a), b + share * (c - b)], axis=1))
    return np.concatenate(pieces)


def camera_pieces(world_from_camera: Array, corners_camera: Array) -> Array:
    """(8, 2, 3) a camera as a pyramid.

    Args:
        world_from_camera: (4, 4).
        corners_camera: (4, 3) of its picture, before it.
    """
    at = world_from_camera[:3, 3]
    corners = corners_camera @ world_from_camera[:3, :3].T + at
    spokes = np.stack([np.tile(at, (4, 1)), corners], axis=1)
    return np.concatenate([spokes, np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)])


def error_colours(errors_px: Array, limit_px: float) -> Colours:
    """(F, 4) from green over yellow to red for 0 to `limit_px`; grey for NaN."""
    share = np.clip(np.nan_to_num(errors_px) / max(limit_px, 1e-6), 0, 1)
    colours = np.ones((len(share), 4), np.float32)
    stops = np.stack([rgba(c) for c in ("#3fae6a", "#e6c34a", "#e0564a")])
    for channel in range(3):
        colours[:, channel] = np.interp(share, [0, 0.5, 1], stops[:, channel])
    colours[~np.isfinite(errors_px)] = rgba("#7d848d")
    return colours


def error_limit_px(errors_px: Array, height: float) -> float:
    """What counts as red: a hundredth of the picture's height, or what the worst frames have."""
    some = errors_px[np.isfinite(errors_px)]
    worst = float(np.quantile(some, 0.95)) if len(some) else 0.0
    return max(worst, height / 100)
