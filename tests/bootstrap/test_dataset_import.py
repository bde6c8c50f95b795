"""Photo folders and COCO files in, COCO out."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bootstrap.commands import dataset_app
from bootstrap.dataset import Dataset, Label
from bootstrap.dataset.exif import without_metadata
from bootstrap.dataset.photos import import_photos, photo_ids
from bootstrap.label_files.annotated import import_labels
from bootstrap.label_files.coco import read_coco, write_coco
from runtime.errors import ViewfinderError
from runtime.exif import read_exif
from runtime.image import encode_image, image_size, read_image
from runtime.topology import topology
from tests.bootstrap.test_dataset_format import INFO, fill, hand, hashes, sample

runner = CliRunner()
SECRET = b"taken at home"


def picture(width: int = 48, height: int = 32, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def tiff(
    order: str, entries: list[tuple[int, int, Any]], exif: list[tuple[int, int, Any]]
) -> bytes:
    """An EXIF block with an IFD0 and an Exif IFD, written independently of the reader."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    ifd0 = 8
    exif_at = ifd0 + 2 + 12 * (len(entries) + 1) + 4
    data_at = exif_at + 2 + 12 * len(exif) + 4
    tail = b""

    def directory(rows: list[tuple[int, int, Any]]) -> bytes:
        nonlocal tail
        out = struct.pack(order + "H", len(rows))
        for tag, kind, value in rows:
            out += struct.pack(order + "HHI", tag, kind, 1)
            if kind == 5:
                out += struct.pack(order + "I", data_at + len(tail))
                tail += struct.pack(order + "II", *value)
            elif kind == 3:
                out += struct.pack(order + "HH", value, 0)
            else:
                out += struct.pack(order + "I", value)
        return out + bytes(4)

    body = directory([*entries, (0x8769, 4, exif_at)]) + directory(exif)
    return mark + struct.pack(order + "I", ifd0) + body + tail


def jpeg_with(block: bytes, rgb: np.ndarray) -> bytes:
    plain = encode_image(rgb, ".jpg", 95)
    payload = b"Exif\0\0" + block
    comment = b"\xff\xfe" + struct.pack(">H", len(SECRET) + 2) + SECRET
    app1 = b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload
    return plain[:2] + app1 + comment + plain[2:] + SECRET


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_metadata_is_gone(tmp_path: Path, orientation: int) -> None:
    source = tmp_path / "in"
    source.mkdir()
    block = tiff("<", [(0x0112, 3, orientation)], [(0xA405, 3, 28)])
    (source / "a.jpg").write_bytes(jpeg_with(block, picture()))
    report = import_photos(source, tmp_path / "out")
    assert (report.packed, report.bad) == (1, [])
    ds = Dataset.open(tmp_path / "out")
    upright = read_image(source / "a.jpg")
    packed = ds.read_image("a")
    assert packed.shape == ((48, 32, 3) if orientation > 4 else (32, 48, 3))
    difference = np.abs(packed.astype(int) - upright)
    # An upright JPEG keeps its very pixels; a turned one is coded anew.
    assert difference.max() == 0 if orientation == 1 else difference.mean() < 2.5
    data = ds.read_image_bytes("a")
    assert SECRET not in data
    assert b"Exif" not in data
    camera = ds.camera("a")
    assert camera is not None
    assert camera.fx == pytest.approx(28 / np.hypot(36, 24) * np.hypot(48, 32))
    assert (camera.cx, camera.cy) == (packed.shape[1] / 2, packed.shape[0] / 2)
    row = ds.row("a")
    assert json.loads(row["attributes"]) == {"file": "a.jpg"}


