"""Procedural materials of people: skin, eyes, teeth, inside of the mouth, hair, cloth.

Nothing here is photographed. A material is built once for a scene; what differs between samples is
a handful of node values, so changing a person costs no shader compilation. Colours are linear RGB.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import bpy


@dataclass(frozen=True)
class Shader:
    """A material and the node values that a sample may set.

    Attributes:
        material: Blender's material.
        inputs: name -> node socket that holds the value.
    """

    material: bpy.types.Material
    inputs: Mapping[str, Any]

    def set(self, **values: float | Sequence[float] | np.ndarray) -> None:
        """Set inputs by name; a colour or vector is given as three numbers."""
        for name, value in values.items():
            socket = self.inputs[name]
            if np.ndim(value) == 0:
                socket.default_value = float(value)  # type: ignore[arg-type]
            else:
                numbers = [float(v) for v in value]  # type: ignore[union-attr]
                socket.default_value = (*numbers, 1.0) if socket.type == "RGBA" else numbers

    def set_image(self, image: bpy.types.Image) -> None:
        """Use another painted picture; only for materials made with one."""
        self.material.node_tree.nodes["painted"].image = image


class MaterialGraph:
    """Builds one material's nodes; sockets are passed around as values."""

    def __init__(self, name: str) -> None:
        import bpy

        self.material = bpy.data.materials.new(name)
        self.tree = self.material.node_tree
        self.tree.nodes.clear()
        self.output = self.tree.nodes.new("ShaderNodeOutputMaterial")

    def node(self, kind: str, sockets: Mapping[Any, Any] | None = None, **fields: Any) -> Any:
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in fields.items():
            setattr(node, name, value)
        for name, value in (sockets or {}).items():
            self.feed(node.inputs[name], value)
        return node

    def feed(self, socket: Any, value: Any) -> None:
        import bpy

        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        elif socket.type == "RGBA":
            socket.default_value = (*value, 1.0)
        else:
            socket.default_value = value

    def value(self, default: float) -> Any:
        socket = self.node("Value").outputs[0]
        socket.default_value = default
        return socket

    def colour(self, default: Sequence[float]) -> Any:
        socket = self.node("RGB").outputs[0]
        socket.default_value = (*default, 1.0)
        return socket

    def vector(self) -> Any:
        """A vector input that can be set; its value sits in the first input of an addition."""
        return self.node("VectorMath", operation="ADD")

    def math(self, operation: str, *operands: Any, clamp: bool = False) -> Any:
        node = self.node("Math", dict(enumerate(operands)), operation=operation, use_clamp=clamp)
        return node.outputs[0]

    def mix(self, factor: Any, first: Any, second: Any, blend: str = "MIX") -> Any:
        # The Mix node has float, vector and colour sockets of one name; colour's are 6 and 7.
        node = self.node("Mix", data_type="RGBA", blend_type=blend)
        for index, value in ((0, factor), (6, first), (7, second)):
            self.feed(node.inputs[index], value)
        return node.outputs[2]

    def ramp(self, value: Any, low: Any, high: Any) -> Any:
        node = self.node(
            "MapRange",
            {"Value": value, "From Min": low, "From Max": high},
            clamp=True,
            interpolation_type="SMOOTHSTEP",
        )
        return node.outputs["Result"]

    def noise(self, place: Any, scale: float, detail: float = 2.0, roughness: float = 0.5) -> Any:
        sockets = {"Vector": place, "Scale": scale, "Detail": detail, "Roughness": roughness}
        return self.node("TexNoise", sockets).outputs[0]

    def finish(self, surface: Any, **inputs: Any) -> Shader:
        self.tree.links.new(surface, self.output.inputs["Surface"])
        return Shader(self.material, inputs)


