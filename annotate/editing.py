"""A document, the keypoints of one subject, and the changes that can be made to it.

Everything here is pure: a change never alters a document, it gives a new one. Positions are
continuous picture coordinates in pixels, the origin at the top-left corner of the top-left pixel.
napari counts (row, column) from pixel centres instead: `rowcol_from_px` and `px_from_rowcol` are
the only place where the two meet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annotate.cuboid_document import BoxDocument, SetCuboid, apply_to_box
from annotate.status import SetStatus, Status
from runtime.errors import ViewfinderError
from runtime.topology import Topology, topology

NOT_LABELLED, OCCLUDED, VISIBLE = 0, 1, 2
_VISIBILITIES = (NOT_LABELLED, OCCLUDED, VISIBLE)
# Far outside any picture: a position beyond it is a mistake of the caller's, not a label.
_FARTHEST_PX = 1e6
# Nor is a fingertip ten times as far away as its wrist, or right at the lens.
_NEAREST, _FARTHEST = 0.1, 10.0
_HANDS = ("left", "right")
MODEL = "model "
"""What `Adopt.of` begins with where it was a model; people's names have no spaces."""


@dataclass(frozen=True)
class Document:
    """The keypoints of one subject as they stand.

    Attributes:
        topology_id: such as `face478@1`.
        keypoints_px: (N, 2) float64 x, y; NaN where a keypoint has no position.
        visibility: (N,) int8, COCO's: 0 not labelled, 1 occluded, 2 visible.
        status: `open`, `done` (accepted), `skipped` (left for later) or `flagged` (something is
            wrong with it).
        note: why it is flagged, or "".
        placed: (N,) bool, keypoints that somebody put where they are with their own hand, not
            those that followed.
        confirmed: names of contours that somebody said are right.
        depth: (N,) of a hand or a box, every keypoint's distance along the optical axis as a share
            of the first one's (wrist, centre); None where nobody knows.
        handedness: of a hand, the person's own: `left`, `right`, or "" where nobody said.
    """

    topology_id: str
    keypoints_px: NDArray[np.float64]
    visibility: NDArray[np.int8]
    placed: NDArray[np.bool_]
    status: Status = "open"
    note: str = ""
    confirmed: frozenset[str] = frozenset()
    depth: NDArray[np.float64] | None = None
    handedness: str = ""

    @property
    def topology(self) -> Topology:
        """The layout the keypoints follow."""
        return topology(self.topology_id)

    def same_as(self, other: Document) -> bool:
        """True when nothing differs, to the last bit (a missing position equals itself)."""
        return (
            (self.topology_id, self.status, self.note, self.confirmed, self.handedness)
            == (other.topology_id, other.status, other.note, other.confirmed, other.handedness)
            and _same_depth(self.depth, other.depth)
            and np.array_equal(self.keypoints_px, other.keypoints_px, equal_nan=True)
            and np.array_equal(self.visibility, other.visibility)
            and np.array_equal(self.placed, other.placed)
        )


def _same_depth(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other, equal_nan=True)


@dataclass(frozen=True)
class Move:
    """Keypoints `indices` go to `to_px` (K, 2); `held` of them were put there by hand. Their depth
    becomes `depth` (K shares of the wrist's), or stays when that is empty."""

    indices: tuple[int, ...]
    to_px: tuple[tuple[float, float], ...]
    held: tuple[int, ...] = ()
    depth: tuple[float, ...] = ()


@dataclass(frozen=True)
class SetHandedness:
    """A hand is a `left` or `right` one."""

    to: str


@dataclass(frozen=True)
class SetVisibility:
    """Keypoints `indices` become `to` (K of 0, 1, 2)."""

    indices: tuple[int, ...]
    to: tuple[int, ...]


@dataclass(frozen=True)
class Confirm:
    """Contours are said to be right, or no longer so."""

    contours: tuple[str, ...]
    to: bool = True


@dataclass(frozen=True)
class Adopt:
    """Keypoints `indices` become as somebody else has them: to_px (K; None for no position), and
    `visibility` (K); `of` says who, for people."""

    indices: tuple[int, ...]
    to_px: tuple[tuple[float, float] | None, ...]
    visibility: tuple[int, ...]
    of: str = ""

    @property
    def by_model(self) -> bool:
        """Whether a model has them so, and no person said anything yet."""
        return self.of.startswith(MODEL)


Change = Move | SetVisibility | SetHandedness | SetStatus | Confirm | Adopt | SetCuboid
KeypointChange = Move | SetVisibility | SetHandedness | SetStatus | Confirm | Adopt
AnyDocument = TypeVar("AnyDocument", Document, BoxDocument)


