"""The material of hands' skin: what `render.skin` gives all skin, with creases, knuckles, tendons,
veins and nails.

Noise is what a path tracer pays for; lines, relief and nails come as numbers of the mesh's vertices
(`render.hand_skin`) and cost some sums. They are distances, not colours: these vary evenly between
vertices that lie millimetres apart, so that a line stays as thin as the material draws it.
"""

from __future__ import annotations

from typing import Any

from render.skin import MaterialGraph, Shader

LINE_M = (0.0002, 0.0013)
"""A crease is deepest up to the first distance from its line and ends at the second."""

VEIN_M = (0.0003, 0.0036)
_WRINKLES = 2900.0  # radians a metre: one wrinkle every 2.2 mm


def hand_material(name: str) -> Shader:
    """Skin of a hand.

    The mesh carries the vectors `rest` (metres, in which the noise lies) and the colours `albedo`
    and `detail`, both as `HandPainter` makes them.

    Returns:
        Shader with inputs `roughness`, `mottle`, `bump`, `scatter` (0..1), `offset` (moves the
        noise), `nail` (colour), `nail_end` (colour of the nails' free edge), `free_edge` (where
        along a nail that begins, 0..1).
    """
    g = MaterialGraph(name)
    shift = g.vector()
    g.feed(shift.inputs[1], g.node("Attribute", attribute_name="rest").outputs["Vector"])
    place = shift.outputs[0]
    roughness, mottle, bump, scatter = (g.value(v) for v in (0.5, 0.5, 0.4, 0.3))
    nail, nail_end, free_edge = g.colour((0.5, 0.3, 0.25)), g.colour((0.6, 0.5, 0.4)), g.value(0.9)
    painted = g.node("Attribute", attribute_name="albedo")
    blotch, speckle = g.noise(place, 45.0, 2.0, 0.6), g.noise(place, 420.0, 1.0, 0.6)
    colour = _mottled(g, painted.outputs["Color"], blotch, speckle, mottle)
    fine = g.math("MULTIPLY", g.noise(place, 900.0, 1.0, 0.7), 0.4)
    height = g.math("ADD", fine, g.noise(place, 190.0, 3.0, 0.65))
    detail = g.node("Attribute", attribute_name="detail")
    along, depth, raised = g.node("SeparateXYZ", {0: detail.outputs["Vector"]}).outputs
    colour, height = _lines(g, colour, height, along, depth)
    colour, height = _knuckles(g, colour, height, along, raised)
    on_nail = g.ramp(detail.outputs["Alpha"], 0.0, 0.14)
    past = g.ramp(g.math("SUBTRACT", painted.outputs["Alpha"], free_edge), -0.03, 0.03)
    colour = g.mix(on_nail, colour, g.mix(past, nail, nail_end))
    # A nail is smooth, and its rim stands out of the skin.
    flat = g.math("SUBTRACT", 1.0, on_nail)
    height = g.math("ADD", g.math("MULTIPLY", height, flat), g.math("MULTIPLY", on_nail, 1.9))
    normal = g.node("Bump", {"Strength": bump, "Distance": 0.0006, "Height": height})
    dull = g.math("SUBTRACT", roughness, g.math("MULTIPLY", on_nail, 0.24))
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
    return g.finish(
        shader.outputs[0], offset=shift.inputs[0], roughness=roughness, mottle=mottle, bump=bump,
        scatter=scatter, nail=nail, nail_end=nail_end, free_edge=free_edge,
    )  # fmt: skip


def _mottled(g: MaterialGraph, base: Any, blotch: Any, speckle: Any, mottle: Any) -> Any:
    redder = g.mix(1.0, base, (1.05, 0.84, 0.80), "MULTIPLY")
    colour = g.mix(g.math("MULTIPLY", g.ramp(blotch, 0.42, 0.7), mottle), base, redder)
    darker = g.mix(1.0, colour, (0.90, 0.87, 0.85), "MULTIPLY")
    return g.mix(g.math("MULTIPLY", g.ramp(speckle, 0.5, 0.75), mottle), colour, darker)


def _lines(g: MaterialGraph, colour: Any, height: Any, along: Any, depth: Any) -> tuple[Any, Any]:
    """Creases, where the depth is positive, and veins, where it is negative."""
    away = g.math("ABSOLUTE", along)
    crease = g.math("MULTIPLY", g.ramp(away, LINE_M[1], LINE_M[0]), g.math("MAXIMUM", depth, 0.0))
    darker = g.mix(1.0, colour, (0.74, 0.58, 0.52), "MULTIPLY")
    colour = g.mix(crease, colour, darker)
    height = g.math("SUBTRACT", height, g.math("MULTIPLY", crease, 1.4))
    vein = g.math("MULTIPLY", g.ramp(away, VEIN_M[1], VEIN_M[0]), g.math("MINIMUM", depth, 0.0))
    # Under skin, blood looks bluish because red light comes back from deeper.
    bluer = g.mix(1.0, colour, (0.72, 0.86, 0.95), "MULTIPLY")
    colour = g.mix(g.math("MULTIPLY", vein, -0.5), colour, bluer)
    return colour, g.math("SUBTRACT", height, g.math("MULTIPLY", vein, 2.2))


def _knuckles(
    g: MaterialGraph, colour: Any, height: Any, along: Any, raised: Any
) -> tuple[Any, Any]:
    """Tendons, where the number is positive, and wrinkles over joints, where it is negative."""
    wrinkled = g.math("MINIMUM", raised, 0.0)
    wave = g.math("SINE", g.math("MULTIPLY", along, _WRINKLES))
    furrow = g.math("MULTIPLY", wave, wrinkled)
    darker = g.mix(1.0, colour, (0.80, 0.68, 0.64), "MULTIPLY")
    share = g.math("MULTIPLY", g.math("SUBTRACT", furrow, wrinkled), 0.5)
    colour = g.mix(share, colour, darker)
    tendon = g.math("MAXIMUM", raised, 0.0)
    height = g.math("ADD", height, g.math("MULTIPLY", tendon, 1.9))
    return colour, g.math("SUBTRACT", height, g.math("MULTIPLY", furrow, 0.7))
