"""Jobs on a Dask cluster of two local workers: the bytes of a local run, also when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bootstrap.dataset import Dataset, Label, Sample
from render.hands import hand_dataset, hand_renderers
from render.job import Job, description, render_dataset
from render.settings import RenderSettings, Shares
from runtime.errors import ViewfinderError
from tests.render.test_job import ROOT, FakeRenderer, tree

distributed = pytest.importorskip("distributed")


class DiesOnce(FakeRenderer):
    """Kills its worker at a sample, the first time that anybody comes to it."""

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        marker = Path(f"{self.log}.died")
        if index == 7 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().render(index)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A scheduler with two worker processes on this machine."""
    # 127.0.0.1 and no dashboard: nothing of this is seen from outside.
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None,
        worker_dashboard_address=None, silence_logs=50,
    )  # fmt: skip
    with cluster:
        yield cluster.scheduler_address


def a_job(out: Path, make: type[FakeRenderer], cluster: str = "", fail_at: int = -1) -> Job:
    renderer = partial(make, fail_at, -1, str(out) + ".log")
    return Job(out, description("fakes", {"seed": 1}, 3), 10, renderer, cluster=cluster)


def test_a_cluster_renders_the_same_bytes_though_a_worker_dies(
    tmp_path: Path, address: str
) -> None:
    render_dataset(a_job(tmp_path / "here", FakeRenderer))
    report = render_dataset(a_job(tmp_path / "there", DiesOnce, address))
    assert (report.rendered, report.found) == (10, 0)
    assert Path(f"{tmp_path / 'there'}.log.died").exists()
    assert tree(tmp_path / "there") == tree(tmp_path / "here")


class HandsDyingOnce:
    """Renders hands, and kills its worker at a sample the first time that anybody comes to it."""

    def __init__(self, settings: RenderSettings, marker: str, threads: int) -> None:
        self.marker = Path(marker)
        self.hands = hand_renderers(settings)(threads)

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        if index == 7 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.hands.render(index)

    def close(self) -> None:
        self.hands.close()


@pytest.mark.long
def test_hands_of_every_kind_are_the_same_from_a_cluster_whose_worker_dies(
    tmp_path: Path, address: str
) -> None:
    settings = RenderSettings(seed=11, size=64, shares=Shares(0.15, 0.3, 0.3))
    info = hand_dataset(settings, 3)
    here = Job(tmp_path / "here", info, 18, hand_renderers(settings), workers=2)
    render_dataset(here)
    marker = str(tmp_path / "died")
    make = partial(HandsDyingOnce, settings, marker)
    render_dataset(replace(here, out=tmp_path / "there", make_renderer=make, cluster=address))
    assert Path(marker).exists()
    assert tree(tmp_path / "there") == tree(tmp_path / "here")
    tags = {tag for row in Dataset.open(here.out).samples()["tags"] for tag in row}
    assert {"hand", "left", "right", "negative"} <= tags


def test_a_job_begun_here_goes_on_there(tmp_path: Path, address: str) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    render_dataset(a_job(whole, FakeRenderer))
    render_dataset(replace(a_job(half, FakeRenderer), count=6))
    report = render_dataset(a_job(half, FakeRenderer, address))
    assert (report.rendered, report.found) == (4, 6)
    assert tree(half) == tree(whole)


def test_what_fails_there_is_said_here(tmp_path: Path, address: str) -> None:
    with pytest.raises(ViewfinderError, match=r"\[--hdris\]: the light went out"):
        render_dataset(a_job(tmp_path / "dark", FakeRenderer, address, fail_at=4))


def test_another_version_there_is_refused(tmp_path: Path, address: str) -> None:
    job = a_job(tmp_path / "old", FakeRenderer, address)
    versions = {**job.info.tool_versions, "numpy": "0.1"}
    with pytest.raises(ViewfinderError, match=r"another numpy; expected 0\.1; found"):
        render_dataset(replace(job, info=replace(job.info, tool_versions=versions)))


def test_nobody_there_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("render.cluster.CONNECT_SECONDS", 1)
    with pytest.raises(ViewfinderError, match="no Dask scheduler answers there"):
        render_dataset(a_job(tmp_path / "out", FakeRenderer, "tcp://127.0.0.1:9"))


def test_a_wrong_address_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "viewfinder.py"), "render", "hands", "--out",
         str(tmp_path / "out"), "--count", "1", "--cluster", "nonsense"],
        capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "[--cluster]: not a Dask scheduler's address" in line
    assert "Traceback" not in done.stderr