def new_document(
    topology_id: str,
    keypoints_px: ArrayLike,
    visibility: ArrayLike | None = None,
    depth: ArrayLike | None = None,
    handedness: str = "",
) -> Document:
    """A document to start from.

    Args:
        topology_id: of the keypoints.
        keypoints_px: (N, 2) positions.
        visibility: (N,) of 0, 1, 2; all visible when None.
        depth: (N,) shares of the wrist's; None where nobody knows.
        handedness: `left`, `right` or "".

    Raises:
        ViewfinderError: unknown topology, or a number of keypoints that isn't the topology's.
    """
    layout = topology(topology_id)
    points = np.array(keypoints_px, dtype=np.float64)
    if points.shape != (layout.size, 2):
        raise ViewfinderError(
            "wrong number of keypoints",
            field="keypoints_px",
            expected=f"{layout.size} x 2 for {layout.id}",
            found=" x ".join(str(n) for n in points.shape),
        )
    shown = np.full(layout.size, VISIBLE, np.int8) if visibility is None else np.array(visibility)
    if shown.shape != (layout.size,) or not np.isin(shown, _VISIBILITIES).all():
        raise ViewfinderError(
            "wrong visibility", field="visibility", expected=f"{layout.size} values of 0, 1, 2"
        )
    nobody = _frozen(np.zeros(layout.size, bool))
    away = None if depth is None else np.array(depth, dtype=np.float64)
    if away is not None and away.shape != (layout.size,):
        raise ViewfinderError("wrong depth", field="depth", expected=f"{layout.size} values")
    return Document(
        layout.id,
        _frozen(points),
        _frozen(shown.astype(np.int8)),
        nobody,
        depth=None if away is None else _frozen(away),
        handedness=_checked_handedness(handedness) if handedness else "",
    )


def _checked_handedness(handedness: str) -> str:
    if handedness not in _HANDS:
        raise ViewfinderError(
            "no such hand", field="handedness", expected=" | ".join(_HANDS), found=handedness
        )
    return handedness


def apply(document: AnyDocument, change: Change) -> AnyDocument:
    """The document after a change; only what the change names differs.

    A keypoint that was not labelled and is moved becomes visible: somebody placed it.

    Raises:
        ViewfinderError: an index or a value out of range, a position that isn't finite, no such
            contour; a change of a box to keypoints, or the other way round.
    """
    if isinstance(document, BoxDocument):
        if not isinstance(change, SetCuboid | SetStatus):
            raise ViewfinderError("this can't be done to a box", found=type(change).__name__)
        return apply_to_box(document, change)
    if isinstance(change, SetCuboid):
        raise ViewfinderError("this can't be done to keypoints", found=type(change).__name__)
    return _apply_to_keypoints(document, change)


def _apply_to_keypoints(document: Document, change: KeypointChange) -> Document:
    if isinstance(change, Confirm):
        return _confirmed(document, change)
    if isinstance(change, SetStatus):
        change.check()
        return replace(document, status=change.to, note=change.note)
    if isinstance(change, SetHandedness):
        return replace(document, handedness=_checked_handedness(change.to))
    indices = _checked_indices(document, change.indices)
    if isinstance(change, Adopt):
        return _adopted(document, change, indices)
    visibility = document.visibility.copy()
    if isinstance(change, SetVisibility):
        if len(change.to) != len(indices) or any(v not in _VISIBILITIES for v in change.to):
            raise ViewfinderError(
                "wrong visibility", field="visibility", expected="0, 1 or 2", found=change.to
            )
        visibility[indices] = change.to
        return replace(document, visibility=_frozen(visibility))
    targets = np.array(change.to_px, dtype=np.float64).reshape(-1, 2)
    if len(targets) != len(indices) or not (np.abs(targets) < _FARTHEST_PX).all():
        raise ViewfinderError(
            "a keypoint can't go there",
            field="keypoints_px",
            expected="a finite x and y for each keypoint moved",
            found=change.to_px[:1],
        )
    points = document.keypoints_px.copy()
    points[indices] = targets
    visibility[indices] = np.where(
        visibility[indices] == NOT_LABELLED, VISIBLE, visibility[indices]
    )
    depth = document.depth
    if change.depth:
        depth = _with_depth(document, indices, change.depth)
    placed = document.placed.copy()
    if change.held:
        placed[_checked_indices(document, change.held)] = True
    return replace(
        document,
        keypoints_px=_frozen(points),
        visibility=_frozen(visibility),
        placed=_frozen(placed),
        depth=depth,
    )


