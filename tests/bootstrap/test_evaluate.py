"""Evaluation and pre-labelling with a real .tflite whose answers are known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bootstrap import commands
from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from bootstrap.evaluate import evaluate_model
from bootstrap.predictions import matched
from bootstrap.prelabel import layer_of, prelabel
from bootstrap.presence import roc
from bootstrap.subjects import Settings
from runtime.camera import Camera
from runtime.errors import ViewfinderError
from runtime.image import encode_image, read_image
from runtime.model_store import missing_released
from runtime.results import Subject
from runtime.roi import crop_from_image, face_roi_from_landmarks
from runtime.topology import canonical_face, topology
from tests.bootstrap.brightness_model import brightness_bundle
from tests.bootstrap.test_dataset_format import hashes

runner = CliRunner()
app = typer.Typer()
app.command()(commands.evaluate)
app.command()(commands.prelabel)
SIDE = 320
FACE = topology("face478@1")
needs_released = pytest.mark.skipif(
    bool(missing_released()), reason="viewfinder models fetch mediapipe brings these models"
)


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own models need no probing in a child process; runtime's tests see to that."""
    monkeypatch.setattr("runtime.trust.is_trusted", lambda sha256: True)


def face_px(centre: tuple[float, float], scale: float) -> np.ndarray:
    """(478, 2) the canonical face head on, `scale` pixels a metre."""
    points = canonical_face().vertices_m[:, :2] * (1, -1)
    return np.asarray(points * scale + centre, dtype=np.float32)


def crop_template() -> np.ndarray:
    """(478, 3) where every such face lies in its own crop."""
    points = face_px((160, 160), 900)
    template = crop_from_image(face_roi_from_landmarks(points), points)
    return np.concatenate([template, np.zeros((478, 1))], axis=1)


def spot(i: int) -> tuple[tuple[float, float], float]:
    return (120 + 7.3 * i, 150 + 4.1 * i), 500 + 60 * i


