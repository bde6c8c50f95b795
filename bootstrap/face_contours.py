"""The lines of a face that people draw on photographs: lips, lids, brows, irises, nose, outline.

They are the contours of face478@1, point for point, but for the oval: the mesh's lies on its
anatomical line, the one that is drawn is where the face is seen to end. So all but the outline
teach the mesh, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from runtime.topology import topology

Floats = NDArray[np.float32]

OUTLINE, SEEN_OUTLINE = "oval", "oval_silhouette"
"""What it is called in a topology and by people, and in labels that have both (render faces)."""
_FINE = 16


@cache
def points() -> tuple[tuple[str, int], ...]:
    """The contour and the mesh's keypoint of each of the 155 points, in order."""
    face = topology("face478@1")
    return tuple((name, i) for name, line in face.contours.items() for i in line.indices)


def on_mesh() -> NDArray[np.int64]:
    """(155,) the keypoint of face478@1 that each point is; of the outline the oval's, which is
    another point when the head is turned."""
    return np.array([index for _, index in points()])


def of_outline() -> NDArray[np.bool_]:
    """(155,) which of them are the outline's."""
    return np.array([name == OUTLINE for name, _ in points()])


@cache
def mirror() -> NDArray[np.intp]:
    """(155,) each point's partner when left and right are swapped; not to be written to."""
    face = topology("face478@1")
    swapped = {"left": "right", "right": "left"}
    places = {point: place for place, point in enumerate(points())}
    partners = []
    for name, index in points():
        side, _, rest = name.partition("_")
        other = f"{swapped[side]}_{rest}" if side in swapped else name
        partners.append(places[other, face.mirror[index]])
    return np.array(partners, dtype=np.intp)


def drawn_points(
    lines: Mapping[str, Floats], keypoints_px: Floats, weight: Floats, turn_rad: float
) -> tuple[Floats, Floats]:
    """The points of a labelled face.

    Args:
        lines: the label's contours: the outline is taken from them, the others are the keypoints'
            (`with_lines` brings those that aren't).
        keypoints_px: (478, 2), 0 where not labelled.
        weight: (478,) 0 where not labelled.
        turn_rad: of the face in the picture, clockwise: the outline starts at its top.

    Returns:
        (155, 2) px, 0 where not labelled, and (155,) weight.
    """
    place, outline = on_mesh(), of_outline()
    found, count = keypoints_px[place], weight[place]
    line = lines.get(SEEN_OUTLINE, lines.get(OUTLINE))
    if line is not None and len(line) > 2:
        found[outline] = from_top(line, turn_rad, int(outline.sum()))
        count[outline] = weight.max(initial=0.0)
    return found.astype(np.float32), count.astype(np.float32)


def with_lines(
    lines: Mapping[str, Floats], keypoints_px: Floats, visibility: NDArray[np.int8]
) -> tuple[Floats, NDArray[np.int8]]:
    """Keypoints of face478@1 with those of its drawn lines filled in where they aren't labelled.

    Args:
        lines: the label's contours; one with another number of points than the topology's says
            nothing about single points and is left out.
        keypoints_px: (478, 2).
        visibility: (478,) COCO's.
    """
    result, seen = keypoints_px.copy(), visibility.copy()
    for name, contour in topology("face478@1").contours.items():
        line = lines.get(name)
        if line is None or len(line) != len(contour.indices):
            continue
        if name == OUTLINE and SEEN_OUTLINE not in lines:
            continue  # where the face is seen to end is no line of the mesh
        index = np.array(contour.indices)
        missing = index[visibility[index] == 0]
        result[missing] = line[visibility[index] == 0]
        seen[missing] = 2
    return result, seen


def within_outline(points_px: NDArray[np.floating], lines: Mapping[str, Floats]) -> Floats:
    """(478, 2) keypoints, some of them guessed, that reach exactly as far as the drawn outline, so
    that a crop around them is right; as they are where none is drawn."""
    line = lines.get(SEEN_OUTLINE, lines.get(OUTLINE))
    result = np.asarray(points_px, dtype=np.float32).copy()
    if line is None or len(line) < 3:
        return result
    low, high = line.min(axis=0), line.max(axis=0)
    result = np.clip(result, low, high)
    oval = topology("face478@1").contours[OUTLINE].indices
    for place, corner in zip((oval[0], oval[len(oval) // 2]), (low, high)):
        result[place] = corner
    return result


def from_top(line: Floats, turn_rad: float, count: int) -> Floats:
    """A closed line again, clockwise from where it is highest on a face that is turned.

    Args:
        line: (K, 2) px.
        turn_rad: of the face, clockwise.
        count: points wanted, evenly spaced.

    Returns:
        (count, 2) px.
    """
    x, y = line.astype(np.float64).T
    if float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) < 0:  # y grows downward
        line = line[::-1]
    closed = np.concatenate([line, line[:1]]).astype(np.float64)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    if along[-1] <= 0:
        return np.repeat(line[:1], count, axis=0)

    def at(stations: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([np.interp(stations % along[-1], along, closed[:, k]) for k in (0, 1)], 1)

    stations = along[-1] * np.arange(_FINE * count) / (_FINE * count)
    height = at(stations) @ np.array([-np.sin(turn_rad), np.cos(turn_rad)])
    top = stations[int(height.argmin())]
    return at(top + along[-1] * np.arange(count) / count).astype(np.float32)
