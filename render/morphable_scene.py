"""A user's head model in Blender: heads with their own colours, eyes and a mouth where needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from render import skin
from render.assembly import AssembledMesh, Part
from render.cycles import CyclesScene, Passes, Quality
from render.faces_classes import CLASSES, SECOND
from render.faces_draw import View
from render.faces_head import Eyeball, HeadShape, sight, unrolled
from render.faces_outfit import SLOTS as WORN
from render.faces_outfit import Outfit, Props, sclera
from render.faces_scene import Posed, Standing, aimed, eye_matrix, unit_sphere
from render.morphable import Coefficients, MorphableModel
from render.morphable_dress import Dress, Groomed
from render.morphable_landmarks import Landmarks, boundary_loops
from render.photo import linear_from_srgb
from render.skin_tones import IRIS_COLOURS, linear_from_hex
from render.worn import Bearer
from runtime.camera import Camera, transform_points

Floats = NDArray[np.float64]

SLOTS = ("skin", "lips", "eyes", "mouth", "eyeball", *WORN)
"""Materials of a person's part of the mesh, in order: painted eyes and eyeballs, then the
outfit's."""

FADE_M = 0.015
"""From the outer edge inward a head becomes whole."""


@dataclass(frozen=True)
class Surface:
    """What differs between two renders of the same face: skin's roughness, bump, scatter and noise
    offset; the iris' name for models with eyeballs; and the albedo (3,), the mean of models with
    colours."""

    roughness: float
    bump: float
    scatter: float
    offset: tuple[float, float, float]
    iris: str
    albedo: tuple[float, float, float]


@dataclass(frozen=True)
class Head(Posed):
    """One of a model's people: its coefficients, the surface, brows, lashes and hair."""

    face: Coefficients
    surface: Surface
    groomed: Groomed


class MorphableScene:
    """One or two heads under a sky.

    Args:
        model: whose faces.
        width, height: of the pictures.
        quality: samples and denoiser.
        threads: of Cycles; 0 for all.
        transparent: leave the sky out of the picture.
    """

    def __init__(
        self,
        model: MorphableModel,
        width: int,
        height: int,
        quality: Quality,
        threads: int = 0,
        transparent: bool = False,
    ) -> None:
        self.model = model
        self.cycles = CyclesScene(width, height, quality, threads, transparent)
        self.cycles.add_surface_passes()
        scene = self.cycles.scene
        self._busts = (Bust(scene, model, "", 0), Bust(scene, model, "second ", SECOND))
        self.props = Props()
        materials = [m for bust in self._busts for m in bust.materials]
        self._solid = AssembledMesh(scene, "solid", [*materials, *self.props.materials])
        data = bpy.data.lights.new("lamp", "AREA")
        data.shape = "DISK"
        self._lamp = bpy.data.objects.new("lamp", data)
        scene.collection.objects.link(self._lamp)
        self._landmarks: Landmarks | None = None
        self._dress: Dress | None = None
        self.tragions = (0, 0)

    def use_landmarks(self, landmarks: Landmarks) -> None:
        """Tell lips and eyes from skin, fill openings, and dress, from now on."""
        self._landmarks, self.tragions = landmarks, landmarks.tragions
        for bust in self._busts:
            self._dress = bust.use_landmarks(landmarks)

    @property
    def skull(self) -> bool:
        """Whether headwear finds a head."""
        return self._dress is not None and self._dress.skull

    def shape(self, face: Coefficients, gaze_rad: tuple[float, float]) -> HeadShape:
        """The face's vertices and eyes, upright."""
        vertices, neutral = self.model.vertices_m(face), self.model.neutral_m(face)
        if self._landmarks is None:
            blind = Eyeball(np.zeros(3), 0.012, np.eye(3), sight((0.0, 0.0)))
            return HeadShape(vertices, neutral, (blind, blind), np.eye(3), np.eye(4))
        eyes = self._landmarks.eyes(vertices, neutral, gaze_rad)
        return HeadShape(vertices, neutral, eyes, np.eye(3), np.eye(4))

    def bearer(self, person: Head) -> Bearer:
        """Somebody's head as what is worn sees it, in the model's axes."""
        assert self._dress is not None
        return self._dress.bearer(person.shape)

    def skin(self, person: Head) -> tuple[Floats, Floats]:
        """(V, 3) the head's vertices and their normals, in the model's axes."""
        assert self._dress is not None
        return person.vertices_m, self._dress.normals(person.shape)

    def show(self, people: Sequence[Standing[Head]], others: Sequence[Part] = ()) -> None:
        """Put heads into the scene, two at most, and what else there is.

        Args:
            people: who and where.
            others: with the slots of `props`, counted from 0.
        """
        parts = []
        for number, bust in enumerate(self._busts):
            if number < len(people):
                parts += bust.parts(people[number], number * len(SLOTS))
            else:
                bust.outfit.shave()
        first = len(self._busts) * len(SLOTS)
        self._solid.show(parts + [part.shifted(first) for part in others])

    def light(self, view: View, target_m: Floats, toward_camera: Floats) -> None:
        """Switch the lamp on or off; see `FaceScene.light`."""
        aimed(self._lamp, view.lamp, target_m, toward_camera)

    def render(self, world_from_camera: ArrayLike, camera: Camera) -> Passes:
        """The picture."""
        self.cycles.set_camera(world_from_camera, camera)
        return self.cycles.render()


