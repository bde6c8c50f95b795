"""What a person and a tracker say about a box: clicks, a plane, a cloud, symmetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bootstrap.box_overlap import CORNERS, Boxes
from runtime.errors import ViewfinderError
from runtime.topology import topology

Array = NDArray[np.float64]
Symmetry = Literal["none", "square"]

CLICK_SIGMA_PX = 2.0
PLANE_SIGMA_M = 0.004
"""Of a plane's height over the session, as a tracker that has seen much of it knows it."""
CLOUD_SIGMA_M = 0.01
"""Measured on real clouds: 8.7 to 11.4 mm."""
UPRIGHT_SIGMA_RAD = 0.0035

FACES = ("left", "right", "bottom", "top", "back", "front")
"""Names of the faces -x, +x, -y, +y, -z, +z."""
EDGES = frozenset(frozenset(edge) for edge in topology("cuboid9@1").edges)


@dataclass(frozen=True)
class PlacedBox:
    """A box in a session's world.

    Attributes:
        rotation: (3, 3) world_from_box; the box's top is +y, its front +z.
        centre_m: (3,) in world axes.
        size_m: (3,) edge lengths along the box's x, y and z.
    """

    rotation: Array
    centre_m: Array
    size_m: Array

    def points_world_m(self) -> Array:
        """(9, 3) centre and corners in the order of cuboid9@1."""
        corners = self.centre_m + (CORNERS * self.size_m) @ self.rotation.T
        return np.concatenate([self.centre_m[None], corners])

    def as_boxes(self) -> Boxes:
        """The same as `Boxes` of one."""
        return Boxes(self.rotation[None], self.centre_m[None], self.size_m[None])


@dataclass(frozen=True)
class Click:
    """A point that a person set in one frame.

    Attributes:
        frame: where it was set.
        px: x, y in the picture.
        corner: 0 to 8, a keypoint of cuboid9@1 that is seen there (0 is the centre).
        edge: two keypoints, 1 to 8: the edge between them runs through there.
        face: one of FACES, that covers the pixel.
        sigma_px: how well it was set.
        depth_m: along the optical axis, of the surface at that pixel, where it is known.
        depth_sigma_m: how well.
    """

    frame: int
    px: tuple[float, float]
    corner: int | None = None
    edge: tuple[int, int] | None = None
    face: str | None = None
    sigma_px: float = CLICK_SIGMA_PX
    depth_m: float | None = None
    depth_sigma_m: float = CLOUD_SIGMA_M

    def check(self, frames: int) -> None:
        """Raise a ViewfinderError that says what is wrong with it."""
        if not 0 <= self.frame < frames:
            raise _wrong("frame", f"0 .. {frames - 1}", self.frame)
        numbers = [*self.px, self.sigma_px, self.depth_sigma_m, self.depth_m or 1.0]
        if len(self.px) != 2 or not np.isfinite(numbers).all():
            raise _wrong("px", "x, y and finite numbers", self.px)
        if self.sigma_px <= 0 or self.depth_sigma_m <= 0 or (self.depth_m or 1.0) <= 0:
            raise _wrong("sigma_px, depth_m, depth_sigma_m", "above 0", numbers[2:])
        if sum(part is not None for part in (self.corner, self.edge, self.face)) != 1:
            raise _wrong("corner, edge, face", "one of them", self)
        if self.corner is not None and not 0 <= self.corner <= 8:
            raise _wrong("corner", "0 .. 8", self.corner)
        if self.edge is not None and frozenset(self.edge) not in EDGES:
            raise _wrong("edge", "two keypoints of cuboid9@1 joined by an edge", self.edge)
        if self.face is not None and self.face not in FACES:
            raise _wrong("face", " | ".join(FACES), self.face)


@dataclass(frozen=True)
class PlaneSnap:
    """A level surface on which the box stands; its normal is gravity's, only its height counts.

    Attributes:
        height_m: of the plane along the world's up axis.
        sigma_m: how well that is known.
    """

    height_m: float
    sigma_m: float = PLANE_SIGMA_M


@dataclass(frozen=True)
class Evidence:
    """Everything that is known about one box.

    Attributes:
        clicks: in any frames.
        up_world: (3,) unit vector away from gravity; the box stands upright. None: it may lie in
            any way.
        upright_sigma_rad: how upright.
        plane: what it stands on.
        cloud_world_m: (P, 3) points of which those near the box lie on its faces.
        cloud_sigma_m: how well.
        symmetry: "square" for what is as wide as it is deep.
    """

    clicks: tuple[Click, ...] = ()
    up_world: Array | None = None
    upright_sigma_rad: float = UPRIGHT_SIGMA_RAD
    plane: PlaneSnap | None = None
    cloud_world_m: Array | None = None
    cloud_sigma_m: float = CLOUD_SIGMA_M
    symmetry: Symmetry = "none"

    def check(self, frames: int) -> None:
        """Raise a ViewfinderError that says what is wrong with it."""
        if not self.clicks:
            raise ViewfinderError("a box needs a click to begin with", field="clicks")
        for number, click in enumerate(self.clicks):
            try:
                click.check(frames)
            except ViewfinderError as error:
                raise ViewfinderError(
                    error.problem,
                    field=f"clicks[{number}].{error.field}",
                    expected=error.expected,
                    found=error.found,
                ) from None
        if self.plane is not None and self.up_world is None:
            raise ViewfinderError("a plane needs the recording's up axis", field="plane")


def plane_height_m(centre_world_m: ArrayLike, normal_world: ArrayLike, up_world: Array) -> float:
    """The height of a level plane that a tracker found.

    Raises:
        ViewfinderError: it isn't level (more than 15 degrees off, real ones being up to 9).
    """
    if abs(float(np.asarray(normal_world) @ up_world)) < np.cos(np.deg2rad(15)):
        raise ViewfinderError("a box can only stand on a level plane", field="plane")
    return float(np.asarray(centre_world_m) @ up_world)


def _wrong(field: str, expected: object, found: object) -> ViewfinderError:
    return ViewfinderError("a click can't be that", field=field, expected=expected, found=found)
