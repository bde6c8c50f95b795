"""Drawn lines of faces: which points they are, and what a training takes from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bootstrap import face_contours
from bootstrap.dataset import Dataset, Label
from bootstrap.face_contours import OUTLINE, SEEN_OUTLINE
from bootstrap.networks import FaceNetwork
from bootstrap.training.batches import stacked
from bootstrap.training.crops import training_example
from bootstrap.training.losses import Target, losses
from bootstrap.training.subjects import Subject, load_training_data
from runtime.topology import canonical_face, topology
from tests.bootstrap.drawn_subjects import write_drawn_dataset

FACE = topology("face478@1")


def lines_of(points_px: np.ndarray) -> dict[str, np.ndarray]:
    return {
        name: points_px[list(line.indices)].astype(np.float32)
        for name, line in FACE.contours.items()
    }


def lines_alone(label: Label) -> Label:
    assert label.keypoints_px is not None
    return replace(
        label, keypoints_px=None, keypoints_camera_m=None, visibility=None, box_px=None,
        contours=lines_of(label.keypoints_px),
    )  # fmt: skip


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_drawn_dataset(tmp_path_factory.mktemp("faces") / "mesh", "face", 8)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Subject]:
    folder = tmp_path_factory.mktemp("faces") / "lines"
    dataset = write_drawn_dataset(folder, "face", 8)
    dataset.write_layer("human/somebody", [lines_alone(x) for x in dataset.labels("synthetic")])
    data = load_training_data([folder], FACE)
    assert data.left_out == 0
    return [*data.train, *data.val]


def test_mirroring_is_its_own_inverse_and_the_meshs() -> None:
    order, on_mesh = list(face_contours.mirror()), face_contours.on_mesh()
    assert sorted(order) == list(range(155))
    assert [order[i] for i in order] == list(range(155))
    assert (on_mesh[order] == np.array(FACE.mirror)[on_mesh]).all()


def test_lines_alone_teach_what_they_correspond_to(drawn: list[Subject]) -> None:
    outline = face_contours.of_outline()
    on_lines = set(face_contours.on_mesh()[~outline].tolist())
    for subject in drawn:
        assert {int(i) for i in np.flatnonzero(subject.weight)} == on_lines, "no oval of the mesh"
        assert subject.z_px is None
        assert subject.world_m is None
        assert (subject.drawn_weight > 0).all()
        mine = face_contours.on_mesh()[~outline]
        np.testing.assert_array_equal(subject.drawn_px[~outline], subject.keypoints_px[mine])


def test_the_crop_of_lines_alone_is_the_meshs(drawn: list[Subject], meshes: Dataset) -> None:
    whole = load_training_data([meshes.root], FACE)
    crops = {s.source[1]: s.roi for s in (*whole.train, *whole.val)}
    for subject in drawn:
        mine, right = subject.roi, crops[subject.source[1]]
        assert abs(mine.cx - right.cx) + abs(mine.cy - right.cy) < 0.02 * right.width
        assert mine.width == pytest.approx(right.width, rel=0.02)


def test_an_outline_starts_at_the_top_of_the_face_however_it_was_drawn() -> None:
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    for turn in (0.0, 0.4, -0.9):
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        ring = (np.stack([60 * np.cos(angle), 90 * np.sin(angle)], 1) @ spin.T + 100).astype("f4")
        top = np.array([0, -90]) @ spin.T + 100
        right = np.array([60, 0]) @ spin.T + 100
        for line in (ring, np.roll(ring, 31, axis=0), ring[::-1]):
            found = face_contours.from_top(line, turn, 36)
            assert np.linalg.norm(found[0] - top) < 3
            assert np.linalg.norm(found[9] - right) < 3, "clockwise"


def test_the_seen_outline_counts_where_there_are_both() -> None:
    points = (canonical_face().vertices_m[:, :2] * (900, -900) + 100).astype(np.float32)
    points = np.concatenate([points, np.full((478 - len(points), 2), 100, np.float32)])[:478]
    wider = points[list(FACE.contours[OUTLINE].indices)] * 1.2 - 20
    weight = np.ones(478, np.float32)
    lines = lines_of(points) | {SEEN_OUTLINE: wider}
    outline = face_contours.of_outline()
    found, _ = face_contours.drawn_points(lines, points, weight, 0.0)
    anatomical, _ = face_contours.drawn_points(lines_of(points), points, weight, 0.0)
    assert np.ptp(found[outline][:, 0]) == pytest.approx(
        1.2 * np.ptp(anatomical[outline][:, 0]), rel=0.02
    )
    np.testing.assert_array_equal(found[~outline], anatomical[~outline])


def test_what_is_labelled_is_kept_and_other_counts_say_nothing() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (478, 2)).astype(np.float32)
    seen = np.zeros(478, np.int8)
    seen[33] = 1
    lines = {"right_eye": rng.uniform(0, 100, (16, 2)).astype(np.float32)}
    lines["lips_outer"] = rng.uniform(0, 100, (7, 2)).astype(np.float32)
    result, visibility = face_contours.with_lines(lines, points, seen)
    eye = list(FACE.contours["right_eye"].indices)
    assert (result[33] == points[33]).all()
    assert visibility[33] == 1
    np.testing.assert_array_equal(result[eye[1:]], lines["right_eye"][1:])
    assert (visibility > 0).sum() == 16


def test_real_faces_leave_z_alone_down_to_the_last_layer(drawn: list[Subject]) -> None:
    rng = np.random.default_rng(5)
    picture = rng.integers(0, 256, (256, 256, 3)).astype(np.uint8)
    examples = [training_example(picture, subject, FACE, 192, rng) for subject in drawn]
    assert max(one.presence for one in examples) == 1.0
    torch.manual_seed(0)
    network = FaceNetwork()
    target = Target.of(stacked(examples))
    losses(network(target.image), target)["loss"].backward()
    rows = network.landmarks.basis.weight.grad.reshape(478, 3, -1)
    assert (rows[:, 2] == 0).all(), "z of the mesh"
    labelled = (target.weight > 0).any(dim=0)
    assert (rows[labelled][:, :2].abs().sum(dim=-1) > 0).all()
    assert (rows[~labelled] == 0).all()
    assert (network.contours.basis.weight.grad.abs().sum(dim=-1) > 0).all()
