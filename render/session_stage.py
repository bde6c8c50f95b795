"""A session's scene in Blender: one mesh of everything, built once; then only the camera moves.

One mesh, because of meshes that change together Cycles 5.0 renders one of two slightly different
pictures, by chance (see `render.hand_stage`).
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from render.cycles import CyclesScene
from render.session_scene import SessionScene
from render.session_solids import Solid, Surface
from render.session_textures import painted
from render.skin import MaterialGraph
from runtime.camera import transform_points

RENDER_FROM_WORLD = np.array(
    [[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=np.float64
)
"""(4, 4) from a world with y up into Blender's with z up."""
ROOM_INDEX, FIRST_OBJECT = 1, 2
"""What `Passes.material_index` shows for the room, and for the first object; others follow."""
_BUMPY = {
    "wood": 0.15,
    "planks": 0.25,
    "carpet": 0.7,
    "cloth": 0.5,
    "concrete": 0.4,
    "plaster": 0.3,
}
"""Pattern -> how strongly its light and dark become hills and valleys."""


def staged(scene: CyclesScene, session: SessionScene) -> None:
    """Put a session's solids into an empty scene."""
    parts: list[tuple[Solid, int]] = []
    for solid in session.room:
        parts.append((_into(RENDER_FROM_WORLD, solid), ROOM_INDEX))
    for number, one in enumerate(session.objects):
        pose = RENDER_FROM_WORLD @ one.world_from_object
        parts += [(_into(pose, solid), FIRST_OBJECT + number) for solid in one.solids]
    slots: dict[tuple[Surface, int], int] = {}
    vertices, faces, uv, slot, start = [], [], [], [], 0
    for solid, index in parts:
        number = slots.setdefault((solid.surface, index), len(slots))
        vertices.append(solid.vertices_m)
        faces.append(solid.faces + start)
        uv.append(solid.uv)
        slot.append(np.full(len(solid.faces), number))
        start += len(solid.vertices_m)
    materials = [_material(surface, index) for surface, index in slots]
    scene.add_mesh(
        "everything", np.concatenate(vertices), np.concatenate(faces), materials,
        np.concatenate(slot), np.concatenate(uv), index=1,
    )  # fmt: skip


def _into(pose: NDArray[np.float64], solid: Solid) -> Solid:
    moved = transform_points(pose, solid.vertices_m)
    return Solid(moved, solid.faces, solid.uv, solid.surface)


def _material(surface: Surface, index: int) -> Any:
    g = MaterialGraph(f"{surface.pattern} {surface.seed}")
    place = g.node("TexCoord").outputs["UV"]
    texture = g.node("TexImage", {"Vector": place}, image=_image(surface), extension="REPEAT")
    colour = texture.outputs["Color"]
    sockets = {
        "Base Color": colour,
        "Roughness": surface.roughness,
        "Metallic": surface.metallic,
        "Specular IOR Level": 0.4,
    }
    if strength := _BUMPY.get(surface.pattern, 0.0):
        bump = g.node("Bump", {"Strength": strength, "Distance": 0.004, "Height": colour})
        sockets["Normal"] = bump.outputs[0]
    shader = g.finish(g.node("BsdfPrincipled", sockets).outputs[0])
    shader.material.pass_index = index
    return shader.material


def _image(surface: Surface) -> Any:
    rgb = painted(surface)
    height, width = rgb.shape[:2]
    image = bpy.data.images.new(surface.pattern, width, height)
    pixels = np.ones((height, width, 4), dtype=np.float32)
    pixels[..., :3] = rgb[::-1].astype(np.float32) / 255  # Blender's first row is the lowest
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    return image
