"""Subjects drawn over their picture: readable on light, dark and busy ground.

Every line is drawn twice, wide and dark, then narrow and bright, and widths follow the subject's
size, so that a face that fills a large photograph and one in the corner of a clip look alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.results import Subject
from runtime.topology import Topology, topology

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

_SHIFT = 4  # OpenCV draws at 1/16 pixel
_DARK: Colour = (18, 22, 30)
_WHITE: Colour = (250, 250, 250)
_MESH: Colour = (205, 222, 235)
_MESH_OPACITY = 0.35

# The person's right side is warm, the left side cool; fingers go round the colour wheel.
_RIGHT: Colour = (255, 176, 46)
_LEFT: Colour = (72, 202, 255)
_LINE_COLOURS: dict[str, Colour] = {
    "lips_outer": (255, 92, 120),
    "lips_inner": (255, 92, 120),
    "right_eye": _RIGHT,
    "right_brow_lower": _RIGHT,
    "right_brow_upper": _RIGHT,
    "right_iris": _RIGHT,
    "left_eye": _LEFT,
    "left_brow_lower": _LEFT,
    "left_brow_upper": _LEFT,
    "left_iris": _LEFT,
    "oval": _WHITE,
    "nose_bridge": (170, 235, 150),
    "nose_wings": (170, 235, 150),
    "palm": (235, 240, 245),
    "thumb": (255, 122, 89),
    "index": (255, 196, 61),
    "middle": (124, 214, 96),
    "ring": (76, 192, 255),
    "pinky": (190, 140, 255),
}


def drawn(rgb: Picture, subjects: Sequence[Subject], mirrored: bool = False) -> Picture:
    """A copy of the picture with its subjects drawn on.

    Args:
        rgb: (H, W, 3) uint8.
        subjects: found in it.
        mirrored: flip the copy, as a mirror shows it; text stays readable.

    Returns:
        (H, W, 3) uint8.
    """
    picture = np.ascontiguousarray(rgb[:, ::-1]) if mirrored else rgb.copy()
    height, width = rgb.shape[:2]
    for subject in subjects:
        points = subject.keypoints_px(width, height)[:, :2].copy()
        x, y, w, h = np.array(subject.box) * (width, height, width, height)
        if mirrored:
            points[:, 0] = width - points[:, 0]
            x = width - x - w
        _draw_subject(picture, subject, points, (x, y, w, h))
    return picture


def draw_text(picture: Picture, text: str, left: float, bottom: float, size: float = 1.0) -> None:
    """Write a line in place, its lower left corner at that point; kept inside the picture.

    Args:
        picture: (H, W, 3) uint8.
        text: ASCII.
        left, bottom: in pixels.
        size: 1 gives letters about 10 pixels high.
    """
    font, scale, thick = cv2.FONT_HERSHEY_SIMPLEX, 0.45 * size, max(1, round(size))
    (text_width, text_height), _ = cv2.getTextSize(text, font, scale, thick)
    x = int(min(max(left, 3), max(3, picture.shape[1] - text_width - 3)))
    y = int(min(max(bottom, text_height + 3), picture.shape[0] - 5))
    for colour, width in ((_DARK, thick + max(2, round(2 * size))), (_WHITE, thick)):
        cv2.putText(picture, text, (x, y), font, scale, colour, width, cv2.LINE_AA)


def _draw_subject(
    picture: Picture, subject: Subject, points: NDArray[np.float32], box: tuple[float, ...]
) -> None:
    x, y, w, h = box
    # A face's lines lie close together, a hand's don't.
    finest = max(
        1 if subject.topology.startswith("face") else 2, round(min(picture.shape[:2]) / 500)
    )
    width = min(6, max(finest, round(max(w, h) / 160)))
    if not subject.topology:
        _draw_detection(picture, points, box, width)
    else:
        layout = topology(subject.topology)
        if layout.name.startswith("face"):
            _draw_mesh(picture, layout, points)
        _draw_lines(picture, _coloured_lines(layout.id), points, width)
        if layout.name.startswith("hand"):
            _draw_joints(picture, layout, points, width)
    size = min(3.0, max(0.9, min(picture.shape[:2]) / 700))
    draw_text(picture, _label(subject), x, y - 4 * width, size)


def _label(subject: Subject) -> str:
    name = subject.topology.split("@")[0].rstrip("0123456789") or "face"
    side = f"{subject.handedness} " if subject.handedness else ""
    return f"{side}{name} {subject.score:.2f}"


def _draw_mesh(picture: Picture, layout: Topology, points: NDArray[np.float32]) -> None:
    low = np.clip(np.floor(points.min(axis=0)) - 2, 0, None).astype(int)
    high = np.ceil(points.max(axis=0)).astype(int) + 3
    region = picture[low[1] : high[1], low[0] : high[0]]
    if region.size == 0:
        return
    wire = region.copy()
    segments = _fixed(points[_mesh_edges(layout.id)] - low)
    cv2.polylines(wire, list(segments), False, _MESH, 1, cv2.LINE_AA, _SHIFT)
    cv2.addWeighted(wire, _MESH_OPACITY, region, 1 - _MESH_OPACITY, 0, dst=region)


def _draw_lines(
    picture: Picture,
    lines: Iterable[tuple[tuple[int, ...], bool, Colour]],
    points: NDArray[np.float32],
    width: int,
) -> None:
    placed = [(_fixed(points[list(ids)]), closed, colour) for ids, closed, colour in lines]
    for line, closed, _ in placed:
        cv2.polylines(picture, [line], closed, _DARK, width + 2, cv2.LINE_AA, _SHIFT)
    for line, closed, colour in placed:
        cv2.polylines(picture, [line], closed, colour, width, cv2.LINE_AA, _SHIFT)


def _draw_joints(
    picture: Picture, layout: Topology, points: NDArray[np.float32], width: int
) -> None:
    colours = _point_colours(layout.id)
    radius = (width + 2) << _SHIFT
    for (x, y), colour in zip(_fixed(points).tolist(), colours):
        cv2.circle(picture, (x, y), radius + (1 << _SHIFT), _DARK, -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(picture, (x, y), radius, colour, -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(picture, (x, y), radius // 2, _WHITE, -1, cv2.LINE_AA, _SHIFT)


def _draw_detection(
    picture: Picture, points: NDArray[np.float32], box: tuple[float, ...], width: int
) -> None:
    x, y, w, h = box
    corners = _fixed(np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], dtype=np.float32))
    for colour, thick in ((_DARK, width + 3), (_LEFT, width + 1)):
        cv2.polylines(picture, [corners], True, colour, thick, cv2.LINE_AA, _SHIFT)
    for px, py in _fixed(points).tolist():
        for colour, radius in ((_DARK, width + 3), (_RIGHT, width + 2)):
            place = radius << _SHIFT
            cv2.circle(picture, (px, py), place, colour, -1, cv2.LINE_AA, _SHIFT)


def _fixed(points_px: NDArray[np.float32]) -> NDArray[np.int32]:
    """OpenCV's fixed-point pixels, whose whole numbers are pixel centres."""
    limited = np.clip(np.nan_to_num(points_px), -30000, 30000)
    return np.rint((limited - 0.5) * (1 << _SHIFT)).astype(np.int32)


@cache
def _mesh_edges(topology_id: str) -> NDArray[np.int64]:
    edges = np.array(topology(topology_id).edges)
    return edges[(edges < 468).all(axis=1)]


@cache
def _coloured_lines(topology_id: str) -> tuple[tuple[tuple[int, ...], bool, Colour], ...]:
    layout = topology(topology_id)
    if not layout.contours:
        return tuple((edge, False, _LEFT) for edge in layout.edges)
    return tuple(
        (line.indices, line.closed, _LINE_COLOURS.get(name, _LEFT))
        for name, line in layout.contours.items()
    )


@cache
def _point_colours(topology_id: str) -> tuple[Colour, ...]:
    layout = topology(topology_id)
    colours = [_WHITE] * layout.size
    for part, indices in layout.parts.items():
        for index in indices:
            colours[index] = _LINE_COLOURS.get(part, _WHITE)
    return tuple(colours)
