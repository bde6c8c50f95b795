"""A real window in a process of its own: worked in, killed, opened again, exported from."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotate.cuboid_session import CuboidSession
from annotate.store import STORE_NAME, AnnotationStore
from arsession.objectron_writer import write_objectron
from bootstrap.dataset import Dataset
from tests.annotate.test_cuboid_session import FOOT_AND_TOP
from tests.arsession.filmed import filmed_session
from tests.arsession.orbit import random_box

WORKER = Path(__file__).with_name("window_worker.py")
BOX_WORKER = Path(__file__).with_name("box_window_worker.py")


class Worker:
    """The process, line by line."""

    def __init__(self, script: Path, display: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(script), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "DISPLAY": display},
        )

    def line(self) -> dict[str, Any]:
        """What it says next."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if not text.endswith("\n"):
            assert self.process.stderr is not None
            raise AssertionError(self.process.stderr.read()[-2000:])
        return dict(json.loads(text))

    def kill(self) -> list[dict[str, Any]]:
        """End it with SIGKILL; what it had said and was not yet read."""
        assert self.process.stdout is not None
        os.kill(self.process.pid, signal.SIGKILL)
        rest = [json.loads(text) for text in self.process.stdout if text.endswith("\n")]
        self.close()
        return rest

    def close(self) -> None:
        """Wait for its end."""
        self.process.wait(60)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


def test_open_drag_undo_next_killed_opened_again_export(project, display):
    worker = Worker(WORKER, display, project, 0, "ddunsa" + "d" * 99)
    opened = worker.line()
    assert (opened["index"], opened["revision"], opened["error"]) == (0, 0, "")
    said = [worker.line() for _ in range(6)]
    assert [one["index"] for one in said] == [0, 0, 0, 1, 1, 2]
    assert said[0]["saved"].startswith("moved · saved")
    assert said[2]["saved"].startswith("undone · saved")
    last = [said[-1], *worker.kill()][-1]
    with AnnotationStore.open(project / STORE_NAME, "ada") as store:
        kinds = [r.kind for r in store.revisions()]
        documents = {key.sample_id: store.document(key) for key in store.history}
    assert kinds[:7] == ["start", "edit", "edit", "undo", "start", "edit", "edit"]
    assert store.revision >= last["revision"]

    worker = Worker(WORKER, display, project, 0, "e")
    opened = worker.line()
    assert opened["index"] == 2  # where it was killed
    assert "labels written" in worker.line()["saved"]
    worker.close()
    assert worker.process.returncode == 0
    exported = {label.sample_id: label for label in Dataset.open(project).labels("human/ada")}
    assert {"00000000", "00000001"} <= set(exported) == set(documents)
    for sample, label in exported.items():
        np.testing.assert_allclose(label.keypoints_px, documents[sample].keypoints_px, rtol=1e-6)
    assert exported["00000001"].attributes["status"] == "done"


@pytest.mark.long
def test_50_kills_of_the_window_lose_nothing_and_it_resumes_where_it_was(project, display):
    rng = np.random.default_rng(31)
    revision, index, opened_s = 0, 0, []
    for number in range(50):
        # Before the next window opens: it works on at once.
        with AnnotationStore.open(project / STORE_NAME, "ada") as store:
            assert store.revision >= revision
            last = store.history.last_key
        worker = Worker(WORKER, display, project, number, "*")
        opened = worker.line()
        opened_s.append(opened["seconds"])
        items = sorted(label.sample_id for label in Dataset.open(project).labels("synthetic"))
        assert opened["index"] == (index if last is None else items.index(last.sample_id))
        time.sleep(rng.uniform(0.05, 2.5))
        said = worker.kill()
        if said:
            revision, index = said[-1]["revision"], said[-1]["index"]
            assert not any(one["error"] for one in said)
    assert revision > 40  # there was something to lose
    assert np.median(opened_s) < 2.0  # of processor time: others may be at work here


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.long)])
def test_kills_of_the_window_for_recordings_lose_nothing(kills, display, tmp_path):
    rng, truth = np.random.default_rng(32), random_box(np.random.default_rng(2))
    write_objectron(filmed_session(truth, 12), tmp_path)
    with CuboidSession.open(tmp_path, annotator="ada") as work:
        for corner in FOOT_AND_TOP:
            x, y = work.views.seen_in(0, truth.points_world_m())[corner].tolist()
            work.place((x, y), zoom=2.0)
        revision = start = work.store.revision
        box = work.key(0)
    for number in range(kills):
        with AnnotationStore.open(tmp_path / STORE_NAME, "ada") as store:
            assert store.revision >= revision
            last = store.document(box).cuboid.clicks[-1].frame
        worker = Worker(BOX_WORKER, display, tmp_path, number)
        opened = worker.line()
        assert opened["frame"] == last  # where the box was worked on last
        assert opened["error"] == ""
        said = [worker.line() for _ in range(2)]
        time.sleep(rng.uniform(0.05, 1.5))
        said += worker.kill()
        assert not any(one["error"] for one in said)
        revision = said[-1]["revision"]
    with AnnotationStore.open(tmp_path / STORE_NAME, "ada") as store:
        assert store.revision >= revision > start
        assert store.document(box).cuboid is not None
