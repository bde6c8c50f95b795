"""Everything of one person in Blender that has a material: skin, eyes, strands, clothes, worn."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from render import skin
from render.assembly import Part
from render.cloth import sleeve_material
from render.faces_classes import CLASSES
from render.faces_draw import Look
from render.faces_head import Eyeball
from render.faces_paint import TEXTURE_SIZE
from render.faces_worn import Fitted, Worn
from render.hand_material import hand_material
from render.skin_tones import IRIS_COLOURS, linear_from_hex
from runtime.camera import transform_points

Floats = NDArray[np.float64]

SLOTS = ("skin", "lips", "mouth", "teeth", "eyes", "clothes", "frame", "lenses", "mask", "headwear",
         "caruncle")  # fmt: skip
"""Materials of a person's part of the mesh, in order."""

BEARD_INDEX = 7
"""What `Passes.object_index` shows for a beard's strands, which are of class hair."""

_SLOT_CLASS = {"frame": "glasses", "lenses": "glasses", "caruncle": "eyes"}
_PINK = np.array([0.52, 0.2, 0.17])  # of the eyes' inner corners
_STRANDS = {"hair": 4, "brows": 5, "lashes": 6, "beard": BEARD_INDEX}


class Outfit:
    """Materials and strands of one person.

    Args:
        scene: Blender's.
        prefix: of all names: "" for the first person, "second " for the second.
        offset: of class ids.
        image: painted skin; the mesh's attribute `albedo` when None.
    """

    def __init__(self, scene: Any, prefix: str, offset: int, image: bpy.types.Image | None) -> None:
        attribute = "" if image else "albedo"
        self._skin = skin.skin_material(f"{prefix}skin", image, attribute)
        self._lips = skin.skin_material(f"{prefix}lips", image, attribute)
        self._teeth = skin.teeth_material(f"{prefix}teeth")
        self._eye = skin.eye_material(f"{prefix}eyes")
        self._cloth = skin.cloth_material(f"{prefix}clothes")
        self._frame = skin.solid_material(f"{prefix}frame")
        self._lenses = skin.lens_material(f"{prefix}lenses")
        self._mask = skin.cloth_material(f"{prefix}mask")
        self._headwear = sleeve_material(f"{prefix}headwear")
        mouth = skin.wet_tissue_material(f"{prefix}mouth")
        self._caruncle = skin.wet_tissue_material(f"{prefix}caruncle")
        shaders = (self._skin, self._lips, mouth, self._teeth, self._eye, self._cloth, self._frame,
                   self._lenses, self._mask, self._headwear, self._caruncle)  # fmt: skip
        for slot, shader in zip(SLOTS, shaders):
            shader.material.pass_index = offset + CLASSES[_SLOT_CLASS.get(slot, slot)]
        self.materials = [shader.material for shader in shaders]
        self._fibres = {name: skin.hair_material(f"{prefix}{name}") for name in _STRANDS}
        self._strands = {}
        for name, index in _STRANDS.items():
            shader = self._fibres[name]
            shader.material.pass_index = offset + CLASSES["hair" if name == "beard" else name]
            self._strands[name] = Strands(scene, f"{prefix}{name}", shader, index)

    def paint(self, look: Look, worn: Worn, eye: Eyeball, rng: np.random.Generator) -> None:
        """Take on somebody's looks, but for the painted skin.

        Args:
            look, worn: whose.
            eye: one of theirs.
            rng: where pores and streaks lie.
        """
        offset = rng.uniform(-1, 1, 3)
        for shader in (self._skin, self._lips):
            shader.set(
                roughness=look.roughness, mottle=look.mottle, bump=look.bump, scatter=look.scatter,
                offset=offset,
            )  # fmt: skip
        self._lips.set(mottle=0.15, bump=0.5 * look.bump + 0.15)
        outer, inner = (linear_from_hex(code) for code in IRIS_COLOURS[look.iris])
        self._eye.set(
            outer=outer, inner=inner, veins=look.veins, turn=float(rng.uniform(0, 9)),
            iris_half_angle=eye.iris_half_angle, pupil_half_angle=eye.iris_half_angle * look.pupil,
            bulge=skin.corneal_bulge(eye.radius_m, eye.iris_half_angle),
            white=sclera(look.complexion.albedo),
        )  # fmt: skip
        self._caruncle.set(albedo=[*(0.5 * (_PINK + np.array(look.complexion.albedo)))])
        self._teeth.set(albedo=look.teeth)
        self._cloth.set(
            albedo=look.garment_albedo,
            second=look.garment_second,
            stripes=float(look.garment_stripes),
        )
        self.dye(look.hair_albedo, look.brow_albedo)
        self.dress(worn)

    def use_image(self, image: bpy.types.Image) -> None:
        """Read the skin's colours there from now on."""
        for shader in (self._skin, self._lips):
            shader.set_image(image)

    def dye(self, hair: tuple[float, float, float], brows: tuple[float, float, float]) -> None:
        """Colour hair and beard, brows and lashes, linear RGB."""
        self._fibres["hair"].set(albedo=hair)
        self._fibres["beard"].set(albedo=[0.9 * c for c in hair], variety=0.6)
        self._fibres["brows"].set(albedo=brows, variety=0.3)
        self._fibres["lashes"].set(albedo=[0.4 * c for c in brows], variety=0.2)

    def dress(self, worn: Worn) -> None:
        """Colour what is worn."""
        if worn.glasses is not None:
            glasses = worn.glasses
            self._frame.set(
                albedo=glasses.albedo, metallic=glasses.metallic, roughness=glasses.roughness
            )
            self._lenses.set(tint=glasses.tint)
        if worn.mask is not None:
            mask = worn.mask
            self._mask.set(albedo=mask.albedo, second=mask.second, stripes=float(mask.striped))
        if worn.headwear is not None:
            self._headwear.set(**worn.headwear.cloth())

    def grow(self, name: str, points_m: Floats | None, radius_m: float) -> None:
        """Wear these strands (N, K, 3) as hair, brows, lashes or beard; None for none."""
        self._strands[name].set(points_m, radius_m)

    def shave(self) -> None:
        """Wear no strands at all."""
        for strands in self._strands.values():
            strands.set(None, 0.0)


