"""A box placed with four clicks: three corners of its foot, and how high it is.

The first two clicks are the ends of the front's lower edge, in any order; the third is a lower
corner of the back, whichever can be seen; the fourth lies on an upper corner or edge above one of
them. The foot stands on a level plane of the recording: a click there is a place in the world.
Clicks may be in different frames.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arsession.cuboid_evidence import Click, PlacedBox, plane_height_m
from arsession.cuboid_file import Cuboid
from arsession.placing import stands_within
from arsession.session import Plane, Session
from arsession.views import Views
from bootstrap.box_overlap import CORNERS
from runtime.errors import ViewfinderError
from runtime.topology import topology

Array = NDArray[np.float64]

STEPS = (
    "click one end of the front's lower edge",
    "click its other end",
    "click a lower corner of the back",
    "click an upper corner",
)
_LEAST_M = 0.005
_ABOVE_CAMERA_M = 1.0
_LOW_SHARE = 0.02
EDGES = tuple((int(a), int(b)) for a, b in topology("cuboid9@1").edges)


@dataclass(frozen=True)
class Ground:
    """What a box is placed on.

    Attributes:
        height_m: of the plane along the up axis.
        plane: the recording's; None where its height is a guess, good for drawing only.
    """

    height_m: float
    plane: Plane | None


def level_planes(recording: Session) -> list[Ground]:
    """The planes on which a box can stand, the highest first."""
    up, found = recording.up_world, []
    if up is None:
        return []
    for plane in recording.planes:
        try:
            height = plane_height_m(plane.centre_world_m, plane.normal_world, up)
        except ViewfinderError:
            continue
        found.append(Ground(height, plane))
    return sorted(found, key=lambda ground: -ground.height_m)


def up_axis(recording: Session, views: Views) -> Array:
    """(3,) away from gravity; where the recording doesn't know, what is up in most pictures."""
    if recording.up_world is not None:
        return recording.up_world
    mean = -views.turns[:, 1].mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def ray_of(views: Views, frame: int, px: tuple[float, float]) -> tuple[Array, Array]:
    """Where a pixel's line of sight begins and where it goes, (3,) each, in the world."""
    straight = views.straightened_px(frame, np.array(px))
    xy = (straight - views.principal_px[frame]) / views.focal_px[frame]
    turn = views.turns[frame]
    return -turn.T @ views.shifts[frame], turn.T @ np.append(xy, 1.0)


