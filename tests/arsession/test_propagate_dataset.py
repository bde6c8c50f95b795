"""From clicks in a file to labels in a data set, by the library and by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from arsession.commands import session_app
from arsession.cuboid_evidence import Click, PlacedBox, PlaneSnap
from arsession.cuboid_file import Cuboid, read_cuboids, write_cuboids
from arsession.objectron_writer import write_objectron
from arsession.placing import place
from arsession.propagate_dataset import write_propagated
from arsession.proposal import propose
from arsession.readers import open_session
from arsession.session import Points
from arsession.views import Views
from bootstrap.box_overlap import Boxes, box_iou
from bootstrap.dataset import Dataset
from bootstrap.dataset.verify import verify_dataset
from bootstrap.training.symmetry import OPPOSITE
from runtime.errors import ViewfinderError
from runtime.results import Subject
from tests.arsession.filmed import SMALL, filmed_session
from tests.arsession.orbit import corner_clicks, orbit, random_box, seen_px, surface_points

FILE = Path("boxes.json")
FRAMES = 24


def annotated(box: PlacedBox, views: Views, frames: list[int], sigma_px: float = 1.0) -> Cuboid:
    rng = np.random.default_rng(5)
    return Cuboid(3, "crate", corner_clicks(box, frames, rng, sigma_px, views=views))


@pytest.fixture(scope="module")
def box() -> PlacedBox:
    return random_box(np.random.default_rng(11))


def test_labels_are_the_true_box_in_every_frame(box, tmp_path):
    session = filmed_session(box, FRAMES, missing=(4,))
    views = Views.of(session)
    placed = place(session, (annotated(box, views, [2, 12, 22]),), FILE)
    assert placed.planes[0] == PlaneSnap(0.0)  # the table, not the floor
    report = write_propagated(session, placed, tmp_path / "set", shard_size=10)
    assert (report.frames, report.packed, report.labels) == (23, 23, 23)
    ds = Dataset.open(tmp_path / "set")
    assert not list(verify_dataset(ds))
    labels = ds.labels("propagated")
    truth = seen_px(box, views)
    for label in labels:
        frame = int(label.sample_id)
        off = np.linalg.norm(label.keypoints_px - truth[frame], axis=1)
        assert off.max() < 1.5
        camera = ds.camera(label.sample_id)
        assert camera == SMALL
        again = camera.project(label.keypoints_camera_m)
        np.testing.assert_allclose(again, label.keypoints_px, atol=1e-2)  # float32
        cuboid = Boxes.checked(
            label.cuboid["rotation"], label.cuboid["translation_m"], label.cuboid["size_m"]
        )
        true = box.as_boxes().moved(np.linalg.inv(session.world_from_camera[frame]))
        assert box_iou(cuboid, true)[0] > 0.97
        np.testing.assert_allclose(cuboid.points_m()[0], label.keypoints_camera_m, atol=1e-5)
        attributes = label.attributes
        assert attributes["category"] == "crate"
        assert 0 < attributes["expected_px"] < 2
        # The box's foot stands on the plane that the label tells.
        normal = np.array(attributes["plane"]["normal"])
        foot = label.keypoints_camera_m[[1, 2, 5, 6]].mean(axis=0)
        assert normal @ foot == pytest.approx(attributes["plane"]["distance_m"], abs=0.004)
    assert 4 not in {int(label.sample_id) for label in labels}


def test_an_edit_writes_labels_anew_and_no_picture(box, tmp_path):
    session = filmed_session(box, FRAMES)
    views = Views.of(session)
    first = annotated(box, views, [2], 3.0)
    out = tmp_path / "set"
    write_propagated(session, place(session, (first,), FILE), out, every=2, shard_size=5)
    shards = {f: f.stat().st_mtime_ns for f in out.glob("shards/*")}
    before = Dataset.open(out).labels("propagated")
    more = replace(first, clicks=first.clicks + annotated(box, views, [22], 1.0).clicks)
    report = write_propagated(session, place(session, (more,), FILE), out, every=2, shard_size=5)
    assert (report.frames, report.packed, report.labels) == (12, 0, 12)
    assert shards == {f: f.stat().st_mtime_ns for f in out.glob("shards/*")}
    after = Dataset.open(out).labels("propagated")
    assert not np.allclose(before[0].keypoints_px, after[0].keypoints_px)
    assert after[3].attributes["expected_px"] < before[3].attributes["expected_px"]


def test_drift_is_taken_out_by_pictures_and_by_annotations(box):
    rng = np.random.default_rng(1)
    wrong = orbit(FRAMES, arc_deg=60)
    wrong[:, :3, 3] += np.cumsum(rng.normal(0, 0.004, (FRAMES, 3)), axis=0)
    session = filmed_session(box, FRAMES, wrong)
    true = Views.of(filmed_session(box, FRAMES))
    truth = seen_px(box, true)
    cuboid = annotated(box, true, [1, 12, 23])
    errors = {}
    for how in ("none", "annotations", "pictures"):
        if how == "pictures":
            pytest.importorskip("pyceres")
        placed = place(session, (cuboid,), FILE, how)
        px = seen_px(placed.cuboids[0].box, placed.views)
        errors[how] = np.linalg.norm(px - truth, axis=-1).mean()
        assert placed.drift["from"] == how
        if how != "none":
            assert placed.drift["misfit_after"] < placed.drift["misfit_before"]
    assert errors["annotations"] < 0.8 * errors["none"]
    assert errors["pictures"] < 1 < errors["none"] / 2


def test_files_come_back_as_they_were(box, tmp_path):
    clicks = (
        Click(1, (10.5, 20.25), corner=0),
        Click(2, (1.0, 2.0), edge=(1, 2), sigma_px=3.5),
        Click(3, (5.0, 6.0), face="top", depth_m=0.5, depth_sigma_m=0.02),
    )
    cuboids = (
        Cuboid(0, "cup", clicks, "square", False, None, True),
        Cuboid(7, plane=PlaneSnap(0.25, 0.01), clicks=clicks[:1], box=box),
    )
    file = tmp_path / "boxes.json"
    write_cuboids(file, cuboids)
    first, second = read_cuboids(file)
    assert first == cuboids[0]
    np.testing.assert_array_equal(second.box.rotation, box.rotation)
    assert replace(second, box=None) == replace(cuboids[1], box=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, r"\[format\].*viewfinder-cuboids"),
        ({"format_version": 2}, "format_version"),
        ({"cuboids": []}, "holds no boxes"),
        ({"cuboids": [3]}, r"cuboids\[0\].*an object"),
        ({"cuboids": [{"id": 0}]}, r"cuboids\[0\].clicks.*clicks or a box"),
        (
            {"cuboids": [{"id": 0, "clicks": [{"frame": 0, "px": [1]}]}]},
            r"clicks\[0\].px.*2 numbers",
        ),
        ({"cuboids": [{"id": -1, "clicks": []}]}, "clicks"),
        ({"cuboids": [{"id": 0, "clicks": [{"frame": 1.5, "px": [1, 2]}]}]}, r"clicks\[0\].frame"),
        ({"cuboids": [{"id": 0, "clicks": [{"frame": 1, "px": [1, "x"]}]}]}, "finite numbers"),
        (
            {
                "cuboids": [
                    {"id": 0, "box": {"rotation": [1] * 9, "centre_m": [0] * 3, "size_m": [1] * 3}}
                ]
            },
            r"cuboids\[0\].box.*rotation",
        ),
        (
            {
                "cuboids": [
                    {
                        "id": 0,
                        "symmetry": "round",
                        "clicks": [{"frame": 1, "px": [1, 2], "corner": 1}],
                    }
                ]
            },
            "none | square",
        ),
    ],
)
def test_a_broken_file_is_one_line_that_names_the_place(tmp_path, change, message):
    file = tmp_path / "boxes.json"
    good = {"format": "viewfinder-cuboids", "format_version": 1, "cuboids": []}
    file.write_text(json.dumps(good | change))
    with pytest.raises(ViewfinderError, match=message) as caught:
        read_cuboids(file)
    assert "boxes.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_only_the_session_knows_is_checked_there(box):
    session = filmed_session(box, FRAMES)
    cuboid = annotated(box, Views.of(session), [2])
    late = replace(cuboid, clicks=(Click(99, (1.0, 2.0), corner=1),))
    with pytest.raises(
        ViewfinderError, match=r"boxes.json \[cuboids\[1\].clicks\[0\].frame\].*0 .. 23"
    ):
        place(session, (cuboid, late), FILE)
    with pytest.raises(ViewfinderError, match=r"cuboids\[0\].plane.*floor, table"):
        place(session, (replace(cuboid, plane="roof"),), FILE)
    with pytest.raises(ViewfinderError, match="no points"):
        place(session, (replace(cuboid, cloud=True),), FILE)
    blind = replace(session, pictures=None)
    with pytest.raises(ViewfinderError, match="without pictures"):
        place(blind, (cuboid,), FILE, "pictures")
    with pytest.raises(ViewfinderError, match="no pictures to label"):
        write_propagated(blind, place(blind, (cuboid,), FILE), Path("nowhere"))
    with pytest.raises(ViewfinderError, match="what its camera was"):
        place(replace(session, cameras=()), (cuboid,), FILE)


def test_the_command_line_from_an_objectron_recording(box, tmp_path):
    write_objectron(filmed_session(box, FRAMES), tmp_path / "recording")
    session = open_session(tmp_path / "recording")
    views = Views.of(session)
    truth = seen_px(box, views)
    file = tmp_path / "boxes.json"
    write_cuboids(file, (annotated(box, views, [2, 20]),))

    def viewfinder(*arguments: str) -> Result:
        return CliRunner().invoke(session_app, [*arguments], catch_exceptions=False)

    recording, boxes = str(tmp_path / "recording"), str(file)
    fitted = viewfinder("fit", recording, "--cuboids", boxes, "--out", boxes, "--json")
    said = json.loads(fitted.stdout)["cuboids"][0]
    np.testing.assert_allclose(said["size_m"], box.size_m, atol=0.01)
    assert said["next_frames"][0]["expected_px"] < said["expected_px"]
    assert max(said["sigmas"]["size_m"]) < 0.01
    assert "annotate frame" in viewfinder("fit", recording, "--cuboids", boxes).stdout
    out = tmp_path / "set"
    carried = viewfinder("propagate", recording, "--cuboids", boxes, "--out", str(out), "--json")
    report = json.loads(carried.stdout)
    assert (report["labels"], report["layer"]) == (FRAMES, "propagated")
    for label in Dataset.open(out).labels("propagated"):
        np.testing.assert_allclose(label.keypoints_px, truth[int(label.sample_id)], atol=3)
    command = [sys.executable, "-m", "viewfinder", "session", "propagate", recording]
    command += ["--cuboids", str(tmp_path), "--out", str(out)]
    bad = subprocess.run(command, capture_output=True, text=True)
    assert bad.returncode == 1
    assert bad.stderr.startswith("error: ")
    assert bad.stderr.count("\n") == 1


A_QUARTER_ROUND = (0, 2, 6, 4, 8, 1, 5, 3, 7)
"""Which corner is where each was, when the front is called the side to its left."""


class SeesTheBox:
    """A solution that is right about where the box's keypoints are, to a few pixels."""

    topology = "cuboid9@1"
    models = ()

    def __init__(
        self,
        truth_px: np.ndarray,
        blind: tuple[int, ...] = (),
        turned: dict[int, int] | None = None,
    ) -> None:
        self._truth, self._blind, self._turned = truth_px, blind, turned or {}

    def process(
        self, rgb: np.ndarray, timestamp_us: int, focal_px: float | None = None
    ) -> list[Subject]:
        if timestamp_us in self._blind:
            return []
        assert focal_px == SMALL.fx
        noise = np.random.default_rng(timestamp_us).normal(0, 4, (9, 2))
        px = self._truth[timestamp_us]
        for _ in range(self._turned.get(timestamp_us, 0)):
            px = px[list(A_QUARTER_ROUND)]
        at = (px + noise) / (rgb.shape[1], rgb.shape[0])
        keypoints = np.concatenate([at, np.zeros((9, 1))], axis=1).astype(np.float32)
        return [Subject(0, "cuboid9@1", 0.9, keypoints, (0.0, 0.0, 1.0, 1.0))]

    def reset(self) -> None:
        """Nothing to forget."""


