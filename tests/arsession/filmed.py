"""A session whose pictures are drawn: a printed table, and on it a box in plain colours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from arsession.cuboid_evidence import PlacedBox
from arsession.session import Plane, Session
from arsession.views import Views
from bootstrap.box_overlap import FACE_LOOPS
from runtime.camera import Camera
from tests.arsession.orbit import UP, orbit

SMALL = Camera(530, 530, 320, 240, 640, 480)
COLOURS = (
    (200, 60, 60),
    (60, 200, 60),
    (60, 60, 200),
    (230, 230, 120),
    (200, 60, 200),
    (90, 210, 210),
)


class FilmedTable:
    """What each camera sees of a printed plane y = 0, 1.6 m wide, and of a box on it.

    Args:
        views: the cameras.
        rng: of the print.
        box: that stands there.
        missing: frames without a picture.
    """

    quarter_turns = 0

    def __init__(
        self,
        views: Views,
        rng: np.random.Generator,
        box: PlacedBox | None = None,
        missing: tuple[int, ...] = (),
    ) -> None:
        self.size = (views.camera(0).width, views.camera(0).height)
        self._views, self._box, self._missing = views, box, missing
        grey = cv2.resize(rng.integers(0, 256, (200, 200), np.uint8), (1600, 1600))
        self._print = np.repeat(grey[..., None], 3, axis=2)

    def has(self, frame: int) -> bool:
        return frame not in self._missing

    def read(self, frame: int) -> np.ndarray:
        turn, shift = self._views.turns[frame], self._views.shifts[frame]
        # The print's pixel (u, v) lies at x = u / 1000 - 0.8, z = v / 1000 - 0.8.
        onto = np.column_stack([turn[:, 0], turn[:, 2], shift - 0.8 * (turn[:, 0] + turn[:, 2])])
        image = self._views.camera(frame).matrix @ onto @ np.diag([1e-3, 1e-3, 1])
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        rgb = cv2.warpPerspective(self._print, np.linalg.inv(half) @ image @ half, self.size)
        return rgb if self._box is None else self._with_box(rgb, frame, self._box)

    def _with_box(self, rgb: np.ndarray, frame: int, box: PlacedBox) -> np.ndarray:
        px = self._views.project(self._views.in_camera(box.points_world_m()))[frame, 1:]
        for face, loop in enumerate(FACE_LOOPS):
            outline = px[loop] - 0.5
            after = np.roll(outline, -1, axis=0)
            turned = (outline[:, 0] * after[:, 1] - outline[:, 1] * after[:, 0]).sum()
            if turned < 0:  # counter-clockwise from outside, y pointing down: towards the camera
                fixed = np.round(outline * 16).astype(np.int32)
                cv2.fillConvexPoly(rgb, fixed, COLOURS[face], cv2.LINE_AA, shift=4)
        return rgb


def filmed_session(
    box: PlacedBox, frames: int = 24, poses: np.ndarray | None = None, missing: tuple[int, ...] = ()
) -> Session:
    """An orbit of 60 degrees around a box; the session may believe other poses than the true."""
    true = orbit(frames, arc_deg=60)
    views = Views.of_poses(true, (SMALL,))
    corners = np.array([[-0.8, 0, -0.8], [-0.8, 0, 0.8], [0.8, 0, 0.8], [0.8, 0, -0.8]])
    table = Plane("table", np.zeros(3), UP, corners, "horizontal")
    floor = Plane("floor", np.array([0, -0.7, 0.0]), UP, 3 * corners - [0, 0.7, 0], "horizontal")
    return Session(
        format="test",
        path=Path("filmed"),
        timestamps_s=np.arange(frames) / 30,
        world_from_camera=true if poses is None else poses,
        world_up="+y",
        cameras=(SMALL,),
        pictures=FilmedTable(views, np.random.default_rng(0), box, missing),
        load_planes=lambda: (floor, table),
    )
