"""The rule by which models are loaded.

LiteRT 2.3 crashed on 4 and hung on 1 of 500 mutated models. A model whose SHA-256 is neither among
the released nor trusted by the user is therefore first loaded and run in a child process with a
time limit; only if that goes well is it loaded here.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import runtime
from runtime.errors import ViewfinderError
from runtime.model import Model, TensorInfo
from runtime.model_store import is_trusted

PROBE_SECONDS = 30.0


@dataclass(frozen=True)
class ModelTensors:
    """A model's inputs and outputs in its own order."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


def load_model(data: bytes, name: str, threads: int = 1) -> Model:
    """Load a model, probed first unless it is trusted.

    Raises:
        ViewfinderError: LiteRT refuses it, or it crashed or hung in the probe.
    """
    if not is_trusted(hashlib.sha256(data).hexdigest()):
        probe_model(data, name)
    return Model.from_bytes(data, name, threads)


def model_tensors(data: bytes, name: str) -> ModelTensors:
    """What goes in and comes out; an untrusted model is only looked at in the child process."""
    if is_trusted(hashlib.sha256(data).hexdigest()):
        model = Model.from_bytes(data, name)
        return ModelTensors(model.inputs, model.outputs)
    return probe_model(data, name)


def probe_model(data: bytes, name: str, seconds: float = PROBE_SECONDS) -> ModelTensors:
    """Load the model and run it once in a child process.

    Args:
        data: the .tflite file's content.
        name: what errors call it.
        seconds: the child's time limit.

    Raises:
        ViewfinderError: it was refused, crashed the child, or took too long.
    """
    source = str(Path(runtime.__file__).parent.parent)
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "runtime.probe"],
            input=data,
            capture_output=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
    except subprocess.TimeoutExpired as error:
        raise ViewfinderError(
            f"this model is refused: it hadn't run after {seconds:g} s", file=name
        ) from error
    try:
        report = json.loads(done.stdout)
    except ValueError as error:
        raise ViewfinderError(
            "this model is refused: it crashed the process that tried it",
            file=name, found=_death(done.returncode),
        ) from error  # fmt: skip
    if "error" in report:
        raise ViewfinderError("LiteRT can't run this model", file=name, found=report["error"])
    return ModelTensors(_tensors(report["inputs"]), _tensors(report["outputs"]))


def _tensors(rows: list[list]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(name, tuple(shape), dtype) for name, shape, dtype in rows)


def _death(returncode: int) -> str:
    if returncode < 0:
        return signal.Signals(-returncode).name
    return f"exit status {returncode}"
