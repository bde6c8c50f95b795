"""Other tools' label files: conventions by hand-written files, round trips, damaged files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bootstrap.commands import dataset_app
from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from bootstrap.face_shapes import face_shapes
from bootstrap.label_files import FORMATS, find_format
from bootstrap.label_files.annotated import import_labels
from bootstrap.subjects import Settings, find_subjects
from runtime.camera import Camera
from runtime.errors import ViewfinderError
from runtime.face_layouts import AS_FACE478, NONE, corresponds, in_layout
from runtime.image import encode_image
from runtime.topology import topology

runner = CliRunner()
SIZE = (64, 48)
SPARSE = ("face68@1", "face98@1")


def jpeg(seed: int = 0) -> bytes:
    rgb = np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    return encode_image(rgb, ".jpg", 90)


def put(folder: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(i))
    return folder


def read(name: str, source: Path, out: Path, images: Path | None = None) -> list[Label]:
    reader = find_format(name).load_reader()
    import_labels(name, reader, source, images, out, "human/ada")
    return Dataset.open(out).labels("human/ada")


# -- layouts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", SPARSE)
def test_sparse_faces_mirror_as_the_mesh_does(layout: str) -> None:
    shape, mesh = topology(layout), topology("face478@1")
    assert [shape.mirror[i] for i in shape.mirror] == list(range(shape.size))
    for i, place in enumerate(AS_FACE478[layout]):
        partner = AS_FACE478[layout][shape.mirror[i]]
        assert (place == NONE) == (partner == NONE)
        if place != NONE:
            assert mesh.mirror[place] == partner
    assert sorted(i for part in shape.parts.values() for i in part) == list(range(shape.size))


@pytest.mark.parametrize("layout", SPARSE)
def test_a_layout_there_and_back(layout: str) -> None:
    mesh = np.random.default_rng(0).normal(size=(478, 2))
    sparse = in_layout(mesh, "face478@1", layout)
    known = np.array(AS_FACE478[layout]) != NONE
    assert np.isfinite(sparse).all(axis=1).tolist() == known.tolist()
    back = in_layout(sparse, layout, "face478@1")
    held = np.isfinite(back).all(axis=1)
    assert held.sum() == known.sum()
    np.testing.assert_array_equal(back[held], mesh[held])
    assert in_layout(mesh[:468], "face468@1", layout).shape == sparse.shape
    assert not corresponds("hand21@1", layout)
    with pytest.raises(ViewfinderError, match="don't correspond"):
        in_layout(mesh[:21], "hand21@1", "face478@1")


# -- conventions, from files written by hand ----------------------------------------------------


def test_pts_counts_pixels_from_one(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.JPG")
    rows = "\n".join(f"{i + 1} {2 * i + 1}" for i in range(68))
    for name in ("a.pts", "a_1.pts", "b.pts"):
        (tmp_path / name).write_text(f"version: 1\nn_points:  68\n{{\n{rows}\n}}\n")
    labels = read("pts", tmp_path, tmp_path / "out")
    assert [(label.sample_id, label.subject_id) for label in labels] == [
        ("a", 0), ("a", 1), ("b", 0)
    ]  # fmt: skip
    for label in labels:
        assert (label.topology, label.annotator) == ("face68@1", "ada")
        # Matlab's pixel 1 is the first, whose centre lies half a pixel from the corner.
        np.testing.assert_array_equal(label.keypoints_px[[0, 3]], [[0.5, 0.5], [3.5, 6.5]])


def test_wflw_has_several_faces_a_picture(tmp_path: Path) -> None:
    put(tmp_path / "images", "1--Handshaking/x_1.jpg", "y.jpg")
    points = " ".join(f"{i} {i + 0.25}" for i in range(98))
    (tmp_path / "list.txt").write_text(
        f"{points} 3 4 10 20 0 1 0 0 1 0 1--Handshaking/x_1.jpg\n"
        f"{points} 5 6 11 21 1 0 0 0 0 0 1--Handshaking/x_1.jpg\n\n"
        f"{points} 5 6 11 21 0 0 0 0 0 1 y.jpg\n"
    )
    labels = read("wflw", tmp_path / "list.txt", tmp_path / "out", tmp_path / "images")
    assert [label.subject_id for label in labels if label.sample_id != "y"] == [0, 1]
    first = next(label for label in labels if label.sample_id != "y")
    assert first.topology == "face98@1"
    np.testing.assert_array_equal(first.keypoints_px[2], [2.5, 2.75])
    np.testing.assert_array_equal(first.box_px, [3, 4, 7, 16])
    assert {name for name, on in first.attributes.items() if on} == {"expression", "occlusion"}


def onehand10k_line(name: str, points: np.ndarray, hand: int = 1) -> str:
    return ",".join([name, "48", "32", str(hand), *(f"{v:g}" for v in points.ravel())])


def test_onehand10k_has_lists_of_its_own(tmp_path: Path) -> None:
    root = tmp_path / "OneHand10K"
    put(root / "Train" / "source", "0.jpg", "1.jpg", "2.jpg")
    put(root / "Test" / "source", "0.jpg")
    points = np.arange(42).reshape(21, 2)
    partly = points.copy()
    partly[[3, 20]] = -1
    (root / "Train" / "label_joint.txt").write_text(
        f"{onehand10k_line('0.jpg', points)}\n{onehand10k_line('1.jpg', partly)}\r\n\n"
        f"{onehand10k_line('1.jpg', points + 2, hand=2)}\n"
        f"{onehand10k_line('2.jpg', np.full((21, 2), -1))}\n"
    )
    (root / "Test" / "label_joint.txt").write_text(onehand10k_line("0.jpg", points + 1))
    labels = read("onehand10k", root, tmp_path / "out")
    ds = Dataset.open(tmp_path / "out")
    assert len(ds.samples()) == 4
    found: dict[str, list[Label]] = {}
    for label in labels:
        row = ds.row(label.sample_id)
        place = json.loads(row["attributes"])
        found.setdefault(f"{place['list']} {label.subject_id}", []).append(label)
    assert {key: len(group) for key, group in found.items()} == {
        "train 0": 2, "train 1": 1, "test 0": 1
    }  # fmt: skip
    # A pixel's number is its centre's, half a pixel from the corner.
    np.testing.assert_array_equal(found["test 0"][0].keypoints_px, points + 1.5)
    some = next(x for x in found["train 0"] if not x.visibility.all())
    assert np.flatnonzero(some.visibility == 0).tolist() == [3, 20]
    assert np.isnan(some.keypoints_px[[3, 20]]).all()
    np.testing.assert_array_equal(some.keypoints_px[4], points[4] + 0.5)
    assert some.handedness is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("0.jpg,1,1,1", "isn't a line of OneHand10K"),
        (onehand10k_line("0.jpg", np.zeros((21, 2))) + "x", "isn't a number"),
        (onehand10k_line("0.jpg", np.full((21, 2), np.nan)), "isn't a number"),
        (onehand10k_line("../0.jpg", np.zeros((21, 2))), "outside the folder"),
        ("", "is empty"),
    ],
)
def test_a_damaged_list_of_onehand10k(tmp_path: Path, line: str, problem: str) -> None:
    put(tmp_path / "Train" / "source", "0.jpg")
    (tmp_path / "Train" / "label_joint.txt").write_text(line)
    with pytest.raises(ViewfinderError, match=problem):
        read("onehand10k", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out" / "labels").exists()


def test_freihand_comes_with_cameras(tmp_path: Path) -> None:
    root = tmp_path / "freihand"
    put(root / "training" / "rgb", *(f"{i:08d}.jpg" for i in (0, 1, 2, 3)))
    for path in (root / "training" / "rgb").iterdir():
        path.write_bytes(encode_image(np.zeros((224, 224, 3), np.uint8), ".jpg"))
    metres = np.random.default_rng(1).normal(scale=0.05, size=(2, 21, 3)) + [0, 0, 0.7]
    matrix = [[480.0, 0, 112], [0, 481.0, 111], [0, 0, 1]]
    (root / "training_xyz.json").write_text(json.dumps(metres.tolist()))
    (root / "training_K.json").write_text(json.dumps([matrix, matrix]))
    labels = read("freihand", root, tmp_path / "out")
    ds = Dataset.open(tmp_path / "out")
    assert len(labels) == 4
    for number, label in enumerate(sorted(labels, key=lambda one: one.sample_id)):
        truth = metres[number % 2]  # the third picture shows the first hand again
        np.testing.assert_allclose(label.keypoints_camera_m, truth, atol=1e-6)
        seen = np.asarray(matrix) @ truth.T
        np.testing.assert_allclose(label.keypoints_px, (seen[:2] / seen[2]).T, atol=1e-3)
        assert label.handedness == "right"
        assert ds.camera(label.sample_id) == Camera(480, 481, 112, 111, 224, 224)
        assert json.loads(ds.row(label.sample_id)["attributes"])["shot"] == f"training {number % 2}"


def test_whole_body_gives_face_and_hands(tmp_path: Path) -> None:
    put(tmp_path, "p.jpg")
    person = [n for n in topology("pose33@1").keypoint_names if n in ("nose", "left_eye")]
    hand = [[i, i, 1] for i in range(21)]
    hand[20] = [0, 0, 0]
    annotation = {
        "id": 1, "image_id": 1, "category_id": 1, "keypoints": [5, 6, 2, 7, 8, 1],
        "face_kpts": [v for i in range(68) for v in (i, 2 * i, 0.9)], "face_valid": True,
        "face_box": [1, 2, 3, 4], "lefthand_kpts": np.ravel(hand).tolist(),
        "lefthand_valid": True, "lefthand_box": [0, 0, 20, 20],
        "righthand_kpts": [0] * 63, "righthand_valid": False,
    }  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": "p.jpg"}],
        "categories": [{"id": 1, "name": "person", "keypoints": person}],
        "annotations": [annotation],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    labels = read("coco", tmp_path / "a.json", tmp_path / "out", tmp_path)
    assert {(label.topology, label.handedness) for label in labels} == {
        ("face68@1", None), ("hand21@1", "left"), ("pose33@1", None)
    }  # fmt: skip
    assert sorted(label.subject_id for label in labels) == [0, 1, 2]
    left = next(label for label in labels if label.topology == "hand21@1")
    np.testing.assert_array_equal(left.keypoints_px[3], [3.5, 3.5])
    assert left.visibility.tolist() == [2] * 20 + [0]


def test_hands_by_mmposes_names(tmp_path: Path) -> None:
    put(tmp_path, "h.jpg")
    fingers = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
    names = ["wrist"] + [f"{finger}{i}" for finger in fingers for i in (1, 2, 3, 4)]
    content = {
        "images": [{"id": 1, "file_name": "h.jpg"}],
        "categories": [{"id": 1, "name": "hand", "keypoints": names}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1,
             "keypoints": [v for i in range(21) for v in (i, i, 1)]}
        ],
    }  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(content))
    (label,) = read("coco", tmp_path / "a.json", tmp_path / "out", tmp_path)
    assert label.topology == "hand21@1"
    np.testing.assert_array_equal(label.keypoints_px[:, 0], np.arange(21) + 0.5)


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
  <image id="0" name="p.jpg" width="64" height="48">
    <skeleton label="hand" source="manual" z_order="0">
      <points label="index_tip" source="manual" outside="0" occluded="1" points="30.50,10.25"/>
      <points label="wrist" source="manual" outside="0" occluded="0" points="20.00,40.00"/>
      <points label="thumb_tip" source="manual" outside="1" occluded="0" points="1.00,1.00"/>
      <attribute name="handedness">left</attribute>
      <attribute name="sure">no</attribute>
    </skeleton>
    <cuboid label="box" source="manual" occluded="0" xtl1="20" ytl1="20" xbl1="20" ybl1="40"
      xtr1="40" ytr1="20" xbr1="40" ybr1="40" xtl2="25" ytl2="15" xbl2="25" ybl2="35"
      xtr2="45" ytr2="15" xbr2="45" ybr2="35" z_order="0"/>
    <mask label="x" points="1" />
  </image>
  <track id="0" label="car"/>
</annotations>"""


