"""The sparse face layouts of the public benchmarks, and where their points are in face478.

`face68` is the iBUG 68-point markup of 300-W (Sagonas et al. 2016), `face98` that of WFLW (Wu et
al. 2018), both in their files' order: along the jaw from the picture's left, then brows, nose,
eyes, lips. They were drawn with other rules than MediaPipe's mesh, so a correspondence is the
vertex nearest to what a rule describes. The jaw of `face98` has no vertices at equal distances
and none is claimed.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ViewfinderError
from runtime.topology import Contour, Topology, topology

NONE = -1

_JAW_68 = (162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389)
_BROWS_68 = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_NOSE_68 = (168, 197, 5, 4, 98, 97, 2, 326, 327)
_EYES_68 = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_LIPS_OUTER = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)
_LIPS_INNER = (78, 82, 13, 312, 308, 317, 14, 87)
_BROWS_98 = (70, 63, 105, 66, 107, 55, 65, 52, 53, 336, 296, 334, 293, 300, 283, 282, 295, 285)
_EYES_98 = (33, 161, 159, 157, 133, 154, 145, 163, 362, 384, 386, 388, 263, 390, 374, 381)
_IRISES = (468, 473)

AS_FACE478 = MappingProxyType(
    {
        "face68@1": _JAW_68 + _BROWS_68 + _NOSE_68 + _EYES_68 + _LIPS_OUTER + _LIPS_INNER,
        "face98@1": (NONE,) * 33
        + _BROWS_98 + _NOSE_68 + _EYES_98 + _LIPS_OUTER + _LIPS_INNER + _IRISES,
    }
)  # fmt: skip
"""Topology id -> the index in face478 of each of its keypoints, or `NONE`."""

# Lines through the points, by first index, count, and whether they close.
_LINES = {
    "face68@1": {
        "jaw": (0, 17, False), "right_brow": (17, 5, False), "left_brow": (22, 5, False),
        "nose_bridge": (27, 4, False), "nose_wings": (31, 5, False), "right_eye": (36, 6, True),
        "left_eye": (42, 6, True), "lips_outer": (48, 12, True), "lips_inner": (60, 8, True),
    },
    "face98@1": {
        "jaw": (0, 33, False), "right_brow": (33, 9, True), "left_brow": (42, 9, True),
        "nose_bridge": (51, 4, False), "nose_wings": (55, 5, False), "right_eye": (60, 8, True),
        "left_eye": (68, 8, True), "lips_outer": (76, 12, True), "lips_inner": (88, 8, True),
        "right_iris": (96, 1, False), "left_iris": (97, 1, False),
    },
}  # fmt: skip
_PARTS = {
    "oval": ("jaw",),
    "brows": ("right_brow", "left_brow"),
    "nose": ("nose_bridge", "nose_wings"),
    "eyelids": ("right_eye", "left_eye"),
    "lips": ("lips_outer", "lips_inner"),
    "irises": ("right_iris", "left_iris"),
}
_OUTER_EYE_CORNERS = {"face68@1": (36, 45), "face98@1": (60, 72)}


def sparse_face(topology_id: str) -> Topology:
    """`face68@1` or `face98@1`."""
    lines = _LINES[topology_id]
    name = topology_id.split("@")[0]
    spans = {line: range(first, first + count) for line, (first, count, _) in lines.items()}
    contours = {
        line: Contour(tuple(spans[line]), closed)
        for line, (_, count, closed) in lines.items()
        if count > 1
    }
    return Topology(
        name=name,
        version=1,
        keypoint_names=tuple(
            f"{line}_{i}" if len(span) > 1 else line
            for line, span in spans.items()
            for i in range(len(span))
        ),
        edges=tuple(pair for contour in contours.values() for pair in contour.segments()),
        contours=MappingProxyType(contours),
        parts=MappingProxyType(
            {
                part: tuple(i for line in of if line in spans for i in spans[line])
                for part, of in _PARTS.items()
                if any(line in spans for line in of)
            }
        ),
        mirror=_mirror(spans),
        normaliser=_OUTER_EYE_CORNERS[topology_id],
        normaliser_name="outer interocular distance",
    )


def _mirror(spans: dict[str, range]) -> tuple[int, ...]:
    """Lines that lie across the face turn round, those of one side change places."""
    partner: dict[int, int] = {}
    for line, span in spans.items():
        other = line.replace("right", "?").replace("left", "right").replace("?", "left")
        partner.update(zip(span, _flipped(line, spans[other])))
    return tuple(partner[i] for i in range(len(partner)))


def _flipped(line: str, span: range) -> list[int]:
    """The partner's points in the order in which this line's points meet them."""
    points = list(span)
    kind = line.rpartition("_")[2]
    if line == "nose_bridge" or kind == "iris":
        return points
    if line in ("jaw", "nose_wings") or (kind == "brow" and len(points) == 5):
        return points[::-1]
    if kind == "brow":  # upper edge of five, then lower edge of four, each from the picture's left
        return points[4::-1] + points[:4:-1]
    # Rings that begin at the corner on the picture's left and run along the top.
    half = len(points) // 2
    return points[half::-1] + points[:half:-1]


def in_layout(points: NDArray[np.floating], from_id: str, to_id: str) -> NDArray[np.float64]:
    """Keypoints of one face layout as another's.

    Args:
        points: (N, D) of `from_id`.
        from_id: topology of the points; face layouts of which one is a subset of the other.
        to_id: topology wanted.

    Returns:
        (M, D) of `to_id`, NaN where `from_id` has no such keypoint.

    Raises:
        ViewfinderError: nothing is known of how these layouts correspond.
    """
    places = _places(from_id, to_id)
    result = np.full((topology(to_id).size, points.shape[1]), np.nan)
    known = places != NONE
    result[known] = points[places[known]]
    return result


def _places(from_id: str, to_id: str) -> NDArray[np.int64]:
    """(M,) index in `from_id` of each keypoint of `to_id`, or `NONE`."""
    whole = ("face478@1", "face468@1")
    if from_id == to_id:
        return np.arange(topology(to_id).size)
    count = topology(to_id).size
    if to_id in whole and (from_id in whole or from_id in AS_FACE478):
        held = range(topology(from_id).size) if from_id in whole else AS_FACE478[from_id]
        places = np.full(max(count, 478), NONE)
        for place, index in enumerate(held):
            if index != NONE:
                places[index] = place
        return places[:count]
    if from_id in whole and to_id in AS_FACE478:
        places = np.array(AS_FACE478[to_id])
        return np.where(places < topology(from_id).size, places, NONE)
    raise ViewfinderError(
        "these layouts don't correspond", field="topology", expected=to_id, found=from_id
    )


def corresponds(from_id: str, to_id: str) -> bool:
    """Whether `in_layout` knows the way."""
    try:
        _places(from_id, to_id)
    except ViewfinderError:
        return False
    return True