class Placement:
    """A box on its way: clicks so far, and what they amount to.

    Args:
        recording: that it is placed in.
        views: its cameras.
    """

    def __init__(self, recording: Session, views: Views) -> None:
        self._views = views
        self._known_up = recording.up_world is not None
        self._up = up_axis(recording, views)
        self._grounds = level_planes(recording)
        self._guess = Ground(self._guessed_height(recording), None)
        self.ground = self._guess
        self.clicks: list[tuple[int, tuple[float, float]]] = []
        self._foot: list[Array] = []

    def _guessed_height(self, recording: Session) -> float:
        points = recording.points_world_m
        if len(points):
            return float(np.quantile(points @ self._up, _LOW_SHARE))
        return float((self._views.centres_m() @ self._up).min()) - _ABOVE_CAMERA_M

    @property
    def step(self) -> str:
        """What to click next."""
        return STEPS[len(self.clicks)]

    def click(self, frame: int, px: tuple[float, float]) -> bool:
        """Take a click; whether the box is whole now.

        Raises:
            ViewfinderError: nothing of the plane is to be seen there, or it gives no box.
        """
        if not self.clicks:
            self.ground = self._ground_under(frame, px)
        if len(self._foot) < 3:
            self._foot.append(self._on_ground(frame, px))
        if len(self._foot) == 3 and len(self.clicks) == 2 and self._base() is None:
            self._foot.pop()
            raise ViewfinderError("the three corners lie on a line: click the third farther off")
        if len(self.clicks) == 3 and self._top(frame, px) is None:
            raise ViewfinderError("the top must lie above the foot")
        self.clicks.append((frame, px))
        return len(self.clicks) == 4

    def back(self) -> bool:
        """Take the last click back; False when there is none."""
        if not self.clicks:
            return False
        self.clicks.pop()
        del self._foot[len(self.clicks) :]
        return True

    def outline(self, frame: int, px: tuple[float, float]) -> Array:
        """(S, 2, 3) pieces of line in the world: what the next click there would give."""
        foot = list(self._foot)
        if len(foot) < 3:
            with suppress(ViewfinderError):
                foot.append(self._on_ground(frame, px))
        if len(foot) < 3:
            return np.array([foot]) if len(foot) == 2 else np.empty((0, 2, 3))
        base = self._base(foot)
        if base is None:
            return np.array([foot[:2]])
        top = self._top(frame, px, base) if len(self._foot) == 3 else None
        if top is None:
            return np.stack([base, np.roll(base, -1, axis=0)], axis=1)
        points = self._boxed(base, top[1]).points_world_m()
        return np.stack([points[[a, b]] for a, b in EDGES])

    def cuboid(self, number: int, category: str, sigma_px: float) -> Cuboid:
        """The box of four clicks, as it is before it is fitted to them.

        Args:
            number: its id.
            category: what it is called.
            sigma_px: how well the clicks were set.
        """
        base = self._base()
        assert base is not None
        top = self._top(*self.clicks[3], base)
        assert top is not None
        box = self._boxed(base, top[1])
        local = (np.array(self._foot) - box.centre_m) @ box.rotation
        numbers = [_corner(at[0] > 0, False, at[2] > 0) for at in local]
        above = (base[top[0]] - box.centre_m) @ box.rotation
        numbers.append(_corner(above[0] > 0, True, above[2] > 0))
        clicks = tuple(
            Click(frame, px, corner=corner, sigma_px=sigma_px)
            for (frame, px), corner in zip(self.clicks, numbers)
        )
        plane = self.ground.plane
        return Cuboid(
            id=number,
            category=category,
            clicks=clicks,
            upright=self._known_up,
            plane=None if plane is None else plane.identifier,
            box=box,
        )

    def _ground_under(self, frame: int, px: tuple[float, float]) -> Ground:
        """The highest plane whose outline is seen there; else the highest, else a guess."""
        for ground in self._grounds:
            assert ground.plane is not None
            at = self._meets(ground.height_m, frame, px)
            if at is not None and stands_within(at, ground.plane, self._up):
                return ground
        return self._grounds[0] if self._grounds else self._guess

    def _meets(self, height_m: float, frame: int, px: tuple[float, float]) -> Array | None:
        origin, ray = ray_of(self._views, frame, px)
        down = float(ray @ self._up)
        reach = (height_m - float(origin @ self._up)) / down if down else -1.0
        return origin + reach * ray if reach > 0 else None

    def _on_ground(self, frame: int, px: tuple[float, float]) -> Array:
        at = self._meets(self.ground.height_m, frame, px)
        if at is None:
            raise ViewfinderError("nothing of the plane is to be seen there")
        return at

    def _base(self, foot: list[Array] | None = None) -> Array | None:
        """(4, 3) the foot's corners in turn, the front's two first; None where they are no foot."""
        first, second, third = (foot or self._foot)[:3]
        along = second - first
        width = float(np.linalg.norm(along))
        if width < _LEAST_M:
            return None
        across = np.cross(along / width, self._up)
        depth = float((third - first) @ across) * across
        if np.linalg.norm(depth) < _LEAST_M:
            return None
        return np.stack([first, second, second + depth, first + depth])

    def _top(
        self, frame: int, px: tuple[float, float], base: Array | None = None
    ) -> tuple[int, float] | None:
        """Above which corner of the foot a click lies, and how high in metres; None for none."""
        base = self._base() if base is None else base
        if base is None:
            return None
        origin, ray = ray_of(self._views, frame, px)
        ray = ray / np.linalg.norm(ray)
        slant = float(ray @ self._up)
        if abs(slant) > 1 - 1e-6:
            return None
        away = base - origin
        # Where the corner's upright line passes the line of sight.
        heights = (slant * (away @ ray) - away @ self._up) / (1 - slant**2)
        tops = base + heights[:, None] * self._up
        off = np.linalg.norm(self._views.seen_in(frame, tops) - np.array(px), axis=1)
        off = np.where((heights > _LEAST_M) & np.isfinite(off), off, np.inf)
        best = int(off.argmin())
        return (best, float(heights[best])) if np.isfinite(off[best]) else None

    def _boxed(self, base: Array, height_m: float) -> PlacedBox:
        along, back = base[1] - base[0], base[3] - base[0]
        # The front is +z: outwards from the back, and x so that the three are right-handed.
        z = -back / np.linalg.norm(back)
        x = np.cross(self._up, z)
        size = np.array([np.linalg.norm(along), height_m, np.linalg.norm(back)])
        centre = base.mean(axis=0) + self._up * height_m / 2
        return PlacedBox(np.stack([x, self._up, z], axis=1), centre, size)


def _corner(right: bool, top: bool, front: bool) -> int:
    side = np.array([right, top, front]) - 0.5
    return 1 + int((side == CORNERS).all(axis=1).argmax())
