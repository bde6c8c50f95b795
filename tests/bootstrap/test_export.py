"""Exported bundles: equal to torch, whole in XNNPACK, MediaPipe's layouts, an honest card."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load
from typer.testing import CliRunner

from bootstrap import export
from bootstrap.export import (
    MAX_DIFFERENCE,
    Deployed,
    comparison_pictures,
    convert,
    greatest_difference,
    load_parent,
    parent_size,
)
from bootstrap.export_quantised import (
    MAX_KEYPOINT_PX,
    PRECISIONS,
    at_precision,
    check_smaller,
    keypoint_difference_px,
    shared_out,
)
from bootstrap.networks import FaceNetwork, HandNetwork
from bootstrap.tflite_metadata import metadata_bytes
from bootstrap.training.commands import train_app
from bootstrap.training.subjects import load_training_data
from runtime.bundle import Bundle, read_bundle
from runtime.errors import ViewfinderError
from runtime.model import Model
from runtime.operators import model_operators, operator_counts
from runtime.roi import face_roi_from_landmarks, image_from_crop, warp_crop
from runtime.topology import topology
from tests.bootstrap.drawn_subjects import write_drawn_dataset


def trained(folder: Path, kind: str, *options: str) -> tuple[Path, dict]:
    """A bundle from the command line after a few steps, and what the command printed."""
    data, out = folder / kind, folder / f"{kind}.task"
    if not data.exists():
        write_drawn_dataset(data, kind, 8, size=128)
    words = [kind, "--data", str(data), "--out", str(out), "--steps", "3", "--batch", "4"]
    result = CliRunner().invoke(train_app, [*words, "--threads", "1", "--json", *options])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return out, json.loads(result.stdout)


@pytest.fixture(scope="session")
def face(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    return trained(tmp_path_factory.mktemp("face-bundle"), "face")


@pytest.fixture(scope="session")
def hand(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    return trained(tmp_path_factory.mktemp("hand-bundle"), "hand")


def network_of(bundle: Bundle) -> FaceNetwork | HandNetwork:
    assert bundle.card is not None
    network = {"face": FaceNetwork, "hand": HandNetwork}[bundle.card.task]()
    network.load_state_dict(load(bundle.members[f"{network.name}.safetensors"]))
    return network.eval()


def model_of(bundle: Bundle) -> Model:
    return Model.from_bytes(bundle.members[export.MODEL_FILES[bundle.card.task]], bundle.name)


@pytest.mark.parametrize("kind", ["face", "hand"])
def test_torch_and_litert_agree(kind: str, request: pytest.FixtureRequest) -> None:
    path, told = request.getfixturevalue(kind)
    bundle = read_bundle(path)
    network, model = network_of(bundle), model_of(bundle)
    rng = np.random.default_rng(7)
    size = network.input_size
    for _ in range(3):
        picture = rng.random((1, size, size, 3), dtype=np.float32)
        with torch.no_grad():
            raw = network(torch.from_numpy(picture).permute(0, 3, 1, 2))
        out = {o.meaning: model.invoke(picture)[o.name] for o in bundle.card.models[0].outputs}
        points = raw["landmarks"].reshape(-1, 3) * torch.tensor(
            [size, size, size * (0.4 if kind == "hand" else 1.0)]
        )
        off = np.abs(out["landmarks"].reshape(-1, 3) - points.numpy()).max() / size
        assert off <= MAX_DIFFERENCE
        if kind == "hand":
            expected = {
                "presence": torch.sigmoid(raw["presence"]),
                "handedness": torch.sigmoid(raw["handedness"]),
                "world_landmarks": raw["world"],
            }
        else:
            expected = {"presence_logit": torch.sigmoid(raw["presence"])}
            out["presence_logit"] = 1 / (1 + np.exp(-out["presence_logit"]))
        for meaning, value in expected.items():
            np.testing.assert_allclose(
                out[meaning].ravel(), value.numpy().ravel(), atol=MAX_DIFFERENCE
            )
    assert told["difference_from_torch"] <= MAX_DIFFERENCE


@pytest.mark.parametrize("kind", ["face", "hand"])
def test_one_partition_and_one_static_picture(kind: str, request: pytest.FixtureRequest) -> None:
    path, told = request.getfixturevalue(kind)
    model = model_of(read_bundle(path))
    assert model.xnnpack_partitions() == told["xnnpack_partitions"] == 1
    assert model.runs_whole_in_xnnpack()
    size = {"face": 192, "hand": 160}[kind]
    assert [i.shape for i in model.inputs] == [(1, size, size, 3)]


@pytest.mark.parametrize("kind", ["face", "hand"])
def test_mediapipes_layout(kind: str, request: pytest.FixtureRequest) -> None:
    path, _ = request.getfixturevalue(kind)
    card = read_bundle(path).card
    found = {o.meaning: o.shape for o in card.models[0].outputs}
    assert found == {
        "face": {
            "landmarks": (1, 1, 1, 1434), "presence_logit": (1, 1, 1, 1), "contours": (1, 310),
        },
        "hand": {
            "landmarks": (1, 63), "presence": (1, 1), "handedness": (1, 1),
            "world_landmarks": (1, 63),
        },
    }[kind]  # fmt: skip


def test_the_card(face: tuple[Path, dict]) -> None:
    path, told = face
    bundle = read_bundle(path)
    card = bundle.card
    assert bundle.sha256 == told["sha256"]
    assert card.task == "face"
    assert [m.role for m in card.models] == ["landmarks", "weights"]
    assert card.licences_inherited == ("CC0-1.0",)
    data = load_training_data([path.parent / "face"], topology("face478@1"))
    assert card.data == data.sources
    assert (card.data[0].name, card.data[0].samples) == ("drawn-face", 8)
    assert card.data[0].layer == "synthetic"
    assert "torch " in card.tool
    metrics = {m.metric: m for m in card.metrics}
    error = metrics["mean error / interocular distance"]
    assert error.data == "drawn-face (val)"
    assert error.value == pytest.approx(told["validation_error"]["mean"])
    assert error.interval[0] <= error.value <= error.interval[1]
    assert metrics["greatest difference from torch"].value == told["difference_from_torch"]
    assert metrics["XNNPACK partitions"].value == 1
    assert card.parent == ""


def test_a_barely_trained_model_knows_the_mean_shape(face: tuple[Path, dict]) -> None:
    """Its answer, brought back from the crop as the runtime does, lies on the face."""
    bundle = read_bundle(face[0])
    model = model_of(bundle)
    data = load_training_data([face[0].parent / "face"], topology("face478@1"))
    for subject in data.train[:3]:
        image = data.datasets[0].read_image(subject.source[1])
        roi = face_roi_from_landmarks(subject.keypoints_px)
        crop = warp_crop(image, roi, 192, 192)[None].astype(np.float32) / 255
        name = next(o.name for o in bundle.card.models[0].outputs if o.meaning == "landmarks")
        found = image_from_crop(roi, model.invoke(crop)[name].reshape(-1, 3) / 192)
        off = np.linalg.norm(found[:, :2] - subject.keypoints_px, axis=1).mean()
        assert off < 0.25 * roi.width


def test_equal_weights_give_equal_bytes(face: tuple[Path, dict]) -> None:
    bundle = read_bundle(face[0])
    again = convert(Deployed(network_of(bundle)))
    assert again == bundle.members["face_landmarks_detector.tflite"]


def test_the_runtime_describes_the_bundle(face: tuple[Path, dict]) -> None:
    from runtime.inspection import described

    told = described(face[0])
    assert [m["role"] for m in told["models"]] == ["landmarks"]
    assert told["models"][0]["whole_in_xnnpack"]
    assert told["other_members"] == ["face.safetensors"]


def test_metadata_says_how_bytes_become_numbers(face: tuple[Path, dict]) -> None:
    from litert_converter import schema_py_generated as schema

    tflite = read_bundle(face[0]).members["face_landmarks_detector.tflite"]
    model = schema.Model.GetRootAs(tflite, 0)
    entries = {model.Metadata(i).Name(): model.Metadata(i) for i in range(model.MetadataLength())}
    written = model.Buffers(entries[b"TFLITE_METADATA"].Buffer()).DataAsNumpy().tobytes()
    assert written[4:8] == b"M001"
    assert written == metadata_bytes(
        "face landmarks", export.TITLES["face"], export.DESCRIPTIONS["face"], 0.0, 255.0
    )
    for word in (b"landmarks", b"presence", np.float32(255).tobytes()):
        assert word in written
    # Weights stay aligned as the schema wants them, for use without a copy.
    whole = np.frombuffer(tflite, dtype=np.uint8).__array_interface__["data"][0]
    for i in range(model.BuffersLength()):
        data = model.Buffers(i).DataAsNumpy()
        if not isinstance(data, int):
            assert (data.__array_interface__["data"][0] - whole) % 16 == 0


def test_a_wrong_export_is_noticed(face: tuple[Path, dict]) -> None:
    bundle = read_bundle(face[0])
    network, model = network_of(bundle), model_of(bundle)
    pictures = comparison_pictures(192, [])[:2]
    assert greatest_difference(Deployed(network), model, pictures) <= MAX_DIFFERENCE
    with torch.no_grad():
        network.landmarks.basis.bias[100] += 1e-4
    assert greatest_difference(Deployed(network), model, pictures) > MAX_DIFFERENCE
    with torch.no_grad():
        network.landmarks.basis.bias[100] = float("nan")
    off = greatest_difference(Deployed(network), model, pictures)
    assert off == float("inf")
    for difference in (2 * MAX_DIFFERENCE, off, float("nan")):
        with pytest.raises(ViewfinderError, match="differs from torch"):
            export._check_export(model, Path("m.task"), difference, 1)


def test_deploying_leaves_the_network_alone(face: tuple[Path, dict]) -> None:
    network = network_of(read_bundle(face[0]))
    before = copy.deepcopy(network.state_dict())
    Deployed(network)
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_training_from_a_bundle(face: tuple[Path, dict], tmp_path: Path) -> None:
    path = face[0]
    network = FaceNetwork()
    parent = load_parent(path, network)
    expected = load(read_bundle(path).members["face.safetensors"])
    assert all(torch.equal(v, expected[k]) for k, v in network.state_dict().items())
    assert parent.sha256 == face[1]["sha256"]
    with pytest.raises(ViewfinderError, match=r"no weights to start from; expected hand"):
        load_parent(path, HandNetwork())
    wide = FaceNetwork("full")
    assert load_parent(path, wide) == parent
    picture = torch.rand(1, 3, 192, 192)
    with torch.no_grad():
        expected_there = network.eval()(picture)["landmarks"]
        torch.testing.assert_close(wide.eval()(picture)["landmarks"], expected_there)
    assert parent_size(path, "face") == "lite"
    (tmp_path / "face").symlink_to(path.parent / "face")
    child, _ = trained(tmp_path, "face", "--from", str(path))
    card = read_bundle(child).card
    assert card.parent == parent.sha256
    assert card.licences_inherited == ("CC0-1.0",)


def test_a_stale_resume_exports_again(face: tuple[Path, dict]) -> None:
    """A finished training that is resumed has nothing to train and writes the same bundle."""
    path, told = face
    path.unlink()
    again, second = trained(path.parent, "face", "--resume")
    assert second["sha256"] == told["sha256"]
    assert again.exists()


@pytest.mark.parametrize("kind", ["face", "hand"])
def test_nothing_is_transposed_inside(kind: str, request: pytest.FixtureRequest) -> None:
    """Features are flattened as LiteRT lays them out, the heads' columns with them."""
    bundle = read_bundle(request.getfixturevalue(kind)[0])
    operators = model_operators(bundle.members[export.MODEL_FILES[bundle.card.task]])
    assert "TRANSPOSE" not in operator_counts(operators)


