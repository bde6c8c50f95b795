"""What of a box the cursor is over, and what a drag of it says: clicks that the box is fitted to.

A drag in a picture says where a corner or an edge is seen in that frame; a face that is drawn along
its normal takes that frame's clicks on it along, or says where its foremost edge is. A drag in the
view of space says where faces lie. Every such statement is a click like the others: the fit weighs
them all, and the box is where they agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from annotate.cuboid_placing import EDGES
from arsession.cuboid_evidence import FACES, Click, PlacedBox
from arsession.cuboid_file import Cuboid
from arsession.views import Views
from bootstrap.box_overlap import CORNERS, FACE_LOOPS

Array = NDArray[np.float64]
Part = Literal["corner", "edge", "face"]
Project = Callable[[Array], Array]
"""World points (N, 3) to screen pixels (N, 2); NaN where there are none."""

REACH_SCREEN_PX = 12.0
AIM_SCREEN_PX = 2.0
"""How well a person sets a click, standard deviation on the screen."""
_LEAST_SIGMA_PX = 0.5
_DEPTH_SIGMAS_M = (0.002, 0.05)
_EDGE_REACH = 0.75
_HIDDEN_COST = 1.6
_HEAD_ON = 0.15
_DAMPING = 0.05


@dataclass(frozen=True)
class Handle:
    """A part of a box: corner 1 to 8, edge 0 to 11 of cuboid9@1, or face 0 to 5 of FACES."""

    part: Part
    index: int

    @property
    def faces(self) -> tuple[int, ...]:
        """The faces that meet there."""
        if self.part == "face":
            return (self.index,)
        ends = (self.index,) if self.part == "corner" else EDGES[self.index]
        meeting = set.intersection(*({f for f in range(6) if e - 1 in FACE_LOOPS[f]} for e in ends))
        return tuple(sorted(meeting))

    @property
    def corners(self) -> tuple[int, ...]:
        """The keypoints, 1 to 8, that belong to it."""
        if self.part == "corner":
            return (self.index,)
        if self.part == "edge":
            return EDGES[self.index]
        return tuple(int(k) + 1 for k in FACE_LOOPS[self.index])


def facing(box: PlacedBox, eye_world_m: Array) -> NDArray[np.bool_]:
    """(6,) which faces of a box are turned to an eye."""
    at = (eye_world_m - box.centre_m) @ box.rotation
    beyond = np.stack([-at, at], axis=1) - box.size_m[:, None] / 2
    return np.asarray(beyond.ravel() > 0)


def pick(points_px: Array, at_px: Array, turned: NDArray[np.bool_]) -> Handle | None:
    """The part of a box under the cursor.

    Args:
        points_px: (9, 2) keypoints on the screen.
        at_px: (2,) the cursor.
        turned: (6,) the faces turned to the eye.
    """
    shown = np.zeros(9, bool)
    for face in np.flatnonzero(turned):
        shown[FACE_LOOPS[face] + 1] = True
    off = np.linalg.norm(points_px[1:] - at_px, axis=1) * np.where(shown[1:], 1.0, _HIDDEN_COST)
    off = np.nan_to_num(off, nan=np.inf)
    if off.min() <= REACH_SCREEN_PX:
        return Handle("corner", 1 + int(off.argmin()))
    ends = points_px[np.array(EDGES)]
    off = _off_segments(at_px, ends[:, 0], ends[:, 1])
    off = off * np.where(shown[np.array(EDGES)].all(axis=1), 1.0, _HIDDEN_COST)
    if off.min() <= REACH_SCREEN_PX * _EDGE_REACH:
        return Handle("edge", int(off.argmin()))
    for face in np.flatnonzero(turned):
        if _inside(points_px[FACE_LOOPS[face] + 1], at_px):
            return Handle("face", int(face))
    return None


def _off_segments(at: Array, start: Array, end: Array) -> Array:
    along = end - start
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip(((at - start) * along).sum(axis=1) / length, 0, 1)
    off = np.linalg.norm(start + share[:, None] * along - at, axis=1)
    return np.nan_to_num(off, nan=np.inf)


def _inside(outline: Array, at: Array) -> bool:
    after = np.roll(outline, -1, axis=0) - outline
    to = at - outline
    turn = after[:, 0] * to[:, 1] - after[:, 1] * to[:, 0]
    return bool((turn > 0).all() or (turn < 0).all())


def faces_moved(box: PlacedBox, faces: tuple[int, ...], by_m: Array) -> PlacedBox:
    """The box with faces drawn outwards by so many metres each; the opposite ones stay."""
    size, shift = box.size_m.copy(), np.zeros(3)
    for face, amount in zip(faces, by_m):
        axis, side = face // 2, 2.0 * (face % 2) - 1
        amount = max(float(amount), 1e-3 - size[axis])
        size[axis] += amount
        shift[axis] += side * amount / 2
    return PlacedBox(box.rotation, box.centre_m + box.rotation @ shift, size)


def px_per_metre(box: PlacedBox, faces: tuple[int, ...], project: Project) -> Array:
    """(2, faces) how far what is held goes on the screen for a metre that each face is drawn
    outwards; NaN where it can't be seen.

    Args:
        box: before the drag.
        faces: one, two or three that meet.
        project: onto the screen.
    """
    outwards = np.stack([(2.0 * (f % 2) - 1) * box.rotation[:, f // 2] for f in faces])
    held = box.centre_m + sum(out * box.size_m[f // 2] / 2 for f, out in zip(faces, outwards))
    step = 0.01 * float(box.size_m.max())
    ends = project(np.concatenate([held[None], held + step * outwards]))
    return np.asarray((ends[1:] - ends[0]).T / step)


def drawn_by(slopes: Array, drag_px: Array) -> Array:
    """(faces,) metres by which faces must be drawn outwards for what is held to follow the cursor.

    Args:
        slopes: of `px_per_metre`.
        drag_px: (2,) how far the cursor went.
    """
    faces = slopes.shape[1]
    if not np.isfinite(slopes).all():
        return np.zeros(faces)
    # What is seen nearly head on must not run away with the box.
    weak = (_DAMPING * np.linalg.norm(slopes)) ** 2 if faces > 1 else 0.0
    pull = slopes.T @ slopes + (weak + 1e-9) * np.eye(faces)
    return np.linalg.solve(pull, slopes.T @ drag_px)


def head_on(box: PlacedBox, face: int, project: Project) -> bool:
    """Whether a face is seen so nearly head on that a drag along its normal says nothing."""
    normal = (2.0 * (face % 2) - 1) * box.rotation[:, face // 2]
    step = 0.01 * float(box.size_m.max())
    middle = box.centre_m + normal * box.size_m[face // 2] / 2
    others = [box.rotation[:, a] for a in range(3) if a != face // 2]
    ends = project(np.stack([middle, middle + step * normal, *(middle + step * o for o in others)]))
    along, *across = np.linalg.norm(ends[1:] - ends[0], axis=1)
    return not along > _HEAD_ON * max(across)


def with_click(cuboid: Cuboid, click: Click) -> Cuboid:
    """A box with one more click, which takes the place of one that says the same."""
    return replace(cuboid, clicks=(*(c for c in cuboid.clicks if not _same(c, click)), click))


def _same(one: Click, other: Click) -> bool:
    if one.face is not None and one.depth_m is not None and other.depth_m is not None:
        return one.face == other.face  # in space, whatever frame it is written down in
    edges = [None if c.edge is None else frozenset(c.edge) for c in (one, other)]
    return (one.frame, one.corner, edges[0], one.face) == (
        other.frame, other.corner, edges[1], other.face,
    )  # fmt: skip


def picture_sigma_px(zoom: float) -> float:
    """How well a click is set in the picture, shown so many times as large."""
    return max(AIM_SCREEN_PX / zoom, _LEAST_SIGMA_PX)


def edge_of_face(box: PlacedBox, face: int, views: Views, frame: int) -> tuple[int, int]:
    """The edge of a face that shows best where it is: foremost along its normal, and across it."""
    outwards = (2.0 * (face % 2) - 1) * box.rotation[:, face // 2]
    points = box.points_world_m()
    middle = points[FACE_LOOPS[face] + 1].mean(axis=0)
    ends = views.seen_in(frame, np.stack([middle, middle + 0.01 * outwards]))
    along = (ends[1] - ends[0]) / max(float(np.linalg.norm(ends[1] - ends[0])), 1e-9)
    px = views.seen_in(frame, points)
    edges = [e for e in EDGES if e[0] - 1 in FACE_LOOPS[face] and e[1] - 1 in FACE_LOOPS[face]]

    def shows(edge: tuple[int, int]) -> float:
        line = px[edge[1]] - px[edge[0]]
        length = float(np.linalg.norm(line))
        across = abs(line[0] * along[1] - line[1] * along[0])
        ahead = float((px[list(edge)].mean(axis=0) - ends[0]) @ along)
        return float(across + ahead) if length > 0 and np.isfinite(length) else -np.inf

    return max(edges, key=shows)


def face_in_space(
    box: PlacedBox, face: int, views: Views, frame: int, px_per_m: float
) -> Click | None:
    """Where a face lies, as a click with depth on its middle; None where no frame shows it.

    Args:
        box: with the face where it was drawn to.
        face: 0 to 5.
        views: the recording's cameras.
        frame: taken if the face's middle is in its picture, else another one.
        px_per_m: of the view in which it was drawn.
    """
    side = np.eye(3)[face // 2] * (face % 2 - 0.5)
    middle = box.centre_m + box.rotation @ (side * box.size_m)
    px = views.seen_in(frame, middle[None])[0]
    if not (np.isfinite(px).all() and (px >= 0).all() and (px <= views.size_px[frame]).all()):
        seen = views.project(views.in_camera(middle[None]))[:, 0]
        inside = np.isfinite(seen).all(axis=1) & ((seen >= 0) & (seen <= views.size_px)).all(axis=1)
        if not inside.any():
            return None
        frame = int(np.flatnonzero(inside)[0])
        px = seen[frame]
    low, high = _DEPTH_SIGMAS_M
    return Click(
        frame,
        (float(px[0]), float(px[1])),
        face=FACES[face],
        depth_m=float(views.turns[frame][2] @ middle + views.shifts[frame][2]),
        depth_sigma_m=float(np.clip(AIM_SCREEN_PX / px_per_m, low, high)),
    )


def front_turned(cuboid: Cuboid) -> Cuboid:
    """The same box in space, what was its right side being its front now; clicks say the same."""
    box = cuboid.box
    assert box is not None
    old_from_new = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    new_corner = {0: 0}
    for k, corner in enumerate(CORNERS):
        there = (np.round(old_from_new.T @ corner, 6) == CORNERS).all(axis=1)
        new_corner[k + 1] = 1 + int(there.argmax())
    loops = [frozenset(int(k) + 1 for k in loop) for loop in FACE_LOOPS]
    new_face = {
        name: FACES[loops.index(frozenset(new_corner[k] for k in loop))]
        for name, loop in zip(FACES, loops)
    }
    clicks = tuple(
        replace(
            c,
            corner=None if c.corner is None else new_corner[c.corner],
            edge=None if c.edge is None else (new_corner[c.edge[0]], new_corner[c.edge[1]]),
            face=None if c.face is None else new_face[c.face],
        )
        for c in cuboid.clicks
    )
    size = np.abs(old_from_new.T) @ box.size_m
    return replace(
        cuboid, clicks=clicks, box=PlacedBox(box.rotation @ old_from_new, box.centre_m, size)
    )