def test_cvats_shapes(tmp_path: Path) -> None:
    put(tmp_path / "images", "p.jpg")
    (tmp_path / "annotations.xml").write_text(CVAT)
    words = ["import", str(tmp_path / "annotations.xml"), "--format", "cvat"]
    done = runner.invoke(dataset_app, [*words, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "kind mask: 1 left out" in done.output
    assert "tracks of videos" in done.output
    hand, box = Dataset.open(tmp_path / "out").labels("human/imported")
    assert (hand.topology, hand.handedness, hand.attributes) == ("hand21@1", "left", {"sure": "no"})
    assert hand.visibility[[0, 8, 4]].tolist() == [2, 1, 0]
    np.testing.assert_array_equal(hand.keypoints_px[8], [30.5, 10.25])
    at = topology("cuboid9@1").keypoint_names.index
    np.testing.assert_array_equal(box.keypoints_px[at("corner_-++")], [20, 20])  # left top front
    np.testing.assert_array_equal(box.keypoints_px[at("corner_+--")], [45, 35])
    np.testing.assert_allclose(box.keypoints_px[0], [32.5, 27.5], atol=1e-4)


# -- round trips -----------------------------------------------------------------------------


@st.composite
def labels(draw: st.DrawFn, layout: str) -> Label:
    shape = topology(layout)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    points = rng.uniform(-20, 90, (shape.size, 2)).round(3)
    seen = rng.choice([0, 1, 2], shape.size, p=[0.1, 0.2, 0.7])
    seen[0] = 2
    points[seen == 0] = np.nan
    hand = layout == "hand21@1"
    return Label(
        sample_id="a",
        topology=layout,
        keypoints_px=points.astype(np.float32),
        visibility=seen,
        contours={"silhouette": rng.uniform(0, 60, (5, 2)).round(2).astype(np.float32)},
        box_px=rng.uniform(1, 50, 4).round(2).astype(np.float32),
        handedness=draw(st.sampled_from(["left", "right"])) if hand else None,
        gesture=draw(st.sampled_from([None, "fist"])) if hand else None,
    )


def data_set(root: Path, *found: Label) -> Dataset:
    ds = Dataset.create(root, DatasetInfo(name="x", generator="test"))
    sample = Sample(sample_id="a", image=jpeg(), extension="jpg", width=SIZE[0], height=SIZE[1])
    ds.write_shard(0, [sample], {"synthetic": found})
    return ds


def there_and_back(name: str, tmp: Path, *found: Label) -> tuple[list[Label], list[str]]:
    warnings = find_format(name).load_writer()(data_set(tmp / "ds", *found), "synthetic", tmp / "f")
    source = {
        "cvat": tmp / "f" / "annotations.xml",
        "coco": tmp / "f" / "annotations.json",
        "wflw": tmp / "f" / "list_98pt_rect_attr.txt",
    }.get(name, tmp / "f")
    images = {"coco": tmp / "f" / "images", "wflw": tmp / "f" / "WFLW_images"}.get(name)
    return read(name, source, tmp / "back", images), warnings


@pytest.mark.parametrize("name", ["cvat", "labelme", "coco"])
@pytest.mark.parametrize("layout", ["hand21@1", "face68@1", "pose33@1"])
def test_round_trips(tmp_path_factory: pytest.TempPathFactory, name: str, layout: str) -> None:
    @given(first=labels(layout), second=labels(layout))
    @settings(max_examples=6, deadline=None)
    def check(first: Label, second: Label) -> None:
        given_labels = [first, replace(second, subject_id=3)]
        after, warnings = there_and_back(name, tmp_path_factory.mktemp("x"), *given_labels)
        if name != "coco":
            assert warnings == []
        assert [label.subject_id for label in after] == [0, 3]
        for before, now in zip(given_labels, after):
            assert (now.topology, now.handedness, now.gesture) == (
                before.topology, before.handedness, before.gesture
            )  # fmt: skip
            np.testing.assert_array_equal(now.visibility, before.visibility)
            np.testing.assert_allclose(now.keypoints_px, before.keypoints_px, atol=1e-4)
            np.testing.assert_allclose(now.box_px, before.box_px, atol=1e-4)
            if name != "coco":
                line = now.contours["silhouette"]
                np.testing.assert_allclose(line, before.contours["silhouette"], atol=1e-4)

    check()


def test_pts_and_wflw_round_trips(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for name, layout in (("pts", "face68@1"), ("pts", "face478@1"), ("wflw", "face98@1")):
        points = rng.uniform(0, 60, (topology(layout).size, 2)).astype(np.float32)
        whole = Label(
            sample_id="a", topology=layout, keypoints_px=points, attributes={"blur": True},
            box_px=np.array([1, 2, 3, 4]), visibility=[2] * len(points),
        )  # fmt: skip
        after, warnings = there_and_back(name, tmp_path / layout, whole)
        assert (after[0].topology, after[0].sample_id) == (layout, "a")
        np.testing.assert_allclose(after[0].keypoints_px, points, atol=1e-4)
        if name == "wflw":
            assert warnings == []
            assert after[0].attributes["blur"] is True
            np.testing.assert_allclose(after[0].box_px, whole.box_px, atol=1e-4)
        else:
            assert any("boxes" in line for line in warnings)
            assert any("attributes" in line for line in warnings)


def test_cvats_task_labels_name_every_keypoint(tmp_path: Path) -> None:
    hand = Label(sample_id="a", topology="hand21@1", keypoints_px=np.ones((21, 2)))
    find_format("cvat").load_writer()(data_set(tmp_path / "ds", hand), "synthetic", tmp_path / "f")
    (skeleton,) = json.loads((tmp_path / "f" / "labels.json").read_text())
    names = [sub["name"] for sub in skeleton["sublabels"]]
    assert names == list(topology("hand21@1").keypoint_names)
    assert all(f'data-label-name="{name}"' in skeleton["svg"] for name in names)


def boxed(camera: Camera, category: str, turn: float, at_m: list[float]) -> Label:
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    size = np.array([0.3, 0.2, 0.1])
    signs = [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    points = np.array([[0, 0, 0], *signs]) * size / 2 @ rotation.T + at_m
    return Label(
        sample_id="a", topology="cuboid9@1", keypoints_px=camera.project(points),
        keypoints_camera_m=points, visibility=[2] * 9, attributes={"category": category},
        cuboid={"rotation": rotation.ravel(), "translation_m": at_m, "size_m": size,
                "frame": "camera"},
    )  # fmt: skip


def test_bop_round_trip(tmp_path: Path) -> None:
    camera = Camera(80.0, 81.0, 32.5, 24.0, *SIZE)
    boxes = [
        boxed(camera, "cup", 0.3, [0.1, 0.0, 1.5]),
        replace(boxed(camera, "cup", -1.2, [-0.2, 0.1, 2.0]), subject_id=1),
        replace(boxed(camera, "shoe", 0.0, [0.0, 0.1, 1.0]), subject_id=2),
    ]
    ds = Dataset.create(tmp_path / "ds", DatasetInfo(name="x", generator="test"))
    sample = Sample(sample_id="a", image=jpeg(), extension="jpg", width=64, height=48,
                    camera=camera)  # fmt: skip
    ds.write_shard(0, [sample], {"synthetic": boxes})
    warnings = find_format("bop").load_writer()(ds, "synthetic", tmp_path / "f")
    assert [line for line in warnings if "sample ids" not in line] == []
    scene = tmp_path / "f" / "000000"
    stored = json.loads((scene / "scene_camera.json").read_text())["0"]["cam_K"]
    np.testing.assert_allclose(stored, [80, 0, 32, 0, 81, 23.5, 0, 0, 1])  # pixels' centres
    first = json.loads((scene / "scene_gt.json").read_text())["0"]
    assert [row["obj_id"] for row in first] == [1, 1, 2]  # two cups of one size
    np.testing.assert_allclose(first[0]["cam_t_m2c"], [100, 0, 1500])  # millimetres
    after = read("bop", scene, tmp_path / "back")
    for before, now in zip(boxes, after, strict=True):
        assert now.attributes == before.attributes
        np.testing.assert_allclose(now.keypoints_px, before.keypoints_px, atol=1e-3)
        np.testing.assert_allclose(now.keypoints_camera_m, before.keypoints_camera_m, atol=1e-5)
        for name in ("rotation", "translation_m", "size_m"):
            np.testing.assert_allclose(now.cuboid[name], before.cuboid[name], atol=1e-6)
    assert Dataset.open(tmp_path / "back").camera(after[0].sample_id) == camera
    # An object whose origin isn't its middle: the box goes where min and size say.
    table = tmp_path / "f" / "models" / "models_info.json"
    moved = json.loads(table.read_text())
    moved["1"]["min_y"] = 0.0
    table.write_text(json.dumps(moved))
    shifted = read("bop", scene, tmp_path / "shifted")[0]
    offset = np.asarray(shifted.cuboid["translation_m"]) - boxes[0].cuboid["translation_m"]
    np.testing.assert_allclose(offset, [0, 0.1, 0], atol=1e-9)
    table.write_text("{}")
    with pytest.raises(ViewfinderError, match="wrong or missing value"):
        read("bop", scene, tmp_path / "bad")
    table.unlink()
    with pytest.raises(ViewfinderError, match="no table of objects"):
        read("bop", scene, tmp_path / "bad")


# -- what is measured ------------------------------------------------------------------------


def test_sparse_labels_are_measured_by_a_mesh(tmp_path: Path) -> None:
    mesh = topology("face478@1")
    flat = face_shapes().mean[:, :2] * [18, -18] + [30, 25]
    sparse = in_layout(flat, "face478@1", "face68@1").astype(np.float32)
    seen = np.full(68, 2)
    sparse[20], seen[20] = np.nan, 0
    ds = data_set(
        tmp_path / "ds",
        Label(sample_id="a", topology="face68@1", keypoints_px=sparse, visibility=seen),
    )
    (subject,), _ = find_subjects(Settings((ds.root,), "synthetic"), mesh)
    known = np.isfinite(subject.truth_px).all(axis=1)
    assert known.sum() == 67
    np.testing.assert_allclose(subject.truth_px[known], flat[known], atol=1e-4)
    assert subject.crop_px is not None
    # It is the mean face that is seen: the rest lies where that has it.
    np.testing.assert_allclose(subject.crop_px, flat, atol=0.01)
    corners = flat[33] - flat[263]
    assert subject.length_px == pytest.approx(float(np.linalg.norm(corners)), rel=1e-5)


# -- damaged files -----------------------------------------------------------------------------

FACE = "\n".join(["1 1"] * 68)
BAD: list[tuple[str, str, Any, str]] = [
    ("pts", "a.pts", "hello", "isn't a .pts file"),
    ("pts", "a.pts", f"version: 1\nn_points: 68\n{{\n{FACE} 1\n}}", "another length"),
    ("pts", "a.pts", "version: 1\nn_points: 1\n{\n1 x\n}", "isn't a number"),
    ("pts", "a.pts", "version: 1\nn_points: 2\n{\n1 1\n2 2\n}", "no layout has so many"),
    ("pts", "b.pts", f"version: 1\nn_points: 68\n{{\n{FACE}\n}}", "no picture of this name"),
    ("pts", "a.pts", b"\xff\xfe\x00", "isn't text"),
    ("wflw", "l.txt", "1 2 3 a.jpg", "isn't a line of WFLW"),
    ("wflw", "l.txt", "1 " * 205 + "x a.jpg", "isn't a number"),
    ("wflw", "l.txt", "1 " * 206 + "../a.jpg", "outside the folder"),
    ("wflw", "l.txt", "\n", "is empty"),
    ("labelme", "a.json", "[]", "isn't a labelme file"),
    ("labelme", "a.json", {"shapes": [], "imagePath": ".."}, "outside the folder"),
    (
        "labelme", "a.json",
        {"imagePath": "a.jpg", "shapes": [{"label": "beak", "shape_type": "point",
                                           "points": [[1, 2]]}]},
        "no topology has these",
    ),
    (
        "labelme", "a.json",
        {"imagePath": "a.jpg", "shapes": [{"label": "wrist", "shape_type": "point",
                                           "points": [["x", 2]]}]},
        "wrong points",
    ),
    ("cvat", "a.xml", "<annotations>", "isn't XML"),
    ("cvat", "a.xml", "<svg/>", "isn't a CVAT file"),
    ("cvat", "a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "declares entities"),
    ("cvat", "a.xml", CVAT.replace("30.50,10.25", "30.50"), "wrong points"),
    ("cvat", "a.xml", CVAT.replace("30.50,10.25", "30.50,nan"), "isn't a number"),
    ("cvat", "a.xml", CVAT.replace('name="p.jpg"', 'name="/p.jpg"'), "outside the folder"),
    ("cvat", "a.xml", CVAT.replace("thumb_tip", "beak"), "no topology has these"),
    ("freihand", "a.json", "{}", "isn't FreiHAND's folder"),
    ("onehand10k", "a.json", "{}", "isn't OneHand10K's folder"),
    ("bop2", "a.json", "{}", "unknown format"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "content", "problem"), BAD)
def test_damaged_files_give_one_line(
    tmp_path: Path, name: str, file: str, content: Any, problem: str
) -> None:
    put(tmp_path, "a.jpg")
    data = content if isinstance(content, bytes | str) else json.dumps(content)
    (tmp_path / file).write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(ViewfinderError, match=problem):
        read(name, tmp_path / file, tmp_path / "out", tmp_path)
    assert not (tmp_path / "out" / "labels").exists()


@pytest.mark.parametrize("name", sorted(FORMATS))
@given(data=st.binary(max_size=60))
@settings(max_examples=25, deadline=None)
def test_no_bytes_are_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes
) -> None:
    folder = put(tmp_path_factory.mktemp("x"), "a.jpg")
    for file in ("a.pts", "a.json", "a.xml"):
        (folder / file).write_bytes(data)
        try:
            find_format(name).load_reader()(folder / file)
        except ViewfinderError:
            continue


def test_a_format_for_one_way_only(tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match="can't be written"):
        find_format("freihand").load_writer()
    put(tmp_path, "a.jpg")
    ds = data_set(tmp_path / "ds", Label(sample_id="a", topology="hand21@1"))
    with pytest.raises(ViewfinderError, match="nothing to write"):
        find_format("wflw").load_writer()(ds, "synthetic", tmp_path / "f")
