"""The data set on disk: what goes in comes out, in the same bytes every time."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.dataset import (
    Dataset,
    DatasetInfo,
    Label,
    Sample,
    decode_depth,
    decode_segmentation,
    encode_depth,
    encode_segmentation,
)
from runtime.camera import Camera
from runtime.errors import ViewfinderError
from runtime.topology import topology

INFO = DatasetInfo(
    name="tiny",
    generator="a test",
    settings={"seed": 7, "range": [0.5, 1]},
    topologies=("face478@1", "hand21@1"),
    classes={"background": 0, "hand": 1},
    shard_size=4,
)
ARRAYS = ("keypoints_px", "keypoints_camera_m", "visibility", "box_px", "detector_keypoints_px")


def png(seed: int, width: int = 12, height: int = 9) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


def sample(i: int, **changes: Any) -> Sample:
    given = {
        "sample_id": f"{i:08d}",
        "image": png(i),
        "extension": "png",
        "members": {"depth.png": encode_depth(np.full((9, 12), 0.5 + i / 100))},
        "width": 12,
        "height": 9,
        "camera": Camera(20.0, 21.0, 6.0, 4.5, 12, 9, (0.1, 0.0, 0.0, 0.0, 0.0)),
        "seed": 7,
        "tags": ("render", "hand"),
        "attributes": {"hdri": "city", "yaw": np.float32(0.5)},
    }
    return Sample(**{**given, **changes})


def hand(i: int, **changes: Any) -> Label:
    rng = np.random.default_rng(i)
    given = {
        "sample_id": f"{i:08d}",
        "topology": "hand21@1",
        "keypoints_px": rng.uniform(0, 9, (21, 2)),
        "keypoints_camera_m": rng.uniform(0.2, 1, (21, 3)),
        "visibility": rng.integers(0, 3, 21),
        "contours": {"palm": rng.uniform(0, 9, (6, 2)), "empty": np.zeros((0, 2))},
        "box_px": [0, 1, 5, 6],
        "handedness": "left",
        "gesture": "fist",
        "attributes": {"joints": {"index_mcp_flexion": 0.25}},
        "source": "test 1",
    }
    return Label(**{**given, **changes})


def fill(root: Path, shards: int = 2) -> Dataset:
    ds = Dataset.create(root, INFO)
    for shard in range(shards):
        numbers = range(4 * shard, 4 * shard + 4)
        samples = [sample(i) for i in numbers]
        ds.write_shard(shard, samples, {"synthetic": [hand(i) for i in numbers]})
    return ds


def hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def assert_same_label(a: Label, b: Label) -> None:
    for name in Label.__dataclass_fields__:
        one, two = getattr(a, name), getattr(b, name)
        if name in ARRAYS and one is not None:
            assert two is not None
            assert one.dtype == two.dtype
            np.testing.assert_array_equal(one, two, err_msg=name)
        elif name == "contours":
            assert sorted(one) == sorted(two)
            for line in one:
                np.testing.assert_array_equal(one[line], two[line])
        elif name == "cuboid" and one is not None:
            for key in ("rotation", "translation_m", "size_m"):
                np.testing.assert_array_equal(one[key], two[key])
            assert one["frame"] == two["frame"]
        else:
            assert one == two, name


def test_what_is_written_is_read(tmp_path: Path) -> None:
    fill(tmp_path)
    ds = Dataset.open(tmp_path)
    assert ds.info == INFO
    assert ds.committed_shards() == {0, 1}
    assert ds.layers() == ["synthetic"]
    for i in range(8):
        expected = sample(i)
        assert ds.read_image_bytes(expected.sample_id) == expected.image
        assert ds.read_member(expected.sample_id, "depth.png") == expected.members["depth.png"]
        assert ds.camera(expected.sample_id) == expected.camera
        decoded = cv2.imdecode(np.frombuffer(expected.image, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(ds.read_image(expected.sample_id), decoded[..., ::-1])
    labels = ds.labels("synthetic")
    assert len(labels) == 8
    for i, label in enumerate(labels):
        assert_same_label(hand(i), label)


def test_pandas_reads_every_table(tmp_path: Path) -> None:
    ds = fill(tmp_path)
    frame = ds.samples()
    assert list(frame["sample_id"]) == [f"{i:08d}" for i in range(8)]
    direct = pd.read_parquet(tmp_path / "index")
    assert list(direct["sha256"]) == list(frame["sha256"])
    assert direct["camera"][0]["fx"] == 20.0
    labels = pd.read_parquet(tmp_path / "labels/synthetic/000001.parquet")
    points = np.stack(labels["keypoints_px"]).reshape(-1, 21, 2)
    np.testing.assert_array_equal(points[2], hand(6).keypoints_px)
    assert dict(labels["contours"][0])["palm"].shape == (12,)
    assert "annotator" not in labels


def test_other_readers_find_members_in_order(tmp_path: Path) -> None:
    # WebDataset groups neighbours whose names agree up to the first dot.
    ds = fill(tmp_path)
    with tarfile.open(ds.shard_path(0)) as tar:
        members = tar.getmembers()
        names = [member.name for member in members]
        assert names == sorted(names)
        assert [n.split(".")[0] for n in names] == [f"{i // 2:08d}" for i in range(8)]
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(0, 0, 0, "", 0o644)}
        row = ds.row("00000002")
        opened = tar.extractfile("00000002.png")
        assert opened is not None
        assert opened.read() == sample(2).image
        assert tar.getmember("00000002.png").offset_data == row["offset"]


def test_bytes_do_not_depend_on_order_or_run(tmp_path: Path) -> None:
    fill(tmp_path / "a")
    ds = Dataset.create(tmp_path / "b", INFO)
    for shard in (1, 0):
        numbers = range(4 * shard + 3, 4 * shard - 1, -1)
        ds.write_shard(
            shard, (sample(i) for i in numbers), {"synthetic": (hand(i) for i in numbers)}
        )
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert len(hashes(tmp_path / "a")) == 7


positions = st.floats(-1e4, 1e4, width=32)


@st.composite
def any_label(draw: st.DrawFn) -> Label:
    topology_id = draw(st.sampled_from(["", "hand21@1", "cuboid9@1", "pose33@1"]))
    count = topology(topology_id).size if topology_id else 0

    def array(columns: int, rows: int) -> np.ndarray:
        values = draw(st.lists(positions, min_size=rows * columns, max_size=rows * columns))
        return np.array(values, dtype=np.float32).reshape(rows, columns)

    def maybe(value: Any) -> Any:
        return value if draw(st.booleans()) else None

    numbers = [draw(positions) for _ in range(9)]
    cuboid = {
        "rotation": numbers,
        "translation_m": numbers[:3],
        "size_m": numbers[3:6],
        "frame": draw(st.text(max_size=8)),
    }
    names = draw(st.lists(st.text(max_size=12), unique=True, max_size=3))
    json_values = st.none() | st.booleans() | st.integers(-9, 9) | positions | st.text(max_size=5)
    human = draw(st.booleans())
    return Label(
        sample_id="s",
        subject_id=draw(st.integers(0, 2**31 - 1)),
        topology=topology_id,
        keypoints_px=maybe(array(2, count)),
        keypoints_camera_m=maybe(array(3, count)),
        visibility=maybe(draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))),
        contours={name: array(2, draw(st.integers(0, 3))) for name in names},
        box_px=maybe(np.abs(array(1, 4))),
        detector_keypoints_px=maybe(array(2, draw(st.integers(0, 7)))),
        cuboid=maybe(cuboid),
        handedness=draw(st.sampled_from([None, "left", "right"])),
        gesture=maybe(draw(st.text(max_size=8))),
        score=maybe(draw(st.floats(0, 1, width=32))),
        weight=draw(st.floats(0, 10, width=32)),
        attributes=draw(st.dictionaries(st.text(max_size=6), json_values, max_size=3)),
        source=draw(st.text(max_size=8)),
        annotator=draw(st.text(max_size=8)) if human else None,
        time="2026-01-02T03:04:05Z" if human else None,
    )


@given(label=any_label())
@settings(max_examples=30, deadline=None)
def test_any_label_round_trips(label: Label, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("round")
    ds = Dataset.create(root, INFO)
    ds.write_shard(0, [sample(0, sample_id="s")])
    layer = "synthetic" if label.annotator is None else "human/anna"
    ds.write_layer(layer, [label])
    first = ds.layer_path(layer, 0).read_bytes()
    (back,) = ds.labels(layer)
    assert_same_label(label, back)
    ds.write_layer(layer, [back])
    assert ds.layer_path(layer, 0).read_bytes() == first


def test_layers_stand_on_their_own(tmp_path: Path) -> None:
    ds = fill(tmp_path)
    before = hashes(tmp_path)
    note = hand(5, annotator="anna", time="2026-01-02T03:04:05Z")
    ds.write_layer("human/anna", [note])
    ds.write_layer("predicted@0123456789ab", [hand(1), hand(1, subject_id=1)])
    after = hashes(tmp_path)
    assert {name: after[name] for name in before} == before
    assert ds.layers() == ["human/anna", "predicted@0123456789ab", "synthetic"]
    assert ds.layer_shards("human/anna") == {0, 1}
    assert_same_label(ds.labels("human/anna")[0], note)
    assert ds.labels("human/anna", shards=[0]) == []
    with pytest.raises(ViewfinderError, match="person and time"):
        ds.write_layer("synthetic", [note])
    with pytest.raises(ViewfinderError, match="no such label layer"):
        ds.labels("consensus")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"topology": "hand22@1"}, "topology"),
        ({"topology": "pose33@1"}, "keypoints_px"),
        ({"visibility": [3] * 21}, "visibility"),
        ({"visibility": [0.5] * 21}, "visibility"),
        ({"visibility": [256] * 21}, "visibility"),
        ({"visibility": [None] * 21}, "visibility"),
        ({"keypoints_px": np.full((21, 2), np.nan), "visibility": [2] * 21}, "keypoints_px"),
        ({"handedness": "both"}, "handedness"),
        ({"box_px": [0, 0, -1, 4]}, "box_px"),
        ({"cuboid": {"rotation": [1, 2]}}, "cuboid"),
        ({"sample_id": "../up"}, "sample_id"),
        ({"attributes": {"x": float("nan")}}, None),
        ({"attributes": {"x": object()}}, None),
        ({"sample_id": "00000009"}, "synthetic"),
    ],
)
def test_bad_labels_name_their_field(
    tmp_path: Path, changes: dict[str, Any], field: str | None
) -> None:
    ds = Dataset.create(tmp_path, INFO)
    with pytest.raises(ViewfinderError) as caught:
        ds.write_shard(0, [sample(i) for i in range(4)], {"synthetic": [hand(0, **changes)]})
    assert field is None or field in str(caught.value.field)
    assert not list(tmp_path.rglob("*.tar"))


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_id": "a.b"},
        {"sample_id": ""},
        {"extension": "gif"},
        {"members": {"../x": b""}},
        {"members": {"png": b""}},
        {"split": "dev"},
        {"width": 0},
    ],
)
def test_bad_samples_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    ds = Dataset.create(tmp_path, INFO)
    with pytest.raises(ViewfinderError):
        ds.write_shard(0, [sample(0, **changes)])
    with pytest.raises(ViewfinderError, match="twice"):
        ds.write_shard(0, [sample(0), sample(0)])


def test_a_shard_may_be_empty(tmp_path: Path) -> None:
    """As when no picture of a photo folder's part could be read."""
    ds = Dataset.create(tmp_path, INFO)
    ds.write_shard(0, [], {"synthetic": []})
    ds.write_shard(1, [sample(4)], {"synthetic": [hand(4)]})
    assert list(ds.samples()["sample_id"]) == ["00000004"]
    assert [label.sample_id for label in ds.labels("synthetic")] == ["00000004"]


