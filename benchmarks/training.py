"""Speed of training against the same network on tensors that are in memory already.

    python -m benchmarks.training --data FOLDER [--network hand] [--size lite] [--batch 16]
                                  [--steps 30] [--rounds 4] [--threads 1] [--out training.json]

Both sides take turns in one process: a round of the whole loop (pictures read, cropped, varied in a
thread of their own; loss, step, moving average), then one of forward, loss, backward and the
optimiser's step on batches made before. Pictures are decoded beforehand, as they are from the
second epoch on. By processor time, which other work on the machine changes less, and by the clock.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from bootstrap.networks import NETWORKS
from bootstrap.training.batches import single_threaded_opencv
from bootstrap.training.loop import GRADIENT_NORM, Loop, parameter_groups
from bootstrap.training.process import keep_large_blocks
from bootstrap.training.report import Silent
from bootstrap.training.subjects import load_training_data
from bootstrap.training.teaching import Teaching, teaching_of
from runtime.topology import topology

GOAL = 0.85
AHEAD = 8
"""Batches that the loader may have made beyond those that were used."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--network", default="hand", choices=sorted(NETWORKS))
    parser.add_argument("--size", default="lite")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=30, help="of a round on either side")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    keep_large_blocks()
    torch.set_num_threads(options.threads)
    single_threaded_opencv()
    result = measure(options)
    show(result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Samples a second of both sides and their ratio."""
    shape = topology(NETWORKS[options.network].topology_id)
    teaching = teaching_of(options.network, load_training_data(options.data, shape), options.size)
    decode(teaching, options.batch, options.steps * (options.rounds + 1) + AHEAD)
    whole, loader, close = whole_loop(teaching, options.batch)
    bare = bare_loop(teaching, options.batch, options.steps)
    spent = {"whole": [0.0, 0.0], "bare": [0.0, 0.0]}
    try:
        for turn in range(options.rounds + 1):  # the first warms up
            for name, step in (("whole", whole), ("bare", bare)):
                clock, processor = time.monotonic(), time.process_time()
                for _ in range(options.steps):
                    step()
                if turn:
                    spent[name][0] += time.monotonic() - clock
                    spent[name][1] += time.process_time() - processor
                else:
                    busy = loader()
        share = (loader() - busy) / spent["whole"][1]
    finally:
        close()
    samples = options.rounds * options.steps * options.batch
    speeds = {
        name: {"samples_per_s": samples / clock, "samples_per_cpu_s": samples / processor}
        for name, (clock, processor) in spent.items()
    }
    ratios = {unit: speeds["whole"][unit] / speeds["bare"][unit] for unit in speeds["bare"]}
    settings = {k: v for k, v in vars(options).items() if k not in ("data", "out")}
    return {**settings, "goal": GOAL, "ratio": ratios, "loader_share": share, **speeds}


def decode(teaching: Teaching, batch: int, steps: int) -> None:
    """Have the pictures of these steps in memory."""
    source = teaching.batches(batch, 0, 0)
    for _ in zip(range(steps), source):
        pass
    source.close()


def whole_loop(
    teaching: Teaching, batch: int
) -> tuple[Callable[[], object], Callable[[], float], Callable[[], None]]:
    """A step as `viewfinder train` takes it, the loader's seconds so far, and the end."""
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(
            network=teaching.new_network(0),
            teaching=teaching,
            validation=(),
            batch=batch,
            steps=10**6,
            seconds=None,
            settings={},
            checkpoint=Path(folder) / "unused.safetensors",
            reporter=Silent(),
            stop=lambda: False,
        )
    batches = teaching.batches(batch, 0, 0)
    source = iter(batches)
    return lambda: loop.train_step(next(source)), lambda: batches.busy_s, batches.close


def bare_loop(teaching: Teaching, batch: int, count: int) -> Callable[[], None]:
    """A step on batches in memory."""
    network = teaching.new_network(0)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(parameter_groups(network))
    source = teaching.batches(batch, 1, 0)
    made = [one for one, _ in zip(source, range(min(count, 16)))]
    source.close()
    turn = 0

    def step() -> None:
        nonlocal turn
        network.train()
        loss = teaching.losses(network, made[turn % len(made)])["loss"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
        optimiser.step()
        turn += 1

    return step


def show(result: dict[str, Any]) -> None:
    """A table on the terminal."""
    table = Table(title=f"train {result['network']} --size {result['size']}")
    for heading in ("", "samples/s", "samples a processor-second"):
        table.add_column(heading)
    for name in ("whole", "bare"):
        table.add_row(name, *(f"{value:.1f}" for value in result[name].values()))
    table.add_row("ratio", *(f"{value:.3f}" for value in result["ratio"].values()))
    Console().print(table)
    Console().print(f"goal {GOAL}; loader's share of a step {100 * result['loader_share']:.1f} %")


if __name__ == "__main__":
    main()
