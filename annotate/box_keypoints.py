"""A box's nine keypoints in one picture, moved as the box that they are.

Pure. A keypoint's depth is its distance along the optical axis as a share of the centre's; with the
camera it gives the box in space, in units of the centre's distance: how large things are no single
picture tells. A drag of a corner fits the nine degrees of freedom anew: the corner goes with the
cursor, those that were placed by hand stay, the others stay as nearly as a box can.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from annotate.editing import Document, Move
from annotate.hand_bones import depth_of
from arsession.cuboid_evidence import CLICK_SIGMA_PX, Click, Evidence, PlacedBox
from arsession.cuboid_residuals import Residuals
from arsession.views import Views
from bootstrap.box_overlap import CORNERS
from bootstrap.dataset import Label
from runtime.camera import Camera
from runtime.cuboid import lift_cuboid

Array = NDArray[np.float64]

BOX = "cuboid9@1"
# The corner in hand is where the cursor is; of the others, how well a network knows them, as a
# share of the box's diagonal in the picture, which leaves the person the say.
_HELD_SIGMA_PX, _LOOSE_SHARE, _LOOSE_LEAST_PX = 0.1, 0.04, 4.0
_MOST_STEPS, _LONGEST_STEP, _SMALL_STEP = 12, 0.5, 1e-4
# Of the centre's distance: a corner nearer to the camera is none that anybody sees.
_NEAREST = 0.1


def found_depth(label: Label, camera: Camera) -> Array | None:
    """(9,) shares of the centre's distance of a label's box: as it says, else as the corners in
    the picture tell; None where they are no box's."""
    if label.keypoints_camera_m is not None:
        return depth_of(label.keypoints_camera_m)
    assert label.keypoints_px is not None
    return _lifted_depth(np.asarray(label.keypoints_px[:, :2], np.float64), camera)


def _lifted_depth(points_px: Array, camera: Camera) -> Array | None:
    if not np.isfinite(points_px[1:]).all():
        return None
    lifted = lift_cuboid(points_px, camera)
    return None if lifted is None else depth_of(lifted.vertices())


def box_in_space(points_px: Array, depth: Array | None, camera: Camera) -> PlacedBox | None:
    """The box nearest to nine keypoints, in camera axes, its centre 1 away; None for no box.

    Args:
        points_px: (9, 2).
        depth: (9,) shares of the centre's distance; found from the corners when None.
        camera: of the picture.
    """
    depth = _lifted_depth(points_px, camera) if depth is None else depth
    if depth is None or not np.isfinite(points_px).all() or not (depth > 0).all():
        return None
    box = box_through(camera.unproject(points_px, depth))
    if box is None:
        return None
    away = float(box.centre_m[2])
    return PlacedBox(box.rotation, box.centre_m / away, box.size_m / away)


def box_through(points: Array) -> PlacedBox | None:
    """The box nearest to nine points in space, (9, 3); None where it is flat or mirrored."""
    # Columns are the mean edges along the box's own axes.
    edges = points[1:].T @ (2 * CORNERS) / 4
    size = np.linalg.norm(edges, axis=0)
    if not (size > 1e-9).all():
        return None
    left, _, right = np.linalg.svd(edges / size)
    if np.linalg.det(left @ right) < 0:
        return None
    return PlacedBox(left @ right, points[1:].mean(axis=0), size)


class BoxDrag:
    """A drag of one of a box's keypoints; the centre carries the whole box.

    Args:
        document: of a box, before the drag.
        index: the keypoint taken hold of.
        box: as the document has it, in camera axes.
        camera: of the picture.
    """

    def __init__(self, document: Document, index: int, box: PlacedBox, camera: Camera) -> None:
        self.indices = np.array([index, *(i for i in range(9) if i != index)])
        self._index, self._camera, self._now, self._box = index, camera, box, box
        self._views = Views.of_poses(np.eye(4)[None], (camera,))
        px = document.keypoints_px
        diagonal = float(np.linalg.norm(np.ptp(px[1:], axis=0)))
        loose = max(_LOOSE_SHARE * diagonal, _LOOSE_LEAST_PX)
        self._others = tuple(
            Click(
                0, (x, y), corner=k, sigma_px=CLICK_SIGMA_PX if document.placed[k] else loose
            )
            for k, (x, y) in enumerate(px.tolist())
            if k not in (0, index)
        )  # fmt: skip

    def _led(self, x_px: float, y_px: float) -> PlacedBox | None:
        if self._index == 0:
            target = self._camera.unproject((x_px, y_px), self._box.centre_m[2])
            return PlacedBox(self._box.rotation, target, self._box.size_m)
        held = Click(0, (x_px, y_px), corner=self._index, sigma_px=_HELD_SIGMA_PX)
        residuals = Residuals(Evidence((held, *self._others)), self._views, self._now)
        # Least squares without mercy for outliers: what is held isn't one.
        x = residuals.start()
        for _ in range(_MOST_STEPS):
            values, slopes = residuals.values(x), residuals.slopes(x)
            information = slopes.T @ slopes
            step = np.linalg.solve(information, -(slopes.T @ values))
            x = x + step * min(1.0, _LONGEST_STEP / max(float(np.abs(step).max()), 1e-12))
            if float(step @ information @ step) < _SMALL_STEP:
                break
        box = residuals.box(x)
        ahead = box.points_world_m()[:, 2]
        return box if (ahead > _NEAREST * ahead[0]).all() and ahead[0] > 0 else None

    def placed(self, x_px: float, y_px: float) -> Array:
        """(9, 3) in space, the held keypoint first, when it is led to a place in the picture; where
        no box has it there, all stay where they were last."""
        self._now = self._led(x_px, y_px) or self._now
        points = self._now.points_world_m()
        return np.asarray(points[self.indices] / points[0, 2])

    def at(self, x_px: float, y_px: float) -> Array:
        """(9, 2) px of the keypoints then, the held one first."""
        return self._camera.project(self.placed(x_px, y_px))

    def move(self, x_px: float, y_px: float) -> Move:
        """The change that this drag makes when it ends there."""
        placed = self.placed(x_px, y_px)
        spots = tuple((x, y) for x, y in self._camera.project(placed).tolist())
        indices = tuple(self.indices.tolist())
        return Move(indices, spots, indices[:1], tuple(placed[:, 2].tolist()))


def begin_box_drag(document: Document, index: int, camera: Camera) -> BoxDrag | None:
    """Take hold of a box's keypoint; None where its nine keypoints are no box's."""
    box = box_in_space(document.keypoints_px, document.depth, camera)
    return None if box is None else BoxDrag(document, index, box, camera)


def box_m(document: Document, found_m: NDArray[np.floating], camera: Camera) -> PlacedBox | None:
    """A document's box in metres, its centre as far away as it was found, (9, 3) `found_m`."""
    box = box_in_space(document.keypoints_px, document.depth, camera)
    away = float(found_m[0, 2])
    if box is None or not away > 0:
        return None
    return PlacedBox(box.rotation, box.centre_m * away, box.size_m * away)