def make_faces(root: Path, count: int = 8, camera: bool = False) -> Dataset:
    """Grey pictures with exact labels: the known model is right about every one."""
    info = DatasetInfo(name="faces", generator="a test", shard_size=4)
    ds = Dataset.create(root, info)
    for shard in range(0, count, 4):
        samples, labels = [], []
        for i in range(shard, min(shard + 4, count)):
            grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
            lens = Camera(400, 400, SIDE / 2, SIDE / 2, SIDE, SIDE) if camera else None
            samples.append(
                Sample(sample_id=f"{i:08d}", image=encode_image(grey, ".png"), extension="png",
                       width=SIDE, height=SIDE, camera=lens, split="test" if i % 2 else "train")
            )  # fmt: skip
            points = face_px(*spot(i))
            metric = None
            if lens is not None:
                metric = lens.unproject(points, np.full(478, 400 / spot(i)[1]))
            tone = "dark" if i < count / 2 else "light"
            labels.append(
                Label(sample_id=f"{i:08d}", topology="face478@1", keypoints_px=points,
                      keypoints_camera_m=metric, visibility=np.full(478, 2),
                      attributes={"tone": tone, "pose": {"yaw_rad": (i - 3) / 10}}, source="t")
            )  # fmt: skip
        ds.write_shard(shard // 4, samples, {"synthetic": labels})
    return ds


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_faces(tmp_path_factory.mktemp("faces"), camera=True)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "exact.task"
    brightness_bundle(path, crop_template())
    return path


@pytest.fixture(scope="module")
def lips_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that puts the lips, and nothing else, 0.02 of a crop too low."""
    template = crop_template()
    template[list(FACE.parts["lips"]), 1] += 0.02
    path = tmp_path_factory.mktemp("model") / "lips.task"
    brightness_bundle(path, template)
    return path


def crop_percent(part_of_crop: float) -> float:
    """A part of the crop's width in percent of the interocular distance."""
    points = face_px((160, 160), 900)
    width = face_roi_from_landmarks(points).width
    return 100 * part_of_crop * width / float(FACE.normalising_length(points))


def on(ds: Dataset, **changes: object) -> Settings:
    return replace(Settings((ds.root,), split="all"), **changes)  # type: ignore[arg-type]


def test_a_model_that_is_right_has_no_error(faces: Dataset, exact: Path) -> None:
    result = evaluate_model(exact, on(faces))
    assert result.overall.n == 8
    assert result.overall.mean < 0.01
    assert result.details["rejected"] == 0
    assert "interocular distance (in space)" in result.metric


def test_shares_groups_and_joints_of_a_known_error(faces: Dataset, lips_off: Path) -> None:
    lips = sorted(FACE.parts["lips"])
    joints = evaluate_model(lips_off, on(faces, by="joint"))
    assert list(joints.by) == list(FACE.keypoint_names)
    wrong = [i for i, one in enumerate(joints.by.values()) if one.mean > 0.1]
    assert wrong == lips
    # The lips are 5.4 % off, everything else right.
    assert 5 < crop_percent(0.02) < 10
    assert joints.details["pck"]["5"] == pytest.approx(1 - len(lips) / 478, abs=1e-6)
    assert joints.details["pck"]["10"] == 1.0
    tones = evaluate_model(lips_off, on(faces, by="tone"))
    means = [estimate.mean for estimate in tones.by.values()]
    assert tones.details["fairness"] == {
        "spread": pytest.approx(max(means) - min(means)), "annotators": 2.56, "within": True
    }  # fmt: skip


def test_presence_on_pictures_without_a_face(exact: Path, tmp_path: Path) -> None:
    ds = make_faces(tmp_path / "ds", 4)
    assert evaluate_model(exact, on(ds)).details["presence"] is None
    black = encode_image(np.zeros((SIDE, SIDE, 3), np.uint8), ".png")
    sample = Sample(sample_id="empty", image=black, extension="png", width=SIDE, height=SIDE)
    ds.write_shard(1, [sample], {"synthetic": [Label(sample_id="empty")]})
    found = evaluate_model(exact, on(Dataset.open(ds.root))).details["presence"]
    assert found == {
        "auc": 1.0, "true_positive_rate": 1.0, "false_positive_rate": 0.0, "positives": 4,
        "negatives": 3,
    }  # fmt: skip


@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.9]), min_size=1, max_size=9),
    st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.9]), min_size=1, max_size=9),
)
def test_the_area_is_the_chance_to_score_higher(there: list[float], empty: list[float]) -> None:
    pairs = [(p > q) + 0.5 * (p == q) for p in there for q in empty]
    assert roc(there, empty).area == pytest.approx(np.mean(pairs))


def test_a_known_error_is_found_where_it_is(faces: Dataset, lips_off: Path) -> None:
    result = evaluate_model(lips_off, on(faces))
    expected = crop_percent(0.02)
    lips = FACE.parts["lips"]
    assert result.by["lips"].mean == pytest.approx(expected, rel=1e-3)
    assert result.overall.mean == pytest.approx(expected * len(lips) / 478, rel=1e-2)
    for part in set(FACE.parts) - {"lips"}:
        assert result.by[part].mean < 0.01
    corners = result.details["six_point"]["mean"]
    points = face_px((160, 160), 900)
    outer = np.linalg.norm(points[33] - points[263]) / float(FACE.normalising_length(points))
    assert corners == pytest.approx(expected * 2 / 6 / outer, rel=1e-2)


def test_groups_and_splits(faces: Dataset, tmp_path: Path) -> None:
    template = crop_template()
    path = tmp_path / "m.task"
    brightness_bundle(path, template + [0.01, 0, 0])
    tones = evaluate_model(path, on(faces, by="tone")).by
    assert {name: found.n for name, found in tones.items()} == {"dark": 4, "light": 4}
    yaws = evaluate_model(path, on(faces, by="yaw")).by
    assert sum(found.n for found in yaws.values()) == 8
    assert any("-17.2" in name for name in yaws)
    sizes = evaluate_model(path, on(faces, by="size", split=None)).to_json()
    assert sizes["n"] == 4
    assert sizes["split"] == {str(faces.root): "test"}
    assert sizes["mean"] == pytest.approx(crop_percent(0.01), rel=1e-3)
    with pytest.raises(ViewfinderError, match="no subject has this attribute"):
        evaluate_model(path, on(faces, by="country"))


