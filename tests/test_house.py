"""Laws of the house that no linter checks."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIGHT = {
    "runtime": {"torch", "bpy", "PySide6", "qtpy", "napari", "pandas", "pyarrow", "scipy"},
    "runtime.commands": {"torch", "bpy", "PySide6", "napari", "pandas", "ai_edge_litert", "cv2"},
    "runtime.model_commands": {"torch", "bpy", "PySide6", "pandas", "ai_edge_litert", "cv2"},
    "bootstrap.dataset": {"torch", "bpy", "PySide6", "qtpy", "napari"},
    "annotate.store": {"torch", "bpy", "PySide6", "qtpy", "napari"},
    "viewfinder": {
        "torch",
        "bpy",
        "PySide6",
        "napari",
        "pandas",
        "ai_edge_litert",
        "cv2",
        "numpy.f2py",
    },
}


@pytest.mark.parametrize("module", LIGHT)
def test_importing_it_loads_nothing_heavy(module):
    code = f"import {module}, sys; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not LIGHT[module] & set(loaded.stdout.split())


@pytest.mark.parametrize(
    "command",
    ["", "render faces", "render hands", "dataset", "train face", "train hand", "evaluate"]
    + ["render bodies", "prelabel", "annotate", "run", "models", "session", "doctor", "demo"],
)
def test_every_command_explains_itself(command):
    run = subprocess.run(
        [sys.executable, "-m", "viewfinder", *command.split(), "--help"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "Usage" in run.stdout
    assert len(run.stdout.splitlines()) > 8


def test_misuse_exits_with_2():
    run = subprocess.run(
        [sys.executable, "-m", "viewfinder", "render", "cats"], capture_output=True
    )
    assert run.returncode == 2
