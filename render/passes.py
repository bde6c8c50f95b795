"""What Cycles tells of every pixel: colour, coverage, depth, indices, normals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FAR_M = 100.0
"""Nothing rendered lies farther; Cycles writes 1e10 where a ray meets nothing."""


@dataclass(frozen=True)
class Passes:
    """One rendered picture.

    Attributes:
        linear: (H, W, 3) float32 scene-linear RGB, premultiplied by `alpha`.
        alpha: (H, W) float32 coverage; 1 everywhere unless the film is transparent.
        depth_m: (H, W) float32 along the optical axis; inf where there is no surface.
        object_index, material_index: (H, W) int32, 0 where there is no surface or none was set.
        world_normals: (H, W, 3) float32 of the surfaces, in world axes; 0 where there is none.
        coverage: (H, W) float32 by name of `CyclesScene.add_coverage`: how much of each pixel
            materials take that write to it.
        uv: (H, W, 2) float32 texture coordinates, and albedo: (H, W, 3) scene-linear share of light
            that surfaces scatter back; None unless asked for, see `CyclesScene.add_surface_passes`.
    """

    linear: NDArray[np.float32]
    alpha: NDArray[np.float32]
    depth_m: NDArray[np.float32]
    object_index: NDArray[np.int32]
    material_index: NDArray[np.int32]
    world_normals: NDArray[np.float32]
    coverage: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    uv: NDArray[np.float32] | None = None
    albedo: NDArray[np.float32] | None = None

    def camera_normals(self, world_from_camera: ArrayLike) -> NDArray[np.float32]:
        """(H, W, 3) unit normals in the camera's axes, NaN where there is no surface."""
        turned = self.world_normals @ np.asarray(world_from_camera, dtype=np.float32)[:3, :3]
        length = np.linalg.norm(turned, axis=-1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(length > 0.1, turned / length, np.float32(np.nan))


def passes_of(channels: Mapping[str, NDArray[np.float32]], coverage: Sequence[str] = ()) -> Passes:
    """What Cycles wrote.

    Args:
        channels: of the view layer "view", as `read_exr` gives them.
        coverage: names of the coverages among them.
    """
    linear = np.stack([channels[f"view.Combined.{c}"] for c in "RGB"], axis=-1)
    depth = channels["view.Depth.V"] if "view.Depth.V" in channels else channels["view.Depth.Z"]
    depth = np.where(depth < FAR_M, depth, np.float32(np.inf))
    object_index, material_index = (
        np.rint(channels[f"view.{name}.X"]).astype(np.int32)
        for name in ("Object Index", "Material Index")
    )
    normals = np.stack([channels[f"view.Normal.{c}"] for c in "XYZ"], axis=-1)
    return Passes(
        linear, channels["view.Combined.A"], depth, object_index, material_index, normals,
        {name: channels[f"view.{name}.X"] for name in coverage},
        _stacked(channels, "UV", "UV"), _stacked(channels, "Diffuse Color", "RGB"),
    )  # fmt: skip


def _stacked(
    channels: Mapping[str, NDArray[np.float32]], name: str, parts: str
) -> NDArray[np.float32] | None:
    names = [f"view.{name}.{part}" for part in parts]
    if not all(n in channels for n in names):
        return None
    return np.stack([channels[n] for n in names], axis=-1)


def empty_passes(width: int, height: int) -> Passes:
    """A picture in which nothing is."""
    flat = np.zeros((height, width), dtype=np.float32)
    solid = np.zeros((height, width, 3), dtype=np.float32)
    nothing = np.zeros((height, width), dtype=np.int32)
    return Passes(solid, flat, np.full_like(flat, np.inf), nothing, nothing, solid.copy())


def framed(part: Passes, window_px: tuple[int, int, int, int], empty: Passes) -> Passes:
    """The whole picture around a part of it.

    Args:
        part: as large as the window.
        window_px: left, top, right, bottom in the picture.
        empty: what is around it.
    """
    left, top, right, bottom = window_px

    def whole(values: NDArray[Any], around: NDArray[Any]) -> NDArray[Any]:
        result = around.copy()
        result[top:bottom, left:right] = values
        return result

    return Passes(
        whole(part.linear, empty.linear),
        whole(part.alpha, empty.alpha),
        whole(part.depth_m, empty.depth_m),
        whole(part.object_index, empty.object_index),
        whole(part.material_index, empty.material_index),
        whole(part.world_normals, empty.world_normals),
        {name: whole(values, empty.alpha) for name, values in part.coverage.items()},
        None if part.uv is None else whole(part.uv, empty.linear[..., :2]),
        None if part.albedo is None else whole(part.albedo, empty.linear),
    )
