"""The face scene in Blender: built once, then moved, painted and lit for every sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from render import skin
from render.cycles import CyclesScene, Passes, Quality, SceneMesh
from render.face_mapping import FaceMapping
from render.faces_draw import Look, View
from render.faces_garment import GARMENTS, Garment
from render.faces_hair import (
    HAIR_STYLES,
    Surface,
    grown_brows,
    grown_hair,
    grown_lashes,
)
from render.faces_head import (
    SURFACES,
    Eyeball,
    HeadMesh,
    HeadShape,
    unrolled,
    vertex_normals,
)
from render.faces_paint import TEXTURE_SIZE, SkinPainter, scalp_density
from render.skin_tones import IRIS_COLOURS, linear_from_hex
from runtime.camera import Camera
from runtime.topology import topology

Floats = NDArray[np.float64]

CLASSES: Mapping[str, int] = {
    "background": 0,
    "skin": 1,
    "lips": 2,
    "eyes": 3,
    "mouth": 4,
    "teeth": 5,
    "hair": 6,
    "brows": 7,
    "lashes": 8,
    "clothes": 9,
}
"""Segmentation ids; materials carry them as their pass index."""

_SURFACE_CLASS = {
    "skin": "skin",
    "mouth": "mouth",
    "socket": "skin",
    "tongue": "mouth",
    "teeth_upper": "teeth",
    "teeth_lower": "teeth",
}


@dataclass(frozen=True)
class Posed:
    """Who stands before the camera, in its own axes: shape, vertices_m (V', 3) of the rendered
    mesh and landmarks_m (468, 3)."""

    shape: HeadShape
    vertices_m: Floats
    landmarks_m: Floats


@dataclass(frozen=True)
class Person(Posed):
    """One of Anny's people: rest_m (V', 3) without expression or pose, and the look."""

    rest_m: Floats
    look: Look


class FaceScene:
    """One head under a sky.

    Args:
        mesh: the bust.
        mapping: where landmarks sit.
        width, height: of the pictures.
        quality: samples and denoiser.
        threads: of Cycles; 0 for all.
        transparent: leave the sky out of the picture.
    """

    def __init__(
        self,
        mesh: HeadMesh,
        mapping: FaceMapping,
        width: int,
        height: int,
        quality: Quality,
        threads: int = 0,
        transparent: bool = False,
    ) -> None:
        self.mesh = mesh
        self.cycles = CyclesScene(width, height, quality, threads, transparent)
        self.cycles.scene.cycles_curves.shape = "RIBBONS"
        self._face_uv = unrolled(mesh.rendered(mesh.neutral_m)[mesh.faces]).mean(axis=1)
        self._outside = mesh.surface == SURFACES.index("skin")
        self.use_mapping(mapping)
        self._build_materials()
        self._build_objects()

    def use_mapping(self, mapping: FaceMapping) -> None:
        """Paint and grow brows by another mapping from now on; lips keep their faces."""
        triangles = mapping.local_triangles(self.mesh.region.base_vertices)
        self.landmark_weights = self.mesh.surface_weights(triangles, mapping.weights)
        self.painter = SkinPainter(self.landmark_weights @ self.mesh.neutral_m)
        self._brow_density = [
            self._sampled(self.painter.brow_region(side)) ** 3 * self._outside for side in (0, 1)
        ]

    def _sampled(self, texture: NDArray[np.floating]) -> Floats:
        """(F,) a texture's value in the middle of every face, bilinear."""
        import cv2

        height, width = texture.shape
        x = (self._face_uv[:, 0] * width - 0.5).astype(np.float32)
        y = ((1 - self._face_uv[:, 1]) * height - 0.5).astype(np.float32)
        picked = cv2.remap(texture, x[None], y[None], cv2.INTER_LINEAR)
        return np.asarray(picked[0], dtype=np.float64)

    def _build_materials(self) -> None:
        self._image = _new_picture()
        self._skin = skin.skin_material("skin", self._image)
        self._lips = skin.skin_material("lips", self._image)
        self._mouth = skin.wet_tissue_material("mouth")
        self._teeth = skin.teeth_material("teeth")
        self._eye = skin.eye_material("eyes")
        self._hair = skin.hair_material("hair")
        self._brows = skin.hair_material("brows")
        self._lashes = skin.hair_material("lashes")
        self._cloth = skin.cloth_material("clothes")
        for shader in (
            self._skin, self._lips, self._mouth, self._teeth, self._eye, self._hair, self._brows,
            self._lashes, self._cloth,
        ):  # fmt: skip
            shader.material.pass_index = CLASSES[shader.material.name]

    def _build_objects(self) -> None:
        mesh = self.mesh
        order = ("skin", "lips", "mouth", "teeth")
        shaders = (self._skin, self._lips, self._mouth, self._teeth)
        slot = np.array([order.index(_SURFACE_CLASS[name]) for name in SURFACES])[mesh.surface]
        slot[self._outside & (self._sampled(self.painter.lips) > 0.5)] = order.index("lips")
        neutral = mesh.rendered(mesh.neutral_m)
        self._head = self.cycles.add_mesh(
            "head", neutral, mesh.faces, [s.material for s in shaders], slot, mesh.uv, index=1
        )
        self._head.set_attribute("rest", neutral)
        self._eyes = [self._add_eyeball(name) for name in ("right eye", "left eye")]
        self._garments = {name: Garment(mesh, name) for name in GARMENTS}
        self._cloths = {
            name: self._add_garment(name, garment) for name, garment in self._garments.items()
        }
        self._strands = {
            "hair": _Strands(self.cycles.scene, "hair", self._hair, 4),
            "brows": _Strands(self.cycles.scene, "brows", self._brows, 5),
            "lashes": _Strands(self.cycles.scene, "lashes", self._lashes, 6),
        }
        data = bpy.data.lights.new("lamp", "AREA")
        data.shape = "DISK"
        self._lamp = bpy.data.objects.new("lamp", data)
        self.cycles.scene.collection.objects.link(self._lamp)

    def _add_eyeball(self, name: str) -> Any:
        vertices, faces = unit_sphere(32, 20)
        return self.cycles.add_mesh(name, vertices, faces, [self._eye.material], index=2).object

    def _add_garment(self, name: str, garment: Garment) -> SceneMesh:
        rest = garment.rest_m
        cloth = self.cycles.add_mesh(name, rest, garment.faces, [self._cloth.material], index=3)
        cloth.set_attribute("rest", rest)
        cloth.set_attribute("below_collar", garment.below_collar_m)
        solid = cloth.object.modifiers.new("thickness", "SOLIDIFY")
        solid.thickness, solid.offset = 0.003, 1.0
        return cloth

    def person(self, shape: HeadShape, look: Look) -> Person:
        """The person's rendered vertices and landmarks."""
        return Person(
            shape,
            self.mesh.rendered(shape.base_m),
            self.landmark_weights @ shape.base_m,
            self.mesh.rendered(shape.rest_m),
            look,
        )

    def show(self, person: Person, world_from_person: ArrayLike, rng: np.random.Generator) -> None:
        """Put a person into the scene.

        Args:
            person: who.
            world_from_person: (4, 4) rigid.
            rng: for paint and strands.
        """
        pose = np.asarray(world_from_person, dtype=np.float64)
        self._pose = pose
        self._paint(person.look, rng)
        self._head.move(_moved(pose, person.vertices_m))
        for thing, eye in zip(self._eyes, person.shape.eyes):
            thing.matrix_world = (pose @ eye_matrix(eye)).T.tolist()
        self._eye.set(
            iris_half_angle=person.shape.eyes[0].iris_half_angle,
            pupil_half_angle=person.shape.eyes[0].iris_half_angle * person.look.pupil,
        )
        for name, cloth in self._cloths.items():
            cloth.show(name == person.look.garment)
        garment = self._garments[person.look.garment]
        self._cloths[person.look.garment].move(_moved(pose, garment.on(person.shape.base_m)))
        self._grow(person, rng)

    def _paint(self, look: Look, rng: np.random.Generator) -> None:
        texture = self.painter.paint(look.complexion, rng)
        # Cycles keeps the pixels of an image that it has seen: every person gets a new one.
        image = _new_picture()
        image.pixels.foreach_set(np.ascontiguousarray(texture[::-1]).ravel())
        for shader in (self._skin, self._lips):
            shader.set_image(image)
        bpy.data.images.remove(self._image)
        self._image = image
        offset = rng.uniform(-1, 1, 3)
        for shader in (self._skin, self._lips):
            shader.set(
                roughness=look.roughness, mottle=look.mottle, bump=look.bump, scatter=look.scatter,
                offset=offset,
            )  # fmt: skip
        self._lips.set(mottle=0.15, bump=0.5 * look.bump + 0.15)
        outer, inner = (linear_from_hex(code) for code in IRIS_COLOURS[look.iris])
        self._eye.set(outer=outer, inner=inner, veins=look.veins, turn=float(rng.uniform(0, 9)))
        self._teeth.set(albedo=look.teeth)
        self._cloth.set(
            albedo=look.garment_albedo,
            second=look.garment_second,
            stripes=float(look.garment_stripes),
        )
        self._hair.set(albedo=look.hair_albedo)
        self._brows.set(albedo=look.brow_albedo, variety=0.3)
        self._lashes.set(albedo=[0.4 * c for c in look.brow_albedo], variety=0.2)

    def _grow(self, person: Person, rng: np.random.Generator) -> None:
        mesh, look, pose = self.mesh, person.look, self._pose
        posed = Surface(
            person.vertices_m, vertex_normals(person.vertices_m, mesh.faces), mesh.faces
        )
        contours = topology("face478@1").contours
        brows = [
            grown_brows(
                posed, self._brow_density[k],
                person.landmarks_m[list(contours[f"{side}_brow_lower"].indices)],
                int(90 + 230 * look.brow_density), 0.0075, rng,
            )
            for k, side in enumerate(("right", "left"))
        ]  # fmt: skip
        self._strands["brows"].set(_moved(pose, np.concatenate(brows)), 0.00016)
        lashes = grown_lashes(person.landmarks_m, person.shape.eyes, look.lash_length_m, rng)
        self._strands["lashes"].set(_moved(pose, lashes), 0.00014)
        if look.hair_style == "bald":
            self._strands["hair"].set(None, 0.0)
            return
        style = HAIR_STYLES[look.hair_style]
        width, height = TEXTURE_SIZE
        scalp = self._sampled(scalp_density(height, width, look.complexion.bald_front))
        scalp = scalp * self._outside
        rest = Surface(person.rest_m, vertex_normals(person.rest_m, mesh.faces), mesh.faces)
        hair = grown_hair(rest, scalp, style, rng)
        self._strands["hair"].set(_moved(pose @ person.shape.skull_from_rest, hair), style.radius_m)

    def light(self, view: View, target_m: Floats, toward_camera: Floats) -> None:
        """Switch the lamp on or off.

        Args:
            view: with the lamp.
            target_m: (3,) the face in world axes.
            toward_camera: (3,) horizontal unit direction from the face to the camera.
        """
        self._lamp.hide_render = view.lamp is None
        if view.lamp is None:
            return
        aimed(self._lamp, view.lamp, target_m, toward_camera)

    def render(self, world_from_camera: ArrayLike, camera: Camera) -> Passes:
        """The picture."""
        self.cycles.set_camera(world_from_camera, camera)
        return self.cycles.render()


