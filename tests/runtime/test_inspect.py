"""What `viewfinder models inspect` says of a model, against what is known of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from runtime.errors import ViewfinderError
from runtime.inspection import described
from runtime.model import Model
from runtime.model_commands import models_app
from runtime.model_store import released_model
from runtime.operators import model_operators, multiplications
from tests.runtime.hostile_models import self_calling_model
from tests.runtime.small_models import constant_model


def counted(name: str, *inputs: tuple, output: tuple) -> int:
    return multiplications(name, inputs, (output,))


def test_multiplications_are_those_of_the_loops() -> None:
    picture = (1, 8, 6, 3)
    # For each of 8 x 6 x 16 values a 5 x 3 window over 3 channels.
    assert (
        counted("CONV_2D", picture, (16, 5, 3, 3), (16,), output=(1, 8, 6, 16)) == 8 * 6 * 16 * 45
    )
    # In two groups each value looks at half of 4 channels.
    assert counted("CONV_2D", (1, 8, 6, 4), (8, 1, 1, 2), output=(1, 8, 6, 8)) == 8 * 6 * 8 * 2
    assert counted("DEPTHWISE_CONV_2D", picture, (1, 3, 3, 6), output=(1, 4, 3, 6)) == 72 * 9
    assert counted("FULLY_CONNECTED", (2, 10), (7, 10), output=(2, 7)) == 140
    # Every one of 4 x 3 x 5 inputs is spread over a 2 x 2 window in 7 channels.
    transposed = counted("TRANSPOSE_CONV", (4,), (7, 2, 2, 5), (1, 4, 3, 5), output=(1, 8, 6, 7))
    assert transposed == 4 * 3 * 5 * 2 * 2 * 7
    for first in ((3, 4, 5), (3, 5, 4)):
        assert counted("BATCH_MATMUL", first, (3, 5, 6), output=(3, 4, 6)) == 3 * 4 * 6 * 5
    assert counted("ADD", picture, picture, output=picture) == 0


@pytest.mark.usefixtures("mediapipe_models")
@pytest.mark.parametrize("name", ["palm_detection_full", "hand_landmark_full", "pose_detection"])
def test_operators_are_those_that_litert_sees(name: str) -> None:
    data = released_model(name)
    seen = [one["op_name"] for one in Model(data, name)._interpreter._get_ops_details()]
    assert [operator.name for operator in model_operators(data)] == [
        one for one in seen if one != "DELEGATE"
    ]


def test_a_models_facts(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.tflite"
    path.write_bytes(constant_model(16, 8, {"six": np.ones((1, 6))}))
    facts = described(str(path))
    assert facts["task"] == ""  # tensors that are nobody's
    (model,) = facts["models"]
    assert model["operators"] == {"MEAN": 1, "MUL": 1, "ADD": 1}
    assert model["inputs"] == [{"name": "picture", "shape": [1, 8, 16, 3], "dtype": "float32"}]
    assert model["whole_in_xnnpack"]
    assert model["outside_xnnpack"] == {}
    assert not model["trusted"]


def test_bundles_in_bundles(home: Path, tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner.task", tmp_path / "outer.task"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.tflite", constant_model(16, 8, {"six": np.ones((1, 6))}))
    with zipfile.ZipFile(outer, "w") as archive:
        archive.write(inner, "hand.task")
        archive.writestr("b.tflite", constant_model(8, 8, {"one": np.ones((1, 1))}))
        archive.writestr("labels.txt", "x")
    facts = described(str(outer))
    assert [model["file"] for model in facts["models"]] == ["hand.task/a.tflite", "b.tflite"]
    assert facts["other_members"] == ["labels.txt"]


def test_what_kills_is_named_and_not_described(home: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(self_calling_model())
    with pytest.raises(ViewfinderError, match=r"bad.tflite.*crashed the process"):
        described(str(tmp_path / "bad.tflite"))


def test_what_stays_outside_xnnpack(released: Callable[..., None]) -> None:
    released("gesture_embedder", "face_landmark_with_attention")
    (model,) = described("gesture_embedder")["models"]
    assert model["xnnpack_partitions"] == 2
    assert model["outside_xnnpack"] == {"GATHER": 1, "UNPACK": 1}
    assert not model["whole_in_xnnpack"]
    assert model["released"] == "gesture_embedder"
    (model,) = described("face_landmark_with_attention")["models"]
    assert set(model["custom_operators"]) == {
        "Landmarks2TransformMatrix", "TransformLandmarks", "TransformTensorBilinear",
    }  # fmt: skip


def test_the_command_says_it_in_words(released: Callable[..., None]) -> None:
    released("palm_detection_full", "gesture_embedder")
    words = CliRunner().invoke(models_app, ["inspect", "palm_detection_full"]).stdout
    for part in (
        "337.3 million multiply-adds",
        "takes it whole",
        "1 x 192 x 192 x 3",
        "35 CONV_2D",
    ):
        assert part in words
    words = CliRunner().invoke(models_app, ["inspect", "gesture_embedder"]).stdout
    assert "takes 2 pieces, outside stay 1 GATHER, 1 UNPACK" in words
    told = CliRunner().invoke(models_app, ["inspect", "gesture_embedder", "--json"]).stdout
    assert json.loads(told)["models"][0]["macs"] > 0