@pytest.mark.parametrize("kind", ["face", "hand"])
def test_every_precision_keeps_the_keypoints(kind: str, request: pytest.FixtureRequest) -> None:
    """fp16 and int8, on crops that int8 wasn't calibrated on."""
    path = request.getfixturevalue(kind)[0]
    bundle = read_bundle(path)
    entry = bundle.card.models[0]
    tflite = bundle.members[entry.file]
    data = load_training_data([path.parent / kind], topology(entry.topology))
    shown = [
        warp_crop(data.datasets[0].read_image(one.source[1]), one.roi, size, size)[None]
        / np.float32(255)
        for size in [entry.input.width]
        for one in data.train
    ]
    meanings = [output.meaning for output in entry.outputs]
    exact = Model.from_bytes(tflite, "fp32")
    calibration, judged = shared_out(shown)
    assert len(judged) >= 2
    for precision, most, share in (("fp16", 0.2, 0.6), ("int8", MAX_KEYPOINT_PX, 0.5)):
        smaller = at_precision(tflite, precision, calibration)
        model = Model.from_bytes(smaller, precision)
        off = keypoint_difference_px(exact, model, meanings, judged)
        assert 0 < off <= most
        assert len(smaller) < share * len(tflite)
        assert [info.shape for info in model.inputs] == [info.shape for info in exact.inputs]
        assert all(info.dtype == "float32" for info in (*model.inputs, *model.outputs))
        check_smaller(model, path, off)