@pytest.mark.parametrize("order", ["<", ">"])
def test_focal_length_from_the_sensor(order: str) -> None:
    # 4 mm behind a sensor of 400 px a mm, the picture since halved: 800 px.
    exif = [(0x920A, 5, (40, 10)), (0xA20E, 5, (10160, 1)), (0xA210, 3, 2), (0xA002, 4, 96)]
    data = jpeg_with(tiff(order, [], exif), picture())
    assert read_exif(data, 48, 32).focal_length_px == pytest.approx(800)


@given(block=st.binary(max_size=120))
@settings(max_examples=80, deadline=None)
def test_damaged_exif_counts_as_none_or_reads(block: bytes) -> None:
    for mark in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        found = read_exif(jpeg_with(mark + block, picture()), 48, 32)
        assert 1 <= found.orientation <= 8
        assert found.focal_length_px is None or 0 < found.focal_length_px < 1e5


def test_progressive_jpegs_keep_their_pixels_too() -> None:
    bgr = picture()[..., ::-1].copy()
    for flags in ([cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]):
        data = bytes(cv2.imencode(".jpg", bgr, flags)[1])
        stripped = without_metadata(data + SECRET)
        assert SECRET not in stripped
        assert image_size(stripped, "x") == (48, 32)
        np.testing.assert_array_equal(
            cv2.imdecode(np.frombuffer(stripped, np.uint8), 1),
            cv2.imdecode(np.frombuffer(data, np.uint8), 1),
        )


def folder(root: Path, count: int = 7) -> Path:
    source = root / "in"
    (source / "deep" / ".hidden").mkdir(parents=True)
    for i in range(count):
        extension = (".jpg", ".png", ".webp")[i % 3]
        place = source / "deep" if i % 2 else source
        (place / f"p{i}{extension}").write_bytes(encode_image(picture(seed=i), extension))
    (source / "deep" / ".hidden" / "x.png").write_bytes(b"")
    (source / "notes.txt").write_text("no picture")
    return source


def test_import_is_sorted_and_the_same_every_time(tmp_path: Path) -> None:
    source = folder(tmp_path)
    for out in ("a", "b"):
        words = ["import", str(source), "--out", str(tmp_path / out), "--shard-size", "3"]
        assert runner.invoke(dataset_app, words).exit_code == 0
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    ds = Dataset.open(tmp_path / "a")
    files = [json.loads(text)["file"] for text in ds.samples()["attributes"]]
    assert sorted(files) == ["deep/p1.png", "deep/p3.jpg", "deep/p5.webp"] + [
        "p0.jpg", "p2.webp", "p4.png", "p6.jpg"
    ]  # fmt: skip
    assert ds.committed_shards() == {0, 1, 2}
    for row in ds.samples().to_dict("records"):
        file = json.loads(row["attributes"])["file"]
        np.testing.assert_array_equal(ds.read_image(row["sample_id"]), read_image(source / file))
    # Killed in the last shard, and run again.
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    (tmp_path / "c" / "index" / "000002.parquet").unlink()
    again = import_photos(source, tmp_path / "c", shard_size=3)
    assert (again.packed, again.already_there) == (1, 6)
    assert hashes(tmp_path / "c") == hashes(tmp_path / "a")
    (source / "new.png").write_bytes(encode_image(picture(), ".png"))
    with pytest.raises(ViewfinderError, match="another data set"):
        import_photos(source, tmp_path / "c", shard_size=3)


