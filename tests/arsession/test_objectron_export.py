"""A data set's boxes as Objectron's messages, read through Google's protobuf library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import arsession.commands  # noqa: F401 - the format joins the list
from arsession.placing import place
from arsession.propagate_dataset import write_propagated
from arsession.readers import open_session
from arsession.views import Views
from bootstrap.commands import dataset_app
from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from runtime.camera import Camera
from runtime.cuboid import Cuboid
from runtime.errors import ViewfinderError
from runtime.image import encode_image
from tests.arsession.filmed import filmed_session
from tests.arsession.orbit import random_box
from tests.arsession.protobuf_oracle import message_types
from tests.arsession.test_objectron_writer import portrait_pixels
from tests.arsession.test_propagate_dataset import FILE, annotated

ORACLE = message_types()


def sequence(folder: Path):
    return ORACLE["Sequence"].FromString((folder / "annotation.pbdata").read_bytes())


def export(data: Path, out: Path, *more: str):
    return CliRunner().invoke(
        dataset_app, ["export", str(data), "--format", "objectron", "--out", str(out), *more]
    )


def of_keypoints(seen) -> tuple[np.ndarray, np.ndarray]:
    """(9, 3) in OpenCV's camera axes, of the landscape; (9, 2) normalised."""
    points = np.array([(k.point_3d.x, -k.point_3d.y, -k.point_3d.z) for k in seen.keypoints])
    return points, np.array([(k.point_2d.x, k.point_2d.y) for k in seen.keypoints])


def assert_same(label: Label, seen, size: tuple[int, int]) -> None:
    """The message's box is the label's: in the upright picture and in the upright camera."""
    points, flat = of_keypoints(seen)
    width, height = size
    np.testing.assert_allclose(flat * (width, height), label.keypoints_px, atol=2e-3)
    # Landscape camera to the portrait one: x is down, y is left.
    upright = np.stack([-points[:, 1], points[:, 0], points[:, 2]], axis=1)
    np.testing.assert_allclose(upright, label.keypoints_camera_m, atol=1e-5)


def test_what_a_session_was_propagated_to_comes_back(tmp_path):
    box = random_box(np.random.default_rng(11))
    session = filmed_session(box, 8)
    placed = place(session, (annotated(box, Views.of(session), [1, 4, 7]),), FILE)
    write_propagated(session, placed, tmp_path / "set", shard_size=5)
    result = export(tmp_path / "set", tmp_path / "out")
    assert result.exit_code == 0, result.output
    (folder,) = (tmp_path / "out").iterdir()
    back, message = open_session(folder), sequence(folder)
    labels = Dataset.open(tmp_path / "set").labels("propagated")
    assert [thing.category for thing in message.objects] == ["crate"]
    assert len(labels) == len(message.frame_annotations) == len(back.timestamps_s) == 8
    up = session.up_world
    for frame, (label, found) in enumerate(zip(labels, message.frame_annotations)):
        (seen,) = found.annotations
        camera = back.camera_at(frame)
        world = (
            np.array(message.objects[0].rotation).reshape(3, 3)
            @ (
                np.array([(k.x, k.y, k.z) for k in message.objects[0].keypoints])
                * np.array(message.objects[0].scale)
            ).T
            + np.array(message.objects[0].translation)[:, None]
        )
        # By the format's own formula; a landscape picture is turned a quarter clockwise.
        px = portrait_pixels(found.camera, world.T, camera.width, camera.height)
        height = session.camera_at(frame).height
        turned = np.stack([height - label.keypoints_px[:, 1], label.keypoints_px[:, 0]], axis=1)
        np.testing.assert_allclose(px, turned, atol=0.01)
        _, flat = of_keypoints(seen)
        np.testing.assert_allclose(flat * (camera.width, camera.height), turned, atol=2e-3)
        assert seen.visibility == pytest.approx(1 - label.attributes["truncation"], abs=1e-4)
        plane = label.attributes["plane"]
        normal = np.array(found.plane_normal) * (1, -1, -1)
        np.testing.assert_allclose(normal, plane["normal"], atol=1e-5)
        centre = np.array(found.plane_center) * (1, -1, -1)
        assert normal @ centre == pytest.approx(plane["distance_m"], abs=1e-5)
        np.testing.assert_allclose(back.planes[0].normal_world, [0, 1, 0], atol=1e-6)
    assert up is not None