def skin_material(
    name: str = "skin",
    image: bpy.types.Image | None = None,
    attribute: str = "",
    presence: str = "",
) -> Shader:
    """Skin with subsurface scattering, mottling, pores and an oily sheen.

    The mesh carries a point attribute `rest` (a vector: the vertex in metres on a head or hand at
    rest), in which the noise lies, so that pores move with the skin.

    Args:
        name: of the material.
        image: painted albedo (alpha: 1 dry skin .. 0 wet, as inside the lips), read by the mesh's
            active UV map; without one, the input `albedo` is used.
        attribute: instead of an image, the mesh's colour attribute of that name, RGB the same and
            alpha the same.
        presence: the mesh's attribute of that name says how much of the skin is there, 0..1; all
            of it when "".

    Returns:
        Shader with inputs `albedo` (only without an image), `roughness`, `mottle` (0..1), `bump`
        (0..1), `scatter` (subsurface weight, 0..1), `offset` (3 numbers that move the noise, so
        that no two people share their pores).
    """
    g = MaterialGraph(name)
    shift = g.vector()
    g.feed(shift.inputs[1], g.node("Attribute", attribute_name="rest").outputs["Vector"])
    place = shift.outputs[0]
    roughness, mottle, bump, scatter = (g.value(v) for v in (0.5, 0.5, 0.4, 0.3))
    inputs = {
        "offset": shift.inputs[0],
        "roughness": roughness,
        "mottle": mottle,
        "bump": bump,
        "scatter": scatter,
    }
    dull = roughness
    if image is None and not attribute:
        base = g.colour((0.5, 0.3, 0.22))
        inputs["albedo"] = base
    else:
        if attribute:
            texture = g.node("Attribute", attribute_name=attribute)
        else:
            texture = g.node("TexImage", image=image, extension="EXTEND", name="painted")
        base = texture.outputs["Color"]
        wet = g.math("SUBTRACT", 1.0, texture.outputs["Alpha"], clamp=True)
        dull = g.math("SUBTRACT", dull, g.math("MULTIPLY", wet, 0.3))
    blotch, speckle = g.noise(place, 45.0, 3.0, 0.6), g.noise(place, 420.0, 2.0, 0.6)
    redder = g.mix(1.0, base, (1.05, 0.84, 0.80), "MULTIPLY")
    colour = g.mix(g.math("MULTIPLY", g.ramp(blotch, 0.42, 0.7), mottle), base, redder)
    darker = g.mix(1.0, colour, (0.90, 0.87, 0.85), "MULTIPLY")
    colour = g.mix(g.math("MULTIPLY", g.ramp(speckle, 0.5, 0.75), mottle), colour, darker)
    pores = g.math("MULTIPLY", g.noise(place, 900.0, 2.0, 0.7), 0.4)
    height = g.math("ADD", pores, g.noise(place, 190.0, 4.0, 0.65))
    normal = g.node("Bump", {"Strength": bump, "Distance": 0.0006, "Height": height})
    dull = g.math("ADD", dull, g.math("MULTIPLY", g.math("SUBTRACT", blotch, 0.5), 0.3), clamp=True)
    shader = g.node(
        "BsdfPrincipled",
        {
            "Base Color": colour,
            "Roughness": dull,
            "Normal": normal.outputs[0],
            "IOR": 1.42,
            "Specular IOR Level": 0.4,
            "Subsurface Weight": scatter,
            # Red light travels about three times as far in skin as green, five times as blue.
            "Subsurface Radius": (1.0, 0.35, 0.18),
            "Subsurface Scale": 0.003,
        },
        subsurface_method="RANDOM_WALK",
    )
    if not presence:
        return g.finish(shader.outputs[0], **inputs)
    there = g.node("Attribute", attribute_name=presence).outputs["Fac"]
    # Where skin ends, nobody is to see its inside; light doesn't come in that way either.
    seen = g.node("LightPath").outputs["Is Camera Ray"]
    inside = g.math("MULTIPLY", g.node("NewGeometry").outputs["Backfacing"], seen)
    there = g.math("MULTIPLY", there, g.math("SUBTRACT", 1.0, inside))
    mixed = g.node("MixShader", {0: there})
    g.feed(mixed.inputs[1], g.node("BsdfTransparent").outputs[0])
    g.feed(mixed.inputs[2], shader.outputs[0])
    return g.finish(mixed.outputs[0], **inputs)