def _new_picture() -> bpy.types.Image:
    width, height = TEXTURE_SIZE
    image = bpy.data.images.new("skin", width, height, alpha=True, float_buffer=True)
    image.colorspace_settings.name = "Linear Rec.709"
    image.alpha_mode = "CHANNEL_PACKED"
    return image


class _Strands:
    """A set of curves that is replaced from sample to sample."""

    def __init__(self, scene: Any, name: str, shader: skin.Shader, index: int) -> None:
        self._name, self._material = name, shader.material
        self._object = bpy.data.objects.new(name, bpy.data.hair_curves.new(name))
        self._object.pass_index = index
        scene.collection.objects.link(self._object)

    def set(self, points_m: Floats | None, radius_m: float) -> None:
        """(N, K, 3) points in world axes; None for none."""
        self._object.hide_render = points_m is None
        old = self._object.data
        curves = bpy.data.hair_curves.new(self._name)
        if points_m is not None:
            count, size = points_m.shape[:2]
            curves.add_curves([size] * count)
            flat = np.ascontiguousarray(points_m, dtype=np.float32).ravel()
            curves.position_data.foreach_set("vector", flat)
            radius = curves.attributes.get("radius") or curves.attributes.new(
                "radius", "FLOAT", "POINT"
            )
            thin = np.linspace(1.0, 0.35, size) * radius_m
            radius.data.foreach_set("value", np.tile(thin, count).astype(np.float32))
            curves.materials.append(self._material)
        self._object.data = curves
        bpy.data.hair_curves.remove(old)