def worn_parts(worn: Fitted, world_from_skull: Floats, base: int) -> list[Part]:
    """What somebody wears, as parts of a mesh whose slots from `base` on are `SLOTS`."""
    parts = []
    for name, mesh in (("frame", worn.frame), ("lenses", worn.lenses), ("mask", worn.mask)):
        if mesh is not None:
            places = mesh.vertices_m
            moved = transform_points(world_from_skull, places)
            parts.append(Part(moved, mesh.faces, base + SLOTS.index(name), places))
    if worn.headwear is not None:
        mesh = worn.headwear.mesh
        moved = transform_points(world_from_skull, mesh.vertices_m)
        slot = base + SLOTS.index("headwear")
        parts.append(Part(moved, mesh.faces, slot, worn.headwear.places))
    return parts


PROPS = ("hand", "sleeve", "object", "second object")
"""Materials of what stands before people, in order."""


def sclera(skin_albedo: tuple[float, float, float]) -> Floats:
    """(3,) linear RGB of the white of the eyes: with more melanin it is darker and warmer."""
    light = float(np.dot(skin_albedo, [0.2126, 0.7152, 0.0722]))
    melanin = float(np.clip(1 - light / 0.35, 0, 1))
    return np.array([0.44, 0.405, 0.385]) * (1 - melanin * np.array([0.36, 0.42, 0.48]))


class Props:
    """Materials of a hand with its sleeve and of things."""

    def __init__(self) -> None:
        self.hand = hand_material("hand")
        self.sleeve = sleeve_material("sleeve")
        self.things = [skin.patterned_material(name) for name in PROPS[2:]]
        shaders = (self.hand, self.sleeve, *self.things)
        for shader, what in zip(shaders, ("hand", "clothes", "object", "object")):
            shader.material.pass_index = CLASSES[what]
        self.materials = [shader.material for shader in shaders]


class SkinImage:
    """The first person's painted skin.

    Cycles keeps the pixels of an image that it has seen: every picture gets a new one. With two
    that change at once, Cycles was seen to go on with the last picture's for one of them; so there
    is one, and a second person's skin is painted vertex by vertex.
    """

    def __init__(self) -> None:
        self.image = self._new()

    @staticmethod
    def _new() -> bpy.types.Image:
        width, height = TEXTURE_SIZE
        image = bpy.data.images.new("skin", width, height, alpha=True, float_buffer=True)
        image.colorspace_settings.name = "Linear Rec.709"
        image.alpha_mode = "CHANNEL_PACKED"
        return image

    def show(self, texture: NDArray[np.float32], outfit: Outfit) -> None:
        """(H, W, 4), row 0 at the top."""
        image = self._new()
        image.pixels.foreach_set(np.ascontiguousarray(texture[::-1]).ravel())
        outfit.use_image(image)
        bpy.data.images.remove(self.image)
        self.image = image


class Strands:
    """A set of curves that is replaced from sample to sample.

    Args:
        scene: Blender's.
        name: of the object.
        shader: of the strands.
        index: what `Passes.object_index` shows for them.
    """

    def __init__(self, scene: Any, name: str, shader: skin.Shader, index: int) -> None:
        self._name, self._material = name, shader.material
        self._object = bpy.data.objects.new(name, bpy.data.hair_curves.new(name))
        self._object.pass_index = index
        scene.collection.objects.link(self._object)

    def set(self, points_m: Floats | None, radius_m: float) -> None:
        """(N, K, 3) points in world axes; None for none."""
        # No strands at all instead of a hidden object; see `render.assembly`.
        old = self._object.data
        if points_m is None and not len(old.curves):
            return
        curves = bpy.data.hair_curves.new(self._name)
        if points_m is not None:
            _fill(curves, points_m, radius_m)
        curves.materials.append(self._material)
        self._object.data = curves
        bpy.data.hair_curves.remove(old)


def _fill(curves: Any, points_m: Floats, radius_m: float) -> None:
    count, size = points_m.shape[:2]
    curves.add_curves([size] * count)
    flat = np.ascontiguousarray(points_m, dtype=np.float32).ravel()
    curves.position_data.foreach_set("vector", flat)
    radius = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
    thin = np.linspace(1.0, 0.35, size) * radius_m
    radius.data.foreach_set("value", np.tile(thin, count).astype(np.float32))