def eye_material(name: str = "eye") -> Shader:
    """An eyeball: white with veins, a darker limbus, a streaked iris, a pupil, a wet surface.

    The mesh's point attribute `rest` holds places on a unit sphere that looks along -Y; angles are
    measured from there.

    Returns:
        Shader with inputs `iris_half_angle` and `pupil_half_angle` (radians), `outer`, `inner`
        (colours of the iris), `white` (colour of the sclera), `veins` (0..1), `turn` (moves the
        streaks), `bulge` (metres by which the cornea stands out of the sphere, see
        `corneal_bulge`; it tilts what the surface mirrors).
    """
    g = MaterialGraph(name)
    place = g.node("Attribute", attribute_name="rest").outputs["Vector"]
    unit = g.node("VectorMath", {0: place}, operation="NORMALIZE").outputs[0]
    x, y, z = g.node("SeparateXYZ", {0: unit}).outputs
    angle = g.math("ARCCOSINE", g.math("MULTIPLY", y, -1.0))
    iris, pupil, veins, turn = (g.value(v) for v in (0.36, 0.13, 0.3, 0.0))
    outer, inner = g.colour((0.02, 0.01, 0.005)), g.colour((0.08, 0.03, 0.01))
    white = g.colour((0.44, 0.405, 0.385))
    along = g.math("DIVIDE", angle, iris)
    around = g.math("ARCTAN2", z, x)
    ring = g.node("CombineXYZ")
    for socket, value in zip(
        ring.inputs,
        (
            g.math("MULTIPLY", g.math("COSINE", around), 6.0),
            g.math("MULTIPLY", g.math("SINE", around), 6.0),
            g.math("ADD", along, turn),
        ),
    ):
        g.feed(socket, value)
    streaks = g.noise(ring.outputs[0], 1.6, 3.0, 0.7)
    toward_rim = g.math("ADD", along, g.math("MULTIPLY", g.math("SUBTRACT", streaks, 0.5), 0.9))
    colour = g.mix(g.ramp(toward_rim, 0.35, 0.95), inner, outer)
    brighter = g.mix(1.0, colour, (1.7, 1.7, 1.7), "MULTIPLY")
    colour = g.mix(g.ramp(streaks, 0.4, 0.75), colour, brighter)
    colour = g.mix(g.ramp(along, 0.78, 1.0), colour, (0.35, 0.35, 0.37), "MULTIPLY")
    edge = g.math("MULTIPLY", pupil, 0.86)
    colour = g.mix(g.ramp(angle, edge, pupil), (0.002, 0.002, 0.002), colour)
    lines = g.noise(unit, 7.0, 5.0, 0.75)
    thin = g.math(
        "SUBTRACT", 1.0, g.ramp(g.math("ABSOLUTE", g.math("SUBTRACT", lines, 0.5)), 0, 0.03)
    )
    red = g.math("MULTIPLY", g.math("MULTIPLY", thin, veins), g.ramp(angle, 0.45, 1.0))
    sclera = g.mix(red, white, (0.62, 0.16, 0.12))
    sclera = g.mix(g.ramp(angle, 0.7, 1.5), sclera, (0.55, 0.30, 0.26))
    start = g.math("MULTIPLY", iris, 0.94)
    end = g.math("MULTIPLY", iris, 1.06)
    colour = g.mix(g.ramp(angle, start, end), colour, sclera)
    # Lid and lashes shade the upper part of the eye more than so few bounces of light show.
    colour = g.mix(g.ramp(z, 0.05, 0.5), colour, g.mix(1.0, colour, (0.5, 0.47, 0.47), "MULTIPLY"))
    bulge = g.value(0.0)
    dome = g.math("SUBTRACT", 1.0, g.math("MULTIPLY", along, along), clamp=True)
    cornea = g.node("Bump", {"Strength": 1.0, "Distance": bulge, "Height": dome})
    shader = g.node(
        "BsdfPrincipled",
        {
            "Base Color": colour,
            "Roughness": 0.35,
            "Specular IOR Level": 0.3,
            "Coat Weight": 1.0,
            "Coat Roughness": 0.03,
            "Coat IOR": 1.376,  # of the cornea
            "Coat Normal": cornea.outputs[0],
        },
    )
    return g.finish(
        shader.outputs[0],
        bulge=bulge,
        iris_half_angle=iris,
        pupil_half_angle=pupil,
        outer=outer,
        inner=inner,
        white=white,
        veins=veins,
        turn=turn,
    )


