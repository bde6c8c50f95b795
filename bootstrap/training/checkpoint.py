"""A training's state on disk: safetensors (no pickle), written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError

FORMAT = "viewfinder-training-1"


@dataclass(frozen=True)
class Progress:
    """How far a training is, and what it is.

    Attributes:
        settings: what must be the same for a resumed training (network, data, seed, batch ...).
        step: steps done.
        elapsed_s: seconds of training so far.
        finished: whether its time or steps are used up.
    """

    settings: Mapping[str, Any]
    step: int
    elapsed_s: float
    finished: bool


def save_checkpoint(
    path: Path,
    network: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write weights, their moving average, the optimiser's state and the progress.

    Batches need no generator's state (bootstrap.training.batches), torch's own is kept for what
    a network may draw.

    Raises:
        ViewfinderError: the file can't be written.
    """
    import safetensors.torch

    tensors: dict[str, Tensor] = {}
    for prefix, module in (("network", network), ("average", average)):
        tensors |= {f"{prefix}.{name}": value for name, value in module.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
    tensors["rng"] = torch.get_rng_state()
    metadata = {"format": FORMAT, "progress": json.dumps(vars(progress), sort_keys=True)}
    data = safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()}, metadata)
    write_bytes_durably(path, data)


def load_checkpoint(
    path: Path, network: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> Progress:
    """Put a checkpoint's state back; the modules and the optimiser are changed in place.

    Raises:
        ViewfinderError: missing, damaged, or of another network.
    """
    import safetensors
    import safetensors.torch

    progress = read_progress(path)
    try:
        tensors = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise _damaged(path, error) from error
    try:
        for prefix, module in (("network", network), ("average", average)):
            start = len(prefix) + 1
            module.load_state_dict(
                {k[start:]: v for k, v in tensors.items() if k.startswith(prefix + ".")}
            )
        _load_optimiser(optimiser, tensors)
        torch.set_rng_state(tensors["rng"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise _damaged(path, error) from error
    return progress


def read_progress(path: Path) -> Progress:
    """How far the training of a checkpoint is.

    Raises:
        ViewfinderError: missing or damaged.
    """
    import safetensors

    if not path.is_file():
        raise ViewfinderError(
            "there is no checkpoint to resume from", file=path, hint="leave out --resume"
        )
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError(f"format {metadata.get('format')!r}")
        return Progress(**json.loads(metadata["progress"]))
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def _load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for number, parameter in enumerate(parameters):
        prefix = f"optimiser.{number}."
        found = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
        # As the optimiser itself lays them out: like the parameter, channels last included.
        optimiser.state[parameter] = {
            k: torch.empty_like(parameter).copy_(v) if v.shape == parameter.shape else v
            for k, v in found.items()
        }


def _damaged(path: Path, error: Exception) -> ViewfinderError:
    return ViewfinderError(
        "the checkpoint is damaged or of another network",
        file=path,
        found=str(error).splitlines()[0][:120] if str(error) else type(error).__name__,
        hint="train again without --resume",
    )