def test_bad_pictures_are_named_and_left_out(tmp_path: Path) -> None:
    source = folder(tmp_path)
    whole = (source / "p0.jpg").read_bytes()
    (source / "p0.jpg").write_bytes(whole[: len(whole) // 2])
    (source / "p4.png").write_bytes(b"")
    (source / "p6.jpg").write_bytes(b"\xff\xd8 no")
    words = ["import", str(source), "--out", str(tmp_path / "out"), "--shard-size", "2"]
    done = runner.invoke(dataset_app, words)
    assert done.exit_code == 1
    for name in ("p0.jpg", "p4.png", "p6.jpg"):
        assert f"left out: {source / name}" in done.output
    assert len(Dataset.open(tmp_path / "out").samples()) == 4
    words = ["import", str(source), "--out", str(tmp_path / "ok"), "--skip-bad"]
    assert runner.invoke(dataset_app, words).exit_code == 0
    assert runner.invoke(dataset_app, ["verify", str(tmp_path / "out")]).exit_code == 0


def test_folders_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match="no pictures"):
        import_photos(tmp_path, tmp_path / "out")
    with pytest.raises(ViewfinderError, match="isn't a folder"):
        import_photos(tmp_path / "missing", tmp_path / "out")


@given(st.lists(st.text("ab.-_ é/", min_size=1, max_size=8), unique=True, max_size=12))
@settings(max_examples=80, deadline=None)
def test_photo_ids_are_unique_and_can_be_stored(names: list[str]) -> None:
    files = sorted({Path(name.strip("/") + "x.jpg") for name in names})
    ids = photo_ids(files)
    assert len({i.lower() for i in ids}) == len(files)
    for sample_id in ids:
        sample(0, sample_id=sample_id).check()


def test_coco_round_trip(tmp_path: Path) -> None:
    ds = fill(tmp_path / "ds", 2)
    extra = hand(5, subject_id=3, topology="pose33@1", keypoints_px=np.ones((33, 2)) * 3.25,
                 keypoints_camera_m=None, visibility=[2] * 33, contours={}, score=0.5)  # fmt: skip
    ds.write_layer("propagated", [hand(1), extra, Label(sample_id="00000002")])
    warnings = write_coco(ds, "propagated", tmp_path / "coco")
    assert len(warnings) == 4 + 1
    for word in ("metres", "contours", "no subject", "cameras", "aren't labelled"):
        assert any(word in warning for warning in warnings)
    for image in json.loads((tmp_path / "coco/annotations.json").read_text())["images"]:
        original = ds.read_image_bytes(image["file_name"].split(".")[0])
        assert (tmp_path / "coco" / "images" / image["file_name"]).read_bytes() == original
    file, images = tmp_path / "coco" / "annotations.json", tmp_path / "coco" / "images"
    count, _ = import_coco(file, images, tmp_path / "back", layer="propagated")
    assert count == 2
    import_coco(file, None, tmp_path / "ds", layer="consensus")
    for other, layer in ((Dataset.open(tmp_path / "back"), "propagated"), (ds, "consensus")):
        first, second = other.labels(layer)
        for before, after in ((hand(1), first), (extra, second)):
            assert (after.sample_id, after.subject_id) == (before.sample_id, before.subject_id)
            assert (after.handedness, after.gesture) == (before.handedness, before.gesture)
            assert (after.topology, after.source) == (before.topology, before.source)
            assert (after.score, after.attributes) == (before.score, before.attributes)
            np.testing.assert_array_equal(after.visibility, before.visibility)
            np.testing.assert_array_equal(after.box_px, before.box_px)
            seen = before.visibility > 0
            np.testing.assert_array_equal(after.keypoints_px[seen], before.keypoints_px[seen])
            assert np.isnan(after.keypoints_px[~seen]).all()


PERSON = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow "
    "right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle "
    "right_ankle"
).split()


def coco(**changes: Any) -> dict[str, Any]:
    annotation = {"id": 9, "image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4],
                  "keypoints": [10, 20, 2, 0, 0, 0, 12, 21, 1] + [0] * 42}  # fmt: skip
    given = {
        "images": [{"id": 5, "file_name": "sub/x.png", "width": 48, "height": 32}],
        "categories": [{"id": 1, "name": "person", "keypoints": PERSON}, {"id": 2, "name": "cat"}],
        "annotations": [annotation, {"id": 1, "image_id": 5, "category_id": 2}],
    }
    return {**given, **changes}


def import_coco(
    file: Path, images: Path | None, out: Path, layer: str = "human/imported"
) -> tuple[int, list[str]]:
    return import_labels("coco", read_coco, file, images, out, layer)


