"""`viewfinder models` from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from runtime.errors import ViewfinderError
from runtime.model_commands import models_app


@pytest.fixture(autouse=True)
def _own_home(home: Path) -> None:
    """Every test here has an empty store."""


def models(*arguments: object) -> Result:
    return CliRunner().invoke(models_app, [str(a) for a in arguments], env={"COLUMNS": "200"})


def answer(*arguments: object) -> str:
    """The output of a command that goes well."""
    result = models(*arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def complaint(*arguments: object) -> str:
    """The one line of a command that fails."""
    result = models(*arguments)
    assert isinstance(result.exception, ViewfinderError), result.output
    return str(result.exception)


def test_list_and_fetch(face_bundle: Path) -> None:
    rows = json.loads(answer("list", "--json"))
    assert all(row["path"] is None for row in rows if row["origin"] != "bundled")
    for hint in ("fetch mediapipe\n", "fetch mediapipe-pose\n", "models add FILE"):
        assert hint in answer("list")
    assert "mediapipe-objectron" in complaint("fetch", "others")
    assert "none of the models" in complaint("fetch", "--wheel", face_bundle)


def test_what_was_added_is_trusted(face_bundle: Path, tmp_path: Path) -> None:
    facts = json.loads(answer("inspect", face_bundle, "--json"))
    assert facts["card"] is True
    assert [model["trusted"] for model in facts["models"]] == [False, False]
    assert "trusted: whole.task" in answer("add", face_bundle)
    facts = json.loads(answer("inspect", "whole.task", "--json"))
    assert [model["trusted"] for model in facts["models"]] == [True, True]
    assert "face478@1" in answer("inspect", face_bundle)
    out = tmp_path / "packed.task"
    answer("pack", "whole.task", "whole.task", "--out", out)
    assert out.is_file()
    assert "no.task" in complaint("inspect", tmp_path / "no.task")
