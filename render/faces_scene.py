"""The face scene in Blender: built once, then moved, painted and lit for every sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import bpy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from render.assembly import AssembledMesh, Part
from render.cycles import CyclesScene, Passes, Quality
from render.face_loops import caruncles
from render.face_mapping import FaceMapping
from render.faces_classes import SECOND
from render.faces_draw import Look, View
from render.faces_garment import GARMENTS, Garment
from render.faces_hair import (
    HAIR_STYLES,
    Surface,
    grown_beard,
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
from render.faces_outfit import SLOTS, Outfit, Props, SkinImage, worn_parts
from render.faces_paint import TEXTURE_SIZE, SkinPainter, picked, scalp_density
from render.faces_worn import NOTHING, Fitted, Worn, beard_growth, fitted
from render.worn import Bearer
from runtime.camera import Camera
from runtime.topology import topology

Floats = NDArray[np.float64]

_SURFACE_SLOT = {
    "skin": "skin",
    "mouth": "mouth",
    "socket": "skin",
    "tongue": "mouth",
    "teeth_upper": "teeth",
    "teeth_lower": "teeth",
}
_CLOTH_M = 0.003  # thickness of clothes
_TEETH = {"teeth_upper": (0.007, 0.004, 0.85), "teeth_lower": (0.003, 0.0, 0.83)}
"""How far forward and down teeth are moved in metres, and how broad they then are: Anny's stand
9 mm behind the lips' line, where hardly any light comes to them, in an arch of 72 mm, and end at
the line of shut lips, where smiling and talking mouths hide them. The lower ones' roots would show
through thin chins soon."""


@dataclass(frozen=True)
class Posed:
    """Who stands before the camera, in its own axes: shape, vertices_m (V', 3) of the rendered
    mesh, landmarks_m (468, 3), what is worn, the skin's tone out of `MONK_TONES` and the hair's
    style."""

    shape: HeadShape
    vertices_m: Floats
    landmarks_m: Floats
    worn: Worn
    tone: str
    hair_style: str


@dataclass(frozen=True)
class Person(Posed):
    """One of Anny's people: rest_m (V', 3) without expression or pose, and the look."""

    rest_m: Floats
    look: Look


AnyPosed = TypeVar("AnyPosed", bound=Posed)


@dataclass(frozen=True)
class Standing(Generic[AnyPosed]):
    """A person in its place: world_from_person (4, 4) rigid; rng for paint and strands; how far
    the clothes go on beyond the bust, in metres."""

    person: AnyPosed
    world_from_person: Floats
    rng: np.random.Generator
    reach_m: float = 0.35


class FaceScene:
    """One or two people under a sky.

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
        self.cycles.add_surface_passes()
        self.cycles.scene.cycles_curves.shape = "RIBBONS"
        neutral = mesh.rendered(mesh.neutral_m)
        self._vertex_uv = unrolled(neutral)
        self._face_uv = unrolled(neutral[mesh.faces]).mean(axis=1)
        self._outside = mesh.surface == SURFACES.index("skin")
        self._skin_vertices = np.unique(mesh.faces[self._outside])
        self._teeth = [np.unique(mesh.faces[mesh.surface == SURFACES.index(n)]) for n in _TEETH]
        self.tragions = tragion_vertices(mesh)
        self._neutral = neutral
        self._slot = np.array([SLOTS.index(_SURFACE_SLOT[n]) for n in SURFACES])[mesh.surface]
        self._slot[caruncles(mesh)] = SLOTS.index("caruncle")
        self.use_mapping(mapping)
        self._ball, self._ball_faces = unit_sphere(32, 20)
        self._garments = {name: Garment(mesh, name) for name in GARMENTS}
        scene = self.cycles.scene
        self._painted = SkinImage()
        self._outfits = (
            Outfit(scene, "", 0, self._painted.image),
            Outfit(scene, "second ", SECOND, None),
        )
        self.props = Props()
        materials = [m for outfit in self._outfits for m in outfit.materials]
        self._solid = AssembledMesh(scene, "solid", [*materials, *self.props.materials])
        data = bpy.data.lights.new("lamp", "AREA")
        data.shape = "DISK"
        self._lamp = bpy.data.objects.new("lamp", data)
        scene.collection.objects.link(self._lamp)

    def use_mapping(self, mapping: FaceMapping) -> None:
        """Paint and grow brows by another mapping from now on."""
        triangles = mapping.local_triangles(self.mesh.region.base_vertices)
        self.landmark_weights = self.mesh.surface_weights(triangles, mapping.weights)
        self.painter = SkinPainter(self.landmark_weights @ self.mesh.neutral_m)
        self._slot[self._slot == SLOTS.index("lips")] = SLOTS.index("skin")
        lips = self._outside & (self._sampled(self.painter.lips) > 0.5)
        self._slot[lips] = SLOTS.index("lips")
        self._brow_density = [
            self._sampled(self.painter.brow_region(side)) ** 3 * self._outside for side in (0, 1)
        ]
        self._beard_density = {
            kind: self._sampled(self.painter.beard_region(kind)) * self._outside
            for kind in ("all", "moustache", "chin", "jaw")
        }

    def _sampled(self, texture: NDArray[np.floating]) -> Floats:
        """(F,) a texture's value in the middle of every face."""
        return picked(texture, self._face_uv)

    def _at_vertices(self, texture: NDArray[np.float32]) -> Floats:
        """(V', 4) a texture's values at the vertices."""
        return picked(texture, self._vertex_uv)

    def person(self, shape: HeadShape, look: Look, worn: Worn = NOTHING) -> Person:
        """The person's rendered vertices and landmarks."""
        skull = shape.skull_from_rest
        vertices = self.mesh.rendered(shape.base_m)
        for rows, (forward, down, breadth) in zip(self._teeth, _TEETH.values()):
            teeth = _moved(np.linalg.inv(skull), vertices[rows])
            vertices[rows] = _moved(skull, teeth * [breadth, 1, 1] - [0, forward, down])
        return Person(
            shape,
            vertices,
            self.landmark_weights @ shape.base_m,
            worn,
            look.tone,
            look.hair_style,
            self.mesh.rendered(shape.rest_m),
            look,
        )

    def bearer(self, person: Person) -> Bearer:
        """The person's head as what is worn sees it."""
        skull = np.linalg.inv(person.shape.skull_from_rest)
        eyes = person.shape.eyes
        return Bearer(
            _moved(skull, person.vertices_m[self._skin_vertices]),
            _moved(skull, person.landmarks_m),
            _moved(skull, np.stack([eye.centre_m for eye in eyes])),
            eyes[0].radius_m,
            _moved(skull, person.vertices_m[list(self.tragions)]),
        )

    def skin(self, person: Person) -> tuple[Floats, Floats]:
        """(V, 3) skin and its normals in the skull's axes, as `Bearer.skin_m`."""
        skull = np.linalg.inv(person.shape.skull_from_rest)
        normals = vertex_normals(person.vertices_m, self.mesh.faces)[self._skin_vertices]
        return _moved(skull, person.vertices_m[self._skin_vertices]), normals @ skull[:3, :3].T

    def show(self, people: Sequence[Standing[Person]], others: Sequence[Part] = ()) -> None:
        """Put people into the scene, two at most, and what else there is.

        Args:
            people: who and where.
            others: with the slots of `props`, counted from 0.
        """
        parts = []
        for number, outfit in enumerate(self._outfits):
            if number < len(people):
                parts += self._shown(people[number], outfit, number)
            else:
                outfit.shave()
        first = len(self._outfits) * len(SLOTS)
        parts += [part.shifted(first) for part in others]
        self._solid.show(parts)

    def _shown(self, standing: Standing[Person], outfit: Outfit, number: int) -> list[Part]:
        base = number * len(SLOTS)
        person, pose, rng = standing.person, standing.world_from_person, standing.rng
        look = person.look
        eyes = person.shape.eyes
        outfit.paint(look, person.worn, eyes[0], rng)
        texture = self.painter.paint(look.complexion, rng)
        if number == 0:
            self._painted.show(texture, outfit)
        style = HAIR_STYLES.get(look.hair_style)
        bearer = self.bearer(person)
        worn = fitted(person.worn, bearer, 0.0 if style is None else style.thickness_m)
        self._grow(person, worn, pose, outfit, rng)
        garment = self._garments[look.garment]
        cloth = _moved(pose, garment.on(person.shape.base_m, standing.reach_m))
        outward = _CLOTH_M * vertex_normals(cloth, garment.faces)
        slot = base + SLOTS.index("clothes")
        shell = {"rest_m": garment.rest_m, "below_collar": garment.below_collar_m}
        ball = self._ball
        return [
            Part(_moved(pose, person.vertices_m), self.mesh.faces, base + self._slot,
                 self._neutral, self.mesh.uv, None if number == 0 else self._at_vertices(texture)),
            *(Part(_moved(pose @ eye_matrix(eye), ball), self._ball_faces,
                   base + SLOTS.index("eyes"), ball) for eye in eyes),
            Part(cloth + outward, garment.faces, slot, **shell),
            Part(cloth, garment.faces[:, ::-1], slot, **shell),
            *worn_parts(worn, pose @ person.shape.skull_from_rest, base),
        ]  # fmt: skip

    def _grow(
        self, person: Person, worn: Fitted, pose: Floats, outfit: Outfit, rng: np.random.Generator
    ) -> None:
        mesh, look = self.mesh, person.look
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
        outfit.grow("brows", _moved(pose, np.concatenate(brows)), 0.00016)
        lashes = grown_lashes(person.landmarks_m, person.shape.eyes, look.lash_length_m, rng)
        outfit.grow("lashes", _moved(pose, lashes), 0.00014)
        skull = person.shape.skull_from_rest
        hair = self._hair(person, worn, rng)
        radius = 0.0 if hair is None else HAIR_STYLES[look.hair_style].radius_m
        outfit.grow("hair", None if hair is None else _moved(pose @ skull, hair), radius)
        beard = self._beard(person, posed, worn, rng)
        outfit.grow("beard", None if beard is None else _moved(pose @ skull, beard), 0.00022)

    def _hair(self, person: Person, worn: Fitted, rng: np.random.Generator) -> Floats | None:
        """Strands in the skull's axes."""
        look, mesh = person.look, self.mesh
        headwear = person.worn.headwear
        if look.hair_style == "bald" or (headwear is not None and headwear.hides_hair):
            return None
        width, height = TEXTURE_SIZE
        scalp = self._sampled(scalp_density(height, width, look.complexion.bald_front))
        rest = Surface(person.rest_m, vertex_normals(person.rest_m, mesh.faces), mesh.faces)
        style = HAIR_STYLES[look.hair_style]
        return worn.tucked(grown_hair(rest, scalp * self._outside, style, rng))

    def _beard(
        self, person: Person, posed: Surface, worn: Fitted, rng: np.random.Generator
    ) -> Floats | None:
        """Strands in the skull's axes."""
        beard = person.worn.beard
        if beard is None:
            return None
        skull = np.linalg.inv(person.shape.skull_from_rest)
        surface = Surface(
            _moved(skull, posed.vertices_m), posed.normals @ skull[:3, :3].T, posed.faces
        )
        density, count = beard_growth(beard.kind, self._beard_density)
        strands = grown_beard(
            surface, density, _moved(skull, person.landmarks_m), int(count * beard.density),
            beard.length_m, rng,
        )  # fmt: skip
        return worn.tucked(strands)

    def light(self, view: View, target_m: Floats, toward_camera: Floats) -> None:
        """Switch the lamp on or off.

        Args:
            view: with the lamp.
            target_m: (3,) the face in world axes.
            toward_camera: (3,) horizontal unit direction from the face to the camera.
        """
        aimed(self._lamp, view.lamp, target_m, toward_camera)

    def render(self, world_from_camera: ArrayLike, camera: Camera) -> Passes:
        """The picture."""
        self.cycles.set_camera(world_from_camera, camera)
        return self.cycles.render()


