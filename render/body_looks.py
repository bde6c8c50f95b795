"""What bodies look like: skin tone and paint, hair, brows, the cloth of garments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.anny_asset import Identity
from render.body_model import BodyModel, BodyShape
from render.face_mapping import shipped_mapping
from render.hand_model import vertex_normals
from render.skin import MaterialGraph, Shader
from render.skin_tones import HAIR_COLOURS, IRIS_COLOURS, MONK_TONES, hair_colour, tone_albedo
from runtime.topology import topology

Floats = NDArray[np.float64]

HAIR_STYLES = ("bald", "cropped", "short", "full", "long")


@dataclass(frozen=True)
class BodyLook:
    """tone, its warmth and depth, hair's style and colour, iris, and the lips' redness."""

    tone: str
    warmth: float
    depth: float
    hair: str
    hair_colour: str
    hair_length_m: float
    iris: str
    lips: float

    @property
    def albedo(self) -> Floats:
        """(3,) of the skin."""
        return tone_albedo(self.tone, self.warmth, self.depth)


def random_look(rng: np.random.Generator, sex: float, age: float) -> BodyLook:
    """Anybody's looks; long hair is commoner with women, baldness with old men."""
    tones = list(MONK_TONES)
    tone = tones[int(rng.integers(len(tones)))]
    dark = tones.index(tone) >= 6
    bald, long = (0.02, 0.55) if sex > 0.5 else (0.06 + 0.2 * max(age - 0.8, 0), 0.08)
    rest = (1 - bald - long) * np.array([0.2, 0.5, 0.3])
    hair = str(rng.choice(HAIR_STYLES, p=[bald, *rest, long]))
    colours = list(HAIR_COLOURS)
    usual = np.array([5, 5, 3, 1, 1, 0.4, 0.4, 0.2] if dark else [2, 3, 4, 3, 3, 1, 0.6, 0.3])
    if age > 0.85:
        usual[6:] += 4
    irises = list(IRIS_COLOURS)
    light = np.array([5, 3, 0.5, 0.3, 0.1, 0.1, 0.1] if dark else [2, 3, 2, 1, 1, 1, 2])
    length = {
        "cropped": 0.004,
        "short": rng.uniform(0.008, 0.016),
        "full": rng.uniform(0.018, 0.035),
    }
    return BodyLook(
        tone=tone,
        warmth=float(rng.uniform(-1, 1)),
        depth=float(rng.uniform(-1, 1)),
        hair=hair,
        hair_colour=str(rng.choice(colours, p=usual / usual.sum())),
        hair_length_m=float(length.get(hair, 0.012)),
        iris=str(rng.choice(irises, p=light / light.sum())),
        lips=float(rng.uniform(0.3, 1.0)),
    )