def test_what_a_network_sees_is_a_box_to_begin_with(box):
    session = filmed_session(box, FRAMES, missing=(9,))
    views = Views.of(session)
    truth = seen_px(box, views)
    seer = SeesTheBox(truth, blind=(12,))
    proposed = propose(session, seer, [2, 12, 22], "crate")
    assert {click.frame for click in proposed.clicks} == {2, 22}
    placed = place(session, (proposed,), FILE)
    off = np.linalg.norm(seen_px(placed.cuboids[0].box, views) - truth, axis=-1)
    assert off.mean() < 6
    assert placed.cuboids[0].fit["misfit"] < 1
    with pytest.raises(ViewfinderError, match="found no box"):
        propose(session, seer, [12])
    for frame in (9, 99, -1):
        with pytest.raises(ViewfinderError, match=r"--frame.*0 .. 23"):
            propose(session, seer, [frame])


def test_a_front_that_is_whatever_faces_the_camera_is_one_front_in_all_frames(box):
    session = filmed_session(box, FRAMES)
    views = Views.of(session)
    truth = seen_px(box, views)
    seer = SeesTheBox(truth, turned={12: 2, 22: 1})
    proposed = propose(session, seer, [2, 12, 22], "crate")
    assert {click.frame for click in proposed.clicks} == {2, 12}  # 22 fits neither way
    placed = place(session, (proposed,), FILE).cuboids[0]
    assert np.linalg.norm(seen_px(placed.box, views) - truth, axis=-1).mean() < 6
    assert placed.fit["misfit"] < 1
    twice = np.arange(9)[list(A_QUARTER_ROUND)][list(A_QUARTER_ROUND)]
    assert twice.tolist() == list(OPPOSITE)


def test_the_trackers_points_stand_in_for_a_second_view(box):
    session = filmed_session(box, FRAMES)
    views, rng = Views.of(session), np.random.default_rng(2)
    on_box = surface_points(box, 300, rng) + rng.normal(0, 0.005, (300, 3))
    around = rng.uniform(-3, 3, (3000, 3)) + np.array([0, 3.5, 0])
    points = np.concatenate([on_box, around])
    cloud = Points(points, np.arange(len(points)))
    session = replace(session, load_points=lambda: cloud, load_planes=lambda: ())
    cuboid = replace(annotated(box, views, [12]), plane=None)
    alone = place(session, (cuboid,), FILE).cuboids[0]
    snapped = place(session, (replace(cuboid, cloud=True),), FILE).cuboids[0]
    np.testing.assert_allclose(snapped.box.size_m, box.size_m, atol=0.01)
    assert snapped.fit["expected_px"] < alone.fit["expected_px"] / 10
