from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runtime.errors import ViewfinderError
from runtime.folders import cache_folder, models_folder


def test_home_overrides_both_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIEWFINDER_HOME", str(tmp_path / "home"))
    assert models_folder() == tmp_path / "home" / "models"
    assert cache_folder() == tmp_path / "home" / "cache"
    assert models_folder().is_dir()
    assert cache_folder().is_dir()


@pytest.mark.skipif(sys.platform != "linux", reason="XDG variables are Linux's")
def test_without_it_the_users_own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIEWFINDER_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert models_folder() == tmp_path / "data" / "viewfinder" / "models"
    assert cache_folder() == tmp_path / "cache" / "viewfinder"


def test_a_file_in_the_way_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("")
    monkeypatch.setenv("VIEWFINDER_HOME", str(tmp_path / "home"))
    with pytest.raises(ViewfinderError, match="can't make this folder"):
        models_folder()