def unit_sphere(around: int, along: int) -> tuple[Floats, NDArray[np.int64]]:
    """Vertices and triangles or quads (as quads; poles repeat a vertex) of a sphere about -Y.

    Returns:
        (V, 3) and (F, 4); the poles lie on the y axis, where an eye has its pupil.
    """
    polar = np.linspace(0.02, math.pi - 0.02, along)
    turn = np.arange(around) * 2 * math.pi / around
    ring = np.stack([np.cos(turn), np.zeros(around), np.sin(turn)], axis=1)
    vertices = np.concatenate(
        [math.sin(p) * ring - [0, math.cos(p), 0] for p in polar] + [[[0, -1, 0], [0, 1, 0]]]
    )
    faces = []
    front, back = along * around, along * around + 1
    for j in range(along - 1):
        for k in range(around):
            a, b = j * around + k, j * around + (k + 1) % around
            faces.append((a, a + around, b + around, b))
    last = (along - 1) * around
    step = 2
    for k in range(0, around, step):
        first, second, third = k, (k + 1) % around, (k + 2) % around
        faces.append((front, first, second, third))
        faces.append((back, last + third, last + second, last + first))
    return vertices, np.array(faces, dtype=np.int64)


def eye_matrix(eye: Eyeball) -> Floats:
    """(4, 4) that takes `unit_sphere` to an eyeball."""
    matrix = np.eye(4)
    matrix[:3, :3] = eye.axes * eye.radius_m
    matrix[:3, 3] = eye.centre_m
    return matrix


