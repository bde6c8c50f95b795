"""Render jobs: the same bytes for any number of workers and after a kill; errors that say what."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from bootstrap.dataset import Dataset, Label, Sample
from render.job import Job, description, render_dataset, sample_id, split_of
from runtime.errors import ViewfinderError
from runtime.image import encode_image

ROOT = Path(__file__).parents[2]


class FakeRenderer:
    """Colours instead of pictures, so that the machinery is tested in seconds."""

    def __init__(self, fail_at: int, die_at: int, log: str, threads: int) -> None:
        self.fail_at, self.die_at, self.log = fail_at, die_at, log
        with Path(log).open("a") as file:
            file.write(f"{os.getpid()} {threads}\n")

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        if index == self.fail_at:
            raise ViewfinderError("the light went out", field="--hdris")
        if index == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        image = np.full((8, 8, 3), index, dtype=np.uint8)
        sample = Sample(
            sample_id=sample_id(index), image=encode_image(image, ".png"), extension="png",
            width=8, height=8, split=split_of(index),
        )  # fmt: skip
        return sample, [Label(sample_id=sample_id(index))]

    def close(self) -> None:
        pass


def a_job(out: Path, workers: int = 1, fail_at: int = -1, die_at: int = -1, count: int = 10) -> Job:
    make = partial(FakeRenderer, fail_at, die_at, str(out) + ".log")
    return Job(out, description("fakes", {"seed": 1}, 3), count, make, workers, 2)


def tree(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set rendered by one worker at a time, each replaced after two of the four shards."""
    out = tmp_path_factory.mktemp("whole") / "data"
    report = render_dataset(a_job(out))
    assert (report.rendered, report.found) == (10, 0)
    return out


def test_samples_come_in_order_and_split_by_number(whole: Path) -> None:
    samples = Dataset.open(whole).samples()
    assert samples["sample_id"].tolist() == [sample_id(i) for i in range(10)]
    assert samples["split"].tolist() == ["train"] * 8 + ["val", "test"]


def test_workers_are_replaced_after_their_shards(whole: Path) -> None:
    started = Path(str(whole) + ".log").read_text().splitlines()
    assert len({line.split()[0] for line in started}) == 2


def test_what_failed_keeps_whole_shards_and_two_workers_end_it_alike(
    whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "data"
    with pytest.raises(ViewfinderError, match="the light went out"):
        render_dataset(a_job(out, fail_at=7))
    assert Dataset.open(out).committed_shards() == {0, 1}
    with pytest.raises(ViewfinderError, match=r"worker died in shard 2.*signal 9"):
        render_dataset(a_job(out, die_at=8))
    report = render_dataset(a_job(out, workers=2))
    assert (report.rendered, report.found) == (4, 6)
    assert tree(out) == tree(whole)


def test_other_settings_or_counts_are_refused(whole: Path) -> None:
    before = tree(whole)
    assert render_dataset(a_job(whole)).rendered == 0
    other = a_job(whole)
    with pytest.raises(ViewfinderError, match="another data set"):
        render_dataset(
            Job(other.out, description("fakes", {"seed": 2}, 3), 10, other.make_renderer)
        )
    for count in (8, 11, 20):
        with pytest.raises(ViewfinderError, match="another number of samples"):
            render_dataset(a_job(whole, count=count))
    assert tree(whole) == before


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ViewfinderError, match="file"):
        render_dataset(a_job(tmp_path / "file" / "data"))


class LastDisk(FakeRenderer):
    """Renders onto a disk that has room for small files only: its third shard is too large."""

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        import resource

        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, most))
        sample, labels = super().render(index)
        if index != 7:
            return sample, labels
        noise = np.random.default_rng(0).integers(0, 255, (150, 150, 3), dtype=np.uint8)
        return replace(sample, image=encode_image(noise, ".png"), width=150, height=150), labels


def test_a_full_disk_ends_the_job_in_one_line_and_leaves_whole_shards(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    out = tmp_path / "data"
    make = partial(LastDisk, -1, -1, str(out) + ".log")
    job = replace(a_job(out), make_renderer=make)
    with pytest.raises(ViewfinderError, match=r"shards/000002\.tar: can't be written.*large"):
        render_dataset(job)
    kept = tree(out)
    assert Dataset.open(out).committed_shards() == {0, 1}
    assert not [name for name in kept if "partial" in name or "000002" in name]
    render_dataset(a_job(out))  # room again
    render_dataset(a_job(tmp_path / "other"))
    assert tree(out) == tree(tmp_path / "other")
    assert kept.items() <= tree(out).items()


def test_a_read_only_place_is_one_clear_error() -> None:
    nowhere = Path("/proc/viewfinder")  # root, too, may not make a folder here
    if not nowhere.parent.is_dir():
        pytest.skip("this system has no /proc")
    with pytest.raises(ViewfinderError, match=r"/proc/viewfinder.*can't be written"):
        render_dataset(a_job(nowhere / "data"))


# -- the real thing, small ------------------------------------------------------------------------

HANDS = [
    *(sys.executable, "viewfinder.py", "render", "hands", "--count", "8", "--shard-size", "2"),
    *("--seed", "7", "--size", "64", "--json"),
]


def render_hands(out: Path, workers: int) -> dict[str, object]:
    done = subprocess.run(
        [*HANDS, "--out", str(out), "--workers", str(workers)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_hands_are_the_same_with_two_workers_and_after_a_kill(tmp_path: Path) -> None:
    assert render_hands(tmp_path / "one", 1)["rendered"] == 8
    assert render_hands(tmp_path / "two", 2)["rendered"] == 8
    killed = tmp_path / "killed"
    running = subprocess.Popen(
        [*HANDS, "--out", str(killed), "--workers", "1"], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while len(list(killed.glob("index/*.parquet"))) < 2:
        assert running.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    running.kill()  # SIGKILL
    running.wait()
    committed = len(list(killed.glob("index/*.parquet")))
    assert 2 <= committed < 4
    summary = render_hands(killed, 2)
    assert summary["found"] in (2 * committed, 2 * committed + 2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two") == tree(killed)
    names = set(tree(killed))
    assert {"dataset.json", "shards/000003.tar", "index/000003.parquet"} <= names
    assert "labels/synthetic/000003.parquet" in names
    picture = Dataset.open(killed).read_image(sample_id(3))
    assert cv2.Laplacian(picture, cv2.CV_32F).std() > 1  # not a plain colour
    os.sync()


def test_commands_refuse_misuse_in_one_line(tmp_path: Path) -> None:
    base = [sys.executable, "viewfinder.py", "render", "hands"]
    empty = tmp_path / "none"
    empty.mkdir()
    for arguments, code, said in (
        (["--out", str(tmp_path / "a"), "--hdris", str(empty)], 1, "no HDRI"),
        (["--out", str(empty / "x"), "--count", "0"], 2, "--count"),
        ([], 2, "--out"),
    ):
        done = subprocess.run([*base, *arguments], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
