"""Cycles on the CPU as a function: vertices, camera and light in; colour, depth and indices out.

One process holds one scene; it is built once and refreshed for every picture, because with
persistent data a picture then costs about 10 ms beyond its path tracing. Blender writes the passes
into a multilayer EXR on a RAM disk, read back by `render.exr`: in background mode bpy offers no
other way to the pixels. Import this module only where pictures are rendered: it loads bpy.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from render.device import find_gpu, quiet, use_gpu
from render.exr import read_exr
from render.passes import FAR_M, Passes, empty_passes, framed, passes_of
from render.quality import DRAFT, PRESETS, Quality
from runtime.camera import OPENCV_FROM_OPENGL, Camera
from runtime.errors import ViewfinderError

__all__ = ["PRESETS", "CyclesScene", "Passes", "Quality", "SceneMesh", "find_gpu", "quiet"]


class CyclesScene:
    """The one scene of this process."""

    def __init__(
        self,
        width: int,
        height: int,
        quality: Quality = DRAFT,
        threads: int = 0,
        transparent: bool = False,
        device: str = "cpu",
    ) -> None:
        """An empty scene; whatever this process's Blender held before is dropped.

        Args:
            width, height: of the pictures in pixels.
            quality: samples and denoiser.
            threads: of Cycles; 0 takes every core. Pixels don't depend on it.
            transparent: leave the background out (alpha 0) and light the scene only.
            device: "cpu", or what `find_gpu` gave.
        """
        with quiet():
            bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene = bpy.context.scene
        self.width, self.height = width, height
        self._folder = _work_folder()
        self._picture = Path(self._folder.name) / "passes.exr"
        self._window = (0, 0, width, height)
        self._environment: dict[Path, Any] = {}
        self._set_up_render(threads, transparent)
        with quiet():  # Cycles warns on standard output that it found no CUDA
            self._set_up_cycles(quality)
            if device != "cpu":
                use_gpu(self.scene, device)
        self._set_up_passes()
        self._world = _World(self.scene)
        data = bpy.data.cameras.new("camera")
        data.clip_start, data.clip_end = 0.001, FAR_M
        self._camera = bpy.data.objects.new("camera", data)
        self.scene.collection.objects.link(self._camera)
        self.scene.camera = self._camera

    def _set_up_render(self, threads: int, transparent: bool) -> None:
        render = self.scene.render
        render.engine = "CYCLES"
        render.resolution_x, render.resolution_y = self.width, self.height
        render.resolution_percentage = 100
        render.use_persistent_data = True
        render.use_compositing = render.use_sequencer = False
        render.film_transparent = transparent
        if threads:
            render.threads_mode, render.threads = "FIXED", threads
        render.filepath = str(self._picture)
        render.use_file_extension = False
        settings = render.image_settings
        settings.media_type = "MULTI_LAYER_IMAGE"
        settings.file_format = "OPEN_EXR_MULTILAYER"
        settings.color_depth = "32"
        settings.exr_codec = "NONE"
        settings.use_exr_interleave = True

    def _set_up_cycles(self, quality: Quality) -> None:
        cycles = self.scene.cycles
        cycles.device = "CPU"
        cycles.use_adaptive_sampling = False
        cycles.use_denoising = True
        cycles.denoiser = "OPENIMAGEDENOISE"
        cycles.denoising_use_gpu = False
        cycles.caustics_reflective = cycles.caustics_refractive = False
        cycles.sample_clamp_indirect = 4.0  # a firefly costs more than the light it carries
        cycles.seed = 0
        self.set_quality(quality)

    def set_quality(self, quality: Quality) -> None:
        """Let the next pictures cost more or less."""
        cycles = self.scene.cycles
        cycles.samples = quality.samples
        cycles.denoising_quality = quality.denoise_quality
        cycles.denoising_prefilter = quality.denoise_prefilter
        cycles.denoising_input_passes = quality.denoise_passes
        cycles.max_bounces = quality.bounces
        cycles.diffuse_bounces = min(quality.bounces, 3)
        cycles.glossy_bounces = min(quality.bounces, 3)
        cycles.transmission_bounces = min(quality.bounces, 4)

    def _set_up_passes(self) -> None:
        layer = self.scene.view_layers[0]
        layer.name = "view"
        layer.use_pass_combined = layer.use_pass_z = True
        layer.use_pass_object_index = layer.use_pass_material_index = True
        layer.use_pass_normal = True

    def add_surface_passes(self) -> None:
        """Give texture coordinates and albedo with every picture from now on."""
        layer = self.scene.view_layers[0]
        layer.use_pass_uv = layer.use_pass_diffuse_color = True

    def set_hdri(self, path: str | Path, rotation_rad: float = 0.0, strength: float = 1.0) -> None:
        """Light from an equirectangular picture turned about the world's z axis.

        Raises:
            ViewfinderError: the picture can't be read.
        """
        self._world.use(self.hdri_image(path), rotation_rad, strength)

    def hdri_image(self, path: str | Path) -> Any:
        """Blender's image of that file, loaded once."""
        path = Path(path)
        if path not in self._environment:
            try:
                with quiet(errors=True):
                    image = bpy.data.images.load(str(path))
                    size = tuple(image.size)
            except RuntimeError as error:
                raise ViewfinderError("the HDRI can't be read", file=path) from error
            if not all(size):
                raise ViewfinderError("the HDRI can't be read", file=path)
            self._environment[path] = image
        return self._environment[path]

    def hdri_pixels(self, path: str | Path) -> NDArray[np.float32]:
        """(H, W, 3) scene-linear RGB of an HDRI, row 0 at the top.

        Keep what you need: nothing of it stays here, since a folder may hold gigabytes of them.

        Raises:
            ViewfinderError: the picture can't be read.
        """
        image = self.hdri_image(path)
        width, height = image.size
        pixels = np.empty(width * height * image.channels, dtype=np.float32)
        image.pixels.foreach_get(pixels)
        image.buffers_free()  # Cycles reads the file itself
        upright = pixels.reshape(height, width, image.channels)[::-1, :, :3]
        return np.ascontiguousarray(upright)

    def set_camera(self, world_from_camera: ArrayLike, camera: Camera) -> None:
        """Place the camera.

        Args:
            world_from_camera: (4, 4) rigid, from OpenCV's camera axes.
            camera: square pixels, no distortion, of the scene's width and height.

        Raises:
            ValueError: a camera that Cycles can't show.
        """
        if camera.distortion or abs(camera.fx / camera.fy - 1) > 1e-9:
            raise ValueError("Cycles needs square pixels and no distortion")
        if (camera.width, camera.height) != (self.width, self.height):
            raise ValueError("the camera's picture has another size than the scene's")
        data = self._camera.data
        data.sensor_fit = "HORIZONTAL"
        data.sensor_width = 36.0
        data.lens = camera.fx / camera.width * 36.0
        # Blender shifts the frame, OpenCV the principal point; both in units of the width.
        data.shift_x = (camera.width / 2 - camera.cx) / camera.width
        data.shift_y = (camera.cy - camera.height / 2) / camera.width
        pose = np.asarray(world_from_camera, dtype=np.float64) @ OPENCV_FROM_OPENGL
        self._camera.matrix_world = pose.T.tolist()

    def add_mesh(
        self,
        name: str,
        vertices_m: ArrayLike,
        faces: ArrayLike,
        materials: Sequence[Any] = (),
        face_material: ArrayLike | None = None,
        face_uv: ArrayLike | None = None,
        index: int = 0,
    ) -> SceneMesh:
        """A new mesh with smooth shading.

        Args:
            name: of the object.
            vertices_m: (V, 3) in world axes.
            faces: (F, 3) or (F, 4) vertex indices, counter-clockwise from outside.
            materials: Blender's materials; `pass_index` of each is what `material_index` shows.
            face_material: (F,) index into `materials`.
            face_uv: (F, 3 or 4, 2) texture coordinates.
            index: what `Passes.object_index` shows for it.
        """
        mesh = bpy.data.meshes.new(name)
        corners = np.asarray(faces, dtype=np.int32)
        mesh.from_pydata(np.asarray(vertices_m).tolist(), [], corners.tolist())
        mesh.polygons.foreach_set("use_smooth", np.ones(len(corners), dtype=bool))
        for material in materials:
            mesh.materials.append(material)
        if face_material is not None:
            mesh.polygons.foreach_set("material_index", np.asarray(face_material, dtype=np.int32))
        if face_uv is not None:
            layer = mesh.uv_layers.new(name="uv")
            layer.data.foreach_set("uv", np.asarray(face_uv, dtype=np.float32).ravel())
        thing = bpy.data.objects.new(name, mesh)
        thing.pass_index = index
        self.scene.collection.objects.link(thing)
        return SceneMesh(thing)

    def add_coverage(self, name: str) -> None:
        """Let materials with an AOV output of that name say how much of each pixel they take."""
        aov = self.scene.view_layers[0].aovs.add()
        aov.name, aov.type = name, "VALUE"

    def set_window(self, window_px: tuple[int, int, int, int] | None) -> None:
        """Render only a part of the picture from now on; the rest comes back empty.

        What a transparent film shows nothing of costs little in Cycles, but its denoiser, its
        passes and their file take their time for every pixel.

        Args:
            window_px: left, top, right, bottom (the last two beyond it), within the picture; None
                for all of it. An empty window isn't rendered at all.
        """
        self._window = (0, 0, self.width, self.height) if window_px is None else window_px
        left, top, right, bottom = self._window
        render = self.scene.render
        render.use_border = render.use_crop_to_border = window_px is not None
        # Blender cuts these off to whole pixels: a quarter more keeps rounding from losing one.
        render.border_min_x = (left + 0.25) / self.width
        render.border_max_x = (right + 0.25) / self.width
        render.border_min_y = (self.height - bottom + 0.25) / self.height
        render.border_max_y = (self.height - top + 0.25) / self.height

    def render(self) -> Passes:
        """Render the scene as it stands.

        Raises:
            ViewfinderError: Blender couldn't render or write the passes.
        """
        left, top, right, bottom = self._window
        if right <= left or bottom <= top:
            return empty_passes(self.width, self.height)
        names = [aov.name for aov in self.scene.view_layers[0].aovs]
        found = passes_of(self._written(), names)
        if found.alpha.shape == (self.height, self.width):
            return found
        return framed(found, self._window, empty_passes(self.width, self.height))

    def _written(self) -> dict[str, NDArray[np.float32]]:
        """The channels that Blender writes of the scene as it stands."""
        self._picture.unlink(missing_ok=True)
        try:
            with quiet(errors=True):
                bpy.ops.render.render(write_still=True)
            channels = read_exr(self._picture.read_bytes())
        except (OSError, RuntimeError, ValueError) as error:
            raise ViewfinderError(
                "Blender's render can't be read", file=self._picture,
                found=str(error).strip().split("\n")[-1],
                hint="is there room in that folder, and memory to spare?",
            ) from error  # fmt: skip
        self._picture.unlink()
        return channels

    def close(self) -> None:
        """Remove the files on the RAM disk."""
        self._folder.cleanup()


