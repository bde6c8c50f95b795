"""Where a training runs: a processor or an accelerator, and beside how many others.

Several processes share every batch, each on a device of its own. What they do together is what one
process does alone: they take turns at the same examples, batch norms see the whole batch, gradients
are the mean of all, and only the first writes. Where a loss is divided by what a process finds in
its own share (a detector's positives), it is that share's.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from runtime.errors import ViewfinderError

AUTO = "auto"
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Peers:
    """The processes of a training.

    Attributes:
        rank: of this one, from 0.
        count: of all.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that measures, tells and writes."""
        return self.rank == 0

    def steps(self, first: int) -> range:
        """What batches of a share of the examples are to be asked for from a step on, so that the
        processes together see what one sees with the whole batch."""
        return range(first * self.count + self.rank, sys.maxsize, self.count)

    def share(self, batch: int) -> int:
        """Examples of a step that are this process's.

        Raises:
            ViewfinderError: they can't be shared out evenly.
        """
        if batch % self.count or batch < 2 * self.count:
            raise ViewfinderError(
                "the batch can't be shared out among the processes", field="--batch",
                expected=f"a multiple of {self.count}, 2 or more for each", found=batch,
            )  # fmt: skip
        return batch // self.count

    def alike(self, module: nn.Module) -> None:
        """Give every process the first one's weights, and batch norms that see all shares."""
        if self.count == 1:
            return
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, 0)
        for layer in module.modules():
            if type(layer) is nn.BatchNorm2d:
                layer.__class__ = SharedBatchNorm

    def averaged(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The mean of each over all processes."""
        if self.count == 1:
            return list(tensors)
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        parts = (flat / self.count).split([tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, tensors)]

    def average_gradients(self, module: nn.Module) -> None:
        """Make every gradient the mean over all processes."""
        if self.count == 1:
            return
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        for gradient, mean in zip(gradients, self.averaged(gradients)):
            gradient.copy_(mean)

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            dist.barrier()

    def told_by_first(self, values: Sequence[float], device: torch.device) -> list[float]:
        """The first process's values, by way of the device that it trains on."""
        if self.count == 1:
            return list(values)
        told = torch.tensor(values, dtype=torch.float32, device=device)
        dist.broadcast(told, 0)
        return [float(value) for value in told]


ALONE = Peers()


class _OverAll(torch.autograd.Function):
    """The sum over all processes, of values and of gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class SharedBatchNorm(nn.BatchNorm2d):
    """A batch norm over the shares of all processes. torch's own knows GPUs alone."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) normalised as if the processes' batches were one."""
        if not self.training:
            return super().forward(x)
        sums = torch.stack([x.mean(dim=(0, 2, 3)), (x * x).mean(dim=(0, 2, 3))])
        mean, square = _OverAll.apply(sums) / dist.get_world_size()
        variance = (square - mean * mean).clamp(min=0.0)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            count = x.numel() // x.shape[1] * dist.get_world_size()
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        gain = self.weight * torch.rsqrt(variance + self.eps)
        return x * gain[:, None, None] + (self.bias - mean * gain)[:, None, None]


def find_device(name: str, place: int = 0) -> torch.device:
    """The device of that name.

    Args:
        name: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:N" or "mps".
        place: of this process among those of this machine, which take a GPU each.

    Raises:
        ViewfinderError: no such name, or this machine has none.
    """
    there = available()
    kind, _, number = name.partition(":")
    if not (name in (AUTO, "cpu", "mps", "cuda") or (kind == "cuda" and number.isdecimal())):
        raise ViewfinderError(
            "no such device", field="--device", expected="auto, cpu, cuda, cuda:N or mps",
            found=repr(name),
        )  # fmt: skip
    if number and place:
        raise ViewfinderError(
            "several processes take a GPU each", field="--device", expected="cuda", found=name
        )
    if name == AUTO:
        name = next((kind for kind in ("cuda", "mps") if kind in there), "cpu")
    if name == "cuda" and place:
        name = f"cuda:{place}"
    if name not in there:
        raise ViewfinderError(
            "this machine, or the torch that is installed, doesn't have this device",
            field="--device", expected=", ".join(there), found=repr(name),
        )  # fmt: skip
    return torch.device(name)


def available() -> list[str]:
    """The devices that torch finds here."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cuda = [f"cuda:{i}" for i in range(count)]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(["cuda"] if cuda else []), *cuda, *mps]


@contextmanager
def joined(device: str) -> Iterator[tuple[torch.device, Peers]]:
    """This process's device, and the other processes that torchrun started beside it.

    Raises:
        ViewfinderError: there is no such device.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    here = find_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if count == 1:
        yield here, Peers()
        return
    dist.init_process_group("nccl" if here.type == "cuda" else "gloo")
    try:
        if here.type == "cuda":
            torch.cuda.set_device(here)
        yield here, Peers(dist.get_rank(), count)
    finally:
        dist.destroy_process_group()


def launched(count: int, arguments: Sequence[str]) -> int:
    """Run `viewfinder` with these arguments in that many processes of this machine, as torchrun
    does; the first one's words go to the terminal.

    Returns:
        The exit status of the first to fail, 0 if none does.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    counts = dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(count))
    command = [sys.executable, "-m", "viewfinder", *arguments]
    with tempfile.TemporaryFile() as said:
        processes = []
        for rank in range(count):
            own = dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank))
            environment = {**os.environ, **shared, **counts, **own}
            out = None if rank == 0 else said
            processes.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out))
        failed = _first_failed(processes)
        if failed is not None and failed is not processes[0]:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
    return failed.returncode if failed is not None else 0


def _first_failed(processes: Sequence[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes] | None:
    """Wait for all; where one fails, the others, who wait for it, are ended."""
    failed = None
    while failed is None and any(process.poll() is None for process in processes):
        # Ctrl-C is for them: they have heard it, too, and save what they have.
        with suppress(KeyboardInterrupt):
            time.sleep(0.1)
        failed = next((process for process in processes if process.poll()), None)
    for process in processes:
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return failed


def device_of(module: nn.Module) -> torch.device:
    """Where its weights are."""
    return next(module.parameters()).device
