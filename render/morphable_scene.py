"""A user's head model in Blender: one mesh with its own colours, eyes and a mouth where needed."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from render import skin
from render.cycles import CyclesScene, Passes, Quality, SceneMesh
from render.faces_classes import CLASSES
from render.faces_draw import View
from render.faces_head import Eyeball, HeadShape, sight, unrolled
from render.faces_scene import aimed, eye_matrix, unit_sphere
from render.morphable import Coefficients, MorphableModel
from render.morphable_dress import Dress
from render.morphable_landmarks import Landmarks, boundary_loops
from render.photo import linear_from_srgb
from render.skin_tones import IRIS_COLOURS, linear_from_hex
from runtime.camera import Camera

Floats = NDArray[np.float64]

_ORDER = ("skin", "lips", "eyes", "mouth")

FADE_M = 0.015
"""From the outer edge inward a head becomes whole."""


@dataclass(frozen=True)
class Surface:
    """What differs between two renders of the same face: skin's roughness, bump, scatter and noise
    offset; the iris' name for models with eyeballs; and an albedo (3,) for those without
    colours."""

    roughness: float
    bump: float
    scatter: float
    offset: tuple[float, float, float]
    iris: str
    albedo: tuple[float, float, float]


class MorphableScene:
    """One head under a sky.

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
        self._skins = [
            skin.skin_material(name, attribute="albedo", presence="presence") for name in _ORDER[:3]
        ]
        self._hollow = skin.wet_tissue_material("mouth")
        self._eye = skin.eye_material("eyeball")
        for shader in (*self._skins, self._hollow):
            shader.material.pass_index = CLASSES[shader.material.name]
        self._eye.material.pass_index = CLASSES["eyes"]
        shaders = [*self._skins, self._hollow]
        self._head = self.cycles.add_mesh(
            "head", model.mean_m, model.triangles, [s.material for s in shaders],
            face_uv=unrolled(model.mean_m)[model.triangles], index=1,
        )  # fmt: skip
        self._head.set_attribute("rest", model.mean_m)
        self._head.set_attribute("presence", presence(model))
        # Nothing of eyes and mouth is skin, but with a material that scatters among theirs Cycles
        # treats them as it does the head; see `render.assembly`.
        vertices, faces = unit_sphere(32, 20)
        balls = [
            self.cycles.add_mesh(
                name, vertices, faces, [self._eye.material, self._skins[0].material], index=2
            )
            for name in ("right eye", "left eye")
        ]
        for ball in balls:
            ball.set_attribute("rest", vertices)
        self._eyes = [ball.object for ball in balls]
        self._mouth: SceneMesh | None = None
        data = bpy.data.lights.new("lamp", "AREA")
        data.shape = "DISK"
        self._lamp = bpy.data.objects.new("lamp", data)
        self.cycles.scene.collection.objects.link(self._lamp)
        self._landmarks: Landmarks | None = None
        self.dress: Dress | None = None
        for eye in self._eyes:
            eye.hide_render = True

    def use_landmarks(self, landmarks: Landmarks) -> None:
        """Tell lips and eyes from skin, and fill openings, from now on."""
        self._landmarks = landmarks
        slots = [_ORDER.index(name) for name in landmarks.surface_names()]
        self._head.mesh.polygons.foreach_set("material_index", np.array(slots, dtype=np.int32))
        self._head.mesh.update()
        for eye in self._eyes:
            eye.hide_render = not landmarks.eyes_open
        if self.dress is None:
            self.dress = Dress(self.cycles.scene, self.model, landmarks)
        if landmarks.mouth_open and self._mouth is None:
            points, faces = landmarks.mouth_bag(self.model.mean_m.astype(np.float64))
            materials = [self._hollow.material, self._skins[0].material]
            self._mouth = self.cycles.add_mesh("mouth", points, faces, materials, index=1)

    def shape(self, face: Coefficients, gaze_rad: tuple[float, float]) -> HeadShape:
        """The face's vertices and eyes, upright."""
        vertices, neutral = self.model.vertices_m(face), self.model.neutral_m(face)
        if self._landmarks is None:
            blind = Eyeball(np.zeros(3), 0.012, np.eye(3), sight((0.0, 0.0)))
            return HeadShape(vertices, neutral, (blind, blind), np.eye(3), np.eye(4))
        eyes = self._landmarks.eyes(vertices, neutral, gaze_rad)
        return HeadShape(vertices, neutral, eyes, np.eye(3), np.eye(4))

    def show(
        self,
        face: Coefficients,
        shape: HeadShape,
        surface: Surface,
        world_from_person: ArrayLike,
    ) -> None:
        """Put a face into the scene."""
        pose = np.asarray(world_from_person, dtype=np.float64)
        self._head.move(_moved(pose, shape.base_m))
        colour = self.model.srgb(face)
        albedo = np.ones((len(shape.base_m), 4), dtype=np.float32)
        if colour is None:
            albedo[:, :3] = surface.albedo
        else:
            albedo[:, :3] = linear_from_srgb(np.rint(255 * colour).astype(np.uint8))
        self._head.set_attribute("albedo", np.clip(albedo, 0.002, 1.0))
        for shader, bump, scatter in zip(self._skins, (1.0, 0.6, 0.0), (1.0, 1.0, 0.0)):
            shader.set(
                roughness=surface.roughness, mottle=0.2 * bump, bump=bump * surface.bump,
                scatter=scatter * surface.scatter, offset=surface.offset,
            )  # fmt: skip
        self._skins[2].set(roughness=0.2)  # eyes are wet
        if self._landmarks is not None and self._mouth is not None:
            points, _ = self._landmarks.mouth_bag(shape.base_m)
            self._mouth.move(_moved(pose, points))
        outer, inner = (linear_from_hex(code) for code in IRIS_COLOURS[surface.iris])
        half = shape.eyes[0].iris_half_angle
        self._eye.set(
            outer=outer, inner=inner, iris_half_angle=half, pupil_half_angle=0.4 * half,
            bulge=skin.corneal_bulge(shape.eyes[0].radius_m, half),
        )  # fmt: skip
        for thing, eye in zip(self._eyes, shape.eyes):
            thing.matrix_world = (pose @ eye_matrix(eye)).T.tolist()

    def light(self, view: View, target_m: Floats, toward_camera: Floats) -> None:
        """Switch the lamp on or off; see `FaceScene.light`."""
        aimed(self._lamp, view.lamp, target_m, toward_camera)

    def render(self, world_from_camera: ArrayLike, camera: Camera) -> Passes:
        """The picture."""
        self.cycles.set_camera(world_from_camera, camera)
        return self.cycles.render()


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


def _moved(transform: Floats, points: Floats) -> Floats:
    return np.asarray(points @ transform[:3, :3].T + transform[:3, 3])
