"""The recording in space: trajectory, planes, points and boxes in a second, 3D napari canvas.

napari's numpy axes are the recording's x, y and z, which keeps its view right-handed; vispy's scene
counts them backwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.cuboid_drawing import (
    HELD_COLOUR,
    OTHER_COLOUR,
    SPREAD_COLOURS,
    Lines,
    box_lines,
    camera_pieces,
    error_colours,
    error_limit_px,
    handle_pieces,
    plane_lines,
    spread_bars,
)
from annotate.cuboid_fitted import Fitted
from annotate.cuboid_handles import Handle, facing, pick
from annotate.cuboid_lines import LineVisual, MarkVisual
from annotate.cuboid_picture import Hands
from annotate.cuboid_placing import up_axis
from annotate.cuboid_pointer import Pointer, PointerHandlers, screen_from_scene
from annotate.cuboid_session import CuboidSession
from annotate.drawing import rgba
from annotate.theme import THEMES

Array = NDArray[np.float64]

POINT_COLOUR, PLANE_COLOUR = "#7f9bb8", "#8a949e"
_MOST_POINTS = 20_000
_FAR_M = 1e3
_FILL = 0.8
_PYRAMID_SHARE = 0.12
_FROM_ABOVE_RAD = 0.6


class SpaceView:
    """The 3D side of the window.

    Args:
        work: the session.
        hands: what the mouse does goes there; places are those of this canvas.
        theme: its name.
    """

    def __init__(self, work: CuboidSession, hands: Hands, theme: str) -> None:
        from napari.components.viewer_model import ViewerModel
        from napari.qt import QtViewer
        from napari.utils.action_manager import action_manager

        self.work, self._hands = work, hands
        self.model = ViewerModel(ndisplay=3)
        self.model.theme = self.theme = theme
        # It binds napari's shortcuts once more, to the same: nobody need hear of each.
        with action_manager.events.shortcut_changed.blocker():
            self.widget = QtViewer(self.model)
        self.widget.dims.hide()
        self.widget.setMinimumSize(200, 160)
        scene = self.canvas.view.scene
        self._planes = LineVisual(scene, 1.0, 2)
        self._points = MarkVisual(scene, 2.0, 1, edge_width=0.0)
        self._path = LineVisual(scene, 2.0, 4)
        self._camera = LineVisual(scene, 1.5, 6)
        self.edges = LineVisual(scene, 2.0, 20, halo=1.2)
        self.spread = LineVisual(scene, 3.0, 22)
        self._held = LineVisual(scene, 4.0, 24)
        self.corners = MarkVisual(scene, 7.0, 26)
        self._all = (
            *(self._planes, self._points, self._path, self._camera),
            *(self.edges, self.spread, self._held, self.corners),
        )
        self.handle: Handle | None = None
        self.spread_shown = True
        self._drawn: tuple[Fitted | None, list[Fitted]] = (None, [])
        self._pointer = Pointer(
            self.canvas, PointerHandlers(self._hover, self._press, hands.drag, hands.let_go)
        )
        self._show_recording()

    @property
    def canvas(self) -> Any:
        """napari's."""
        return self.widget.canvas

    def set_theme(self, theme: str) -> None:
        """Dark or light."""
        self.theme = theme
        if self.model.theme != theme:
            self.model.theme = theme
        self.show_frame()
        self.draw(*self._drawn)

    # -- showing ----------------------------------------------------------------------------------

    def _show_recording(self) -> None:
        recording = self.work.recording
        pieces = [plane_lines(plane) for plane in recording.planes]
        lines = [Lines.of(p, PLANE_COLOUR, 0.6) for p in pieces]
        self._planes.show(_in_scene(Lines.joined(lines, 3)))
        points = recording.points_world_m
        points = points[:: max(1, -(-len(points) // _MOST_POINTS))]
        colour = np.tile(rgba(POINT_COLOUR), (len(points), 1))
        self._points.show(points[:, ::-1], colour, colour)
        self.show_path(None)

    def show_path(self, errors_px: Array | None) -> None:
        """The trajectory, in the colours of each frame's expected error."""
        at = self.work.views.centres_m()
        if errors_px is None:
            errors_px = np.full(len(at), np.nan)
        height = float(self.work.views.size_px[0, 1])
        colours = error_colours(errors_px, error_limit_px(errors_px, height))
        ends = np.stack([at[:-1], at[1:]], axis=1).reshape(-1, 3)
        self._path.show(_in_scene(Lines(ends, colours[:-1].repeat(2, axis=0))))

    def show_frame(self) -> None:
        """Where the current frame's camera is."""
        frame, views = self.work.frame, self.work.views
        camera = views.camera(frame)
        deep = _PYRAMID_SHARE * self._reach_m()
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * [camera.width, camera.height]
        pieces = camera_pieces(
            np.linalg.inv(_pose(views.turns[frame], views.shifts[frame])),
            camera.unproject(corners, np.full(4, deep)),
        )
        self._camera.show(_in_scene(Lines.of(pieces, THEMES[self.theme].text)))

    def draw(self, chosen: Fitted | None, others: list[Fitted]) -> None:
        """The boxes."""
        self._drawn = (chosen, others)
        eye = self._eye()
        lines = []
        for one in others:
            points = one.box.points_world_m()
            lines.append(box_lines(points, facing(one.box, eye), chosen=False))
        spread, held = np.empty((0, 2, 3)), np.empty((0, 2, 3))
        corners = np.empty((0, 3))
        if chosen is not None:
            points = chosen.box.points_world_m()
            corners = points[1:]
            lines.append(box_lines(points, facing(chosen.box, eye), chosen=True))
            spread = spread_bars(chosen) if self.spread_shown else spread
            held = handle_pieces(points, self.handle) if self.handle is not None else held
        self.edges.show(_in_scene(Lines.joined(lines, 3)))
        self.spread.show(_in_scene(Lines.of(spread, SPREAD_COLOURS[self.theme])))
        self._held.show(_in_scene(Lines.of(held, HELD_COLOUR)))
        face = np.tile(rgba("#ffffff"), (len(corners), 1))
        if self.handle is not None and len(corners):
            face[[c - 1 for c in self.handle.corners]] = rgba(HELD_COLOUR)
        edge = np.tile(rgba(OTHER_COLOUR), (len(corners), 1))
        self.corners.show(corners[:, ::-1], face, edge)

    # -- the view ---------------------------------------------------------------------------------

    def look(self, from_camera: bool = False) -> None:
        """Look at the chosen box, or at the middle of things: from the current frame's camera, or
        from above as the first camera stands to it."""
        views, up = self.work.views, up_axis(self.work.recording, self.work.views)
        middle, radius = self._middle(near=from_camera)
        if from_camera:
            turn = views.turns[self.work.frame]
            towards, upwards = turn[2], -turn[1]
        else:
            level = middle - views.centres_m()[len(views) // 2]
            level = level - (level @ up) * up
            length = float(np.linalg.norm(level))
            level = level / length if length > 1e-6 else views.turns[0, 2]
            towards = np.cos(_FROM_ABOVE_RAD) * level - np.sin(_FROM_ABOVE_RAD) * up
            upwards = up
        self.model.scene.camera.set_view_direction(tuple(towards), tuple(upwards))
        self.model.scene.camera.center = tuple(float(c) for c in middle)
        self.model.scene.camera.zoom = _FILL * min(self.canvas.size) / (2 * radius)
        self.draw(*self._drawn)

    def _middle(self, near: bool) -> tuple[Array, float]:
        """What to look at, (3,), and how far things reach around it, metres."""
        chosen = self._drawn[0]
        path = self.work.views.centres_m()
        if chosen is not None and near:
            return chosen.box.centre_m, float(np.linalg.norm(chosen.box.size_m))
        at = path
        if chosen is not None:
            at = np.concatenate([path, chosen.box.points_world_m()])
        elif len(self.work.recording.points_world_m):
            cloud = self.work.recording.points_world_m
            low, high = np.quantile(cloud, [0.1, 0.9], axis=0)
            at = np.concatenate([path, [low, high]])
        low, high = at.min(axis=0), at.max(axis=0)
        return (low + high) / 2, max(float(np.linalg.norm(high - low)) / 2, 0.05)

    def _reach_m(self) -> float:
        return self._middle(near=False)[1]

    def _eye(self) -> Array:
        """Where one looks from; the view has no perspective, so it is far off."""
        camera = self.model.scene.camera
        return np.asarray(camera.center) - _FAR_M * np.asarray(camera.view_direction)

    # -- the mouse --------------------------------------------------------------------------------

    def project(self, points_world_m: Array) -> Array:
        """(N, 2) places on the canvas of world points (N, 3)."""
        return screen_from_scene(self.canvas, np.asarray(points_world_m)[:, ::-1])

    @property
    def px_per_m(self) -> float:
        """Screen pixels to a metre."""
        return float(self.model.scene.camera.zoom)

    def under(self, place: Array, fitted: Fitted) -> Handle | None:
        """The part of a box under a place on the canvas."""
        points = fitted.box.points_world_m()
        return pick(self.project(points), place, facing(fitted.box, self._eye()))

    def _hover(self, place: Array) -> None:
        self.work.present()
        chosen, others = self._drawn
        before, self.handle = self.handle, None
        if chosen is not None:
            self.handle = self.under(place, chosen)
        if self.handle != before:
            self.draw(chosen, others)

    def _press(self, place: Array) -> bool:
        self.work.present()
        chosen, others = self._drawn
        self.handle = None if chosen is None else self.under(place, chosen)
        if self.handle is not None:
            return self._hands.hold(self.handle, place, self.px_per_m)
        for one in others:
            if self.under(place, one):
                self._hands.choose(one.cuboid.id)
                return True
        return False


def _pose(turn: Array, shift: Array) -> Array:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, shift
    return pose


def _in_scene(lines: Lines) -> Lines:
    return Lines(lines.ends[:, ::-1], lines.colours)
