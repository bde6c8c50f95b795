"""What a picture of a body shows, drawn at random before anything is rendered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.anny_asset import Identity
from render.bodies import BodySettings
from render.body_clothes import SHELLS, Outfit, random_outfit
from render.body_dress import DressedBody, Wardrobe
from render.body_frame import BodyView, framed
from render.body_joints import SIDES
from render.body_looks import BodyLook, random_garment_cloth, random_ground, random_look
from render.body_model import BodyModel, BodyShape
from render.body_poses import BodyPoseSampler, DrawnPose
from render.environments import hdri_index
from render.hand_frame import random_camera
from render.photo import Photo, random_photo
from runtime.camera import Camera

Floats = NDArray[np.float64]

_GROUNDED = 0.55  # of the pictures: with a floor that is seen, in the environment itself


@dataclass(frozen=True)
class BodyScene:
    """Everything about one sample.

    Attributes:
        identity, shape, look, outfit, pose: of the person.
        body: dressed, in the axes of the place; `world_from_body` turns it about z.
        world_from_body, world_from_camera: (4, 4).
        cloths: inputs of each garment's material by slot.
        skin: inputs of the skin's.
        ground: inputs of the ground's material; `floor` says whether it is seen or only shadows on
            it are.
        camera: of the picture.
        view: what it was meant to show.
        hdri: index into the environments.
        background: see `render.backdrop`.
        photo: of the camera.
        negative: what is shown instead of a person, or "".
    """

    identity: Identity
    shape: BodyShape
    look: BodyLook
    outfit: Outfit
    pose: DrawnPose
    body: DressedBody
    world_from_body: Floats
    world_from_camera: Floats
    cloths: Mapping[str, Mapping[str, Any]]
    skin: Mapping[str, Any]
    ground: Mapping[str, Any]
    floor: bool
    camera: Camera
    view: BodyView
    hdri: int
    background: str
    photo: Photo
    negative: str


class BodySampler:
    """Draws scenes: sample i of a seed depends on both alone.

    Raises:
        ViewfinderError: see `BodyPoseSampler`.
    """

    def __init__(self, settings: BodySettings, model: BodyModel, hdri_count: int) -> None:
        self._settings, self._model, self._hdri_count = settings, model, hdri_count
        self.poses = BodyPoseSampler(model, settings.body_poses)
        self.wardrobe = Wardrobe(model)

    def draw(self, index: int) -> tuple[BodyScene, np.random.Generator]:
        """What a sample shows, and its generator for what remains to be drawn."""
        settings, shares = self._settings, self._settings.body_shares
        rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(index,)))
        negative = ""
        if rng.random() < shares.negatives:
            negative = str(rng.choice(["empty", "seat"]))
        identity = random_identity(rng)
        shape = self._model.shape(identity)
        pose = self.poses.draw(shape, rng)
        age, gender = identity.phenotypes["age"], identity.phenotypes["gender"]
        look = random_look(rng, gender, age)
        outfit = random_outfit(rng, skirt_hangs(pose), age < 0.58)
        if negative == "seat":
            pose = self.poses.named(shape, "sit")
        body = self.wardrobe.dressed(
            shape, self._model.pose(shape, pose.pose), look, outfit, pose.on, pose.lift_m, rng
        )
        yaw = float(rng.uniform(0, 2 * math.pi))
        world_from_body = np.eye(4)
        world_from_body[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
        camera = random_camera(rng, settings.size)
        skin = np.unique(self._model.faces["skin"])[::9]
        body_from_camera, view = framed(
            rng, camera, body.keypoints_m, body.vertices_m[skin], shares
        )
        background, floor = self._background(rng)
        scene = BodyScene(
            identity=identity,
            shape=shape,
            look=look,
            outfit=outfit,
            pose=pose,
            body=body,
            world_from_body=world_from_body,
            world_from_camera=world_from_body @ body_from_camera,
            cloths=_cloths(rng),
            skin={
                "roughness": float(rng.uniform(0.4, 0.62)),
                "mottle": float(rng.uniform(0.2, 0.8)),
                "bump": float(rng.uniform(0.1, 0.4)),
                "offset": rng.uniform(-1, 1, 3),
            },
            ground=random_ground(rng),
            floor=floor,
            camera=camera,
            view=view,
            hdri=hdri_index(settings.seed, index, self._hdri_count),
            background=background,
            photo=random_photo(rng),
            negative=negative,
        )
        return scene, rng

    def _background(self, rng: np.random.Generator) -> tuple[str, bool]:
        if self._settings.backgrounds:
            return "photo", False
        if rng.random() < _GROUNDED:
            return "world", True
        return str(rng.choice(["turned", "clutter"], p=[0.4, 0.6])), False


def skirt_hangs(pose: DrawnPose) -> bool:
    """Whether legs are held so that a skirt hangs down."""
    angles = pose.pose.angles
    upright = abs(angles.get("root_pitch", 0.0)) + abs(angles.get("root_roll", 0.0)) < 0.5
    legs = [
        max(abs(angles.get(f"{side}_hip_flexion", 0.0)), angles.get(f"{side}_knee_flexion", 0) / 2)
        for side in SIDES
    ]
    apart = max(angles.get(f"{side}_hip_abduction", 0.0) for side in SIDES)
    return upright and max(legs) < math.radians(34) and apart < math.radians(18)


def _cloths(rng: np.random.Generator) -> dict[str, Mapping[str, Any]]:
    cloths = {shell: random_garment_cloth(rng) for shell in (*SHELLS, "skirt")}
    if rng.random() < 0.35:  # a dress, a suit, a tracksuit
        cloths["lower"] = cloths["skirt"] = cloths["upper"]
    cloths["shoes"] = {**cloths["shoes"], "stripes": 0.0, "upright": 0.0, "roughness": 0.5}
    return cloths


def random_identity(rng: np.random.Generator) -> Identity:
    """A person: mostly adults, some children, all builds, all origins."""
    age = rng.uniform(0.36, 0.56) if rng.random() < 0.13 else rng.uniform(0.6, 1.0)
    gender = float(np.clip(rng.choice([0.08, 0.92]) + rng.normal(0, 0.1), 0, 1))
    phenotypes = {
        "age": float(age),
        "gender": gender,
        "muscle": float(rng.beta(2.5, 2.5)),
        "weight": float(rng.beta(2.2, 2.2)),
        "height": float(rng.beta(3, 3)),
        "proportions": float(rng.beta(3, 3)),
        "african": float(rng.uniform(0, 1)),
        "asian": float(rng.uniform(0, 1)),
        "caucasian": float(rng.uniform(0, 1)),
    }
    both = {
        f"{side}-{change}": 0.35 * value
        for change, value in {
            "hand-scale-incr": rng.normal(),
            "foot-scale-incr": rng.normal(),
            "upperarm-fat-incr": rng.normal(),
            "lowerleg-fat-incr": rng.normal(),
            "upperleg-fat-incr": rng.normal(),
        }.items()
        for side in ("l", "r")
    }
    changes = both | {
        "stomach-tone-incr": 0.4 * rng.normal(),
        "torso-vshape-incr": 0.4 * rng.normal(),
        "measure-shoulder-dist-incr": 0.4 * rng.normal(),
        "measure-upperleg-height-incr": 0.3 * rng.normal(),
        "measure-lowerarm-length-incr": 0.3 * rng.normal(),
        "measure-upperarm-length-incr": 0.3 * rng.normal(),
        "head-scale-horiz-incr": 0.3 * rng.normal(),
        "head-scale-vert-incr": 0.3 * rng.normal(),
        "chin-width-incr": 0.4 * rng.normal(),
        "nose-scale-vert-incr": 0.4 * rng.normal(),
        "buttocks-volume-incr": 0.3 * rng.normal(),
    }
    return Identity(phenotypes, {key: float(np.clip(v, -1, 1)) for key, v in changes.items()})