def coco_file(root: Path, content: Any) -> Path:
    (root / "sub").mkdir(exist_ok=True)
    (root / "sub" / "x.png").write_bytes(encode_image(picture(), ".png"))
    (root / "ann.json").write_text(json.dumps(content))
    return root / "ann.json"


def test_cocos_own_person_becomes_a_pose(tmp_path: Path) -> None:
    file = coco_file(tmp_path, coco())
    words = ["import", str(file), "--format", "coco", "--images", str(tmp_path)]
    done = runner.invoke(dataset_app, [*words, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "warning: annotations without keypoints: 1 left out" in done.output
    (label,) = Dataset.open(tmp_path / "out").labels("human/imported")
    pose = topology("pose33@1")
    assert label.topology == pose.id
    assert label.annotator == "imported"
    assert label.keypoints_px is not None
    assert label.visibility is not None
    names = {pose.keypoint_names[i] for i in np.flatnonzero(label.visibility)}
    assert names == {"nose", "right_eye"}
    nose = pose.keypoint_names.index("nose")
    # COCO's integer is a pixel, ours its centre.
    np.testing.assert_array_equal(label.keypoints_px[nose], [10.5, 20.5])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([], "isn't a COCO file"),
        ({"images": []}, "isn't a COCO file"),
        (coco(images=[{"id": 5, "file_name": "../x.png"}]), "outside the folder"),
        (coco(images=[{"id": 5, "file_name": "/etc/x.png"}]), "outside the folder"),
        (coco(images=[{"id": 5, "file_name": "none.png"}]), "can't read this picture"),
        (coco(images=[{"id": "5", "file_name": "sub/x.png"}]), "wrong or missing value"),
        (coco(categories=[{"id": 1, "keypoints": ["beak"]}]), "no topology has these"),
        (
            coco(annotations=[{"id": 1, "image_id": 5, "category_id": 1, "keypoints": [1, 2]}]),
            "wrong number of keypoints",
        ),
        (
            coco(annotations=[
                {"id": 1, "image_id": 5, "category_id": 1, "keypoints": [1, 2, 7] + [0] * 48}
            ]),
            "can't be stored",
        ),
        (
            coco(annotations=[
                {"id": 1, "image_id": 5, "category_id": 1, "keypoints": [0] * 51,
                 "attributes": {"gesture": ["a"]}}
            ]),
            "can't be stored",
        ),
    ],
)  # fmt: skip
def test_wrong_coco_files(tmp_path: Path, content: Any, problem: str) -> None:
    file = coco_file(tmp_path, content)
    with pytest.raises(ViewfinderError, match=problem):
        import_coco(file, tmp_path, tmp_path / "out")


def test_coco_that_is_no_json_or_for_other_pictures(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ViewfinderError, match="isn't JSON"):
        import_coco(tmp_path / "bad.json", tmp_path, tmp_path / "out")
    with pytest.raises(ViewfinderError, match="can't be read"):
        import_coco(tmp_path / "none.json", tmp_path, tmp_path / "out")
    fill(tmp_path / "ds", 1)
    file = coco_file(tmp_path, coco())
    count, warnings = import_coco(file, None, tmp_path / "ds")
    assert count == 0
    assert any("aren't in the data set" in warning for warning in warnings)
    assert INFO.name == Dataset.open(tmp_path / "ds").info.name


def test_copied_subjects_get_ids_of_their_own(tmp_path: Path) -> None:
    person = coco()["annotations"][0] | {"attributes": {"subject_id": 4}}
    file = coco_file(tmp_path, coco(annotations=[person, person | {"id": 10}]))
    import_coco(file, tmp_path, tmp_path / "out")
    labels = Dataset.open(tmp_path / "out").labels("human/imported")
    assert [label.subject_id for label in labels] == [4, 5]
