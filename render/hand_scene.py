"""What a hand picture shows, drawn at random before anything is rendered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.anny_asset import Identity
from render.environments import hdri_index
from render.gestures import HandPose, random_pose
from render.hand_bands import Band, random_bands
from render.hand_model import HandModel, HandShape, PosedHand, rotation
from render.hand_objects import Thing, held_thing, thing_before
from render.hand_skin import HandLook, random_look
from render.photo import Photo, random_photo
from render.settings import RenderSettings
from render.skin_tones import MONK_TONES
from render.sleeve import Sleeve
from runtime.camera import Camera

Floats = NDArray[np.float64]

HELD_SHARE, BEFORE_SHARE = 0.22, 0.08
"""Of the pictures: hands that try to hold something, and hands with something before them."""

_WATCH_NEEDS = 0.78
"""A sleeve that reaches farther along the forearm would cover a watch."""


@dataclass(frozen=True)
class HandScene:
    """Everything about one sample, drawn before anything is rendered.

    Attributes:
        hand: right or left.
        identity, look, pose: of the hand.
        shape, posed: the right hand that follows from them; a left one is its mirror image.
        sleeve: or None for a bare arm.
        bands: rings, a bracelet or a watch.
        thing: held, or between hand and camera; or None.
        cloth, skin: inputs of the materials.
        camera: of the picture.
        camera_from_hand: (4, 4); the hand's axes are Anny's for a right hand, their mirror image
            in x for a left one.
        world_from_camera: (4, 4).
        hdri: index into the environments.
        background: "world" as it lies behind the hand, "turned" the same seen elsewhere,
            "clutter" of coloured pieces, "photo" of the user's, or "plain" grey.
        photo: of the camera.
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
    camera: Camera
    camera_from_hand: Floats
    world_from_camera: Floats
    hdri: int
    background: str
    photo: Photo

    @property
    def mirror(self) -> Floats:
        """(3,) factors that turn the posed right hand into the hand that is shown."""
        return np.array([-1.0 if self.hand == "left" else 1.0, 1.0, 1.0])


def draw_scene(
    settings: RenderSettings, model: HandModel, hdri_count: int, index: int
) -> tuple[HandScene, np.random.Generator]:
    """What a sample shows.

    Args:
        settings: seed and size of the data set.
        model: of the hand.
        hdri_count: number of environments to draw from.
        index: of the sample.

    Returns:
        The scene, and the sample's generator for what remains to be drawn.
    """
    seed = settings.seed
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    hdri = hdri_index(seed, index, hdri_count)
    identity = random_identity(rng)
    shape = model.shape(identity)
    pose = random_pose(rng)
    posed = model.pose(shape, pose.angles)
    hand = "right" if rng.random() < 0.5 else "left"
    camera, camera_from_hand = _frame(settings.size, posed, hand, rng)
    sleeve = _random_sleeve(rng)
    scene = HandScene(
        hand=hand,
        identity=identity,
        look=random_look(rng, tuple(MONK_TONES)),
        pose=pose,
        posed=posed,
        shape=shape,
        sleeve=sleeve,
        bands=random_bands(rng, sleeve is None or sleeve.cuff < _WATCH_NEEDS),
        thing=_random_thing(rng, shape, posed, hand, camera_from_hand),
        cloth={
            "albedo": rng.uniform(0.02, 0.7, 3),
            "second": rng.uniform(0.02, 0.7, 3),
            "stripes": float(rng.random() < 0.25),
        },
        skin={
            "roughness": float(rng.uniform(0.38, 0.6)),
            "mottle": float(rng.uniform(0.3, 1.0)),
            "bump": float(rng.uniform(0.25, 0.6)),
            "offset": rng.uniform(-1, 1, 3),
        },
        camera=camera,
        camera_from_hand=camera_from_hand,
        world_from_camera=_random_view(rng),
        hdri=hdri,
        background="photo" if settings.backgrounds else _random_background(rng),
        photo=random_photo(rng),
    )
    return scene, rng


