"""Cycles against geometry that can be computed by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bpy
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from render.cycles import CyclesScene, Quality
from render.device import find_gpu, quiet
from render.environments import bundled_hdris
from render.exr import read_exr
from render.labels import shown_window
from render.photo import environment_background
from runtime.camera import Camera, transform_points
from runtime.errors import ViewfinderError

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 96, 64
ONE_SAMPLE = Quality(1, "FAST", "NONE", "RGB")


@pytest.fixture
def scene() -> Iterator[CyclesScene]:
    scene = CyclesScene(WIDTH, HEIGHT, ONE_SAMPLE, threads=1)
    yield scene
    scene.close()


def a_pose(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    pose = np.eye(4)
    pose[:3, :3] = turn * np.sign(np.linalg.det(turn))
    pose[:3, 3] = rng.uniform(-1, 1, 3)
    return pose


def pixel_rays(camera: Camera) -> np.ndarray:
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    return camera.unproject(np.stack([x, y], axis=-1), np.ones_like(x))


def icosphere(radius: float) -> tuple[np.ndarray, np.ndarray]:
    import bpy

    mesh = bpy.data.meshes.new("ball")
    import bmesh

    form = bmesh.new()
    bmesh.ops.create_icosphere(form, subdivisions=5, radius=radius)
    form.to_mesh(mesh)
    form.free()
    vertices = np.array([v.co for v in mesh.vertices])
    faces = np.array([p.vertices for p in mesh.polygons])
    return vertices, faces


def test_depth_of_a_slanted_plane_is_planar_and_exact(scene: CyclesScene) -> None:
    # An off-centre principal point shows whether shifts go the right way.
    camera = Camera(110.0, 110.0, 40.0, 35.0, WIDTH, HEIGHT)
    pose = a_pose(1)
    corners = np.array([[-9, -9, 0], [9, -9, 0], [9, 9, 0], [-9, 9, 0.0]])
    corners[:, 2] = 2 + 0.3 * corners[:, 0] / 9 - 0.2 * corners[:, 1] / 9
    scene.add_mesh("plane", transform_points(pose, corners), [[0, 1, 2, 3]], index=3)
    scene.set_camera(pose, camera)
    passes = scene.render()
    rays = pixel_rays(camera)
    expected = 2 / (1 - 0.3 / 9 * rays[..., 0] + 0.2 / 9 * rays[..., 1])
    assert np.abs(passes.depth_m - expected).max() < 2e-4
    assert (passes.object_index == 3).all()


def test_depth_of_a_sphere_and_the_void_around_it(scene: CyclesScene) -> None:
    camera = Camera(100.0, 100.0, 52.0, 30.0, WIDTH, HEIGHT)
    pose, centre, radius = a_pose(2), np.array([0.05, -0.1, 1.5]), 0.4
    vertices, faces = icosphere(radius)
    scene.add_mesh("ball", transform_points(pose, vertices + centre), faces, index=5)
    scene.set_camera(pose, camera)
    passes = scene.render()
    rays = pixel_rays(camera)
    # |t ray - centre| = radius, ray with z = 1: t is the planar depth.
    a, b = (rays**2).sum(-1), rays @ centre
    inside = b * b - a * (centre @ centre - radius**2)
    with np.errstate(invalid="ignore"):
        expected = (b - np.sqrt(inside)) / a
    well_inside, well_outside = inside > 0.02, inside < -0.02
    # The ball is made of flat triangles, up to 0.2 mm inside the sphere, seen at a slant.
    assert np.abs(passes.depth_m - expected)[well_inside].max() < 2e-3
    assert np.median(np.abs(passes.depth_m - expected)[well_inside]) < 5e-4
    assert np.isinf(passes.depth_m[well_outside]).all()
    assert (passes.object_index[well_inside] == 5).all()
    assert (passes.object_index[well_outside] == 0).all()


def test_pixels_do_not_depend_on_threads_or_on_what_came_before() -> None:
    vertices, faces = icosphere(0.3)
    pictures = []
    for threads, before in ((1, 0), (2, 2)):
        scene = CyclesScene(48, 48, Quality(2), threads=threads, transparent=True)
        ball = scene.add_mesh("ball", vertices + [0, 0, 2], faces)
        scene.set_camera(np.eye(4), Camera.from_fov(0.5, 48, 48))
        for i in range(before):
            scene.set_hdri(bundled_hdris()[i])
            ball.move(vertices + [0.1 * i, 0, 1.5])
            scene.render()
        scene.set_hdri(bundled_hdris()[3], 0.4)
        ball.move(vertices + [0, 0, 2])
        pictures.append(scene.render())
        scene.close()
    assert np.array_equal(pictures[0].linear, pictures[1].linear)
    assert np.array_equal(pictures[0].alpha, pictures[1].alpha)
    assert pictures[0].linear.max() > 0


def test_what_is_not_shown_leaves_neither_picture_nor_shadow(scene: CyclesScene) -> None:
    vertices, faces = icosphere(0.3)
    scene.set_camera(np.eye(4), Camera.from_fov(0.5, WIDTH, HEIGHT))
    scene.set_hdri(bundled_hdris()[1])
    front = scene.add_mesh("front", vertices + [0.1, 0, 1.5], faces, index=1)
    behind = scene.add_mesh("behind", vertices * 5 + [0, 0, 4], faces, index=2)
    scene.render()
    front.show(False)
    alone = scene.render()
    assert set(np.unique(alone.object_index)) == {2}
    bpy.data.objects.remove(front.object)
    np.testing.assert_array_equal(scene.render().linear, alone.linear)
    behind.show(False)
    assert np.isinf(scene.render().depth_m).all()
    behind.show(True)
    np.testing.assert_array_equal(scene.render().linear, alone.linear)


def test_a_window_shows_what_the_whole_picture_shows_there() -> None:
    scene = CyclesScene(WIDTH, HEIGHT, Quality(2, "FAST", "NONE", "RGB"), transparent=True)
    try:
        scene.scene.cycles.use_denoising = False  # it alone looks beyond a pixel
        vertices, faces = icosphere(0.1)
        place = np.array([0.11, -0.04, 0.8])
        camera = Camera.from_fov(1.0, WIDTH, HEIGHT)
        scene.add_mesh("ball", vertices + place, faces, index=3)
        scene.set_camera(np.eye(4), camera)
        scene.set_hdri(bundled_hdris()[0])
        window = shown_window(vertices + place, camera, np.eye(4))
        assert window is not None
        left, top, right, bottom = window
        assert (right - left) * (bottom - top) < WIDTH * HEIGHT / 2
        whole = scene.render()
        scene.set_window(window)
        part = scene.render()
        for name in ("linear", "alpha", "depth_m", "object_index", "world_normals"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))
        scene.set_window((0, 0, 0, 0))
        nothing = scene.render()
        assert not nothing.alpha.any()
        assert np.isinf(nothing.depth_m).all()
        scene.set_window(None)
        np.testing.assert_array_equal(scene.render().linear, whole.linear)
    finally:
        scene.close()


def test_a_window_is_cut_where_it_was_asked_for_in_pictures_of_any_size() -> None:
    scene = CyclesScene(97, 61, ONE_SAMPLE, threads=1, transparent=True)
    try:
        scene.scene.cycles.use_denoising = False
        scene.add_mesh("slope", [[-9, -9, 5], [9, -9, 7], [9, 9, 9], [-9, 9, 7]], [[0, 1, 2, 3]])
        scene.set_camera(np.eye(4), Camera.from_fov(0.8, 97, 61))
        whole = scene.render().depth_m
        for left in range(0, 96, 4):
            top = left % 57
            part = slice(top, top + 3), slice(left, min(left + 9, 97))
            scene.set_window((left, top, part[1].stop, top + 3))
            depth = scene.render().depth_m
            np.testing.assert_array_equal(depth[part], whole[part])
            assert np.isfinite(depth).sum() == whole[part].size
    finally:
        scene.close()


@given(x=st.floats(-2, 2), y=st.floats(-2, 2), z=st.floats(0.1, 4), seed=st.integers(0, 99))
def test_nothing_of_a_mesh_shows_outside_its_window(
    x: float, y: float, z: float, seed: int
) -> None:
    camera = Camera.from_fov(1.1, WIDTH, HEIGHT)
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 0.03, (30, 3)) + (x, y, z)
    pose = a_pose(seed)
    window = shown_window(transform_points(pose, points), camera, pose)
    if window is None:
        return
    pixels = camera.project(points)
    inside = ((pixels >= 0) & (pixels < (WIDTH, HEIGHT))).all(axis=1)
    left, top, right, bottom = window
    assert ((pixels[inside] > (left, top)) & (pixels[inside] < (right, bottom))).all()
    assert 0 <= left <= right <= WIDTH
    assert 0 <= top <= bottom <= HEIGHT


def test_the_background_we_compute_is_the_one_cycles_shows(scene: CyclesScene) -> None:
    camera = Camera.from_fov(math.radians(60), WIDTH, HEIGHT)
    pose, hdri = a_pose(4), bundled_hdris()[0]
    scene.set_hdri(hdri, 0.8)
    scene.set_camera(pose, camera)
    shown = scene.render().linear
    ours = environment_background(scene.hdri_pixels(hdri), camera, pose, 0.8)
    assert np.abs(np.log(shown + 0.02) - np.log(ours + 0.02)).mean() < 0.06
    flipped = np.abs(np.log(shown + 0.02) - np.log(ours[:, ::-1] + 0.02)).mean()
    assert flipped > 0.2


def test_a_camera_cycles_cannot_show_is_refused(scene: CyclesScene) -> None:
    with pytest.raises(ValueError, match="distortion"):
        scene.set_camera(np.eye(4), Camera(90, 90, 48, 32, WIDTH, HEIGHT, (0.1,)))
    with pytest.raises(ValueError, match="size"):
        scene.set_camera(np.eye(4), Camera.from_fov(0.5, 64, 64))


def test_an_hdri_that_is_none_is_one_clear_error(scene: CyclesScene, tmp_path: Path) -> None:
    broken = tmp_path / "sky.exr"
    broken.write_bytes(b"no picture at all")
    with pytest.raises(ViewfinderError, match=r"sky\.exr"):
        scene.set_hdri(broken)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9999])
@pytest.mark.parametrize("extension", [".exr", ".hdr"])
def test_an_hdri_cut_short_is_one_clear_error(
    scene: CyclesScene, tmp_path: Path, capfd: pytest.CaptureFixture[str], extension: str,
    share: float,
) -> None:  # fmt: skip
    path = tmp_path / f"sky{extension}"
    if extension == ".exr":
        data = bundled_hdris()[0].read_bytes()
    else:
        rgb = np.random.default_rng(0).random((32, 64, 3), dtype=np.float32)
        data = cv2.imencode(".hdr", rgb)[1].tobytes()
        path.write_bytes(data)
        assert scene.hdri_pixels(path).shape == rgb.shape
    broken = tmp_path / f"cut{extension}"
    broken.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ViewfinderError, match=r"cut\.(exr|hdr): the HDRI can't be read"):
        scene.set_hdri(broken)
    said = capfd.readouterr()
    assert said.err == said.out == ""  # Blender's own lines would bury ours


def test_a_full_ram_disk_is_one_clear_error_and_room_again_goes_on() -> None:
    code = """
