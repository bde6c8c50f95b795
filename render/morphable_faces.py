"""Labelled pictures of a user's head model: the same kinds of data set as Anny's faces.

There is no body: heads, or what the model has of them, stand before a panorama or, with
photographs, their face regions are placed onto one. Those without a skull wear nothing on it, have
no hair and are never seen from behind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.cycles import PRESETS
from render.faces import FaceSettings
from render.faces_company import Company, beside_rng
from render.faces_draw import View, draw_iris, draw_view
from render.faces_head import rotation_matrix
from render.faces_picture import HeadRenderer, Surroundings
from render.faces_shot import Shot, directions
from render.morphable import Coefficients
from render.morphable_dress import Groomed, random_groomed
from render.morphable_files import load_model
from render.morphable_landmarks import Landmarks
from render.morphable_scene import Head, MorphableScene, Surface
from render.photo import Photo, linear_from_srgb, random_photo
from render.skin_tones import MONK_TONES, nearest_tone, tone_albedo

Floats = NDArray[np.float64]

WIDEST_GAZE_RAD = math.radians(12)
"""Lids of these models don't follow the eyes: they don't look far aside."""


@dataclass(frozen=True)
class MorphableDraw:
    """One person's draw; `tone` is the name nearest to the skin where the model has colours of its
    own; `seed` is of where hairs grow. Nobody knows these people's age."""

    face: Coefficients
    gaze_rad: tuple[float, float]
    tone: str
    surface: Surface
    view: View
    photo: Photo
    groomed: Groomed
    seed: int
    age: str = "adult"


class MorphableRenderer(HeadRenderer[MorphableDraw]):
    """Renders pictures of a user's head model.

    Args:
        settings: of the data set, with `face_model`.
        threads: of Cycles; 0 for every core.
        fitting: whether landmarks are still to be found; then there are no labels.

    Raises:
        ViewfinderError: as `FaceRenderer`, or the head model can't be used.
    """

    def __init__(self, settings: FaceSettings, threads: int = 0, fitting: bool = False) -> None:
        assert settings.face_model is not None
        surroundings = Surroundings(settings)
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
        company = Company(settings, lambda rng: self._somebody(rng, rng), backs=self.scene.skull)
        super().__init__(settings, surroundings, self.scene, company)

    def use_landmarks(self, landmarks: Landmarks) -> None:
        """Take these from now on."""
        self.landmarks = landmarks
        self.scene.use_landmarks(landmarks)

    def draw(self, index: int) -> tuple[MorphableDraw, np.random.Generator]:
        """What sample `index` is to show, and the generator for all that is left to chance."""
        seed = self.settings.seed
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        return self._somebody(rng, beside_rng(seed, index, 1)), rng

    def _somebody(self, rng: np.random.Generator, other: np.random.Generator) -> MorphableDraw:
        """A person, with what is worn and grown by the other generator."""
        face = self.model.draw(rng)
        left, up = np.clip(rng.normal(0, 0.08, 2), -WIDEST_GAZE_RAD, WIDEST_GAZE_RAD).tolist()
        tone = list(MONK_TONES)[int(rng.integers(len(MONK_TONES)))]
        red, green, blue = tone_albedo(tone, float(rng.uniform(-0.5, 1))).tolist()
        own = self.model.srgb(face)
        if own is not None:
            red, green, blue = linear_from_srgb(_bytes(own)).mean(axis=0).tolist()
            tone = nearest_tone([red, green, blue])
        number = list(MONK_TONES).index(tone)
        x, y, z = rng.uniform(-1, 1, 3).tolist()
        surface = Surface(
            roughness=float(rng.uniform(0.45, 0.7)),
            bump=float(rng.uniform(0.1, 0.4)),
            scatter=float(rng.uniform(0.1, 0.25)),
            offset=(x, y, z),
            iris=draw_iris(rng, number),
            albedo=(red, green, blue),
        )
        groomed = random_groomed(other, self.settings.face_shares, self.scene.skull, number)
        return MorphableDraw(
            face, (left, up), tone, surface, draw_view(rng), random_photo(rng), groomed,
            int(other.integers(2**32)),
        )  # fmt: skip

    def posed(self, drawn: MorphableDraw) -> Head:
        """Somebody's shape and looks."""
        shape = self.scene.shape(drawn.face, drawn.gaze_rad)
        if self.landmarks is None:
            places = shape.base_m[shape.base_m[:, 1] < np.quantile(shape.base_m[:, 1], 0.3)]
        else:
            places = self.landmarks.points(shape.base_m)
        return Head(
            shape, shape.base_m, places, drawn.groomed.worn, drawn.tone, drawn.groomed.hair_style,
            drawn.face, drawn.surface, drawn.groomed,
        )  # fmt: skip

    def placed(self, view: View) -> Floats:
        """(4, 4) world_from_person: heads without a neck turn as wholes."""
        pose = np.eye(4)
        upright = rotation_matrix([0, 0, view.azimuth_rad + view.body_yaw_rad])
        pose[:3, :3] = upright @ view.head_rotation
        return pose

    def strands_rng(self, drawn: MorphableDraw, rng: np.random.Generator) -> np.random.Generator:
        """Of its own, so that a face's picture doesn't depend on its brows."""
        return np.random.default_rng(drawn.seed)

    def gain(self, drawn: MorphableDraw) -> float:
        """As of Anny's faces: cameras make up for about half of a skin's tone."""
        luminance = float(np.dot(drawn.surface.albedo, [0.2126, 0.7152, 0.0722]))
        return 1.15 * (luminance / 0.3) ** 0.45

    def tags(self, drawn: MorphableDraw) -> tuple[str, ...]:
        """Hair and what is worn."""
        style = (drawn.groomed.hair_style,) if self.scene.skull else ()
        return ("face model", *style, *drawn.groomed.worn.tags())

    def attributes(self, drawn: MorphableDraw, shot: Shot) -> dict[str, Any]:
        """Pose, gaze, and all that was drawn."""
        face, groomed = drawn.face, drawn.groomed
        style = {"style": groomed.hair_style, "colour": groomed.hair_colour}
        hair = {"hair": style} if self.scene.skull else {}
        gaze = drawn.gaze_rad if self.landmarks and self.landmarks.eyes_open else (0.0, 0.0)
        return {
            **directions(shot, gaze),
            "tone": drawn.tone,
            **hair,
            "worn": groomed.worn.described(),
            "face_model": self.model.name,
            "identity": face.identity.round(4).tolist(),
            "expression_strength": round(face.strength, 4),
            "expression": face.expression.round(4).tolist(),
            "colour": face.colour.round(4).tolist(),
        }


def _bytes(colour: Floats) -> NDArray[np.uint8]:
    return np.rint(255 * colour).astype(np.uint8)