class Bust:
    """A head in Blender: its materials, what it wears, and the parts of the mesh that it is.

    Args:
        scene: Blender's.
        model: whose head.
        prefix: of all names: "" for the first person, "second " for the second.
        offset: of class ids.
    """

    def __init__(self, scene: Any, model: MorphableModel, prefix: str, offset: int) -> None:
        self._model = model
        self.outfit = Outfit(scene, f"{prefix}dress ", offset, None)
        self._skins = [
            skin.skin_material(f"{prefix}{name}", attribute="albedo", presence="presence")
            for name in SLOTS[:3]
        ]
        hollow = skin.wet_tissue_material(f"{prefix}mouth")
        self._eye = skin.eye_material(f"{prefix}eyeball")
        shaders = (*self._skins, hollow, self._eye)
        for shader, name in zip(shaders, (*SLOTS[:4], "eyes")):
            shader.material.pass_index = offset + CLASSES[name]
        self.materials = [*(shader.material for shader in shaders), *self.outfit.materials]
        mean = model.mean_m.astype(np.float64)
        self._rest, self._presence = mean, presence(model)
        self._uv = unrolled(mean)[model.triangles]
        self._slot: NDArray[np.int64] | int = 0
        self._ball, self._ball_faces = unit_sphere(32, 20)
        self._landmarks: Landmarks | None = None
        self._dress: Dress | None = None

    def use_landmarks(self, landmarks: Landmarks) -> Dress:
        """Tell lips and eyes from skin, fill openings, and dress, from now on."""
        self._landmarks = landmarks
        self._slot = np.array([SLOTS.index(name) for name in landmarks.surface_names()])
        self._dress = Dress(self.outfit, self._model, landmarks)
        return self._dress

    def parts(self, standing: Standing[Head], base: int) -> list[Part]:
        """Take on somebody's looks.

        Args:
            standing: who and where.
            base: the mesh's slots from there on are `SLOTS`.
        """
        person, pose = standing.person, standing.world_from_person
        self._paint(person)
        parts = [
            Part(transform_points(pose, person.vertices_m), self._model.triangles,
                 base + self._slot, self._rest, self._uv, self._albedo(person),
                 presence=self._presence)
        ]  # fmt: skip
        if self._landmarks is not None and self._landmarks.mouth_open:
            points, faces = self._landmarks.mouth_bag(person.vertices_m)
            parts.append(Part(transform_points(pose, points), faces, base + SLOTS.index("mouth")))
        if self._landmarks is not None and self._landmarks.eyes_open:
            slot = base + SLOTS.index("eyeball")
            for eye in person.shape.eyes:
                ball = transform_points(pose @ eye_matrix(eye), self._ball)
                parts.append(Part(ball, self._ball_faces, slot, self._ball))
        if self._dress is not None:
            first = base + len(SLOTS) - len(WORN)
            parts += self._dress.parts(person.groomed, person.shape, pose, standing.rng, first)
        return parts

    def _paint(self, person: Head) -> None:
        surface = person.surface
        for shader, bump, scatter in zip(self._skins, (1.0, 0.6, 0.0), (1.0, 1.0, 0.0)):
            shader.set(
                roughness=surface.roughness, mottle=0.2 * bump, bump=bump * surface.bump,
                scatter=scatter * surface.scatter, offset=surface.offset,
            )  # fmt: skip
        self._skins[2].set(roughness=0.2)  # eyes are wet
        outer, inner = (linear_from_hex(code) for code in IRIS_COLOURS[surface.iris])
        eye = person.shape.eyes[0]
        half = eye.iris_half_angle
        self._eye.set(
            outer=outer, inner=inner, iris_half_angle=half, pupil_half_angle=0.4 * half,
            bulge=skin.corneal_bulge(eye.radius_m, half), white=sclera(surface.albedo),
        )  # fmt: skip

    def _albedo(self, person: Head) -> NDArray[np.float32]:
        """(V, 4)."""
        colour = self._model.srgb(person.face)
        albedo = np.ones((len(person.vertices_m), 4), dtype=np.float32)
        if colour is None:
            albedo[:, :3] = person.surface.albedo
        else:
            albedo[:, :3] = linear_from_srgb(np.rint(255 * colour).astype(np.uint8))
        if self._dress is not None:
            roots = 0.85 * self._dress.scalp(person.groomed)[:, None]
            albedo[:, :3] += roots * (np.array(person.groomed.hair_albedo) - albedo[:, :3])
        return np.clip(albedo, 0.002, 1.0)


def presence(model: MorphableModel) -> Floats:
    """(V,) 0 at the mesh's outer edge, where head or neck were cut, to 1 `FADE_M` inward: a face
    fades into what is behind it instead of ending in a row of triangles."""
    from scipy.spatial import cKDTree

    mean = model.mean_m.astype(np.float64)
    loops = boundary_loops(model.triangles)
    if not loops:
        return np.ones(len(mean))
    # Eyes and mouth are shorter ones.
    edge = max(loops, key=lambda loop: _around(mean[loop]))
    share = np.clip(cKDTree(mean[edge]).query(mean)[0] / FADE_M, 0, 1)
    return np.asarray(share**2 * (3 - 2 * share))


def _around(points: Floats) -> float:
    return float(np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1).sum())