class BodyPainter:
    """Albedo per vertex of the skin, the hair's cap and the brows.

    Attributes:
        cap_faces: (F, 4) of the cap over its own vertices, which are copies of `cap_rows`.
        brow_faces: (G, 4) of both brows over 20 vertices.
    """

    def __init__(self, model: BodyModel) -> None:
        self._model = model
        neutral = model.shape(Identity({"age": 0.7}))
        region = model.region
        faces = model.faces["skin"]
        self._lips, self._lids = (
            _at_vertices(model.masks[name], faces, model.skin_uv, len(region.base_vertices))
            for name in ("lips", "eyelids")
        )
        mapping = shipped_mapping()
        self._triangles = mapping.local_triangles(region.base_vertices)
        self._weights = mapping.weights
        vertices = neutral.rest.vertices_m
        marks = self.landmarks(vertices)
        # Above a line from over the brow, round the temple, behind the ear to the nape.
        scalp = _scalp(vertices, marks, model, neutral)
        head = model.face_part == 0
        outside = vertices[:, 2] > marks[152, 2]  # nothing inside the mouth
        chosen = head & (scalp[faces].max(axis=1) > -0.02) & outside[faces].all(axis=1)
        chosen &= model.skin_uv.mean(axis=1)[:, 0] > -1
        self.cap_rows, local = np.unique(faces[chosen], return_inverse=True)
        self.cap_faces = local.reshape(-1, 4)
        self.cap_field = scalp[self.cap_rows]
        self.brow_faces = np.array(
            [
                [10 * side + k, 10 * side + k + 1, 10 * side + 5 + k + 1, 10 * side + 5 + k]
                for side in range(2)
                for k in range(4)
            ]
        )

    def landmarks(self, vertices_m: Floats) -> Floats:
        """(468, 3) of face478 on the body."""
        return np.einsum("nk,nkj->nj", self._weights, vertices_m[self._triangles])

    def skin(self, look: BodyLook) -> NDArray[np.float32]:
        """(V, 4) albedo, alpha 1 for dry skin."""
        base = look.albedo
        result = np.ones((len(self._lips), 4), dtype=np.float32)
        red = base * [0.92, 0.55, 0.55]
        share = (0.75 * look.lips * self._lips + 0.25 * self._lids)[:, None]
        result[:, :3] = base * (1 - share) + red * share
        return result

    def cap(self, look: BodyLook, shape: BodyShape, rng: np.random.Generator) -> Floats:
        """(C, 3) the cap's vertices at rest, as far off the skin as hair is long."""
        vertices = shape.rest.vertices_m
        normals = vertex_normals(vertices, self._model.faces["skin"].astype(np.int32))
        rise = np.clip(self.cap_field / 0.03, 0, 1)
        places = vertices[self.cap_rows]
        waves = _waves(places, rng, 28.0)
        off = look.hair_length_m * (0.25 + 0.75 * rise) * (1 + 0.35 * waves)
        return places + off[:, None] * normals[self.cap_rows]

    def brows(self, shape: BodyShape) -> Floats:
        """(20, 3) the brows' vertices at rest."""
        marks = self.landmarks(shape.rest.vertices_m)
        contours = topology("face478@1").contours
        rows = [
            contours[f"{side}_brow_{edge}"].indices
            for side in ("right", "left")
            for edge in ("lower", "upper")
        ]
        return marks[np.concatenate(rows)] + [0.0, -0.0018, 0.0]


def _scalp(vertices: Floats, marks: Floats, model: BodyModel, shape: BodyShape) -> Floats:
    """(V,) metres within the hairline of the neutral head, negative on face and neck."""
    forehead, chin = marks[10], marks[152]
    height = float(forehead[2] - chin[2])
    ears = shape.keypoints_m[7:9].mean(axis=0)
    front, back = forehead[1], ears[1] + 0.09
    share = np.clip((vertices[:, 1] - front) / (back - front), 0, 1)
    # The line's height over the depth of the head: forehead, temple, over the ear, nape.
    line = np.interp(
        share,
        [0.0, 0.3, 0.42, 0.5, 0.62, 0.7, 1.0],
        forehead[2] + np.array([0.08, -0.14, -0.36, -0.12, -0.14, -0.62, -0.78]) * height,
    )
    return np.asarray(vertices[:, 2] - line)


def _waves(points: Floats, rng: np.random.Generator, scale: float) -> Floats:
    """(N,) about -1..1: a few smooth waves through space."""
    total = np.zeros(len(points))
    for _ in range(6):
        direction = rng.normal(size=3) * scale
        total += np.sin(points @ direction + rng.uniform(0, 6.283))
    return total / 3


def _at_vertices(
    mask: NDArray[np.uint8], faces: NDArray[np.int64], uv: NDArray[np.float32], count: int
) -> Floats:
    height, width = mask.shape
    columns = np.clip((uv[..., 0] * width).astype(int), 0, width - 1)
    rows = np.clip(((1 - uv[..., 1]) * height).astype(int), 0, height - 1)
    corners = mask[rows, columns].ravel() / 255.0
    sums = np.bincount(faces.ravel(), corners, minlength=count)
    return np.asarray(sums / np.maximum(np.bincount(faces.ravel(), minlength=count), 1))


# -- materials ------------------------------------------------------------------------------------


