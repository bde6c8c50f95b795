"""Boxes lifted from their corners: what is projected comes back, up to scale."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from runtime.camera import OPENCV_FROM_OPENGL, Camera
from runtime.cuboid import Cuboid, lift_cuboid, ndc_camera
from runtime.epnp import CORNER_WEIGHTS, control_points
from runtime.topology import topology


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    q[:, 2] *= np.linalg.det(q)
    return q


def random_box(rng: np.random.Generator) -> Cuboid:
    """Nine degrees of freedom, wholly before the camera."""
    size = rng.uniform(0.05, 0.6, 3)
    centre = np.array([*rng.uniform(-0.4, 0.4, 2), rng.uniform(0.7, 3.0)])
    return Cuboid(random_rotation(rng), centre, size)


def random_camera(rng: np.random.Generator) -> Camera:
    width, height = (int(side) for side in rng.integers(200, 2000, 2))
    fx, fy = rng.uniform(0.6, 2.0, 2) * max(width, height)
    return Camera(fx, fy, width * rng.uniform(0.4, 0.6), height * 0.5, width, height)


def test_corner_weights_are_the_topologys_corners() -> None:
    names = topology("cuboid9@1").keypoint_names[1:]
    centre, axes = np.array([1.0, 2.0, 3.0]), np.diag([0.5, 0.25, 0.125])
    corners = CORNER_WEIGHTS @ np.vstack([centre, centre + axes])
    for name, corner in zip(names, corners):
        signs = np.array([1 if sign == "+" else -1 for sign in name.removeprefix("corner_")])
        np.testing.assert_allclose(corner, centre + signs @ axes)
    np.testing.assert_allclose(CORNER_WEIGHTS.sum(axis=1), 1)


@pytest.mark.parametrize("seed", range(40))
def test_projected_boxes_come_back_up_to_scale(seed: int) -> None:
    rng = np.random.default_rng(seed)
    box, camera = random_box(rng), random_camera(rng)
    lifted = lift_cuboid(camera.project(box.vertices()), camera)
    assert lifted is not None
    assert not lifted.metric
    scale = box.translation_m[2] / lifted.translation_m[2]
    np.testing.assert_allclose(lifted.directions, box.directions, atol=1e-5)
    np.testing.assert_allclose(lifted.rotation, box.directions, atol=1e-5)
    np.testing.assert_allclose(lifted.translation_m * scale, box.translation_m, rtol=0, atol=1e-5)
    np.testing.assert_allclose(lifted.size_m * scale, box.size_m, rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_a_known_size_makes_it_metric(seed: int) -> None:
    rng = np.random.default_rng(seed)
    box, camera = random_box(rng), random_camera(rng)
    lifted = lift_cuboid(camera.project(box.vertices()), camera)
    assert lifted is not None
    metric = lifted.with_size(box.size_m.max())
    assert metric.metric
    np.testing.assert_allclose(metric.vertices(), box.vertices(), atol=1e-4)


def test_a_known_plane_makes_it_metric() -> None:
    # A box that stands on the floor, 1.5 m below a camera that looks 20 degrees down.
    tilt = np.deg2rad(20)
    up = np.array([0, -np.cos(tilt), -np.sin(tilt)])
    forward = np.array([0, -np.sin(tilt), np.cos(tilt)])
    turn = np.deg2rad(25)
    side = np.array([1.0, 0, 0])
    x = np.cos(turn) * side + np.sin(turn) * forward
    directions = np.stack([x, up, np.cross(x, up)], axis=1)
    size = np.array([0.4, 0.3, 0.5])
    foot = -1.5 * up + 2.5 * forward
    box = Cuboid(directions, foot + up * size[1] / 2, size)
    camera = Camera.from_fov(1.2, 640, 480)
    lifted = lift_cuboid(camera.project(box.vertices()), camera)
    assert lifted is not None
    metric = lifted.on_plane(up, -1.5)
    assert metric is not None
    assert metric.metric
    np.testing.assert_allclose(metric.vertices(), box.vertices(), atol=1e-6)
    assert lifted.on_plane(up, 1.5) is None, "the plane above the camera"
    assert lifted.on_plane(up, 0.0) is None, "a plane through the camera"


def test_the_lift_leaves_the_picture_where_it_was() -> None:
    # Also with the wrong focal length, where edges come out slanted.
    rng = np.random.default_rng(5)
    box, camera = random_box(rng), Camera.from_fov(1.0, 640, 480)
    pixels = camera.project(box.vertices())
    wrong = ndc_camera(640, 480)
    lifted = lift_cuboid(pixels, wrong)
    assert lifted is not None
    again = wrong.project(lifted.vertices())
    assert np.abs(again[1:] - pixels[1:]).max() < 20
    rotation = lifted.rotation
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert not np.allclose(lifted.directions.T @ lifted.directions, np.eye(3), atol=1e-3)


def test_a_mirrored_picture_still_gives_a_proper_rotation() -> None:
    rng = np.random.default_rng(2)
    camera = Camera.from_fov(1.0, 640, 480)
    pixels = camera.project(random_box(rng).vertices())
    pixels[:, 0] = 640 - pixels[:, 0]
    lifted = lift_cuboid(pixels, camera)
    assert lifted is not None
    assert np.linalg.det(lifted.directions) < 0
    assert np.linalg.det(lifted.rotation) == pytest.approx(1)


@pytest.mark.parametrize(
    ("what", "pixels"),
    [
        ("one spot", np.full((9, 2), 200.0)),
        ("a line", np.linspace(0, 300, 18).reshape(9, 2)),
        ("not finite", np.full((9, 2), np.nan)),
        ("infinite", np.full((9, 2), np.inf)),
        ("two spots", np.array([[100.0, 100.0]] * 5 + [[300.0, 200.0]] * 4)),
    ],
)
def test_what_is_no_box_gives_none(what: str, pixels: np.ndarray) -> None:
    assert lift_cuboid(pixels, ndc_camera(640, 480)) is None, what


def test_noise_gives_a_finite_box_or_none() -> None:
    rng = np.random.default_rng(0)
    camera = ndc_camera(640, 480)
    for _ in range(200):
        lifted = lift_cuboid(rng.uniform(-500, 1500, (9, 2)), camera)
        if lifted is not None:
            assert np.isfinite(lifted.vertices()).all()
            assert lifted.translation_m[2] > 0


def test_vertices_are_the_sums_of_control_points() -> None:
    rng = np.random.default_rng(9)
    camera = Camera.from_fov(1.0, 640, 480)
    pixels = camera.project(random_box(rng).vertices()) + rng.normal(0, 3, (9, 2))
    points = control_points(pixels[1:], camera)
    lifted = lift_cuboid(pixels, camera)
    assert points is not None
    assert lifted is not None
    assert np.linalg.norm(points) == pytest.approx(1)
    np.testing.assert_allclose(lifted.vertices()[1:], CORNER_WEIGHTS @ points, atol=1e-12)


def test_the_lift_is_mediapipes(real: Path) -> None:
    """MediaPipe's camera axes are OpenGL's: the one place where the two meet."""
    stored = json.loads(
        (real / "mediapipe_reference" / "objectron_cup" / "smp_cup.json").read_text()
    )
    (truth,) = stored["objects"]
    width, height = stored["w"], stored["h"]
    pixels = np.array(truth["lm2d"])[:, :2] * (width, height)
    lifted = lift_cuboid(pixels, ndc_camera(width, height))
    assert lifted is not None
    flip = OPENCV_FROM_OPENGL[:3, :3]
    # MediaPipe solves in float32.
    np.testing.assert_allclose(lifted.vertices() @ flip, truth["lm3d"], atol=1e-5)
    np.testing.assert_allclose(flip @ lifted.directions, truth["R"], atol=1e-5)
    np.testing.assert_allclose(flip @ lifted.translation_m, truth["t"], atol=1e-5)
    np.testing.assert_allclose(lifted.size_m, truth["s"], atol=1e-5)


def test_json_holds_what_a_reader_needs() -> None:
    camera = Camera.from_fov(1.0, 640, 480)
    box = random_box(np.random.default_rng(1))
    pixels = camera.project(box.vertices())
    lifted = lift_cuboid(pixels, camera)
    assert lifted is not None
    stored = json.loads(json.dumps(lifted.with_size(0.5).to_json(pixels / (640, 480), camera)))
    assert stored["scale"] == "metric"
    assert max(stored["size_m"]) == pytest.approx(0.5)
    assert np.array(stored["keypoints"]).shape == (9, 2)
    np.testing.assert_allclose(np.reshape(stored["rotation"], (3, 3)), box.rotation, atol=1e-5)
    assert stored["camera"] == {"fx": camera.fx, "fy": camera.fy, "cx": 320.0, "cy": 240.0}
