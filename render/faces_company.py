"""Who and what else is in a picture of a face: a second person, a hand, things; or no face."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Label
from render.faces_head import rotation_matrix
from runtime.camera import Camera

if TYPE_CHECKING:
    from render.assembly import Part
    from render.faces import FaceSettings
    from render.faces_draw import FaceDraw
    from render.faces_props import Stage
    from render.faces_scene import Standing
    from render.morphable_faces import MorphableDraw

Floats = NDArray[np.float64]
Drawn = TypeVar("Drawn", "FaceDraw", "MorphableDraw")

NEGATIVES = {"empty": 0.2, "things": 0.25, "back": 0.3, "hand": 0.25}
"""What pictures without a face show, and its share among them."""

LEAST_SHARE, LEAST_SEEN = 0.04, 60
"""A second face has a label when its box takes this share of the picture's width and so many of
its landmarks are seen; "unlabelled_faces" of a sample counts the others."""

_CLOSE_M, _SHOULDERS_M = (
    0.22,
    0.4,
)  # between two heads' middles, one behind the other or side by side


@dataclass(frozen=True)
class Neighbour(Generic[Drawn]):
    """A second person: drawn as any; right, back and up of the first one as the camera sees it, in
    metres; seed of what is left to chance."""

    drawn: Drawn
    right_m: float
    back_m: float
    up_m: float
    seed: int

    def shift_m(self, azimuth_rad: float) -> Floats:
        """(3,) in world axes, for a camera that stands at that azimuth."""
        c, s = math.cos(azimuth_rad), math.sin(azimuth_rad)
        # At azimuth 0 the camera looks along +y: x is to its right.
        x, y = self.right_m, self.back_m
        return np.array([c * x - s * y, s * x + c * y, self.up_m])

    def rng(self) -> np.random.Generator:
        """For paint and strands."""
        return np.random.default_rng(self.seed)


@dataclass(frozen=True)
class Around(Generic[Drawn]):
    """What is in a picture beside the first person.

    Attributes:
        second: another person, or None.
        before: "hand", "thing", or "" for nothing before the face.
        negative: what a picture without a face shows, out of `NEGATIVES`, or "".
        seed: of what is left to chance.
    """

    second: Neighbour[Drawn] | None = None
    before: str = ""
    negative: str = ""
    seed: int = 0

    @property
    def peopled(self) -> bool:
        """Whether the first person is in the picture, if only from behind."""
        return self.negative in ("", "back")

    def people(self, first: Drawn) -> list[Drawn]:
        """Whose faces the picture shows."""
        if self.negative:
            return []
        return [first] if self.second is None else [first, self.second.drawn]


ALONE: Around[Any] = Around()


def counts(label: Label, size: int) -> bool:
    """Whether a second face is seen well enough to be labelled."""
    assert label.box_px is not None
    assert label.visibility is not None
    large = float(max(label.box_px[2:])) >= LEAST_SHARE * size
    return bool(large and (label.visibility == 2).sum() >= LEAST_SEEN)


class Company(Generic[Drawn]):
    """Draws what is around the first person.

    Args:
        settings: of the data set.
        other: draws somebody else, with what is worn.
        backs: whether people can be seen from behind.
    """

    def __init__(
        self, settings: FaceSettings, other: Callable[[np.random.Generator], Drawn], backs: bool
    ) -> None:
        self._settings = settings
        self._other: Callable[[np.random.Generator], Drawn] = other
        kinds = {kind: share for kind, share in NEGATIVES.items() if backs or kind != "back"}
        self._negatives = {kind: share / sum(kinds.values()) for kind, share in kinds.items()}
        self._maker: object = None

    def around(self, index: int, drawn: Drawn) -> tuple[Drawn, Around[Drawn]]:
        """What else sample `index` shows, and the first person as that asks for."""
        shares, rng = self._settings.face_shares, beside_rng(self._settings.seed, index, 2)
        chance, other_chance = rng.random(2)
        seed = int(rng.integers(2**32))
        if chance < shares.negatives:
            kinds = list(self._negatives)
            kind = str(rng.choice(kinds, p=list(self._negatives.values())))
            if kind == "back":
                drawn = _turned_away(drawn, rng)
            return drawn, Around(negative=kind, seed=seed)
        before = ""
        if other_chance < shares.hands:
            before = "hand"
        elif other_chance < shares.hands + shares.things:
            before = "thing"
        if chance < shares.negatives + shares.company:
            drawn, second = self._beside(drawn, rng)
            return drawn, Around(second, before, seed=seed)
        return drawn, Around(before=before, seed=seed)

    def _beside(self, drawn: Drawn, rng: np.random.Generator) -> tuple[Drawn, Neighbour[Drawn]]:
        """Room for two: the first person goes aside, the second one comes beside or behind."""
        other = self._other(rng)
        side = 1.0 if rng.random() < 0.5 else -1.0
        share = min(drawn.view.face_share, float(rng.uniform(0.24, 0.45)))
        width = 0.19 / share  # of the picture at the first face, in metres
        first_x = -side * float(rng.uniform(0.08, 0.22))
        back = float(rng.uniform(0.0, 0.25) if rng.random() < 0.5 else rng.uniform(0.25, 1.4))
        least = _SHOULDERS_M if back < 0.12 else _CLOSE_M
        # Where the picture of the second one's place lies between middle and border.
        distance = drawn.view.distance_m
        room = width * (1 + back / distance)
        wanted = (side * float(rng.uniform(0.1, 0.38)) * room) - first_x * width
        right = side * max(abs(wanted), least)
        view = replace(
            drawn.view, face_share=share, offset=(first_x, float(rng.normal(0.02, 0.05)))
        )
        up = float(rng.normal(0.0, 0.06)) - (0.08 if other.age == "child" else 0.0)
        seed = int(rng.integers(2**32))
        return replace(drawn, view=view), Neighbour(other, right, back, up, seed)

    def parts(
        self, around: Around[Drawn], scene: Stage, first: Standing[Any], world_from_camera: Floats,
        camera: Camera,
    ) -> list[Part]:  # fmt: skip
        """Hands and things in world axes; see `faces_props`."""
        if not around.before and around.negative not in ("things", "hand"):
            return []
        from render.faces_props import PropMaker

        if self._maker is None:
            self._maker = PropMaker()
        assert isinstance(self._maker, PropMaker)
        return self._maker.parts(around, scene, first, world_from_camera, camera)


def beside_rng(seed: int, index: int, what: int) -> np.random.Generator:
    """For what sample `index` shows beside people: not the sample's own generator, so that they
    stay who they are whatever the shares."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, what)))


def _turned_away(drawn: Drawn, rng: np.random.Generator) -> Drawn:
    away = math.pi + float(np.clip(rng.normal(0, 0.25), -0.5, 0.5))
    nod = rotation_matrix([float(rng.normal(0, 0.15)), 0, 0])
    return replace(drawn, view=replace(drawn.view, head_rotation=nod, body_yaw_rad=away))