def test_against_another_model_on_the_same_subjects(
    faces: Dataset, exact: Path, lips_off: Path
) -> None:
    against = evaluate_model(lips_off, on(faces), exact).details["against"]
    assert against["mean"] < 0.01
    low, high = against["difference"]["interval"]
    assert 0 < low <= against["difference"]["mean"] <= high
    back = evaluate_model(exact, on(faces), lips_off).details["against"]["difference"]
    assert back["mean"] == pytest.approx(-against["difference"]["mean"])


def test_a_crop_taken_for_empty_still_counts(tmp_path: Path, exact: Path) -> None:
    ds = make_faces(tmp_path, 4)
    black = encode_image(np.zeros((SIDE, SIDE, 3), np.uint8), ".png")
    ds.write_shard(
        1, [Sample(sample_id="black", image=black, extension="png", width=SIDE, height=SIDE)]
    )
    label = replace(ds.labels("synthetic")[0], sample_id="black")
    ds.write_layer("synthetic", [*ds.labels("synthetic"), label])
    result = evaluate_model(exact, on(ds))
    assert (result.details["rejected"], result.overall.n) == (1, 5)
    assert "in the picture" in result.metric


def test_nothing_to_measure_on(faces: Dataset, exact: Path, tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match="nothing to measure on"):
        evaluate_model(exact, on(faces, split="val"))
    with pytest.raises(ViewfinderError, match="no such label layer"):
        evaluate_model(exact, on(faces, layer="consensus"))
    with pytest.raises(ViewfinderError, match="isn't a data set"):
        evaluate_model(exact, Settings((tmp_path,)))
    with pytest.raises(ViewfinderError, match="no such model"):
        evaluate_model(tmp_path / "none.task", on(faces))


def test_evaluate_on_the_command_line(faces: Dataset, lips_off: Path, tmp_path: Path) -> None:
    picture = tmp_path / "deep" / "worst.png"
    words = ["evaluate", str(lips_off), "--data", str(faces.root), "--split", "all"]
    done = runner.invoke(app, [*words, "--json", "--picture", str(picture)])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert {"metric", "mean", "interval", "n", "by"} <= set(result)
    low, high = result["interval"]
    assert low <= result["mean"] <= high
    assert result["by"]["lips"]["n"] == 8
    assert read_image(picture).shape[2] == 3
    again = runner.invoke(app, [*words, "--json"])
    assert json.loads(again.stdout) == result
    table = runner.invoke(app, words)
    assert table.exit_code == 0
    assert "lips" in table.stdout
    assert "95 % interval" in table.stdout


def test_matching_takes_the_nearest_and_each_once() -> None:
    truths = [face_px((100, 100), 500), face_px((220, 100), 500)]

    def found(dx: float) -> Subject:
        points = (truths[0] + (dx, 0)) / SIDE
        return Subject(0, "face478@1", 1.0, points.astype(np.float32), (0, 0, 1, 1))

    lengths = [float(FACE.normalising_length(t)) for t in truths]
    assert matched(truths, lengths, [found(118), found(4), found(1)], SIDE, SIDE) == [2, 0]
    assert matched(truths, lengths, [found(60)], SIDE, SIDE) == [None, None]
    assert matched(truths, lengths, [], SIDE, SIDE) == [None, None]


# -- the whole pipeline, on a real photograph ---------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Dataset:
    data = pytest.importorskip("skimage.data")
    astronaut = data.astronaut()
    info = DatasetInfo(name="photos", generator="a test", shard_size=1)
    ds = Dataset.create(tmp_path / "photos", info)
    for shard, image in enumerate((astronaut, astronaut[:, ::-1], np.zeros_like(astronaut))):
        encoded = encode_image(np.ascontiguousarray(image), ".png")
        height, width = image.shape[:2]
        ds.write_shard(
            shard,
            [Sample(sample_id=f"p{shard}", image=encoded, extension="png", width=width,
                    height=height)],
        )  # fmt: skip
    return ds