import resource, sys
import numpy as np
from render.cycles import CyclesScene, Quality
from render.device import find_gpu, quiet
from runtime.camera import Camera
from runtime.errors import ViewfinderError

scene = CyclesScene(64, 64, Quality(1, "FAST", "NONE", "RGB"), threads=1, transparent=True)
scene.set_camera(np.eye(4), Camera.from_fov(0.5, 64, 64))
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for limit in (100, 20_000, 100_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    try:
        scene.render()
        sys.exit("it was written")
    except ViewfinderError as error:
        assert "passes.exr" in str(error) and "\\n" not in str(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
assert scene.render().alpha.shape == (64, 64)
scene.close()
"""
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("length", [0, 4, 8, 40, 300, 600])
def test_an_exr_cut_short_anywhere_is_refused(scene: CyclesScene, length: int) -> None:
    scene.scene.render.image_settings.color_depth = "16"
    scene._picture.unlink(missing_ok=True)
    with quiet():
        bpy.ops.render.render(write_still=True)
    data = scene._picture.read_bytes()
    assert read_exr(data)
    with pytest.raises(ValueError, match="EXR"):
        read_exr(data[:length])
    with pytest.raises(ValueError, match="EXR"):
        read_exr(data[:-1])


def test_without_a_gpu_asking_for_one_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("render.device.GPU_KINDS", ("NONE", "METEOR"))  # kinds that find nothing
    with pytest.raises(ViewfinderError, match=r"\[--device\]: Cycles finds no GPU.*leave --device"):
        find_gpu()


def test_the_exr_reader_refuses_what_it_does_not_read() -> None:
    with pytest.raises(ValueError, match="EXR"):
        read_exr(b"\x00" * 64)
    with pytest.raises(ValueError, match="EXR"):
        read_exr(bundled_hdris()[0].read_bytes())  # compressed


def test_files_of_a_killed_process_are_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("render.cycles._ram_disk", lambda: str(tmp_path))
    left = tmp_path / "viewfinder-render-999999999-abc"
    left.mkdir()
    CyclesScene(32, 32, ONE_SAMPLE).close()
    assert list(tmp_path.iterdir()) == []
