"""Boxes that a model finds against the labels of a data set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from bootstrap import commands
from bootstrap.box_overlap import Boxes
from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from bootstrap.evaluate_boxes import box_details, by_group, categories, measure_boxes, with_boxes
from bootstrap.prelabel import predicted_label
from bootstrap.subjects import Settings, find_subjects
from runtime.camera import Camera
from runtime.errors import ViewfinderError
from runtime.image import encode_image
from runtime.model_store import missing_released
from runtime.results import Subject
from runtime.topology import topology

CAMERA = Camera(500, 480, 310, 250, 640, 480)
CUBOID = topology("cuboid9@1")
COUNT = 8


def make_boxes(root: Path, cameras: bool = True, planes: bool = True) -> Dataset:
    """Boxes before a camera, every other one a cup, each standing on a tilted plane."""
    rng = np.random.default_rng(0)
    ds = Dataset.create(root, DatasetInfo(name="boxes", generator="a test", shard_size=COUNT))
    samples, labels = [], []
    for i in range(COUNT):
        tilt = Rotation.from_euler("x", np.pi - 0.5) * Rotation.from_euler("y", rng.uniform(-3, 3))
        centre, size = rng.uniform([-0.2, -0.2, 1], [0.2, 0.2, 2]), rng.uniform(0.1, 0.4, 3)
        box = Boxes.checked(tilt.as_matrix(), centre, size)
        up = box.rotations[0][:, 1]
        grey = np.full((480, 640, 3), 100 + i, np.uint8)
        samples.append(
            Sample(sample_id=f"{i:08d}", image=encode_image(grey, ".png"), extension="png",
                   width=640, height=480, camera=CAMERA if cameras else None)
        )  # fmt: skip
        plane = {"normal": up.tolist(), "distance_m": float(up @ (centre - up * size[1] / 2))}
        labels.append(
            Label(sample_id=f"{i:08d}", topology="cuboid9@1",
                  keypoints_px=CAMERA.project(box.points_m()[0]), visibility=np.full(9, 2),
                  cuboid={"rotation": box.rotations[0].ravel(), "translation_m": centre,
                          "size_m": size, "frame": "camera"},
                  attributes={"category": "cup" if i % 2 else "chair",
                              **({"plane": plane} if planes else {})}, source="t")
        )  # fmt: skip
    ds.write_shard(0, samples, {"synthetic": labels})
    return ds


def subjects_of(ds: Dataset) -> list:
    return with_boxes(find_subjects(Settings((ds.root,), split="all"), CUBOID)[0])


@pytest.mark.parametrize("planes", [True, False])
def test_the_true_keypoints_give_the_true_boxes(tmp_path, planes):
    subjects = subjects_of(make_boxes(tmp_path, planes=planes))
    truth = np.stack([s.truth_px for s in subjects]).astype(np.float64)
    measured = measure_boxes(subjects, truth)
    assert measured.on_plane == (COUNT if planes else 0)
    np.testing.assert_allclose(measured.percent, 0, atol=0.1)  # labels are float32
    details = box_details(measured, subjects, np.full(COUNT, 0.9), [], np.random.default_rng(0))
    assert details["average_precision"] == {"0.25": 1.0, "0.5": 1.0, "0.75": 1.0}
    assert details["add_within_a_tenth"] == 1.0
    assert details["azimuth_deg"]["mean"] < 0.05
    assert details["symmetric"] == COUNT // 2


def test_misses_extras_and_wrong_boxes_count(tmp_path):
    subjects = subjects_of(make_boxes(tmp_path))
    predicted = np.stack([s.truth_px for s in subjects]).astype(np.float64)
    predicted[:3] = np.nan
    predicted[3, 1:] = predicted[3, :1]  # all in one spot: no box
    measured = measure_boxes(subjects, predicted)
    np.testing.assert_array_equal(measured.percent[:4], 100)
    assert not measured.found[:4].any()
    assert measured.found[4:].all()
    rng = np.random.default_rng(0)
    scores = np.full(COUNT, 0.5)
    found = (COUNT - 4) / COUNT
    none = box_details(measured, subjects, scores, [], rng)["average_precision"]["0.5"]
    low = box_details(measured, subjects, scores, [0.1] * (COUNT - 4), rng)["average_precision"][
        "0.5"
    ]
    high = box_details(measured, subjects, scores, [0.9] * (COUNT - 4), rng)["average_precision"][
        "0.5"
    ]
    assert none == pytest.approx(found, abs=1e-4) == low  # worse ones come after
    assert high == pytest.approx(found / 2, abs=1e-4)


def test_a_cup_may_turn_and_a_chair_may_not(tmp_path):
    subjects = subjects_of(make_boxes(tmp_path))
    predicted = []
    for subject in subjects:
        c = subject.label.cuboid
        box = Boxes.checked(c["rotation"], c["translation_m"], c["size_m"])
        predicted.append(CAMERA.project(box.turned(np.deg2rad(72)).points_m()[0]))
    measured = measure_boxes(subjects, np.stack(predicted))
    groups = categories(subjects)
    means = by_group(
        measured.percent, groups, [s.picture for s in subjects], np.random.default_rng(0)
    )
    assert means["cup"].mean < 1 < 20 < means["chair"].mean


def test_a_plane_that_is_off_costs_the_scale_alone(tmp_path):
    subjects = subjects_of(make_boxes(tmp_path))
    for subject in subjects:
        subject.label.attributes["plane"]["distance_m"] *= 1.5
    truth = np.stack([s.truth_px for s in subjects]).astype(np.float64)
    measured = measure_boxes(subjects, truth)
    details = box_details(measured, subjects, np.full(COUNT, 0.9), [], np.random.default_rng(0))
    assert details["average_precision"]["0.5"] < 0.1
    assert details["average_precision_up_to_scale"] == {"0.25": 1.0, "0.5": 1.0, "0.75": 1.0}


def test_half_a_turn_of_what_looks_the_same_is_no_error(tmp_path):
    subjects = subjects_of(make_boxes(tmp_path))
    chairs = [s for s in subjects if s.label.attributes["category"] == "chair"]
    for subject in chairs[:2]:
        subject.label.attributes["symmetry"] = "half"
    px = np.stack([s.truth_px for s in chairs])[:, [0, *(1 + (np.arange(8) ^ 5))]]
    measured = measure_boxes(chairs, px.astype(np.float64))
    np.testing.assert_allclose(measured.percent, 0, atol=0.1)  # the box is the same
    np.testing.assert_allclose(measured.errors.azimuth_rad, [0, 0, np.pi, np.pi], atol=1e-3)
    assert measured.errors.add_m[:2].max() < 1e-3 < 0.05 < measured.errors.add_m[2:].min()


def test_pictures_without_a_camera_are_told(tmp_path):
    with pytest.raises(ViewfinderError, match=r"cuboid, camera.*session propagate"):
        subjects_of(make_boxes(tmp_path, cameras=False))


@pytest.mark.skipif(
    bool(missing_released()), reason="viewfinder models fetch mediapipe brings these models"
)
def test_the_command_measures_a_released_model(tmp_path):
    ds = make_boxes(tmp_path / "set")
    app = typer.Typer()
    app.command()(commands.evaluate)
    sheet = tmp_path / "worst.png"
    arguments = ["object_detection_3d_chair", "--data", str(ds.root), "--picture", str(sheet)]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    result = json.loads(done.stdout)
    assert set(result["by"]) == {"cup", "chair"}
    assert result["n"] == COUNT
    assert 50 < result["mean"] <= 100  # grey pictures show no chairs
    assert set(result["boxes"]["average_precision"]) == {"0.25", "0.5", "0.75"}
    assert sheet.exists()
    table = CliRunner().invoke(app, arguments)
    assert "average precision" in table.stdout
    none = CliRunner().invoke(app, [*arguments[:3], "--crop", "detector", "--json"])
    assert json.loads(none.stdout)["missed"] == COUNT


def test_a_found_box_becomes_a_label_in_space():
    box = {"rotation": np.eye(3).ravel().tolist(), "translation_m": [0, 0, 1.0],
           "size_m": [0.1, 0.2, 0.3], "scale": "arbitrary", "keypoints": []}  # fmt: skip
    keypoints = np.full((9, 3), 0.5, np.float32)
    subject = Subject(
        id=0,
        topology="cuboid9@1",
        score=0.8,
        keypoints=keypoints,
        box=(0.4, 0.4, 0.2, 0.2),
        cuboid=box,
    )
    label = predicted_label("a", subject, (480, 640), "0" * 64)
    label.check()
    assert label.cuboid["frame"] == "camera"
    assert list(label.cuboid["size_m"]) == [0.1, 0.2, 0.3]
    assert label.attributes == {"scale": "arbitrary"}