class SceneMesh:
    """A mesh in the scene whose vertices change from picture to picture."""

    def __init__(self, thing: Any) -> None:
        self.object = thing
        self.mesh = thing.data
        self._shown = True

    def move(self, vertices_m: ArrayLike) -> None:
        """Give the vertices (V, 3) new places; edges and faces stay."""
        flat = np.ascontiguousarray(vertices_m, dtype=np.float32).ravel()
        self.mesh.vertices.foreach_set("co", flat)
        self.mesh.update()

    def set_attribute(self, name: str, values: ArrayLike) -> None:
        """A value per vertex that materials read by name: (V,), (V, 3) vectors or (V, 4) RGBA."""
        array = np.asarray(values, dtype=np.float32)
        kind, key = {1: ("FLOAT", "value"), 3: ("FLOAT_VECTOR", "vector")}.get(
            1 if array.ndim == 1 else array.shape[1], ("FLOAT_COLOR", "color")
        )
        attribute = self.mesh.attributes.get(name)
        if attribute is None:
            attribute = self.mesh.attributes.new(name, kind, "POINT")
        attribute.data.foreach_set(key, np.ascontiguousarray(array).ravel())
        self.mesh.update()

    def show(self, visible: bool) -> None:
        """Take part in the next pictures or not."""
        if visible == self._shown:
            return
        self._shown = visible
        # `hide_render` would do the same, but whenever it changes Blender 5.0 builds its dependency
        # graph anew and keeps some of the old one: 0.12 MB a picture. Cycles leaves out what no
        # kind of ray sees.
        for ray in ("camera", "diffuse", "glossy", "transmission", "volume_scatter", "shadow"):
            setattr(self.object, f"visible_{ray}", visible)


