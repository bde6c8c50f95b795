"""A small drawn project, and a display for the tests that open a window."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotate.sample import write_sample_project
from annotate.session import AnnotationSession
from tests.annotate.hand import Hand


@pytest.fixture(scope="session")
def drawn_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five drawn faces with a truth and a made-up prediction; not to be written to."""
    root = tmp_path_factory.mktemp("drawn") / "faces"
    write_sample_project(root, np.random.default_rng(3), count=5, width=320, height=240)
    return root


@pytest.fixture
def project(drawn_project: Path, tmp_path: Path) -> Path:
    """A copy of the drawn project to work in."""
    return Path(shutil.copytree(drawn_project, tmp_path / "faces"))


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """The display to open windows on: the one there is, else an Xvfb of our own."""
    if os.environ.get("DISPLAY"):
        yield os.environ["DISPLAY"]
        return
    if shutil.which("Xvfb") is None:
        pytest.skip("no display, and Xvfb isn't installed (apt-get install xvfb)")
    readable, writable = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writable), "-screen", "0", "1400x1000x24", "-nolisten", "tcp"],
        pass_fds=[writable],
        stderr=subprocess.DEVNULL,
    )
    os.close(writable)
    with os.fdopen(readable) as pipe:
        number = pipe.readline().strip()
    if not number:
        pytest.skip("Xvfb is installed but doesn't start here")
    os.environ["DISPLAY"] = f":{number}"
    try:
        yield os.environ["DISPLAY"]
    finally:
        del os.environ["DISPLAY"]
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="session")
def viewer(display: str) -> Iterator[Any]:
    """One napari viewer for all tests here: each costs seconds to open."""
    from annotate.opening import WINDOW_SIZE, make_viewer, prepare_qt

    prepare_qt()
    viewer = make_viewer("test")
    viewer.window._qt_window.resize(*WINDOW_SIZE)
    yield viewer
    viewer.close()


@pytest.fixture(scope="session")
def window(viewer: Any, drawn_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The annotation window; every test shows a session of its own in it."""
    from annotate.window import AnnotateWindow

    root = shutil.copytree(drawn_project, tmp_path_factory.mktemp("first") / "faces")
    with AnnotationSession.open(root, annotator="ada") as session:
        return AnnotateWindow(viewer, session)


@pytest.fixture
def hand(window: Any, request: pytest.FixtureRequest, project: Path) -> Iterator[Hand]:
    yield from open_session(window, request, project)


def open_session(window: Any, request: pytest.FixtureRequest, project: Path) -> Iterator[Hand]:
    bot = request.getfixturevalue("qtbot")
    with AnnotationSession.open(project, annotator="ada") as session:
        window.show_session(session)
        bot.wait(30)
        yield Hand(bot, window.viewer, window, session)
