"""One mesh of many parts, built anew for every picture.

Why it is one mesh, and why nothing of a face's scene is ever hidden (all seen in bpy 5.0.1):

- Cycles keeps meshes with subsurface scattering apart (each has a tree of its own) and bakes the
  transform of all others into their vertices. When one of each kind change at once, the latter's
  normals are normalised once or twice, by chance: last bits, of which the denoiser makes levels.
  Where there are several meshes, each has a material that scatters, used or not.
- Whenever `hide_render` changes, Blender builds its dependency graph anew and keeps some of the old
  one. A mesh without faces, strands without curves and a lamp without power don't show either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """Triangles or quads of one or more materials; what is left out stays at its default.

    Attributes:
        vertices_m: (V, 3) in world axes.
        faces: (F, 3) or (F, 4), counter-clockwise from outside.
        slot: (F,) or one number, index into the mesh's materials.
        rest_m: (V, 3) attribute `rest`: places in which materials lay their patterns; 0.
        uv: (F, 3 or 4, 2) texture coordinates; 0.
        albedo: (V, 4) attribute `albedo`; 1.
        detail: (V, 4) attribute `detail`; 0.
        below_collar: (V,) attribute of that name: cloth is absent where it is negative; 1.
        presence: (V,) attribute of that name: how much of a head is there; 1.
    """

    vertices_m: Floats
    faces: NDArray[np.integer]
    slot: NDArray[np.integer] | int
    rest_m: Floats | None = None
    uv: Floats | None = None
    albedo: NDArray[np.floating] | None = None
    detail: NDArray[np.floating] | None = None
    below_collar: Floats | None = None
    presence: Floats | None = None

    def shifted(self, slots: int) -> Part:
        """The same with materials that lie so many slots on."""
        return replace(self, slot=self.slot + slots)


_POINT_ATTRIBUTES = (  # name, field, Blender's kind, property, numbers, default
    ("rest", "rest_m", "FLOAT_VECTOR", "vector", 3, 0.0),
    ("albedo", "albedo", "FLOAT_COLOR", "color", 4, 1.0),
    ("detail", "detail", "FLOAT_COLOR", "color", 4, 0.0),
    ("below_collar", "below_collar", "FLOAT", "value", 1, 1.0),
    ("presence", "presence", "FLOAT", "value", 1, 1.0),
)


class AssembledMesh:
    """The one mesh of a scene.

    Args:
        scene: Blender's.
        name: of the object.
        materials: whose indices parts name as slots.
    """

    def __init__(self, scene: Any, name: str, materials: Sequence[Any]) -> None:
        self.mesh = bpy.data.meshes.new(name)
        for material in materials:
            self.mesh.materials.append(material)
        self.object = bpy.data.objects.new(name, self.mesh)
        self.object.pass_index = 1
        scene.collection.objects.link(self.object)

    def show(self, parts: Sequence[Part]) -> None:
        """Consist of these from now on."""
        mesh = self.mesh
        mesh.clear_geometry()
        if not parts:
            mesh.update()
            return
        counts = [len(part.vertices_m) for part in parts]
        starts = np.cumsum([0, *counts[:-1]])
        corners = np.concatenate([np.full(len(p.faces), p.faces.shape[1]) for p in parts])
        faces = [(p.faces + start).ravel() for p, start in zip(parts, starts)]
        mesh.vertices.add(sum(counts))
        mesh.loops.add(int(corners.sum()))
        mesh.polygons.add(len(corners))
        _put(mesh.vertices, "co", np.concatenate([p.vertices_m for p in parts]), np.float32)
        _put(mesh.loops, "vertex_index", np.concatenate(faces), np.int32)
        _put(mesh.polygons, "loop_start", np.cumsum(corners) - corners, np.int32)
        slots = [np.broadcast_to(np.asarray(p.slot), len(p.faces)) for p in parts]
        _put(mesh.polygons, "material_index", np.concatenate(slots), np.int32)
        _put(mesh.polygons, "use_smooth", np.ones(len(corners)), bool)
        uv = [np.zeros(2 * p.faces.size) if p.uv is None else p.uv.ravel() for p in parts]
        _put(mesh.uv_layers.new(name="uv").data, "uv", np.concatenate(uv), np.float32)
        for name, field, kind, key, size, default in _POINT_ATTRIBUTES:
            values = [
                np.full((count, size), default) if (own := getattr(part, field)) is None
                else np.reshape(own, (count, size))
                for part, count in zip(parts, counts)
            ]  # fmt: skip
            attribute = mesh.attributes.new(name, kind, "POINT")
            _put(attribute.data, key, np.concatenate(values), np.float32)
        mesh.update(calc_edges=True)


def _put(collection: Any, key: str, values: Any, kind: type) -> None:
    collection.foreach_set(key, np.ascontiguousarray(values, dtype=kind).ravel())