class _World:
    """The light from everywhere, built once."""

    def __init__(self, scene: Any) -> None:
        self._now: tuple[str, float, float] | None = None
        world = bpy.data.worlds.new("world")
        scene.world = world
        # The importance map is rebuilt whenever the world turns; at Cycles' automatic size that
        # costs over a second.
        world.cycles.sampling_method = "MANUAL"
        world.cycles.sample_map_resolution = 256
        tree = world.node_tree
        tree.nodes.clear()
        place = tree.nodes.new("ShaderNodeTexCoord").outputs["Generated"]
        self._mapping = tree.nodes.new("ShaderNodeMapping")
        self._texture = tree.nodes.new("ShaderNodeTexEnvironment")
        self._background = tree.nodes.new("ShaderNodeBackground")
        output = tree.nodes.new("ShaderNodeOutputWorld")
        tree.links.new(place, self._mapping.inputs["Vector"])
        tree.links.new(self._mapping.outputs[0], self._texture.inputs["Vector"])
        tree.links.new(self._texture.outputs[0], self._background.inputs["Color"])
        tree.links.new(self._background.outputs[0], output.inputs["Surface"])
        self._background.inputs["Color"].default_value = (0.0, 0.0, 0.0, 1.0)

    def use(self, image: Any, rotation_rad: float, strength: float) -> None:
        wanted = (image.name, rotation_rad, strength)
        if wanted == self._now:
            return  # touching the world at all has Cycles rebuild its importance map
        self._now = wanted
        self._texture.image = image
        # The mapping turns the direction that is looked up: the picture turns the other way.
        self._mapping.inputs["Rotation"].default_value = (0.0, 0.0, -rotation_rad)
        self._background.inputs["Strength"].default_value = strength


def bpy_version() -> str:
    """Blender's version, on which pixels depend."""
    return str(bpy.app.version_string)


def _work_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for this process's EXR files; those of processes that were killed are removed."""
    base = _ram_disk()
    for left in Path(base or tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = left.name.removeprefix(_PREFIX).split("-")[0]
        if owner.isdigit() and not _runs(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=base)


_PREFIX = "viewfinder-render-"


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)  # asks only
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _ram_disk() -> str | None:
    shared = Path("/dev/shm")  # POSIX shared memory on Linux
    return str(shared) if shared.is_dir() and os.access(shared, os.W_OK) else None