def _moved(transform: Floats, points: Floats) -> Floats:
    return np.asarray(points @ transform[:3, :3].T + transform[:3, 3])


def aimed(
    lamp: Any, drawn: tuple[float, float, float, float, float], target_m: Floats,
    toward_camera: Floats,
) -> None:  # fmt: skip
    """Set a lamp before a face.

    Args:
        lamp: Blender's object.
        drawn: azimuth, elevation, size, strength and warmth, as `View.lamp` has them.
        target_m: (3,) the face in world axes.
        toward_camera: (3,) horizontal unit direction from the face to the camera.
    """
    azimuth, elevation, size, strength, warmth = drawn
    x, y, _ = toward_camera
    c, s = math.cos(azimuth), math.sin(azimuth)
    flat = np.array([c * x - s * y, s * x + c * y, 0.0])
    direction = math.cos(elevation) * flat + math.sin(elevation) * np.array([0, 0, 1.0])
    lamp.location = (target_m + 1.4 * direction).tolist()
    lamp.rotation_mode = "QUATERNION"
    lamp.rotation_quaternion = _turned_to(direction)
    data = lamp.data
    data.size = size
    data.energy = 14.0 * strength
    data.color = (1.0, 1.0 - 0.1 * warmth - 0.08, 1.0 - 0.28 * warmth - 0.12)


def _turned_to(direction: Floats) -> tuple[float, float, float, float]:
    """Quaternion (w, x, y, z) that turns +z, away from which a lamp shines, to `direction`."""
    w = 1.0 + float(direction[2])
    if w < 1e-9:
        return 0.0, 1.0, 0.0, 0.0
    x, y = -float(direction[1]), float(direction[0])
    length = math.sqrt(w * w + x * x + y * y)
    return w / length, x / length, y / length, 0.0
