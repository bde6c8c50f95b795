"""Labelled pictures of a user's head model: the same kinds of data set as Anny's faces.

There is no hair and no body: the head, or what the model has of it, stands before its panorama or,
with photographs, its face region is placed onto one.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Label, Sample
from render.cycles import PRESETS
from render.faces import FaceSettings, Surroundings
from render.faces_draw import View, draw_view
from render.faces_head import rotation_matrix
from render.faces_scene import Posed
from render.faces_shot import (
    Shot,
    aim,
    directions,
    label_of,
    plain,
    sample_of,
    skin_weight,
)
from render.job import sample_id
from render.morphable import Coefficients
from render.morphable_dress import Groomed, random_groomed
from render.morphable_files import load_model
from render.morphable_landmarks import Landmarks
from render.morphable_scene import MorphableScene, Surface
from render.onto_photo import lamp_of
from render.photo import Photo, develop, linear_from_srgb, metered, random_photo
from render.skin_tones import IRIS_COLOURS, MONK_TONES, tone_albedo
from runtime.camera import transform_points

Floats = NDArray[np.float64]

WIDEST_GAZE_RAD = math.radians(12)
"""Lids of these models don't follow the eyes: they don't look far aside."""


@dataclass(frozen=True)
class MorphableDraw:
    """One sample's draw; `tone` is the skin's name where the model has no colours, else "";
    `seed` is of where hairs grow."""

    face: Coefficients
    gaze_rad: tuple[float, float]
    tone: str
    surface: Surface
    view: View
    photo: Photo
    groomed: Groomed
    seed: int


class MorphableRenderer:
    """Renders one face of a user's head model after another.

    Args:
        settings: of the data set, with `face_model`.
        threads: of Cycles; 0 for every core.
        fitting: whether landmarks are still to be found; then there are no labels.

    Raises:
        ViewfinderError: as `FaceRenderer`, or the head model can't be used.
    """

    def __init__(self, settings: FaceSettings, threads: int = 0, fitting: bool = False) -> None:
        assert settings.face_model is not None
        self.settings = settings
        self.surroundings = Surroundings(settings)
        self.model, _ = load_model(settings.face_model)
        landmarks: Landmarks | None = None
        if not fitting:
            from render.morphable_mapping import load_landmarks

            # Before the scene: where they are still to be found, that takes Blender for itself.
            landmarks = load_landmarks(settings.face_model)
        size, quality = settings.size, PRESETS[settings.preset]
        transparent = bool(settings.backgrounds)
        self.scene = MorphableScene(self.model, size, size, quality, threads, transparent)
        self.landmarks: Landmarks | None = None
        if landmarks is not None:
            self.use_landmarks(landmarks)

    def use_landmarks(self, landmarks: Landmarks) -> None:
        """Take these from now on."""
        self.landmarks = landmarks
        self.scene.use_landmarks(landmarks)

    def draw(self, index: int) -> tuple[MorphableDraw, np.random.Generator]:
        """What sample `index` is to show, and the generator for all that is left to chance."""
        sequence = np.random.SeedSequence(self.settings.seed, spawn_key=(index,))
        rng = np.random.default_rng(sequence)
        face = self.model.draw(rng)
        left, up = np.clip(rng.normal(0, 0.08, 2), -WIDEST_GAZE_RAD, WIDEST_GAZE_RAD).tolist()
        tone = list(MONK_TONES)[int(rng.integers(len(MONK_TONES)))]
        red, green, blue = tone_albedo(tone, float(rng.uniform(-0.5, 1))).tolist()
        x, y, z = rng.uniform(-1, 1, 3).tolist()
        surface = Surface(
            roughness=float(rng.uniform(0.45, 0.7)),
            bump=float(rng.uniform(0.1, 0.4)),
            scatter=float(rng.uniform(0.1, 0.25)),
            offset=(x, y, z),
            iris=str(rng.choice(list(IRIS_COLOURS))),
            albedo=(red, green, blue),
        )
        named = "" if self.model.colour is not None else tone
        # Not the sample's own generator: people stay who they are whatever the shares.
        key = (index, 1)
        other = np.random.default_rng(np.random.SeedSequence(self.settings.seed, spawn_key=key))
        skull = self.scene.dress is not None and self.scene.dress.skull
        groomed = random_groomed(other, self.settings.face_shares, skull)
        drawn = MorphableDraw(
            face, (left, up), named, surface, draw_view(rng), random_photo(rng), groomed,
            int(other.integers(2**32)),
        )  # fmt: skip
        return drawn, rng

    def hdri(self, index: int) -> Path:
        """The surroundings of sample `index`."""
        return self.surroundings.hdri(index)

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        """Sample `index` of the data set and its one label."""
        drawn, rng = self.draw(index)
        shot = self.shoot(drawn, self.hdri(index), rng)
        sample = sample_of(
            index, self.settings, shot, drawn.photo, ("face model", *drawn.groomed.worn.tags()),
            {
                "hdri": self.hdri(index).name,
                "azimuth_rad": drawn.view.azimuth_rad,
                "lamp": shot.lamp is not None,
                "photo": plain(asdict(drawn.photo)),
            },
        )  # fmt: skip
        return sample, [label_of(sample_id(index), shot, self._attributes(drawn, shot))]

    def shoot(self, drawn: MorphableDraw, hdri: Path, rng: np.random.Generator) -> Shot:
        """Set the scene up as drawn and take the picture."""
        shape = self.scene.shape(drawn.face, drawn.gaze_rad)
        behind = self.surroundings.photo(rng)
        view = drawn.view if behind is None else replace(drawn.view, lamp=lamp_of(behind[1]))
        pose = np.eye(4)
        upright = rotation_matrix([0, 0, view.azimuth_rad + view.body_yaw_rad])
        pose[:3, :3] = upright @ view.head_rotation
        if self.landmarks is None:
            front = shape.base_m[:, 1] < np.quantile(shape.base_m[:, 1], 0.3)
            places, tragions = shape.base_m[front], (0, 0)
        else:
            places, tragions = self.landmarks.points(shape.base_m), self.landmarks.tragions
        self.scene.show(drawn.face, shape, drawn.surface, pose)
        if self.scene.dress is not None:
            self.scene.dress.show(drawn.groomed, shape, pose, np.random.default_rng(drawn.seed))
        self.scene.cycles.set_hdri(hdri)
        target = transform_points(pose, places.mean(axis=0))
        toward, world_from_camera, camera = aim(view, target, self.settings.size)
        self.scene.light(view, target, toward)
        passes = self.scene.render(world_from_camera, camera)
        light = self.surroundings.before(behind, passes, self.scene.cycles, hdri, rng)
        gain = metered(light, skin_weight(passes)) * self._tone_gain(drawn)
        rgb = develop(light, gain, drawn.photo, rng)
        person = Posed(shape, shape.base_m, places)
        return Shot(rgb, passes, camera, world_from_camera, pose, person, tragions, view.lamp)

    def _tone_gain(self, drawn: MorphableDraw) -> float:
        """As of Anny's faces: cameras make up for about half of a skin's tone."""
        colour = self.model.srgb(drawn.face)
        albedo = np.array(drawn.surface.albedo)
        if colour is not None:
            albedo = linear_from_srgb(np.rint(255 * colour).astype(np.uint8)).mean(axis=0)
        return 1.15 * (float(albedo @ [0.2126, 0.7152, 0.0722]) / 0.3) ** 0.45

    def _attributes(self, drawn: MorphableDraw, shot: Shot) -> dict[str, Any]:
        face = drawn.face
        gaze = drawn.gaze_rad if self.landmarks and self.landmarks.eyes_open else (0.0, 0.0)
        tone = {"tone": drawn.tone} if drawn.tone else {}
        return {
            **directions(shot, gaze),
            **tone,
            "worn": drawn.groomed.worn.described(),
            "face_model": self.model.name,
            "identity": face.identity.round(4).tolist(),
            "expression_strength": round(face.strength, 4),
            "expression": face.expression.round(4).tolist(),
            "colour": face.colour.round(4).tolist(),
        }

    def close(self) -> None:
        """Remove the scene's files."""
        self.scene.cycles.close()