def _random_thing(
    rng: np.random.Generator,
    shape: HandShape,
    posed: PosedHand,
    hand: str,
    camera_from_hand: Floats,
) -> Thing | None:
    chance = rng.random()
    if chance < HELD_SHARE:
        return held_thing(rng, shape, posed)
    if chance < HELD_SHARE + BEFORE_SHARE:
        # Things are placed in the axes of the posed right hand, as everything that it wears.
        eye = np.linalg.inv(camera_from_hand)[:3, 3]
        eye = eye * (-1.0 if hand == "left" else 1.0, 1.0, 1.0)
        return thing_before(rng, posed.keypoints_m, eye, float(rng.uniform(0.5, 0.8)))
    return None


def _random_background(rng: np.random.Generator) -> str:
    return str(rng.choice(["world", "turned", "clutter"], p=[0.5, 0.25, 0.25]))


def _frame(
    size: int, posed: PosedHand, hand: str, rng: np.random.Generator
) -> tuple[Camera, Floats]:
    """A camera and a place for the hand before it: any side of it, most sizes, well framed."""
    camera = Camera.from_fov(math.radians(rng.uniform(24, 62)), size, size)
    mirror = np.array([-1.0 if hand == "left" else 1.0, 1.0, 1.0])
    keypoints = posed.keypoints_m * mirror
    low, high = keypoints.min(axis=0), keypoints.max(axis=0)
    centre = (low + high) / 2
    turn = _random_turn(rng, keypoints)
    flat = (keypoints - centre) @ turn.T
    extent = float(np.ptp(flat[:, :2], axis=0).max())
    share = rng.uniform(0.38, 0.88)
    distance = camera.fx * extent / (share * size) + float(-flat[:, 2].min())
    room = max(0.0, 0.97 - share) / 2 * distance / camera.fx * size
    place = np.array([*rng.uniform(-room, room, 2), distance])
    result = np.eye(4)
    result[:3, :3] = turn
    result[:3, 3] = place - turn @ centre
    return camera, result


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


def _random_sleeve(rng: np.random.Generator) -> Sleeve | None:
    if rng.random() < 0.45:
        return None
    return Sleeve(
        cuff=float(rng.uniform(0.62, 1.0)),
        thickness_m=float(rng.uniform(0.003, 0.009)),
        flare=float(rng.uniform(0.0, 1.2)),
    )


def _random_view(rng: np.random.Generator) -> Floats:
    """(4, 4) world_from_camera: at the origin, looking anywhere, seldom steeply."""
    azimuth = rng.uniform(0, 2 * math.pi)
    elevation = float(np.clip(rng.normal(-0.1, 0.3), -1.2, 1.0))
    ahead = np.array(
        [
            math.cos(azimuth) * math.cos(elevation),
            math.sin(azimuth) * math.cos(elevation),
            math.sin(elevation),
        ]
    )
    right = np.array([math.sin(azimuth), -math.cos(azimuth), 0.0])
    down = np.cross(ahead, right)
    result = np.eye(4)
    result[:3, :3] = np.stack([right, down, ahead], axis=1) @ rotation(
        np.array([0.0, 0.0, 1.0]), float(rng.normal(0, 0.12))
    )
    return result


def _random_turn(rng: np.random.Generator, keypoints: Floats) -> Floats:
    """(3, 3) camera_from_hand: seen from any side, seldom end on; fingers mostly upward."""
    forward = keypoints[9] - keypoints[0]
    forward /= np.linalg.norm(forward)
    across = keypoints[5] - keypoints[17]
    across -= (across @ forward) * forward
    across /= np.linalg.norm(across)
    hand = np.stack([across, -forward, np.cross(across, -forward)])  # rows: right, down, ahead
    about = rng.uniform(0, 2 * math.pi)  # which side of the hand is seen
    tilt = float(np.clip(rng.normal(0.1, 0.5), -0.7, 1.2))  # fingers toward (+) or from the eye
    spread = rng.normal(0, 0.7) if rng.random() < 0.65 else rng.uniform(-math.pi, math.pi)
    x, y, z = np.eye(3)
    return np.asarray(rotation(z, float(spread)) @ rotation(x, tilt) @ rotation(y, about) @ hand)