def garment_material(name: str) -> Shader:
    """Cloth that is absent where the point attribute `field` is negative.

    Returns:
        Shader with inputs `albedo`, `second` (other colour), `stripes`, `upright`, `patches` (0..1:
        how far each pattern shows), `pitch` (metres), `roughness` and `bump`.
    """
    g = MaterialGraph(name)
    albedo, second = g.colour((0.2, 0.25, 0.4)), g.colour((0.6, 0.6, 0.6))
    stripes, upright, patches, pitch = (g.value(v) for v in (0.0, 0.0, 0.0, 0.04))
    roughness, bump = g.value(0.85), g.value(0.5)
    place = g.node("Attribute", attribute_name="rest").outputs["Vector"]
    x, _, z = g.node("SeparateXYZ", {0: place}).outputs
    bands = [
        g.math("GREATER_THAN", g.math("FRACT", g.math("DIVIDE", way, pitch)), 0.55)
        for way in (z, x)
    ]
    blot = g.ramp(g.noise(place, 9.0, 3.0, 0.6), 0.52, 0.56)
    share = g.math("MULTIPLY", bands[0], stripes)
    share = g.math("MAXIMUM", share, g.math("MULTIPLY", bands[1], upright))
    share = g.math("MAXIMUM", share, g.math("MULTIPLY", blot, patches))
    colour = g.mix(share, albedo, second)
    weave = g.noise(place, 700.0, 2.0, 0.7)
    folds = g.math("MULTIPLY", g.noise(place, 16.0, 3.0, 0.55), 9.0)
    height = g.math("ADD", weave, folds)
    relief = g.node("Bump", {"Strength": bump, "Distance": 0.004, "Height": height})
    sockets = {
        "Base Color": colour,
        "Roughness": roughness,
        "Specular IOR Level": 0.25,
        "Sheen Weight": 0.15,
        "Normal": relief.outputs[0],
    }
    return _cut(
        g, g.node("BsdfPrincipled", sockets).outputs[0], albedo=albedo, second=second,
        stripes=stripes, upright=upright, patches=patches, pitch=pitch, roughness=roughness,
        bump=bump,
    )  # fmt: skip


def mane_material(name: str) -> Shader:
    """Hair as a mass with strands drawn on it, absent where `field` is negative.

    Returns:
        Shader with inputs `albedo` and `roughness`.
    """
    g = MaterialGraph(name)
    albedo, roughness = g.colour((0.05, 0.03, 0.02)), g.value(0.55)
    place = g.node("Attribute", attribute_name="rest").outputs["Vector"]
    flow = g.node("Mapping", {"Vector": place, "Scale": (1.0, 1.0, 0.12)}).outputs[0]
    strands = g.noise(flow, 420.0, 3.0, 0.7)
    locks = g.noise(flow, 70.0, 2.0, 0.6)
    dark = g.mix(1.0, albedo, (0.45, 0.45, 0.45), "MULTIPLY")
    bright = g.mix(1.0, albedo, (1.35, 1.35, 1.35), "MULTIPLY")
    colour = g.mix(g.ramp(strands, 0.3, 0.7), dark, bright)
    height = g.math("ADD", strands, g.math("MULTIPLY", locks, 2.5))
    relief = g.node("Bump", {"Strength": 0.8, "Distance": 0.003, "Height": height})
    sockets = {
        "Base Color": colour,
        "Roughness": roughness,
        "Specular IOR Level": 0.35,
        "Normal": relief.outputs[0],
    }
    surface = g.node("BsdfPrincipled", sockets).outputs[0]
    return _cut(g, surface, albedo=albedo, roughness=roughness)


def _cut(g: MaterialGraph, surface: Any, **inputs: Any) -> Shader:
    field = g.node("Attribute", attribute_name="field").outputs["Fac"]
    mixed = g.node("MixShader", {0: g.math("GREATER_THAN", field, 0.0)})
    g.feed(mixed.inputs[1], g.node("BsdfTransparent").outputs[0])
    g.feed(mixed.inputs[2], surface)
    return g.finish(mixed.outputs[0], **inputs)