def tragion_vertices(mesh: HeadMesh) -> tuple[int, int]:
    """Vertices of the rendered mesh before the right and the left ear's opening."""
    vertices = mesh.rendered(mesh.neutral_m)
    skin = np.unique(mesh.faces[mesh.surface == SURFACES.index("skin")])
    places = unrolled(vertices[skin])
    found = []
    for u in (0.5 - _TRAGION_UV[0], 0.5 + _TRAGION_UV[0]):
        apart = np.hypot((places[:, 0] - u) * 0.65, (places[:, 1] - _TRAGION_UV[1]) * 0.44)
        # Among those that lie there, the outermost: the ear is folded.
        near = np.flatnonzero(apart < np.sort(apart)[8])
        found.append(int(skin[near[np.abs(vertices[skin[near], 0]).argmax()]]))
    return found[0], found[1]


_TRAGION_UV = (0.218, 0.612)  # distance from the middle and height, in the unrolled texture


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
    lamp: Any, drawn: tuple[float, float, float, float, float] | None, target_m: Floats,
    toward_camera: Floats,
) -> None:  # fmt: skip
    """Set a lamp before a face.

    Args:
        lamp: Blender's object.
        drawn: azimuth, elevation, size, strength and warmth, as `View.lamp` has them; None
            switches it off.
        target_m: (3,) the face in world axes.
        toward_camera: (3,) horizontal unit direction from the face to the camera.
    """
    if drawn is None:
        lamp.data.energy = 0.0  # `hide_render` leaks; see `render.assembly`
        return
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