CORNEA_RADIUS_M = 7.8e-3
"""Of curvature, in front; the eyeball's own is 12 mm."""


def corneal_bulge(radius_m: float, iris_half_angle: float) -> float:
    """Height in metres of a bump whose slope at the iris' rim is a cornea's on an eyeball of that
    radius: a cornea mirrors lamps and windows smaller than the eyeball would."""
    rim = radius_m * math.sin(iris_half_angle)
    tilt = math.asin(min(rim / CORNEA_RADIUS_M, 0.95)) - iris_half_angle
    return math.tan(max(tilt, 0.0)) * radius_m * iris_half_angle / 2


def lens_material(name: str = "lens") -> Shader:
    """Thin glass: light goes straight through, a little is mirrored.

    Depth, indices and normals are those of what lies behind it, unless it lets less than half of
    the light through.

    Returns:
        Shader with the input `tint`: the share of light that it lets through, as a colour.
    """
    g = MaterialGraph(name)
    tint = g.colour((0.96, 0.96, 0.96))
    fresnel = g.node("Fresnel", {"IOR": 1.5}).outputs[0]
    mixed = g.node("MixShader", {0: fresnel})
    g.feed(mixed.inputs[1], g.node("BsdfTransparent", {"Color": tint}).outputs[0])
    g.feed(mixed.inputs[2], g.node("BsdfGlossy", {"Roughness": 0.0}).outputs[0])
    return g.finish(mixed.outputs[0], tint=tint)


def teeth_material(name: str = "teeth", teeth_across: float = 20.0) -> Shader:
    """Enamel, with gaps between teeth where the mesh's u coordinate passes n / `teeth_across`.

    Returns:
        Shader with the input `albedo`.
    """
    g = MaterialGraph(name)
    albedo = g.colour((0.62, 0.55, 0.44))
    u = g.node("SeparateXYZ", {0: g.node("TexCoord").outputs["UV"]}).outputs[0]
    within = g.math("FRACT", g.math("MULTIPLY", u, teeth_across))
    gap = g.math("ABSOLUTE", g.math("SUBTRACT", within, 0.5))
    dark = g.math("MULTIPLY", g.ramp(gap, 0.43, 0.5), 0.6)
    colour = g.mix(dark, albedo, (0.10, 0.04, 0.03))
    height = g.math("SUBTRACT", 1.0, g.ramp(gap, 0.25, 0.5))
    bump = g.node("Bump", {"Strength": 0.8, "Distance": 0.0008, "Height": height})
    shader = g.node(
        "BsdfPrincipled",
        {
            "Base Color": colour,
            "Roughness": 0.22,
            "Normal": bump.outputs[0],
            "Subsurface Weight": 0.15,
            "Subsurface Radius": (1.0, 0.8, 0.6),
            "Subsurface Scale": 0.001,
        },
    )
    return g.finish(shader.outputs[0], albedo=albedo)


def wet_tissue_material(name: str = "mouth") -> Shader:
    """Tongue, gums and the lining of the mouth; input `albedo`."""
    g = MaterialGraph(name)
    albedo = g.colour((0.52, 0.16, 0.14))  # lighter than real, for light comes in by few bounces
    place = g.node("TexCoord").outputs["Object"]
    bump = g.node(
        "Bump", {"Strength": 0.5, "Distance": 0.0006, "Height": g.noise(place, 500.0, 2.0)}
    )
    sockets = {"Base Color": albedo, "Roughness": 0.35, "Normal": bump.outputs[0]}
    return g.finish(g.node("BsdfPrincipled", sockets).outputs[0], albedo=albedo)


def hair_material(name: str = "hair") -> Shader:
    """Strands (curves) as matt fibres with a sheen, each a little lighter or darker.

    A path-traced fibre model (melanin) looks better close up, but needs ten times the samples.

    Returns:
        Shader with inputs `albedo`, `variety` (0..1) and `roughness`.
    """
    g = MaterialGraph(name)
    albedo, variety, roughness = g.colour((0.05, 0.03, 0.02)), g.value(0.5), g.value(0.4)
    chance = g.node("HairInfo").outputs["Random"]
    spread = g.math("MULTIPLY", g.math("SUBTRACT", chance, 0.5), variety)
    bright = g.node("HueSaturation", {"Value": g.math("ADD", 1.0, spread), "Color": albedo})
    shader = g.node(
        "BsdfPrincipled",
        {
            "Base Color": bright.outputs[0],
            "Roughness": roughness,
            "Specular IOR Level": 0.35,
        },
    )
    return g.finish(shader.outputs[0], albedo=albedo, variety=variety, roughness=roughness)