def test_smaller_bundles_are_written_beside_and_say_how_far_off(
    face: tuple[Path, dict], tmp_path: Path
) -> None:
    shutil.copytree(face[0].parent / "face", tmp_path / "face")
    out, _ = trained(tmp_path, "face", "--also", "fp16", "--also", "int8")
    exact = read_bundle(out)
    for precision in PRECISIONS:
        bundle = read_bundle(tmp_path / f"face.{precision}.task")
        (entry,) = bundle.card.models
        names = [info.name for info in model_of(bundle).outputs]
        assert [output.name for output in entry.outputs] == names
        metrics = {one.metric: one.value for one in bundle.card.metrics}
        assert 0 < metrics[f"keypoints of {precision} from fp32, px"] <= MAX_KEYPOINT_PX
        assert bundle.card.data == exact.card.data
        assert bundle.card.command == exact.card.command
    assert exact.card.command == "viewfinder train face --size lite --steps 3 --seed 0 --batch 4"


def test_a_smaller_model_is_judged_by_its_keypoints(face: tuple[Path, dict]) -> None:
    tflite = read_bundle(face[0]).members["face_landmarks_detector.tflite"]
    exact = Model.from_bytes(tflite, "fp32")
    pictures = comparison_pictures(192, [])[:2]
    meanings = [o.meaning for o in read_bundle(face[0]).card.models[0].outputs]
    smaller = at_precision(tflite, "fp16", pictures)
    half = Model.from_bytes(smaller, "fp16")
    off = keypoint_difference_px(exact, half, meanings, pictures)
    assert len(smaller) < 0.6 * len(tflite)
    assert 0 < off < 0.2
    assert b"M001" in smaller, "MediaPipe's metadata stays inside"
    check_smaller(half, Path("m.fp16.task"), off)
    for wrong in (1.1, float("inf"), float("nan")):
        with pytest.raises(ViewfinderError, match="keypoints differ from fp32"):
            check_smaller(half, Path("m.fp16.task"), wrong)