def ground_material(name: str) -> Shader:
    """Floor, pavement, grass or bare: two colours in tiles, boards or blotches, and a coverage
    pass named `ground` that says how much of a pixel it takes.

    Returns:
        Shader with inputs `albedo`, `second`, `tiles`, `boards`, `blotches` (0..1), `pitch`
        (metres) and `roughness`.
    """
    g = MaterialGraph(name)
    albedo, second = g.colour((0.3, 0.3, 0.3)), g.colour((0.2, 0.2, 0.2))
    tiles, boards, blotches, pitch = (g.value(v) for v in (0.0, 0.0, 0.0, 0.5))
    roughness = g.value(0.8)
    place = g.node("TexCoord").outputs["Object"]
    x, y, _ = g.node("SeparateXYZ", {0: place}).outputs
    across, along = (g.math("FRACT", g.math("DIVIDE", way, pitch)) for way in (x, y))
    gaps = [g.math("LESS_THAN", way, 0.03) for way in (across, along)]
    grid = g.math("MULTIPLY", g.math("MAXIMUM", *gaps), tiles)
    lines = g.math("MULTIPLY", gaps[0], boards)
    spots = g.math("MULTIPLY", g.ramp(g.noise(place, 3.0, 6.0, 0.65), 0.4, 0.65), blotches)
    share = g.math("MAXIMUM", g.math("MAXIMUM", grid, lines), spots)
    grain = g.noise(place, 60.0, 4.0, 0.7)
    colour = g.mix(share, albedo, second)
    worn = g.mix(1.0, colour, (0.7, 0.7, 0.7), "MULTIPLY")
    colour = g.mix(g.ramp(grain, 0.35, 0.7), colour, worn)
    sockets = {"Base Color": colour, "Roughness": roughness, "Specular IOR Level": 0.2}
    surface = g.node("BsdfPrincipled", sockets).outputs[0]
    g.feed(g.node("OutputAOV", aov_name="ground").inputs["Value"], 1.0)
    return g.finish(
        surface, albedo=albedo, second=second, tiles=tiles, boards=boards, blotches=blotches,
        pitch=pitch, roughness=roughness,
    )  # fmt: skip


def random_garment_cloth(rng: np.random.Generator) -> Mapping[str, Any]:
    """Inputs of `garment_material`."""
    first, second = (rng.uniform(0.02, 0.75, 3) ** 1.4 for _ in range(2))
    if rng.random() < 0.45:  # much of what people wear is grey, black, white or navy
        first = np.full(3, rng.uniform(0.015, 0.7)) * rng.uniform(0.85, 1.15, 3)
    pattern = rng.random()
    return {
        "albedo": first,
        "second": second,
        "stripes": float(pattern < 0.14 or 0.22 < pattern < 0.3),
        "upright": float(0.22 < pattern < 0.34),
        "patches": float(0.34 < pattern < 0.42),
        "pitch": float(rng.uniform(0.015, 0.12)),
        "roughness": float(rng.uniform(0.55, 0.95)),
        "bump": float(rng.uniform(0.25, 0.9)),
    }


def random_ground(rng: np.random.Generator) -> Mapping[str, Any]:
    """Inputs of `ground_material`."""
    kind = int(rng.integers(4))
    first = np.full(3, rng.uniform(0.06, 0.55)) * rng.uniform(0.75, 1.25, 3)
    if kind == 3:
        first = np.array([0.08, 0.14, 0.04]) * rng.uniform(0.6, 1.8)  # grass
    return {
        "albedo": first,
        "second": first * rng.uniform(0.35, 0.8),
        "tiles": float(kind == 0),
        "boards": float(kind == 1),
        "blotches": float(kind >= 2),
        "pitch": float(rng.uniform(0.12, 1.0)),
        "roughness": float(rng.uniform(0.35, 0.95)),
    }


def hair_albedo(look: BodyLook) -> Floats:
    """(3,) of the hair, brows included."""
    return hair_colour(look.hair_colour)