def cloth_material(name: str = "cloth") -> Shader:
    """Woven or knitted cloth, absent where the point attribute `below_collar` is negative.

    Returns:
        Shader with inputs `albedo`, `second` (other colour) and `stripes` (0 or 1).
    """
    g = MaterialGraph(name)
    albedo, second = g.colour((0.2, 0.25, 0.4)), g.colour((0.6, 0.6, 0.6))
    stripes = g.value(0.0)
    place = g.node("Attribute", attribute_name="rest").outputs["Vector"]
    z = g.node("SeparateXYZ", {0: place}).outputs[2]
    band = g.math("GREATER_THAN", g.math("FRACT", g.math("MULTIPLY", z, 45.0)), 0.5)
    colour = g.mix(g.math("MULTIPLY", band, stripes), albedo, second)
    weave = g.noise(place, 900.0, 2.0, 0.7)
    folds = g.math("MULTIPLY", g.noise(place, 14.0, 2.0), 6.0)
    height = g.math("ADD", weave, folds)
    bump = g.node("Bump", {"Strength": 0.7, "Distance": 0.003, "Height": height})
    sockets = {
        "Base Color": colour,
        "Roughness": 0.85,
        "Specular IOR Level": 0.2,
        "Sheen Weight": 0.2,
        "Normal": bump.outputs[0],
    }
    below = g.node("Attribute", attribute_name="below_collar").outputs["Fac"]
    there = g.math("GREATER_THAN", below, 0.0)
    mixed = g.node("MixShader", {0: there})
    g.feed(mixed.inputs[1], g.node("BsdfTransparent").outputs[0])
    g.feed(mixed.inputs[2], g.node("BsdfPrincipled", sockets).outputs[0])
    return g.finish(mixed.outputs[0], albedo=albedo, second=second, stripes=stripes)


def solid_material(name: str) -> Shader:
    """Metal, leather, rubber or plastic: one colour.

    Returns:
        Shader with inputs `albedo`, `metallic` and `roughness` (0..1).
    """
    g = MaterialGraph(name)
    albedo, metallic, roughness = g.colour((0.5, 0.5, 0.5)), g.value(0.0), g.value(0.5)
    sockets = {"Base Color": albedo, "Metallic": metallic, "Roughness": roughness}
    surface = g.node("BsdfPrincipled", sockets).outputs[0]
    return g.finish(surface, albedo=albedo, metallic=metallic, roughness=roughness)


def patterned_material(name: str) -> Shader:
    """A thing of plastic, paper or wood, in two colours.

    Returns:
        Shader with inputs `albedo`, `second` (other colour), `stripes` and `patches` (0 or 1),
        and `roughness`.
    """
    g = MaterialGraph(name)
    albedo, second = g.colour((0.5, 0.5, 0.5)), g.colour((0.1, 0.1, 0.1))
    stripes, patches, roughness = g.value(0.0), g.value(0.0), g.value(0.5)
    place = g.node("Attribute", attribute_name="rest").outputs["Vector"]
    z = g.node("SeparateXYZ", {0: place}).outputs[2]
    banded = g.math("GREATER_THAN", g.math("FRACT", g.math("MULTIPLY", z, 40.0)), 0.6)
    spotted = g.math("GREATER_THAN", g.noise(place, 60.0, 2.0), 0.55)
    other = g.math(
        "ADD", g.math("MULTIPLY", banded, stripes), g.math("MULTIPLY", spotted, patches),
        clamp=True,
    )  # fmt: skip
    sockets = {"Base Color": g.mix(other, albedo, second), "Roughness": roughness}
    surface = g.node("BsdfPrincipled", sockets).outputs[0]
    return g.finish(
        surface, albedo=albedo, second=second, stripes=stripes, patches=patches,
        roughness=roughness,
    )  # fmt: skip
