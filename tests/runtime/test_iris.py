"""Irises: depth from their size, the eye's crop, and where the focal length comes from."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import ViewfinderError
from runtime.exif import read_exif
from runtime.image import encode_image
from runtime.iris import guessed_focal_px, iris_depth
from runtime.lineup import Running
from runtime.results import Subject
from runtime.roi import Roi, eye_roi
from runtime.solutions import open_solution
from runtime.solutions.iris import eye_crop
from runtime.solutions.iris_depth import MeasureDepth
from runtime.sources import open_source
from tests.runtime.test_image import with_exif

SIZE = (1280, 720)
DIAMETER_M = 0.0117


def projected_iris(centre_m: np.ndarray, focal_px: float, diameter_m: float) -> np.ndarray:
    """(5, 2) pixels of an iris that faces the camera: a circle whose axis is the line of sight."""
    sight = centre_m / np.linalg.norm(centre_m)
    right = np.cross([0, 1.0, 0], sight)
    right /= np.linalg.norm(right)
    down = np.cross(sight, right)
    around = np.array([0 * right, right, -down, -right, down]) * diameter_m / 2
    points = centre_m + around
    return points[:, :2] / points[:, 2:] * focal_px + np.array(SIZE) / 2


@given(st.floats(0.15, 3), st.floats(-0.35, 0.35), st.floats(-0.2, 0.2), st.floats(500, 3000),
       st.floats(0.009, 0.014))  # fmt: skip
def test_a_circle_at_a_known_distance(
    distance: float, across: float, down: float, focal: float, diameter: float
) -> None:
    sight = np.array([math.tan(across), math.tan(down), 1.0])
    centre = distance * sight / np.linalg.norm(sight)
    found = iris_depth(projected_iris(centre, focal, diameter), focal, SIZE, diameter)
    assert found is not None
    # MediaPipe's formula takes the iris for an arc about the lens. Off the axis a circle's picture
    # is longer outwards, which this doesn't undo: exact in the middle, short by the angle's square.
    off_axis = math.hypot(across, down)
    assert found.depth_m <= distance * 1.002
    assert found.depth_m == pytest.approx(distance, rel=0.002 + 0.9 * off_axis**2)


def test_the_formula() -> None:
    iris = np.array([[700, 400], [710, 400], [700, 391], [690, 400], [700, 409]])
    found = iris_depth(iris, 1000.0, SIZE, 0.0118)
    expected = 0.0118 * math.sqrt(1000**2 + 60**2 + 40**2) / 19
    assert found is not None
    assert (found.depth_m, found.diameter_px) == (pytest.approx(expected), 19)
    assert found.error_m == pytest.approx(
        expected * math.hypot(0.0005 / 0.0118, (20 - 18) / 2 / 19)
    )
    assert iris_depth(np.full((5, 2), 7.0), 1000.0, SIZE, 0.0118) is None
    assert iris_depth(np.full((5, 2), np.nan), 1000.0, SIZE, 0.0118) is None


@given(st.floats(0.01, 100), st.floats(0.1, 10))
def test_depth_is_proportional(scale: float, zoom: float) -> None:
    iris = np.array([[640, 360], [650, 360], [640, 350], [630, 360], [640, 370.5]])
    one = iris_depth(iris, 800, SIZE, DIAMETER_M)
    larger = iris_depth(iris, 800 * zoom, SIZE, DIAMETER_M * scale)
    assert one
    assert larger
    assert larger.depth_m == pytest.approx(one.depth_m * scale * zoom)


def face_at(distances: tuple[float, float], focal: float, subject_id: int = 0) -> Subject:
    points = np.zeros((478, 3), dtype=np.float32)
    for first, x, distance in ((468, -0.03, distances[0]), (473, 0.03, distances[1])):
        centre = np.array([x, 0.0, math.sqrt(distance**2 - x**2)])
        points[first : first + 5, :2] = projected_iris(centre, focal, DIAMETER_M) / SIZE
    return Subject(subject_id, "face478@1", 1.0, points, (0.0, 0.0, 1.0, 1.0))


def depths(calculator: MeasureDepth, subject: Subject, focal: float | None) -> dict:
    picture = np.zeros((SIZE[1], SIZE[0], 3), dtype=np.uint8)
    (found,) = calculator.process([subject], picture, focal)
    assert found.iris is not None
    return found.iris


def test_where_the_focal_length_comes_from() -> None:
    face = face_at((0.5, 0.6), 900)
    iris = depths(MeasureDepth(900.0, DIAMETER_M, static=True), face, 777.0)
    assert (iris["focal_px"], iris["focal_source"]) == (900, "given")
    assert iris["right_depth_m"] == pytest.approx(0.5, rel=0.01)
    assert iris["left_depth_m"] == pytest.approx(0.6, rel=0.01)
    assert iris["left_diameter_px"] < iris["right_diameter_px"]
    assert 0.04 * 0.5 < iris["right_depth_error_m"] < 0.05 * 0.5
    of_picture = depths(MeasureDepth(None, DIAMETER_M, static=True), face, 450.0)
    assert of_picture["focal_source"] == "exif"
    assert of_picture["right_depth_m"] == pytest.approx(0.25, rel=0.02)
    guess = depths(MeasureDepth(None, DIAMETER_M, static=True), face, None)
    assert (guess["focal_px"], guess["focal_source"]) == (pytest.approx(587.45, abs=0.1), "guess")
    assert guessed_focal_px(720) == pytest.approx(587.45, abs=0.1)


def test_depths_are_smoothed_while_a_face_is_followed() -> None:
    near, far = face_at((0.5, 0.5), 900), face_at((1.0, 1.0), 900)
    following = MeasureDepth(900.0, DIAMETER_M, static=False)
    first = depths(following, near, None)["right_depth_m"]
    second = depths(following, far, None)["right_depth_m"]
    alone = depths(MeasureDepth(900.0, DIAMETER_M, static=True), far, None)["right_depth_m"]
    assert second == pytest.approx(0.9 * first + 0.1 * alone, abs=1e-4)
    assert depths(following, face_at((1.0, 1.0), 900, 5), None)["right_depth_m"] == alone
    following.reset()
    assert depths(following, far, None)["right_depth_m"] == alone
    static = MeasureDepth(900.0, DIAMETER_M, static=True)
    depths(static, near, None)
    assert depths(static, far, None)["right_depth_m"] == alone


def test_the_eye_region_and_its_crop() -> None:
    roi = eye_roi([[100, 50], [140, 80]])
    assert (roi.cx, roi.cy) == (120, 65)
    assert (roi.width, roi.height) == (pytest.approx(92), pytest.approx(92))
    assert roi.rotation_rad == pytest.approx(math.atan2(30, 40))
    picture = np.zeros((200, 300, 3), dtype=np.uint8)
    picture[..., 0] = np.arange(300) % 256
    picture[..., 1] = np.arange(200)[:, None]
    for side in (16, 64, 130):  # enlarged, as it is, and made smaller
        crop = eye_crop(picture, Roi(120, 90, side, side), 64)
        assert crop is not None
        assert crop.shape == (64, 64, 3)
        x, y = crop[32, 32, :2].astype(int)
        assert abs(x - 120) <= 1 + side / 64
        assert abs(y - 90) <= 1 + side / 64
        spread = int(crop[0, -1, 0]) - int(crop[0, 0, 0])
        assert spread == pytest.approx(side * 63 / 64, abs=2)
    turned = eye_crop(picture, Roi(120, 90, 64, 64, math.pi / 2), 64)
    assert turned is not None
    assert int(turned[32, 60, 1]) > int(turned[32, 4, 1]) + 40  # its x axis runs down the picture
    assert eye_crop(picture, Roi(120, 90, 0.2, 0.2), 64) is None
    assert eye_crop(picture, Roi(120, 90, 1, 1), 64) is not None


def test_a_pictures_exif_reaches_the_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = np.random.default_rng(1).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    # 35 mm equivalent of 50 mm: IFD0 points to an EXIF directory with that one tag.
    directory = struct.pack("<HHHIII", 1, 0x8769, 4, 1, 26, 0)
    exif = struct.pack("<HHHIHHI", 1, 0xA405, 3, 1, 50, 0, 0)
    jpeg = with_exif(encode_image(rgb, ".jpg"), b"II*\0" + struct.pack("<I", 8) + directory + exif)
    focal = 50 * math.hypot(60, 40) / math.hypot(36, 24)
    assert read_exif(jpeg, 60, 40).focal_length_px == pytest.approx(focal)
    (tmp_path / "a.jpg").write_bytes(jpeg)
    (tmp_path / "b.png").write_bytes(encode_image(rgb, ".png"))
    frames = list(open_source(tmp_path).frames(lambda error: None))
    assert [frame.focal_px for frame in frames] == [pytest.approx(focal), None]
    asked = []

    class Watching:
        def process(self, rgb, timestamp_us, focal_px=None):
            asked.append(focal_px)
            return []

        def reset(self) -> None:
            pass

    running = Running("watching", Watching())
    for frame in frames:
        running.find(frame)
    assert asked == [pytest.approx(focal), None]


@pytest.mark.usefixtures("mediapipe_models")
def test_irises_agree_with_the_attention_model(astronaut: np.ndarray) -> None:
    height, width = astronaut.shape[:2]
    options = {"models": "mediapipe", "static": True, "max_subjects": 1, "focal_px": 500.0}
    (own,) = open_solution("iris", **options).process(astronaut, 0)
    (mesh,) = open_solution("face", variant="468", **options).process(astronaut, 0)
    (other,) = open_solution("face", variant="attention", **options).process(astronaut, 0)
    assert own.topology == "face478@1"
    size = np.array([width, height])
    apart = np.abs((own.keypoints - other.keypoints)[:, :2] * size)
    assert apart[468:].max() < 1.5  # every point of both irises, so none has changed places
    untouched = [1, 4, 61, 152, 291]
    np.testing.assert_array_equal(own.keypoints[untouched], mesh.keypoints[untouched])
    assert (own.keypoints[[33, 133, 263, 362]] != mesh.keypoints[[33, 133, 263, 362]]).any(1).all()
    assert own.iris
    assert other.iris
    for side in ("left", "right"):
        depth, error = other.iris[f"{side}_depth_m"], other.iris[f"{side}_depth_error_m"]
        assert own.iris[f"{side}_depth_m"] == pytest.approx(depth, abs=2 * error)
    assert "iris" not in mesh.to_json()
    flipped = np.ascontiguousarray(astronaut[:, ::-1])
    (mirrored,) = open_solution("iris", **options).process(flipped, 0)
    assert mirrored.iris
    assert mirrored.iris["left_diameter_px"] == pytest.approx(
        own.iris["right_diameter_px"], rel=0.1
    )


@pytest.mark.usefixtures("mediapipe_models")
def test_a_followed_face_keeps_its_irises(astronaut: np.ndarray) -> None:
    solution = open_solution("iris", models="mediapipe", max_subjects=1)
    ids, seen = set(), []
    for number in range(5):
        shift = np.float32([[1, 0, 2 * number], [0, 1, number]])
        moved = cv2.warpAffine(astronaut, shift, (512, 512))
        (face,) = solution.process(moved, 33333 * number)
        ids.add(face.id)
        seen.append(face.keypoints[[468, 473], :2] * 512 - (2 * number, number))
    assert len(ids) == 1
    assert np.abs(np.diff(seen, axis=0)).max() < 1.5


@pytest.mark.usefixtures("mediapipe_models")
def test_a_face_model_with_irises_is_pointed_elsewhere(face_bundle: Path) -> None:
    with pytest.raises(ViewfinderError, match="irises of its own"):
        open_solution("iris", face_bundle)
