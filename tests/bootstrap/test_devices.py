"""Where a training runs, and that several processes come to what one does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from bootstrap.training.commands import train_app
from bootstrap.training.devices import Peers, available, find_device
from bootstrap.training.train import checkpoint_path, train
from runtime.errors import ViewfinderError
from tests.bootstrap.drawn_subjects import write_drawn_dataset
from tests.bootstrap.test_training_run import after, settings_for


def test_auto_takes_what_there_is() -> None:
    kinds = [name for name in ("cuda", "mps") if name in available()]
    assert find_device("auto").type == (kinds[0] if kinds else "cpu")
    assert find_device("cpu", 3).type == "cpu", "processes share a CPU"


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:1", "", "cuda:-1"])
def test_an_unknown_device_is_one_line(name: str) -> None:
    with pytest.raises(ViewfinderError, match="no such device") as error:
        find_device(name)
    assert "cuda:N" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_absent_device_is_told_by_the_command(tmp_path: Path) -> None:
    write_drawn_dataset(tmp_path / "hands", "hand", 4, size=64)
    words = ["hand", "--data", str(tmp_path / "hands"), "--out", str(tmp_path / "x.task")]
    result = CliRunner().invoke(train_app, [*words, "--steps", "1", "--device", "cuda:99"])
    assert isinstance(result.exception, ViewfinderError)
    assert "cuda:99" in str(result.exception)
    assert "expected cpu" in str(result.exception)
    result = CliRunner().invoke(train_app, [*words, "--steps", "1", "--devices", "3"])
    assert "multiple of 3" in str(result.exception)


@pytest.mark.parametrize(("count", "first"), [(1, 0), (2, 5), (4, 3)])
def test_processes_take_turns_at_the_whole_batch(count: int, first: int) -> None:
    batch = 8
    share = Peers(0, count).share(batch)
    for step in range(3):
        places = []
        for rank in range(count):
            mine = Peers(rank, count).steps(first)[step]
            places += range(mine * share, (mine + 1) * share)
        assert places == list(range((first + step) * batch, (first + step + 1) * batch))


def test_a_loss_moves_what_it_teaches_to_where_the_network_is(tmp_path: Path) -> None:
    """On torch's device without data: nothing of a batch is left on the CPU."""
    from bootstrap.networks import NETWORKS
    from bootstrap.training.subjects import load_training_data
    from bootstrap.training.teaching import teaching_of
    from runtime.topology import topology
    from tests.bootstrap.drawn_bodies import write_drawn_bodies

    write_drawn_dataset(tmp_path / "hand", "hand", 4, size=64)
    write_drawn_bodies(tmp_path / "pose", 4, size=64)
    for name in ("hand", "pose"):
        data = load_training_data([tmp_path / name], topology(NETWORKS[name].topology_id))
        lessons = teaching_of(name, data)
        network = NETWORKS[name]()
        parts = lessons.losses(network.to("meta"), lessons.validation(2)[0])
        assert {part.device.type for part in parts.values()} == {"meta"}


SHARED = """
import sys
from pathlib import Path
import torch
from bootstrap.training import loop
from tests.bootstrap.test_training_run import after, settings_for
from bootstrap.training.train import train

save = loop.Loop.save
def noted(self):
    torch.save(self.network.state_dict(), sys.argv[3])
    save(self)
loop.Loop.save = noted
train(settings_for(Path(sys.argv[1]), Path(sys.argv[2]), batch=4), stop=after(1))
"""


def test_two_processes_come_to_what_one_does(tmp_path: Path) -> None:
    """Equal weights in both, one checkpoint, which one process alone can take up; gloo on a CPU."""
    data, both, alone = tmp_path / "hands", tmp_path / "both.task", tmp_path / "alone.task"
    write_drawn_dataset(data, "hand", 8, size=96)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    running = []
    for rank in ("0", "1"):
        words = [sys.executable, "-c", SHARED, str(data), str(both), str(tmp_path / rank)]
        own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        running.append(subprocess.Popen(words, env={**os.environ, **shared, **own}))
    try:
        assert [process.wait(timeout=120) for process in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
    train(settings_for(data, alone, batch=4), stop=after(1))
    first, second = (torch.load(tmp_path / rank) for rank in ("0", "1"))
    one, saved = load_file(checkpoint_path(alone)), load_file(checkpoint_path(both))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        assert torch.equal(value, saved[f"network.{name}"]), name
    # What they saw is equal. Gradients differ where rounding turns a max-pool's tie; weights would
    # tell less, as Adam's first step is as large for a gradient of 1e-9 as for one of 1.
    bounds = {"running_mean": 1e-4, "running_var": 1e-4, "exp_avg": 0.1}
    for name in one:
        bound = bounds.get(name.rpartition(".")[2])
        if bound is not None:
            off = (saved[name] - one[name]).norm() / one[name].norm().clamp(min=1e-6)
            assert off < bound, name
    assert train(settings_for(data, both, batch=4, resume=True), stop=after(1)).steps == 2
