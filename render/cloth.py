"""The cloth of sleeves: plain, striped, checked or knitted, patterned around the arm."""

from __future__ import annotations

from render.skin import MaterialGraph, Shader


def sleeve_material(name: str = "cloth") -> Shader:
    """Cloth whose point attribute `rest` holds places on a cylinder (`SleeveModel.cloth_places`).

    Returns:
        Shader with inputs `albedo`, `second` (other colour), `stripes`, `checks`, `knit` (0 or 1)
        and `pitch` (metres from stripe to stripe).
    """
    g = MaterialGraph(name)
    albedo, second = g.colour((0.2, 0.25, 0.4)), g.colour((0.6, 0.6, 0.6))
    stripes, checks, knit, pitch = (g.value(v) for v in (0.0, 0.0, 0.0, 0.015))
    place = g.node("Attribute", attribute_name="rest").outputs["Vector"]
    x, y, along = g.node("SeparateXYZ", {0: place}).outputs
    around = g.math("MULTIPLY", g.math("ARCTAN2", y, x), _RADIUS_M)
    lines = [
        g.math("GREATER_THAN", g.math("FRACT", g.math("DIVIDE", way, pitch)), 0.55)
        for way in (along, around)
    ]
    crossing = g.math("MULTIPLY", lines[1], checks)
    # Where both colours' threads cross, half of either is seen.
    share = g.math("MULTIPLY", g.math("ADD", lines[0], crossing), stripes)
    share = g.math("MULTIPLY", share, g.math("SUBTRACT", 1.0, g.math("MULTIPLY", checks, 0.5)))
    colour = g.mix(share, albedo, second)
    solid = g.node("CombineXYZ")
    for socket, value in zip(solid.inputs, (g.math("MULTIPLY", x, _RADIUS_M),
                                            g.math("MULTIPLY", y, _RADIUS_M), along)):  # fmt: skip
        g.feed(socket, value)
    # Stitches: columns around the arm, whose rows lean to either side.
    column = g.math("MULTIPLY", around, _STITCHES)
    lean = g.math("ABSOLUTE", g.math("SUBTRACT", g.math("FRACT", column), 0.5))
    row = g.math("ADD", g.math("MULTIPLY", along, _STITCHES * 1.3), lean)
    waves = g.math("ABSOLUTE", g.math("SINE", g.math("MULTIPLY", row, 6.283)))
    bulge = g.math("SINE", g.math("MULTIPLY", g.math("FRACT", column), 3.1416))
    stitch = g.math("MULTIPLY", waves, bulge)
    weave = g.noise(solid.outputs[0], 900.0, 2.0, 0.7)
    fine = g.node("Mix", {0: knit, 2: weave, 3: g.math("MULTIPLY", stitch, 2.0)}).outputs[0]
    height = g.math("ADD", fine, g.math("MULTIPLY", g.noise(solid.outputs[0], 14.0, 2.0), 6.0))
    bump = g.node("Bump", {"Strength": 0.7, "Distance": 0.003, "Height": height})
    deep = g.math("SUBTRACT", 0.5, g.math("MULTIPLY", stitch, 0.5))
    shaded = g.mix(g.math("MULTIPLY", knit, deep), colour, (0.0, 0.0, 0.0))
    sockets = {
        "Base Color": shaded,
        "Roughness": 0.85,
        "Specular IOR Level": 0.2,
        "Sheen Weight": 0.2,
        "Normal": bump.outputs[0],
    }
    surface = g.node("BsdfPrincipled", sockets).outputs[0]
    return g.finish(
        surface,
        albedo=albedo,
        second=second,
        stripes=stripes,
        checks=checks,
        knit=knit,
        pitch=pitch,
    )


_RADIUS_M = 0.045  # of the cylinder, about an arm's
_STITCHES = 280.0  # columns a metre
