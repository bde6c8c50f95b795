"""The optimisation: steps, learning rate, moving average, validation, checkpoints."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bootstrap.networks import Network
from bootstrap.training.ahead import Ahead
from bootstrap.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from bootstrap.training.devices import ALONE, CPU, Peers
from bootstrap.training.report import Log, Reporter, Status
from bootstrap.training.teaching import Teaching
from runtime.errors import ViewfinderError

PEAK_LEARNING_RATE = 6e-3
"""Of networks that have none of their own."""
BASIS_RATE = 0.01
COEFFICIENTS_RATE = 0.1
HEAD_RATE = 0.2
"""Of the shape and detection heads' learning rate against the trunk's; see `parameter_groups`."""
WEIGHT_DECAY = 0.01
WARM_UP_STEPS = 60
GRADIENT_NORM = 1.0
AVERAGE_DECAY = 0.998
CHECKPOINT_EVERY_S = 60.0
VALIDATIONS = 10
REPORT_EVERY_S = 0.5


@dataclass
class Loop:
    """A training in progress.

    Attributes:
        network: being trained, channels last.
        teaching: its losses and its errors.
        validation: fixed batches.
        steps, seconds: how long; exactly one is given. The learning rate follows it.
        batch: examples a step.
        settings: what a checkpoint must agree in to be resumed.
        checkpoint: the file.
        stop: asked after every step; once true the loop saves and ends.
        rate: of the network's peak learning rate.
        device: that the network and its average are on.
        peers: the processes that share the training; the first alone measures, tells and writes.
    """

    network: Network
    teaching: Teaching
    validation: Sequence[Any]
    batch: int
    steps: int | None
    seconds: float | None
    settings: dict[str, object]
    checkpoint: Path
    reporter: Reporter
    stop: Callable[[], bool]
    rate: float = 1.0
    device: torch.device = CPU
    peers: Peers = ALONE
    step: int = 0
    finished: bool = False
    validation_errors: Tensor = field(default_factory=lambda: torch.zeros(0))
    _earlier_s: float = 0.0
    _agreed_s: float = 0.0

    def __post_init__(self) -> None:
        self.network.to(self.device)
        # torch's stubs leave this overload out.
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.peers.alike(self.network)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        peak: float = getattr(self.network, "peak_learning_rate", PEAK_LEARNING_RATE)
        self._peak = self.rate * peak
        self.optimiser = torch.optim.AdamW(parameter_groups(self.network), lr=self._peak)
        self._followed = _float_state(self.network)
        self._averaged = _float_state(self.average)
        self._begun = time.monotonic()

    def resume(self) -> None:
        """Take up the checkpoint.

        Raises:
            ViewfinderError: missing, damaged, or of another network.
        """
        progress = load_checkpoint(self.checkpoint, self.network, self.average, self.optimiser)
        self.step, self._earlier_s = progress.step, progress.elapsed_s
        self.finished = progress.finished
        self._begun = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, earlier parts included."""
        return self._earlier_s + time.monotonic() - self._begun

    @property
    def fraction(self) -> float:
        """How much of its steps or time is used, 0..1."""
        if self.steps is not None:
            return min(1.0, self.step / max(1, self.steps))
        assert self.seconds is not None
        elapsed_s = self.elapsed_s if self.peers.count == 1 else self._agreed_s
        return min(1.0, elapsed_s / max(1e-9, self.seconds))

    def run(self, batches: Ahead[Any], log: Log | None) -> None:
        """Train until the steps or the time are used up, or `stop` says so; then save."""
        meter = _Meter(self, batches)
        saved_s = self.elapsed_s
        validated = math.floor(self.fraction * VALIDATIONS)
        source = iter(batches)
        while self._goes_on():
            meter.add(self.train_step(next(source)))
            error = None
            if math.floor(self.fraction * VALIDATIONS) > validated:
                validated = math.floor(self.fraction * VALIDATIONS)
                error = self._validated()
            if error is not None or meter.due():
                status = meter.status(error)
                if log is not None:
                    log.write(status)
                self.reporter.update(status)
            if self.elapsed_s - saved_s > CHECKPOINT_EVERY_S:
                self.save()
                saved_s = self.elapsed_s
        self.finished = self.fraction >= 1.0
        self.save()
        self.peers.wait()  # what is saved is there for all

    def _goes_on(self) -> bool:
        """Whether there is another step. Every process hears it from the first, with the time."""
        asked = float(self.fraction < 1.0 and self.stop())
        self._agreed_s, stopped = self.peers.told_by_first((self.elapsed_s, asked), self.device)
        return self.fraction < 1.0 and not stopped

    def averaged(self) -> Network:
        """The average on the processor, where networks are measured and exported."""
        return self.average if self.device == CPU else copy.deepcopy(self.average).to(CPU)

    def save(self) -> None:
        """Write the checkpoint."""
        if not self.peers.first:
            return
        progress = Progress(self.settings, self.step, self.elapsed_s, self.finished)
        save_checkpoint(self.checkpoint, self.network, self.average, self.optimiser, progress)

    def learning_rate(self) -> float:
        """Linear warm-up, then a cosine to zero over the steps or the time."""
        warm = WARM_UP_STEPS if self.steps is None else min(WARM_UP_STEPS, self.steps // 5)
        rise = min(1.0, (self.step + 1) / (warm + 1))
        return self._peak * rise * 0.5 * (1 + math.cos(math.pi * self.fraction))

    def train_step(self, batch: Any) -> dict[str, Tensor]:
        """Learn from one batch; returns each part of its loss.

        Raises:
            ViewfinderError: the loss isn't a number.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate() * group["rate"]
        self.network.train()
        parts = self.teaching.losses(self.network, batch)
        told = dict(zip(parts, self.peers.averaged(list(parts.values()))))
        if not torch.isfinite(told["loss"]):
            # Before anything learns from it: the weights and the checkpoint are still good.
            values = {name: float(value.detach()) for name, value in told.items()}
            raise ViewfinderError(
                "the loss isn't a number any more",
                file=self.checkpoint,
                field=f"step {self.step}",
                found=", ".join(f"{name} {value:g}" for name, value in values.items()),
                hint="the checkpoint is of an earlier step; look for extreme labels in the data",
            )
        self.optimiser.zero_grad(set_to_none=True)
        parts["loss"].backward()
        self.peers.average_gradients(self.network)
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self.optimiser.step()
        self.step += 1
        # Short at first, so that the average forgets the start.
        decay = min(AVERAGE_DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self._averaged, self._followed, 1 - decay)
        return {name: value.detach() for name, value in told.items()}

    def _validated(self) -> float | None:
        if not self.validation or not self.peers.first:
            return None
        self.validation_errors = self.teaching.errors(self.averaged(), self.validation)
        return float(self.validation_errors.mean())


def parameter_groups(network: Network) -> list[dict[str, Any]]:
    """The network's parameters by learning rate and weight decay.

    Adam moves every weight by about the learning rate. For a convolution before a batch norm that
    is small; in a shape head, whose many inputs add up to positions that should move by a
    hundredth of the crop, it would throw the shape model away in the first steps.
    """
    rates = {"basis": BASIS_RATE, "coefficients": COEFFICIENTS_RATE, "head": HEAD_RATE}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        rate = next((r for part, r in rates.items() if f".{part}." in name), 1.0)
        decay = WEIGHT_DECAY if parameter.ndim > 1 and rate == 1.0 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "rate": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def _float_state(network: nn.Module) -> list[Tensor]:
    # Batch norm's running statistics are averaged along with the weights that they belong to.
    return [v for v in network.state_dict().values() if v.is_floating_point()]


class _Meter:
    """Means since the last report."""

    def __init__(self, loop: Loop, batches: Ahead[Any]) -> None:
        self._loop, self._batches = loop, batches
        self._reset()

    def _reset(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._since = time.monotonic()
        self._cpu_s, self._loader_s = time.process_time(), self._batches.busy_s

    def add(self, parts: dict[str, Tensor]) -> None:
        for name, value in parts.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1

    def due(self) -> bool:
        return time.monotonic() - self._since > REPORT_EVERY_S

    def status(self, validation_error: float | None) -> Status:
        loop = self._loop
        cpu_s = time.process_time() - self._cpu_s
        status = Status(
            step=loop.step,
            elapsed_s=loop.elapsed_s,
            fraction=loop.fraction,
            samples=loop.step * loop.batch,
            loss={name: float(value) / self._count for name, value in self._sums.items()},
            learning_rate=loop.learning_rate(),
            samples_per_s=self._count * loop.batch / max(1e-9, time.monotonic() - self._since),
            loader_share=(self._batches.busy_s - self._loader_s) / max(1e-9, cpu_s),
            validation_error=validation_error,
        )
        self._reset()
        return status
