"""Meshes and materials of pictures of bodies in one Blender scene, built once a process."""

from __future__ import annotations

from typing import Any

import numpy as np

from render.bodies import CLASSES
from render.body_clothes import SHELLS
from render.body_dress import CLASS_OF, SLOTS, Wardrobe
from render.body_looks import garment_material, ground_material, hair_albedo, mane_material
from render.body_model import PARTS
from render.body_scene import BodyScene
from render.cycles import CyclesScene
from render.skin import Shader, eye_material, skin_material, solid_material
from render.skin_tones import IRIS_COLOURS, linear_from_hex
from runtime.camera import transform_points

GROUND_M = 30.0
"""Half of the ground's side; beyond it the environment is seen."""

_IRIS_ANGLE = 0.36  # of a 5.8 mm iris on the base mesh's 16.4 mm eyeballs


class BodyStage:
    """The person's mesh and the ground."""

    def __init__(self, scene: CyclesScene, wardrobe: Wardrobe) -> None:
        self._shaders: dict[str, Shader] = {
            part: skin_material(f"skin {part}", attribute="albedo") for part in PARTS
        }
        self._shaders["eyes"] = eye_material("eyes")
        for cloth in (*SHELLS, "skirt"):
            self._shaders[cloth] = garment_material(f"cloth {cloth}")
        for hair in ("cap", "mane", "brows"):
            self._shaders[hair] = mane_material(hair)
        self._shaders["seat"] = solid_material("seat")
        for slot, shader in self._shaders.items():
            shader.material.pass_index = CLASS_OF[slot]
        self._mesh = scene.add_mesh(
            "person",
            np.zeros((wardrobe.size, 3)),
            wardrobe.faces,
            [self._shaders[slot].material for slot in SLOTS],
            wardrobe.face_slot,
            index=1,
        )
        scene.add_coverage("ground")
        self._ground = ground_material("ground")
        self._ground.material.pass_index = CLASSES["ground"]
        corners = GROUND_M * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0.0]])
        scene.add_mesh("ground", corners, [[0, 1, 2, 3]], [self._ground.material], index=2)
        person = np.ones(wardrobe.size, dtype=bool)
        person[-24:] = False
        self._person = person

    def place(self, scene: BodyScene) -> None:
        """Put a drawn sample into Blender."""
        body = scene.body
        vertices = body.vertices_m.copy()
        if scene.negative:  # everything but the seat goes under the ground
            vertices[self._person] = [0.0, 0.0, -1.0]
            if scene.negative == "empty":
                vertices[~self._person] = [0.0, 0.0, -1.0]
        self._mesh.set_attribute("albedo", body.albedo)
        self._mesh.set_attribute("rest", body.rest_m)
        self._mesh.set_attribute("field", body.field)
        self._mesh.move(transform_points(scene.world_from_body, vertices))
        for part in PARTS:
            self._shaders[part].set(**scene.skin)
        outer, inner = (linear_from_hex(code) for code in IRIS_COLOURS[scene.look.iris])
        self._shaders["eyes"].set(
            outer=outer, inner=inner, iris_half_angle=_IRIS_ANGLE, pupil_half_angle=0.13,
            veins=0.2, white=(0.42, 0.4, 0.385),
        )  # fmt: skip
        for cloth in (*SHELLS, "skirt"):
            self._shaders[cloth].set(**scene.cloths[cloth])
        hair = hair_albedo(scene.look)
        for name in ("cap", "mane", "brows"):
            self._shaders[name].set(albedo=hair)
        seat: dict[str, Any] = {
            "albedo": scene.ground["second"], "metallic": 0.0, "roughness": 0.6,
        }  # fmt: skip
        self._shaders["seat"].set(**seat)
        ground = dict(scene.ground)
        if not scene.floor:  # a white that shadows are read from
            ground |= {"albedo": (0.4, 0.4, 0.4), "tiles": 0.0, "boards": 0.0, "blotches": 0.0,
                       "roughness": 1.0}  # fmt: skip
        self._ground.set(**ground)
