"""What is written as Objectron reads back, by the reader and through Objectron's own fields."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from typer.testing import CliRunner

from arsession.commands import session_app
from arsession.cuboid_evidence import PlacedBox
from arsession.objectron_writer import NamedBox, write_objectron
from arsession.readers import open_session
from runtime.errors import ViewfinderError
from tests.arsession import recordings
from tests.arsession.mcap_fixture import mcap
from tests.arsession.protobuf_oracle import message_types
from tests.arsession.test_objectron import TYPES, ar_frame, poses, write_recording
from tests.arsession.videos import write_video

ORACLE = message_types()


def frames_of(folder) -> list:
    data, at, out = (folder / "geometry.pbdata").read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        out.append(ORACLE["ARFrame"].FromString(data[at + 4 : at + 4 + length]))
        at += 4 + length
    return out


def portrait_pixels(frame_camera, world: np.ndarray, width: int, height: int) -> np.ndarray:
    """Objectron's own formula, with the matrices in the file."""
    view = np.array(frame_camera.view_matrix).reshape(4, 4)
    projection = np.array(frame_camera.projection_matrix).reshape(4, 4)
    clip = np.c_[world, np.ones(len(world))] @ (projection @ view).T
    ndc = clip[:, :2] / clip[:, 3:]
    return np.stack([(1 + ndc[:, 1]) / 2 * width, (1 + ndc[:, 0]) / 2 * height], axis=1)


@pytest.mark.parametrize("write", [*recordings.WITH_PICTURES, mcap], ids=lambda w: w.__name__)
def test_any_recording_with_pictures_becomes_an_objectron_one(tmp_path, write):
    source = tmp_path / "source"
    source.mkdir()
    scene = write(source)
    out = tmp_path / "out"
    write_objectron(open_session(scene.path), out)
    back = open_session(out)
    assert (back.format, back.world_up) == ("objectron", "+y")
    assert (back.camera.width, back.camera.height) == (recordings.HEIGHT, recordings.WIDTH)
    # The world is turned so that +y is up: where the scene was drawn in the first place.
    for i, (phone, frame) in enumerate(zip(recordings.phones(), frames_of(out))):
        u, v = phone.sees(recordings.POINTS).T
        seen = np.stack([recordings.HEIGHT - v, u], axis=1)
        camera_from_world = np.linalg.inv(back.world_from_camera[i])
        points = recordings.POINTS @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
        np.testing.assert_allclose(back.camera_at(i).project(points), seen, atol=1e-3)
        own = portrait_pixels(frame.camera, recordings.POINTS, 240, 320)
        np.testing.assert_allclose(own, seen, atol=1e-3)
        rows, columns = np.nonzero(back.pictures.read(i)[..., 1] > 128)
        np.testing.assert_allclose((columns.mean() + 0.5, rows.mean() + 0.5), seen[0], atol=0.75)


def test_planes_points_states_and_times_survive(tmp_path):
    frames = [ar_frame(TYPES, poses(3)[i], 70.0 + i, points=2 + i) for i in range(3)]
    anchor = frames[2].plane_anchor.add(identifier="table", alignment=1)
    anchor.transform.extend(np.eye(4).ravel())
    anchor.extent.x, anchor.extent.z, anchor.center.z = 1.0, 0.5, 0.1
    source = tmp_path / "source"
    source.mkdir()
    write_recording(source, frames)
    first = open_session(source)
    write_objectron(first, tmp_path / "out")
    again = open_session(tmp_path / "out")
    np.testing.assert_allclose(again.world_from_camera, first.world_from_camera, atol=1e-6)
    np.testing.assert_array_equal(again.points.ids, first.points.ids)
    np.testing.assert_allclose(again.points_world_m, first.points_world_m, atol=1e-6)
    assert (again.tracking, again.start_s) == (first.tracking, 70.0)
    (plane,), (before,) = again.planes, first.planes
    assert (plane.identifier, plane.alignment) == ("table", "horizontal")
    np.testing.assert_allclose(plane.normal_world, before.normal_world, atol=1e-6)
    np.testing.assert_allclose(plane.centre_world_m, before.centre_world_m, atol=1e-6)
    np.testing.assert_allclose(
        np.sort(plane.boundary_world_m, axis=0), np.sort(before.boundary_world_m, axis=0), atol=1e-6
    )


def test_boxes_stand_in_objectrons_own_fields(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    session = open_session(recordings.stray_scanner(source).path)
    angle = 0.4
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    box = PlacedBox(turn, np.array([0.1, 0.2, -0.3]), np.array([0.2, 0.3, 0.1]))
    visibility = np.array([1.0, 0.5, 0.25, 0.0])
    write_objectron(session, tmp_path / "out", [NamedBox(box, "shoe", visibility)])
    sequence = ORACLE["Sequence"].FromString((tmp_path / "out" / "annotation.pbdata").read_bytes())
    (thing,) = sequence.objects
    assert (thing.category, thing.type, thing.method, len(thing.keypoints)) == ("shoe", 1, 1, 9)
    unit = np.array([(k.x, k.y, k.z) for k in thing.keypoints])
    # The format's box: R (S * kp) + t, x slowest, z fastest.
    np.testing.assert_allclose(unit[1:3], [[-0.5, -0.5, -0.5], [-0.5, -0.5, 0.5]])
    world = (unit * thing.scale) @ np.array(thing.rotation).reshape(3, 3).T + thing.translation
    np.testing.assert_allclose(world, box.points_world_m(), atol=1e-6)
    assert len(sequence.frame_annotations) == 4
    for i, annotation in enumerate(sequence.frame_annotations):
        (seen,) = annotation.annotations
        assert (annotation.frame_id, seen.object_id) == (i, 0)
        assert seen.visibility == pytest.approx(visibility[i])
        in_camera = np.array([(k.point_3d.x, k.point_3d.y, k.point_3d.z) for k in seen.keypoints])
        assert (in_camera[:, 2] < 0).all()
        transform = np.array(annotation.camera.transform).reshape(4, 4)
        np.testing.assert_allclose(
            in_camera @ transform[:3, :3].T + transform[:3, 3], world, atol=1e-5
        )
        pixels = portrait_pixels(annotation.camera, world, 240, 320)
        stated = np.array([(k.point_2d.x * 240, k.point_2d.y * 320) for k in seen.keypoints])
        np.testing.assert_allclose(stated, pixels, atol=1e-3)
        u, v = recordings.phones()[i].sees(world).T
        np.testing.assert_allclose(stated, np.stack([240 - v, u], axis=1), atol=1e-3)
        depths = [k.point_2d.depth for k in seen.keypoints]
        np.testing.assert_allclose(depths, -in_camera[:, 2], atol=1e-6)


def test_a_portrait_video_is_copied_as_it_is(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    write_recording(source, [ar_frame(TYPES, poses(1)[0], 1.0)])
    write_video(source / "video.MOV.mp4", [np.zeros((192, 144, 3), np.uint8)])
    (source / "video.MOV.mp4").rename(source / "video.mp4")
    runner = CliRunner()
    done = runner.invoke(session_app, ["convert", str(source), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "video.MOV").read_bytes() == (source / "video.mp4").read_bytes()


def test_what_objectron_cant_hold_is_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    no_camera = open_session(recordings.arkit_logger(tmp_path / "a").path)
    with pytest.raises(ViewfinderError, match="camera"):
        write_objectron(no_camera, tmp_path / "out")
    session = open_session(recordings.polycam(tmp_path / "b").path)
    write_objectron(session, tmp_path / "out")
    with pytest.raises(ViewfinderError, match="already"):
        write_objectron(session, tmp_path / "out")