def _with_depth(
    document: Document, indices: list[int], to: tuple[float, ...]
) -> NDArray[np.float64]:
    away = np.array(to, dtype=np.float64)
    if len(away) != len(indices) or not ((away >= _NEAREST) & (away <= _FARTHEST)).all():
        raise ViewfinderError(
            "a keypoint can't be so far away",
            field="depth",
            expected=f"{_NEAREST} to {_FARTHEST} of the wrist's distance for each keypoint moved",
            found=to[:1],
        )
    depth = np.ones(len(document.placed)) if document.depth is None else document.depth.copy()
    depth[indices] = away
    return _frozen(depth)


def _adopted(document: Document, change: Adopt, indices: list[int]) -> Document:
    nowhere = (math.nan, math.nan)
    targets = np.array([p or nowhere for p in change.to_px], dtype=np.float64).reshape(-1, 2)
    known = np.isfinite(targets).all(axis=1)
    right = len(targets) == len(indices) == len(change.visibility)
    if not right or not (np.abs(targets[known]) < _FARTHEST_PX).all():
        raise ViewfinderError("these keypoints can't be taken over", field="keypoints_px")
    if any(v not in _VISIBILITIES for v in change.visibility):
        raise ViewfinderError(
            "wrong visibility", field="visibility", expected="0, 1 or 2", found=change.visibility
        )
    points, visibility = document.keypoints_px.copy(), document.visibility.copy()
    points[indices], visibility[indices] = targets, change.visibility
    return replace(document, keypoints_px=_frozen(points), visibility=_frozen(visibility))


def _confirmed(document: Document, change: Confirm) -> Document:
    known = document.topology.contours
    for name in change.contours:
        if name not in known:
            raise ViewfinderError(
                "no such contour", field="contour", expected=" | ".join(known), found=name
            )
    names = frozenset(change.contours)
    confirmed = document.confirmed | names if change.to else document.confirmed - names
    return replace(document, confirmed=confirmed)


def _checked_indices(document: Document, indices: Sequence[int]) -> list[int]:
    count = len(document.keypoints_px)
    if not indices or len(set(indices)) != len(indices):
        raise ViewfinderError("each keypoint must be named once", field="index", found=indices[:5])
    for index in indices:
        if not 0 <= index < count:
            raise ViewfinderError(
                "no such keypoint", field="index", expected=f"0 to {count - 1}", found=index
            )
    return [int(i) for i in indices]


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def next_visibility(visibility: int) -> int:
    """What a key press makes of it: visible -> occluded -> not labelled -> visible."""
    return {VISIBLE: OCCLUDED, OCCLUDED: NOT_LABELLED}.get(visibility, VISIBLE)


def adopting(
    document: Document, other: Document, indices: Sequence[int] | None = None, of: str = ""
) -> Adopt | None:
    """The change that makes keypoints (all of them when None) as another document has them; None
    where they are so already."""
    chosen = range(len(other.keypoints_px)) if indices is None else indices
    different = [
        i
        for i in chosen
        if document.visibility[i] != other.visibility[i]
        or not np.array_equal(document.keypoints_px[i], other.keypoints_px[i], equal_nan=True)
    ]
    if not different:
        return None
    spots = tuple(
        (x, y) if math.isfinite(x) and math.isfinite(y) else None
        for x, y in other.keypoints_px[different].tolist()
    )
    return Adopt(tuple(different), spots, tuple(other.visibility[different].tolist()), of)


def contour_lines(document: Document) -> dict[str, NDArray[np.float32]]:
    """Every contour of the topology through the keypoints as they stand: name -> (K, 2) px."""
    points = document.keypoints_px.astype(np.float32)
    return {name: points[list(c.indices)] for name, c in document.topology.contours.items()}


def bounding_box(document: Document) -> tuple[float, float, float, float] | None:
    """x, y, width, height around the labelled keypoints in px, or None when none is labelled."""
    labelled = document.keypoints_px[document.visibility > NOT_LABELLED]
    labelled = labelled[np.isfinite(labelled).all(axis=1)]
    if not len(labelled):
        return None
    (x, y), (right, bottom) = labelled.min(axis=0), labelled.max(axis=0)
    return float(x), float(y), float(right - x), float(bottom - y)


def rowcol_from_px(points_px: ArrayLike) -> NDArray[np.float64]:
    """Picture coordinates (..., 2) x, y from the corner -> napari's (row, column) from centres.

    See Also: `px_from_rowcol`, its inverse.
    """
    return np.asarray(points_px, dtype=np.float64)[..., ::-1] - 0.5


def px_from_rowcol(points_rowcol: ArrayLike) -> NDArray[np.float64]:
    """napari's (..., 2) row, column from pixel centres -> picture coordinates x, y from the corner.

    See Also: `rowcol_from_px`, its inverse.
    """
    return (np.asarray(points_rowcol, dtype=np.float64) + 0.5)[..., ::-1]
