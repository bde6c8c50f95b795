"""What stands before the camera in pictures of hands: meshes and materials, built once a process.

All skin of a picture lies in one mesh with all that is worn: when two meshes with subsurface
scattering change at once, Cycles 5.0 renders one of two slightly different pictures, by chance. So
there is a mesh for one right hand, one for one left hand, and one for every pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render import hand_objects
from render.anny_asset import Identity
from render.cloth import sleeve_material
from render.cycles import CyclesScene, SceneMesh
from render.hand_bands import BandModel
from render.hand_material import hand_material
from render.hand_model import PARTS, HandModel
from render.hand_negatives import Foot, Head
from render.hand_objects import Thing
from render.hand_scene import HandScene, ShownHand
from render.hand_skin import HandPainter
from render.hands import CLASSES, SECOND
from render.labels import shown_window
from render.skin import (
    Shader,
    patterned_material,
    skin_material,
    solid_material,
)
from render.sleeve import SleeveModel
from runtime.camera import transform_points

PAIRS = tuple(product(("right", "left"), repeat=2))
FEET = ("left foot", "right foot")

_THING_SIZE = hand_objects.ROWS * hand_objects.COLUMNS


@dataclass(frozen=True)
class Prepared:
    """A sample as Blender gets it: which mesh, and for each of its vertices the place in the world
    (V, 3), the albedo (V, 4), the place at rest (V, 3) and the skin's detail (V, 4; none of a foot
    or head). Of a hand come first its own vertices, then the sleeve's, then those of rings and
    bands, of a thing."""

    scene: HandScene
    mesh: str
    vertices_m: NDArray[np.float64]
    albedo: NDArray[np.float32]
    rest_m: NDArray[np.float64]
    detail: NDArray[np.float32] | None = None


class HandStage:
    """Meshes and materials of one Blender scene."""

    def __init__(self, scene: CyclesScene, model: HandModel, foot: Foot, head: Head) -> None:
        self._scene = scene
        self._model = model
        self._sleeves = SleeveModel(model)
        self._bands = BandModel(model)
        self._painter = HandPainter(model, model.shape(Identity({"age": 0.75})))
        self._outfits = (_Outfit("", 0), _Outfit("second ", SECOND))
        self._meshes: dict[str, SceneMesh] = {}
        self._add_hands()
        self._add_negatives(foot, head)

    def _add_hands(self) -> None:
        faces, slots = self._one_hand()
        self._size = size = int(faces.max()) + 1
        sides = {"right": faces, "left": faces[:, ::-1]}
        for side, own in sides.items():
            self._add(side, own, self._outfits[0].materials, slots)
        both = [material for outfit in self._outfits for material in outfit.materials]
        count = len(self._outfits[0].materials)
        for pair in PAIRS:
            corners = np.concatenate([sides[pair[0]], sides[pair[1]] + size])
            self._add(" ".join(pair), corners, both, np.concatenate([slots, slots + count]))

    def _one_hand(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Quads of a right hand and all it may wear, and the material's slot of each."""
        hand, sleeve = self._model.faces, self._sleeves.faces + self._model.matrix.shape[0]
        bands = self._bands.faces + int(sleeve.max()) + 1
        things = hand_objects.faces() + int(bands.max()) + 1
        solid = np.array([len(PARTS) + 1 + kind for kind in (0, 0, 1, 2)])  # of each slot
        slots = [
            self._model.face_part,
            np.full(len(sleeve), len(PARTS)),
            solid[self._bands.face_slot],
            np.full(len(things), len(PARTS) + 4),
        ]
        return np.concatenate([hand, sleeve, bands, things]), np.concatenate(slots)

    def _add_negatives(self, foot: Foot, head: Head) -> None:
        skin = skin_material("distractor", attribute="albedo")
        skin.material.pass_index = CLASSES["distractor"]
        self._distractor = skin
        for name, faces in zip((*FEET, "head"), (foot.faces, foot.faces[:, ::-1], head.faces)):
            self._add(name, faces, [skin.material], np.zeros(len(faces), dtype=np.int64))

    def _add(
        self, name: str, faces: NDArray[np.int32], materials: list[Any], slots: NDArray[np.int64]
    ) -> None:
        count = int(faces.max()) + 1
        mesh = self._scene.add_mesh(name, np.zeros((count, 3)), faces, materials, slots, index=1)
        mesh.show(False)
        self._meshes[name] = mesh

    def prepared(self, scene: HandScene) -> Prepared:
        """Work out what Blender gets for a drawn sample."""
        if scene.negative is not None:
            return self._prepared_negative(scene)
        parts = [self._prepared_hand(hand, scene.world_from_camera) for hand in scene.shown]
        vertices, albedo, rest, detail = (np.concatenate(arrays) for arrays in zip(*parts))
        mesh = " ".join(hand.hand for hand in scene.shown)
        return Prepared(scene, mesh, vertices, albedo, rest, detail)

    def _prepared_hand(
        self, hand: ShownHand, world_from_camera: NDArray[np.float64]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        arm = hand.posed.vertices_m
        # What isn't worn is out of sight, inside the arm's far end.
        far = hand.shape.vertices_m[self._model.far_end].mean(axis=0)
        if hand.sleeve is None:
            around = np.broadcast_to(far, (self._sleeves.size, 3))
        else:
            around = self._sleeves.vertices(hand.sleeve, hand.shape, arm)
        worn = self._bands.vertices(hand.bands, hand.shape, hand.posed, far)
        thing = hand.thing.vertices() if hand.thing else np.broadcast_to(far, (_THING_SIZE, 3))
        others = np.ones((len(around) + len(worn) + len(thing), 4), dtype=np.float32)
        vertices = np.concatenate([arm, around, worn, thing]) * hand.mirror
        cloth = self._sleeves.cloth_places(hand.shape)
        return (
            transform_points(world_from_camera @ hand.camera_from_hand, vertices),
            np.concatenate([self._painter.paint(hand.look), others]),
            np.concatenate([hand.shape.vertices_m, cloth, worn, thing]),
            np.concatenate([self._painter.detail(hand.look, hand.identity, hand.pose.angles),
                            np.zeros_like(others)]),
        )  # fmt: skip

    def _prepared_negative(self, scene: HandScene) -> Prepared:
        negative = scene.negative
        assert negative is not None
        body = negative.body
        if body is not None:
            world_from_body = scene.world_from_camera @ body.camera_from_body
            places = transform_points(world_from_body, body.vertices_m)
            return Prepared(scene, negative.mesh, places, body.albedo, body.vertices_m)
        if not negative.things:
            nothing = np.empty((0, 3))
            return Prepared(scene, "", nothing, np.empty((0, 4), dtype=np.float32), nothing)
        # Things come in a hand's mesh, whose hand is hidden in them: of meshes without subsurface
        # scattering, too, Cycles renders one of two pictures when they take turns with others.
        hidden = self._size - _THING_SIZE
        shown = [
            np.concatenate([np.broadcast_to(thing.centre_m, (hidden, 3)), thing.vertices()])
            for thing in negative.things
        ]
        rest = np.concatenate(shown)
        albedo = np.ones((len(rest), 4), dtype=np.float32)
        name = " ".join(["right"] * len(shown))
        places = transform_points(scene.world_from_camera, rest)
        return Prepared(scene, name, places, albedo, rest, np.zeros_like(albedo))

    def place(self, prepared: Prepared) -> None:
        """Put what is shown into Blender, and take away what was."""
        for name, mesh in self._meshes.items():
            mesh.show(name == prepared.mesh)
        if prepared.mesh:
            mesh = self._meshes[prepared.mesh]
            mesh.set_attribute("albedo", prepared.albedo)
            mesh.set_attribute("rest", prepared.rest_m)
            if prepared.detail is not None:
                mesh.set_attribute("detail", prepared.detail)
            mesh.move(prepared.vertices_m)
        scene = prepared.scene
        self._scene.set_window(
            shown_window(prepared.vertices_m, scene.camera, scene.world_from_camera)
        )
        if scene.negative is not None:
            self._distractor.set(**scene.skin)
            for outfit, thing in zip(self._outfits, scene.negative.things):
                outfit.paint(thing)
            return
        for outfit, hand in zip(self._outfits, scene.shown):
            outfit.dress(hand)


class _Outfit:
    """Materials of one hand and what it wears, in the order of the mesh's slots."""

    def __init__(self, name: str, offset: int) -> None:
        self._skins = []
        for part in PARTS:
            self._skins.append(hand_material(f"{name}skin {part}"))
        self._cloth = sleeve_material(f"{name}cloth")
        self._solids = {kind: solid_material(f"{name}{kind}") for kind in ("ring", "strap", "dial")}
        self.thing = patterned_material(f"{name}thing")
        shaders: list[Shader] = [*self._skins, self._cloth, *self._solids.values(), self.thing]
        classes = [*PARTS, "sleeve", *["accessory"] * 3, "object"]
        for shader, what in zip(shaders, classes):
            shader.material.pass_index = offset + CLASSES[what]
        self.materials = [shader.material for shader in shaders]

    def dress(self, hand: ShownHand) -> None:
        """Take on a hand's looks."""
        for skin in self._skins:
            skin.set(**hand.skin, **hand.look.nails())
        self._cloth.set(**hand.cloth)
        for band in hand.bands:
            self._solids["ring" if band.finger else "strap"].set(
                albedo=band.albedo, metallic=band.metallic, roughness=band.roughness
            )
            if band.dial_m:
                self._solids["dial"].set(albedo=(0.02, 0.02, 0.025), metallic=0.0, roughness=0.08)
        if hand.thing is not None:
            self.paint(hand.thing)

    def paint(self, thing: Thing) -> None:
        """Give the held thing its colours."""
        values: Mapping[str, Any] = {
            "albedo": thing.albedo,
            "second": thing.second,
            "stripes": float(thing.pattern == 1),
            "patches": float(thing.pattern == 2),
            "roughness": thing.roughness,
        }
        self.thing.set(**values)