def a_set(folder: Path, poses: dict[str, np.ndarray | None], moving: bool = False) -> list[Label]:
    """Portrait pictures with two boxes each, the second one missing in the first picture."""
    camera, rng = Camera(300.0, 300.0, 121.0, 159.0, 240, 320), np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    samples, labels = [], []
    for number, (name, pose) in enumerate(poses.items()):
        facts = {}
        if pose is not None:
            facts = {"session": "walk", "frame": number, "timestamp_s": number / 10,
                     "world_from_camera": pose.ravel().tolist(), "world_up": "+y"}  # fmt: skip
        image = encode_image(np.full((320, 240, 3), 40 * number, np.uint8), ".jpg")
        samples.append(Sample(sample_id=name, image=image, extension="jpg", width=240, height=320,
                              camera=camera, attributes=facts))  # fmt: skip
        for subject in range(1 if number == 0 else 2):
            box = Cuboid(turn, np.array([0.1 * subject, 0.02 * number * moving, 1.2]),
                         np.array([0.2, 0.3, 0.1 + 0.1 * subject]))  # fmt: skip
            points = box.vertices()
            labels.append(
                Label(
                    sample_id=name, subject_id=subject, topology="cuboid9@1",
                    keypoints_px=camera.project(points), keypoints_camera_m=points,
                    visibility=np.full(9, 2),
                    cuboid={"rotation": turn.ravel(), "translation_m": box.translation_m,
                            "size_m": box.size_m, "frame": "camera"},
                    attributes={"category": ["cup", "shoe"][subject]},
                )
            )  # fmt: skip
    ds = Dataset.create(folder, DatasetInfo(name="boxes", generator="test",
                                            topologies=("cuboid9@1",)))  # fmt: skip
    ds.write_shard(0, samples, {"human/me": labels})
    return labels


def test_labels_that_move_and_objects_that_come_later_are_kept_frame_by_frame(tmp_path):
    poses = {"a": np.eye(4), "b": np.eye(4), "c": np.eye(4)}
    labels = a_set(tmp_path / "set", poses, moving=True)
    result = export(tmp_path / "set", tmp_path / "out", "--layer", "human/me")
    assert result.exit_code == 0, result.output
    message = sequence(tmp_path / "out" / "walk")
    assert [one.category for one in message.objects] == ["cup", "shoe"]
    found = [s for frame in message.frame_annotations for s in frame.annotations]
    assert [s.object_id for s in found] == [label.subject_id for label in labels] == [0, 0, 1, 0, 1]
    for label, seen in zip(labels, found):
        assert_same(label, seen, (240, 320))
    assert [f.timestamp for f in message.frame_annotations] == pytest.approx([0.0, 0.1, 0.2])


def test_a_picture_of_no_session_is_one_of_its_own(tmp_path):
    labels = a_set(tmp_path / "set", {"a": None, "b": None})
    result = export(tmp_path / "set", tmp_path / "out")
    assert "which way is up" in result.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a", "b"]
    for name, some in (("a", labels[:1]), ("b", labels[1:])):
        (frame,) = sequence(tmp_path / "out" / name).frame_annotations
        for label, seen in zip(some, frame.annotations):
            assert_same(label, seen, (240, 320))
    picture = open_session(tmp_path / "out" / "b").pictures
    assert picture is not None
    assert abs(int(picture.read(0).mean()) - 40) < 4


def test_names_that_leave_the_folder_are_refused(tmp_path):
    ds = Dataset.create(tmp_path / "set", DatasetInfo(name="boxes", generator="test"))
    a_set(tmp_path / "other", {"a": np.eye(4)})
    source = Dataset.open(tmp_path / "other")
    row = source.camera("a")
    sample = Sample(sample_id="a", image=source.read_image_bytes("a"), extension="jpg", width=240,
                    height=320, camera=row, attributes={"session": "../../etc",
                    "world_from_camera": np.eye(4).ravel().tolist()})  # fmt: skip
    ds.write_shard(0, [sample], {"human/me": source.labels("human/me")})
    result = export(tmp_path / "set", tmp_path / "out")
    assert isinstance(result.exception, ViewfinderError)
    assert "folder's name" in str(result.exception)
    assert not (tmp_path / "etc").exists()
