"""A part of a box in a person's hand, in a picture or in the view of space."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.cuboid_fitted import Fitted
from annotate.cuboid_handles import (
    Handle,
    Project,
    drawn_by,
    edge_of_face,
    face_in_space,
    faces_moved,
    head_on,
    picture_sigma_px,
    px_per_metre,
    with_click,
)
from annotate.cuboid_placing import EDGES
from annotate.cuboid_session import CuboidSession
from arsession.cuboid_evidence import Click
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]


class PictureDrag:
    """A part of the chosen box, drawn about in the current frame.

    Args:
        work: the session.
        handle: what is held.
        at_px: (2,) where it was taken hold of, picture coordinates.
        zoom: screen pixels to one of the picture.

    Raises:
        ViewfinderError: a face seen head on, which can't be drawn here.
    """

    def __init__(self, work: CuboidSession, handle: Handle, at_px: Array, zoom: float) -> None:
        assert work.chosen is not None
        self._work, self._handle, self._at_px = work, handle, np.asarray(at_px, np.float64)
        self._frame, self._sigma_px = work.frame, picture_sigma_px(zoom)
        self._before = self.now = work.fitted(work.chosen)
        if handle.part == "face":
            if head_on(self._before.box, handle.index, self._project):
                raise ViewfinderError(
                    "this face is seen head on: draw it in another frame, or in the view of space"
                )
            self._slopes = px_per_metre(self._before.box, handle.faces, self._project)
            self._edge = edge_of_face(self._before.box, handle.index, work.views, self._frame)

    def _project(self, points: Array) -> Array:
        return self._work.views.seen_in(self._frame, points)

    @property
    def moved(self) -> bool:
        """Whether there is anything to keep."""
        return self.now is not self._before

    def to(self, px: Array) -> Fitted:
        """The cursor is there, (2,) picture coordinates: the box as it would be."""
        with suppress(ViewfinderError):  # where no box fits it stays where it was
            self.now = self._moved(np.asarray(px, np.float64))
        return self.now

    def _moved(self, px: Array) -> Fitted:
        before, handle = self._before, self._handle
        where: dict[str, Any] = {}
        if handle.part == "corner":
            where["corner"] = handle.index
        elif handle.part == "edge":
            where["edge"] = EDGES[handle.index]
        else:
            return self._face_moved(px)
        spot = (float(px[0]), float(px[1]))
        click = Click(self._frame, spot, sigma_px=self._sigma_px, **where)
        return self._work.tried(before, with_click(before.cuboid, click), self.now.box)

    def _face_moved(self, px: Array) -> Fitted:
        """What this frame's clicks say of the face goes along with it; where there are none, its
        foremost edge is clicked."""
        before, frame = self._before, self._frame
        by = drawn_by(self._slopes, px - self._at_px)
        drawn = faces_moved(before.box, self._handle.faces, by).points_world_m()
        shift = self._project(drawn) - self._project(before.box.points_world_m())
        corners = set(self._handle.corners)
        clicks = list(before.cuboid.clicks)
        some = False
        for number, click in enumerate(clicks):
            ends = [k for k in (click.corner, *(click.edge or ())) if k is not None]
            if click.frame == frame and ends and corners.issuperset(ends):
                x, y = np.array(click.px) + shift[ends].mean(axis=0)
                clicks[number] = replace(click, px=(float(x), float(y)))
                some = True
        cuboid = replace(before.cuboid, clicks=tuple(clicks))
        if not some:
            x, y = self._project(drawn)[list(self._edge)].mean(axis=0)
            spot = (float(x), float(y))
            cuboid = with_click(
                cuboid, Click(frame, spot, edge=self._edge, sigma_px=self._sigma_px)
            )
        return self._work.tried(before, cuboid, self.now.box)

    def let_go(self) -> None:
        """Keep the box where it is.

        Raises:
            ViewfinderError: it couldn't be kept.
        """
        if self.moved:
            self._work.keep(self.now.cuboid)


class SpaceDrag:
    """A part of the chosen box, drawn about in the view of space.

    Args:
        work: the session.
        handle: what is held: the faces that meet there move.
        at_px: (2,) where it was taken hold of, on that view's screen.
        project: world points onto that screen.
        px_per_m: there.
    """

    def __init__(
        self, work: CuboidSession, handle: Handle, at_px: Array, project: Project, px_per_m: float
    ) -> None:
        assert work.chosen is not None
        self._work, self._handle = work, handle
        self._at_px, self._px_per_m = np.asarray(at_px, np.float64), px_per_m
        self._before = self.now = work.fitted(work.chosen)
        self._slopes = px_per_metre(self._before.box, handle.faces, project)

    @property
    def moved(self) -> bool:
        """Whether there is anything to keep."""
        return self.now is not self._before

    def to(self, px: Array) -> Fitted:
        """The cursor is there, (2,) on the screen: the box as it would be."""
        faces = self._handle.faces
        by = drawn_by(self._slopes, np.asarray(px) - self._at_px)
        box = faces_moved(self._before.box, faces, by)
        cuboid = self._before.cuboid
        for face in faces:
            click = face_in_space(box, face, self._work.views, self._work.frame, self._px_per_m)
            if click is not None:
                cuboid = with_click(cuboid, click)
        with suppress(ViewfinderError):  # where no box fits it stays where it was
            self.now = self._work.tried(self._before, cuboid, self.now.box)
        return self.now

    def let_go(self) -> None:
        """Keep the box where it is.

        Raises:
            ViewfinderError: it couldn't be kept.
        """
        if self.moved:
            self._work.keep(self.now.cuboid)