@needs_released
def test_prelabel_then_evaluate_the_whole_pipeline(photos: Dataset) -> None:
    before = hashes(photos.root)
    done = runner.invoke(app, ["prelabel", str(photos.root), "--model", "face_landmark", "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["pictures"], result["subjects"]) == (3, 2)
    layer = result["layer"]
    labels = photos.labels(layer)
    assert [label.sample_id for label in labels] == ["p0", "p1"]
    for label in labels:
        assert label.topology == "face468@1"
        assert label.source.startswith("model ")
        assert layer == layer_of(label.source.removeprefix("model "))
        assert label.keypoints_px is not None
        lips = label.keypoints_px[list(topology("face468@1").contours["lips_outer"].indices)]
        np.testing.assert_array_equal(label.contours["lips_outer"], lips)
        assert label.box_px is not None
        x, y, w, h = label.box_px
        inside = (label.keypoints_px >= (x - 1e-3, y - 1e-3)) & (
            label.keypoints_px <= (x + w + 1e-3, y + h + 1e-3)
        )
        assert inside.all()
    assert {name: hashes(photos.root)[name] for name in before} == before
    with pytest.raises(ViewfinderError, match="no labels that count as true"):
        evaluate_model("face_landmark", Settings((photos.root,)))
    # Against its own answers the pipeline has no error; a face that isn't there is missed, and
    # one that nobody labelled is extra.
    settings = Settings((photos.root,), layer, "all", crop="detector")
    own = evaluate_model("face_landmark", settings)
    assert (own.overall.mean, own.details["missed"], own.details["extra"]) == (0, 0, 0)
    assert labels[0].keypoints_px is not None
    nobody = replace(labels[0], sample_id="p2")
    photos.write_layer("propagated", [labels[0], nobody])
    partly = evaluate_model("face_landmark", replace(settings, layer="propagated"))
    assert (partly.overall.n, partly.details["missed"], partly.details["extra"]) == (1, 1, 0)
    moved = replace(labels[0], keypoints_px=labels[0].keypoints_px + 300)
    photos.write_layer("propagated", [moved])
    lost = evaluate_model("face_landmark", replace(settings, layer="propagated"))
    assert (lost.overall.n, lost.details["missed"], lost.details["extra"]) == (0, 1, 1)


@needs_released
def test_prelabel_is_the_same_every_time_and_goes_on_after_a_kill(photos: Dataset) -> None:
    done = prelabel(photos.root, "face_landmark")
    first = hashes(photos.root)
    photos.layer_path(done.layer, 1).unlink()
    again = prelabel(photos.root, "face_landmark")
    assert (again.pictures, again.shards_before) == (1, 2)
    assert hashes(photos.root) == first
    prelabel(photos.root, "face_landmark", again=True)
    assert hashes(photos.root) == first
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from bootstrap.prelabel import prelabel\n"
        "def stop(done, total):\n"
        "    if done == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "prelabel(Path(sys.argv[1]), 'face_landmark', again=True, progress=stop)\n"
    )
    for shard in range(3):
        photos.layer_path(done.layer, shard).unlink()
    house = str(Path(__file__).parents[2])
    killed = subprocess.run(
        [sys.executable, "-c", code, str(photos.root)],
        check=False,
        env={**os.environ, "PYTHONPATH": house},
    )
    assert killed.returncode == -signal.SIGKILL
    assert photos.layer_shards(done.layer) == {0}
    prelabel(photos.root, "face_landmark")
    assert hashes(photos.root) == first


@needs_released
def test_prelabel_stops_at_a_damaged_shard_and_keeps_the_others(photos: Dataset) -> None:
    tar = photos.shard_path(1)
    data = bytearray(tar.read_bytes())
    data[photos.row("p1")["offset"] + 9] ^= 1
    tar.write_bytes(data)
    with pytest.raises(ViewfinderError, match=r"000001\.tar.*damaged"):
        prelabel(photos.root, "face_landmark")
    (layer,) = photos.layers()
    assert photos.layer_shards(layer) == {0}


def test_prelabel_with_a_model_that_is_none(photos: Dataset, tmp_path: Path) -> None:
    bad = tmp_path / "bad.task"
    bad.write_bytes(b"no model")
    with pytest.raises(ViewfinderError):
        prelabel(photos.root, bad)
    assert photos.layers() == []
