"""What runs a model: XNNPACK, the GPU, OpenVINO, a delegate library; and when it may."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runtime import agreement
from runtime.agreement import (
    TOLERANCE,
    largest_difference,
    remember_agreement,
    require_agreement,
)
from runtime.backends import open_model
from runtime.errors import ViewfinderError
from runtime.model import Model
from runtime.model_store import released_model
from runtime.solutions import open_solution
from runtime.trust import load_model
from tests.runtime.small_models import constant_model

ROOT = Path(__file__).parents[2]
# Chromium's Vulkan in software: slow, but the GPU accelerator takes it for a GPU.
CHROMIUM = Path("/usr/lib/chromium")
SWIFTSHADER = CHROMIUM / "vk_swiftshader_icd.json"
has_openvino = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not has_openvino, reason="needs the extra openvino")

# A delegate that takes no operator and leaves a file behind when it is asked to.
DELEGATE_C = """
#include <stdio.h>
#include <stdlib.h>
typedef struct Delegate {
  void* data; int (*prepare)(void*, struct Delegate*);
  void* copy_from; void* copy_to; void* free_handle; long long flags; void* opaque;
} Delegate;
static int prepare(void* context, Delegate* self) {
  FILE* file = fopen(getenv("DELEGATE_WAS_HERE"), "w"); fclose(file); return 0;
}
Delegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count,
                                        void (*report)(const char*)) {
  Delegate* self = calloc(1, sizeof(Delegate)); self->prepare = prepare; return self;
}
void tflite_plugin_destroy_delegate(Delegate* self) { free(self); }
"""


@pytest.fixture(scope="module")
def small() -> bytes:
    return constant_model(16, 8, {"six": np.arange(6.0).reshape(1, 6), "one": np.ones((1, 1))}, 0.5)


def in_a_process(code: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False,
        cwd=ROOT, env={**os.environ, **variables},
    )  # fmt: skip


def test_xnnpack_by_default_and_by_name(small: bytes) -> None:
    for delegate in ("", "xnnpack"):
        model = open_model(small, "small", 2, delegate)
        assert type(model) is Model
        assert model.runs_whole_in_xnnpack()


def test_an_unknown_delegate_names_the_known_ones(small: bytes, tmp_path: Path) -> None:
    for wrong in ("tpu", str(tmp_path / "no.so"), str(tmp_path)):
        with pytest.raises(ViewfinderError, match=r"xnnpack \| gpu \| openvino \| the file of a"):
            open_model(small, "small", 1, wrong)
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(ViewfinderError, match="can't load this TFLite delegate library"):
        open_model(small, "small", 1, str(tmp_path / "text.so"))


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_a_users_own_delegate_library(
    small: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, library = tmp_path / "delegate.c", tmp_path / "delegate.so"
    source.write_text(DELEGATE_C)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    monkeypatch.setenv("DELEGATE_WAS_HERE", str(tmp_path / "was-here"))
    model = open_model(small, "small", 1, str(library))
    assert (tmp_path / "was-here").exists()
    answer = model.invoke(np.full((1, 8, 16, 3), 4.0))
    np.testing.assert_allclose(answer["six"], np.arange(6.0)[None] + 2)


def test_the_gpu_is_used_or_one_line_says_why_not(small: bytes) -> None:
    code = (
        "import sys, numpy as np\n"
        "from runtime.backends import open_model\n"
        "from runtime.errors import ViewfinderError\n"
        "from tests.runtime.small_models import constant_model\n"
        "data = constant_model(16, 8, {'six': np.arange(6.0).reshape(1, 6)}, 0.5)\n"
        "try:\n"
        "    model = open_model(data, 'small', 1, 'gpu')\n"
        "    print(model.invoke(np.full((1, 8, 16, 3), 4.0))['six'][0].tolist())\n"
        "except ViewfinderError as error:\n"
        "    print(error)\n"
    )
    done = in_a_process(code)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line == str([2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) or (
        line.startswith("small: LiteRT's GPU accelerator can't run this model here; found ")
    )
    none = in_a_process(code, VK_ICD_FILENAMES="/nowhere", VK_DRIVER_FILES="/nowhere")
    assert "no GPU with a driver for Vulkan, Metal or Direct3D" in none.stdout


@pytest.mark.skipif(not SWIFTSHADER.exists(), reason="needs a software Vulkan (Chromium's)")
@pytest.mark.usefixtures("mediapipe_models")
def test_the_gpu_answers_as_the_cpu_and_wrong_answers_are_found(tmp_path: Path) -> None:
    # The loader, too: not every system has its own. Nothing else of Chromium's is to be found.
    (tmp_path / "libvulkan.so.1").symlink_to(CHROMIUM / "libvulkan.so.1")
    done = in_a_process(
        "import numpy as np\n"
        "from runtime.agreement import largest_difference\n"
        "from runtime.backends import open_model\n"
        "from runtime.errors import ViewfinderError\n"
        "from runtime.model import Model\n"
        "from runtime.model_store import released_model\n"
        "data = released_model('face_landmark')\n"
        "model = open_model(data, 'mesh', 1, 'gpu')\n"
        "print(type(model).__name__, model.invocations)\n"
        "print(largest_difference(Model(data, 'mesh'), model))\n"
        "try:\n"
        "    open_model(released_model('face_detection_full_range_sparse'), 'sparse', 1, 'gpu')\n"
        "except ViewfinderError as error:\n"
        "    print(error)\n",
        VK_ICD_FILENAMES=str(SWIFTSHADER), VK_DRIVER_FILES=str(SWIFTSHADER),
        LD_LIBRARY_PATH=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kind, difference, *refusal = done.stdout.splitlines()
    assert kind == "GpuModel 0"
    assert 0 <= float(difference) <= TOLERANCE
    # Sparse weights come out as nonsense in LiteRT 2.3; where they don't, nothing is refused.
    assert not refusal or refusal[0].startswith("sparse: the GPU's answers aren't this model's")


def test_a_difference_is_seen_whichever_output_and_input(small: bytes) -> None:
    alike, other = Model(small, "a"), Model(small, "b")
    assert largest_difference(alike, other) == 0
    values = {"six": np.arange(6.0).reshape(1, 6), "one": np.ones((1, 1)) + 0.01}
    assert largest_difference(alike, Model(constant_model(16, 8, values, 0.5), "c")) > TOLERANCE
    values = {"six": np.arange(6.0).reshape(1, 6), "one": np.ones((1, 1))}
    assert largest_difference(alike, Model(constant_model(16, 8, values, 0.6), "d")) > TOLERANCE
    values["one"] = np.full((1, 1), np.nan)
    none = Model(constant_model(16, 8, values, 0.5), "e")
    assert largest_difference(alike, none) == float("inf")
    assert largest_difference(none, Model(constant_model(16, 8, values, 0.5), "e")) == 0


def test_openvino_may_run_only_what_was_shown_to_agree(home: Path) -> None:
    with pytest.raises(ViewfinderError, match=r"hasn't been compared.*models bench mine.task"):
        require_agreement("ab", "2026.4", "mine.task")
    remember_agreement("ab", "2026.4", TOLERANCE)
    require_agreement("ab", "2026.4", "mine.task")
    with pytest.raises(ViewfinderError, match=r"OpenVINO 2027\.0 hasn't been compared"):
        require_agreement("ab", "2027.0", "mine.task")
    for difference in (2 * TOLERANCE, float("inf"), float("nan")):
        remember_agreement("ab", "2026.4", difference)
        with pytest.raises(ViewfinderError, match=r"doesn't agree.*at most 0\.0005"):
            require_agreement("ab", "2026.4", "mine.task")
    for damage in ("[", "[]", '{"ab": {}}', '{"ab": {"openvino": "2026.4", "difference": "x"}}'):
        (home / "models" / agreement._FILE).write_text(damage)
        with pytest.raises(ViewfinderError, match="delete it and bench"):
            require_agreement("ab", "2026.4", "mine.task")


def test_without_openvino_the_extra_is_named(
    small: bytes, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it weren't installed
    with pytest.raises(ViewfinderError, match=r"viewfinder-live\[openvino\]"):
        load_model(small, "small", delegate="openvino")


@needs_openvino
@pytest.mark.usefixtures("mediapipe_models")
@pytest.mark.parametrize("name", ["face_detection_short_range", "face_landmark", "iris_landmark"])
def test_openvino_answers_as_litert(name: str) -> None:
    data = released_model(name)
    model = open_model(data, name, 1, "openvino")
    plain = Model(data, name)
    assert [info.shape for info in model.inputs] == [info.shape for info in plain.inputs]
    assert 0 < largest_difference(plain, model) <= TOLERANCE
    assert model.invocations == agreement.TRIALS
    with pytest.raises(ViewfinderError, match="can't run this model; found No translator"):
        open_model(released_model("selfie_segmentation"), "selfie", 1, "openvino")


@needs_openvino
@pytest.mark.usefixtures("mediapipe_models")
def test_a_solution_runs_on_openvino_once_its_models_agreed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray
) -> None:
    from runtime.openvino_model import openvino_version

    monkeypatch.setattr(agreement, "models_folder", lambda: tmp_path)
    with pytest.raises(ViewfinderError, match="models bench"):
        open_solution("face", models="mediapipe", static=True, delegate="openvino")
    for name in ("face_detection_short_range", "face_landmark"):
        sha256 = hashlib.sha256(released_model(name)).hexdigest()
        remember_agreement(sha256, openvino_version(), 0.0)
    assert len(json.loads((tmp_path / agreement._FILE).read_text())) == 2
    answers = [
        open_solution("face", models="mediapipe", static=True, delegate=delegate).process(
            astronaut, 0
        )
        for delegate in ("", "openvino")
    ]
    off = (answers[0][0].keypoints - answers[1][0].keypoints)[:, :2] * 512
    assert 0 < np.abs(off).max() < 0.05