def test_layer_names_stay_inside(tmp_path: Path) -> None:
    ds = fill(tmp_path, 1)
    for name in ("../x", "a/b/c", "", "/abs", "human/..", "a//b"):
        with pytest.raises(ViewfinderError, match="can't be called"):
            ds.write_layer(name, [])


def test_create_goes_on_or_says_what_differs(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    again = Dataset.create(tmp_path, INFO)
    assert again.committed_shards() == {0}
    with pytest.raises(ViewfinderError, match="written already"):
        again.write_shard(0, [sample(0)])
    other = DatasetInfo(**{**INFO.__dict__, "settings": {"seed": 8, "range": [0.5, 1]}})
    with pytest.raises(ViewfinderError, match=r"settings\.seed.*expected 8; found 7"):
        Dataset.create(tmp_path, other)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ViewfinderError, match="can't be written"):
        Dataset.create(tmp_path / "file" / "data", INFO)
    ds = fill(tmp_path / "data", 1)
    (tmp_path / "data" / "labels" / "propagated").write_text("in the way")
    with pytest.raises(ViewfinderError, match="can't be written"):
        ds.write_layer("propagated", [])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[" * 100_000, '{"format": "viewfinder-dataset"}', "\x00"]
)
def test_damaged_description(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(ViewfinderError):
        Dataset.open(tmp_path)
    with pytest.raises(ViewfinderError, match="isn't a data set"):
        Dataset.open(tmp_path / "nowhere")


def test_damage_is_noticed_on_reading(tmp_path: Path) -> None:
    ds = fill(tmp_path)
    row = ds.row("00000001")
    tar = ds.shard_path(0)
    data = bytearray(tar.read_bytes())
    data[row["offset"] + 5] ^= 1
    tar.write_bytes(data)
    with pytest.raises(ViewfinderError, match=r"00000001\.png.*damaged"):
        ds.read_image("00000001")
    assert ds.read_image("00000002").shape == (9, 12, 3)
    tar.write_bytes(data[: row["offset"] + 5])
    with pytest.raises(ViewfinderError, match="truncated"):
        ds.read_image("00000001")
    tar.unlink()
    with pytest.raises(ViewfinderError, match="can't be read"):
        ds.read_image("00000001")
    assert ds.read_image("00000005").shape == (9, 12, 3)


@given(cut=st.integers(0, 3000), flip=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_damaged_tables_raise_or_read(
    cut: int, flip: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("damage")
    ds = fill(root, 1)
    for path in (ds.index_path(0), ds.layer_path("synthetic", 0)):
        whole = path.read_bytes()
        data = bytearray(whole)
        data[flip % len(data)] ^= 1 << flip % 8
        path.write_bytes(data[: max(0, len(data) - cut)] if cut % 2 else data)
        try:
            ds.samples()
            ds.labels("synthetic")
        except ViewfinderError:
            pass
        path.write_bytes(whole)


def test_a_table_whose_text_is_no_text(tmp_path: Path) -> None:
    ds = fill(tmp_path, 1)
    path = ds.layer_path("synthetic", 0)
    table = pq.read_table(path)
    at = table.column_names.index("sample_id")
    spoilt = pa.array([b"\xe3 not UTF-8"] * len(table)).view(pa.string())
    pq.write_table(table.set_column(at, "sample_id", spoilt), path)
    with pytest.raises(ViewfinderError, match=r"damaged.*UTF8"):
        ds.labels("synthetic")


def test_a_table_of_other_columns(tmp_path: Path) -> None:
    ds = fill(tmp_path, 1)
    pd.DataFrame({"sample_id": ["00000000"]}).to_parquet(ds.layer_path("synthetic", 0))
    with pytest.raises(ViewfinderError, match="lacks a column"):
        ds.labels("synthetic")


_WRITER = """
import sys, os, signal
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from tests.bootstrap.test_dataset_format import INFO, Dataset, hand, sample
import runtime.durable as durable

ds = Dataset.create(Path(sys.argv[1]), INFO)
replaced = 0
rename = Path.replace

def dying(self, target):
    global replaced
    replaced += 1
    if replaced == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)

Path.replace = dying
for shard in range(2):
    if shard not in ds.committed_shards():
        numbers = range(4 * shard, 4 * shard + 4)
        labels = [hand(i) for i in numbers]
        ds.write_shard(shard, [sample(i) for i in numbers], {"synthetic": labels})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_anywhere_then_resumed(tmp_path: Path) -> None:
    """Killed before each of the first five renames in turn, one tree reaches the same bytes."""
    fill(tmp_path / "whole")
    script = tmp_path / "writer.py"
    script.write_text(_WRITER)
    root = tmp_path / "killed"
    house = Path(__file__).parents[2]
    committed = []
    for rename in (1, 2, 3, 5):
        command = [sys.executable, str(script), str(root), str(rename), str(house)]
        done = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(house)})
        assert done.returncode == -signal.SIGKILL
        committed.append(len(Dataset.open(root).committed_shards()))
        assert list(root.rglob(".*.partial"))
    assert committed == [0, 0, 0, 1]
    ds = Dataset.open(root)
    ds.write_shard(1, [sample(i) for i in range(4, 8)], {"synthetic": map(hand, range(4, 8))})
    assert hashes(root) == hashes(tmp_path / "whole")


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, bootstrap.dataset;"
        "print([m for m in ('torch', 'bpy', 'napari', 'qtpy', 'PySide6', 'pandas', 'cv2')"
        " if m in sys.modules])"
    )
    house = Path(__file__).parents[2]
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=house
    )
    assert out.stdout.strip() == "[]"


@given(depth=st.lists(st.floats(-1, 8), min_size=6, max_size=6))
@settings(max_examples=50, deadline=None)
def test_depth_round_trips_to_half_a_step(depth: list[float]) -> None:
    metres = np.array(depth).reshape(2, 3)
    back = decode_depth(encode_depth(metres))
    known = (metres > 0) & (metres <= 6.5535)
    assert np.isnan(back[metres <= 0]).all()
    assert np.isnan(back[metres > 6.5536]).all()
    assert np.abs(back[known] - metres[known]).max(initial=0) <= 1.0001e-4
    above_a_step = known & (metres > 1e-4)
    assert np.abs(back[above_a_step] - metres[above_a_step]).max(initial=0) <= 0.51e-4


def test_dense_pictures_are_checked() -> None:
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(decode_segmentation(encode_segmentation(ids)), ids)
    with pytest.raises(ViewfinderError, match="another kind"):
        decode_depth(encode_segmentation(ids))
    whole = encode_depth(np.ones((40, 40)) * np.linspace(0.1, 3, 40))
    for data in (b"", whole[:20], b"\xff" + whole[1:]):
        with pytest.raises(ViewfinderError):
            decode_depth(data)
    header = b"IHDR" + (60000).to_bytes(4, "big") * 2 + whole[24:29]
    bomb = whole[:12] + header + zlib.crc32(header).to_bytes(4, "big") + whole[33:]
    with pytest.raises(ViewfinderError, match="too large"):
        decode_depth(bomb)
    with pytest.raises(ViewfinderError, match=r"0\.\.255"):
        encode_segmentation(np.array([[256]]))
