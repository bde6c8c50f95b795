"""How each kind of subject is drawn: faces, hands, bodies, boxes in 3D, detections."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.drawing.strokes import (
    LEFT,
    RIGHT,
    WHITE,
    Colour,
    Picture,
    Points,
    draw_discs,
    draw_lines,
    fill,
    fixed,
    region_around,
)
from runtime.results import Subject
from runtime.topology import topology

_MESH: Colour = (205, 222, 235)
_MESH_OPACITY = 0.35
_NOSE: Colour = (170, 235, 150)
_LIPS: Colour = (255, 92, 120)
_SEEN = 0.5  # keypoints less surely visible are faded
_FADED_OPACITY = 0.3
_AXES: tuple[Colour, ...] = ((255, 84, 84), (116, 222, 104), (92, 150, 255))

# Fingers go round the colour wheel.
_LINE_COLOURS: dict[str, Colour] = {
    "lips_outer": _LIPS,
    "lips_inner": _LIPS,
    "right_eye": RIGHT,
    "right_brow_lower": RIGHT,
    "right_brow_upper": RIGHT,
    "right_iris": RIGHT,
    "left_eye": LEFT,
    "left_brow_lower": LEFT,
    "left_brow_upper": LEFT,
    "left_iris": LEFT,
    "oval": WHITE,
    "nose_bridge": _NOSE,
    "nose_wings": _NOSE,
    "palm": (235, 240, 245),
    "thumb": (255, 122, 89),
    "index": (255, 196, 61),
    "middle": (124, 214, 96),
    "ring": (76, 192, 255),
    "pinky": (190, 140, 255),
}

Box = tuple[float, float, float, float]


def draw_shape(
    picture: Picture, subject: Subject, points: Points, box: Box, colour: Colour | None = None
) -> int:
    """Draw a subject's points and lines in place.

    Args:
        picture: (H, W, 3) uint8.
        subject: what it is.
        points: (N, 2) its keypoints in the picture's pixels.
        box: x, y, width, height in pixels.
        colour: for all of it, and only its lines; None for each part's own.

    Returns:
        The lines' width in pixels.
    """
    name = subject.topology.split("@")[0]
    # A face's lines lie close together, a hand's don't.
    finest = max(1 if name.startswith("face") else 2, round(min(picture.shape[:2]) / 500))
    width = min(6, max(finest, round(max(box[2:]) / 160)))
    if colour is not None:
        width = max(1, width - 1)
    if not len(points):
        return width
    if not name:
        _draw_detection(picture, points, box, width, colour)
    elif name.startswith("cuboid"):
        _draw_cuboid(picture, subject, points, width, colour)
    elif name.startswith("pose"):
        _draw_pose(picture, subject, points, width, colour)
    else:
        if name.startswith("face") and colour is None:
            _draw_mesh(picture, subject.topology, points)
        lines = _contour_lines(subject.topology)
        draw_lines(
            picture,
            [(points[list(ids)], closed, colour or own) for ids, closed, own in lines],
            width,
            outlined=colour is None,
        )
        if name.startswith("hand") and colour is None:
            draw_discs(picture, points, _point_colours(subject.topology), width + 2, cored=True)
    return width


def _draw_mesh(picture: Picture, topology_id: str, points: Points) -> None:
    region, low = region_around(picture, points, 2)
    if region.size == 0:
        return
    wire = region.copy()
    segments = fixed(points[_mesh_edges(topology_id)] - low)
    cv2.polylines(wire, list(segments), False, _MESH, 1, cv2.LINE_AA, 4)
    cv2.addWeighted(wire, _MESH_OPACITY, region, 1 - _MESH_OPACITY, 0, dst=region)


def _draw_pose(
    picture: Picture, subject: Subject, points: Points, width: int, colour: Colour | None
) -> None:
    layout = topology(subject.topology)
    seen = np.ones(len(points), dtype=bool)
    if subject.visibility_score is not None:
        seen = subject.visibility_score >= _SEEN
    colours = [colour or side for side in _side_colours(subject.topology)]
    edges = [(a, b, _edge_colour(colours[a], colours[b])) for a, b in layout.edges]
    hidden = [(points[[a, b]], False, own) for a, b, own in edges if not (seen[a] and seen[b])]
    if hidden:
        region, low = region_around(picture, points, width + 3)
        if region.size:
            layer = region.copy()
            moved = [(line - low, closed, own) for line, closed, own in hidden]
            draw_lines(layer, moved, width, outlined=colour is None)
            cv2.addWeighted(layer, _FADED_OPACITY, region, 1 - _FADED_OPACITY, 0, dst=region)
    plain = [(points[[a, b]], False, own) for a, b, own in edges if seen[a] and seen[b]]
    draw_lines(picture, plain, width, outlined=colour is None)
    if colour is None:
        # The face's eleven points and the hands' lie too close together for large discs.
        small = np.array([index in layout.parts["head"] or 17 <= index <= 22
                          for index in range(len(points))])  # fmt: skip
        for those, radius in ((small, width), (~small, width + 2)):
            chosen = np.flatnonzero(those & seen)
            draw_discs(picture, points[chosen], [colours[i] for i in chosen], radius,
                       cored=radius > width)  # fmt: skip


def _edge_colour(one: Colour, other: Colour) -> Colour:
    return one if one == other else WHITE


def _draw_cuboid(
    picture: Picture, subject: Subject, points: Points, width: int, colour: Colour | None
) -> None:
    edges = topology(subject.topology).edges
    nearness = _nearness(subject)
    if colour is None:
        front = _front_faces(nearness)
        for face in front:
            fill(picture, points[face], LEFT, 0.10)
    # Far edges first and darker, so that near ones cross over them.
    for a, b in sorted(edges, key=lambda edge: nearness[edge[0]] + nearness[edge[1]]):
        near = float(nearness[a] + nearness[b]) / 2
        bright = 0.55 + 0.45 * near
        red, green, blue = (round(bright * value) for value in colour or LEFT)
        thick = max(1, round(width * (0.6 + 0.6 * near)))
        draw_lines(picture, [(points[[a, b]], False, (red, green, blue))], thick)
    if colour is None:
        middles = [points[_corners(axis, 1)].mean(axis=0) for axis in range(3)]
        draw_lines(
            picture,
            [(np.stack([points[0], m]), False, own) for m, own in zip(middles, _AXES)],
            width,
        )
        draw_discs(picture, points[1:], [WHITE] * 8, width + 1)
        draw_discs(picture, points[:1], [WHITE], width + 2)


def _nearness(subject: Subject) -> NDArray[np.float64]:
    """(9,) 0 for the farthest point of a box, 1 for the nearest; a half where that isn't known."""
    box = subject.cuboid or {}
    if not {"rotation", "translation_m", "size_m"} <= set(box):
        return np.full(9, 0.5)
    signs = np.array([[0, 0, 0]] + [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    corners = signs * np.asarray(box["size_m"], dtype=np.float64) / 2
    placed = corners @ np.reshape(box["rotation"], (3, 3)).T + np.ravel(box["translation_m"])
    # Distance from the camera, which doesn't depend on which way its axis points.
    distance = np.linalg.norm(placed, axis=1)
    span = np.ptp(distance)
    return (distance.max() - distance) / span if span > 0 else np.full(9, 0.5)


def _corners(axis: int, side: int) -> list[int]:
    """Indices of a face's four corners, round it; side 0 is the minus side of that axis."""
    signs = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    ring = [(0, 0), (0, 1), (1, 1), (1, 0)]
    faces = []
    for u, v in ring:
        corner = [u, v]
        corner.insert(axis, side)
        faces.append(1 + signs.index((corner[0], corner[1], corner[2])))
    return faces


def _front_faces(nearness: NDArray[np.float64]) -> list[list[int]]:
    """The nearer face of each axis; none where depths aren't known."""
    if np.ptp(nearness) == 0:
        return []
    return [
        max((_corners(axis, 0), _corners(axis, 1)), key=lambda face: float(nearness[face].sum()))
        for axis in range(3)
    ]


def _draw_detection(
    picture: Picture, points: Points, box: Box, width: int, colour: Colour | None
) -> None:
    x, y, w, h = box
    # Corners alone say where it is and leave what is inside to be seen.
    arm = 0.22 * min(w, h)
    lines = []
    for cx, cy, sx, sy in ((x, y, 1, 1), (x + w, y, -1, 1), (x + w, y + h, -1, -1),
                           (x, y + h, 1, -1)):  # fmt: skip
        corner = [(cx, cy + sy * arm), (cx, cy), (cx + sx * arm, cy)]
        lines.append((np.array(corner, dtype=np.float32), False, colour or LEFT))
    draw_lines(picture, lines, width + 1)
    draw_discs(picture, points, [colour or RIGHT] * len(points), width + 1)


@cache
def _mesh_edges(topology_id: str) -> NDArray[np.int64]:
    edges = np.array(topology(topology_id).edges)
    return edges[(edges < 468).all(axis=1)]


@cache
def _contour_lines(topology_id: str) -> tuple[tuple[tuple[int, ...], bool, Colour], ...]:
    layout = topology(topology_id)
    if not layout.contours:
        return tuple((edge, False, LEFT) for edge in layout.edges)
    return tuple(
        (line.indices, line.closed, _LINE_COLOURS.get(name, LEFT))
        for name, line in layout.contours.items()
        if "iris" not in name  # drawn as circles
    )


@cache
def _side_colours(topology_id: str) -> tuple[Colour, ...]:
    sides = {"left": LEFT, "right": RIGHT}
    names = topology(topology_id).keypoint_names
    return tuple(
        next((colour for side, colour in sides.items() if side in name.split("_")), WHITE)
        for name in names
    )


@cache
def _point_colours(topology_id: str) -> tuple[Colour, ...]:
    layout = topology(topology_id)
    colours = [WHITE] * layout.size
    for part, indices in layout.parts.items():
        for index in indices:
            colours[index] = _LINE_COLOURS.get(part, WHITE)
    return tuple(colours)
