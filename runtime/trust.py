"""The rule by which models are loaded.

LiteRT 2.3 crashed on 4 and hung on 1 of 500 mutated models. A model whose SHA-256 is neither among
the released nor trusted by the user is therefore first loaded and run in a child process with
limits to its time and memory; only if that goes well are the very same bytes loaded here.
"""

from __future__ import annotations

import hashlib
import signal
from dataclasses import dataclass

from runtime.agreement import require_agreement
from runtime.backends import OPENVINO, open_model
from runtime.errors import ViewfinderError
from runtime.model import Model, TensorInfo
from runtime.model_store import is_trusted
from runtime.probing import ProbeWorker

PROBE_SECONDS = 30.0
_worker = ProbeWorker()
# What went well in this process's lifetime needn't be tried again.
_went_well: dict[tuple[str, int, str], ModelTensors] = {}


@dataclass(frozen=True)
class ModelTensors:
    """A model's inputs and outputs in its own order."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


def load_model(data: bytes, name: str, threads: int = 1, delegate: str = "") -> Model:
    """Load a model, probed first unless it is trusted.

    Args:
        data: the .tflite file's content.
        name: what errors call it.
        threads: on the CPU.
        delegate: what runs it: see `runtime.backends.open_model`. OpenVINO runs only models on
            which it was shown to agree with LiteRT.

    Raises:
        ViewfinderError: LiteRT refuses it, it crashed or hung in the probe, or it can't be run so.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    if delegate == OPENVINO:
        from runtime.openvino_model import openvino_version

        require_agreement(sha256, openvino_version(), name)
    if not is_trusted(sha256):
        probe_model(data, name, threads=threads, delegate=delegate)
    return open_model(data, name, threads, delegate)


def model_tensors(data: bytes, name: str) -> ModelTensors:
    """What goes in and comes out; an untrusted model is only looked at in the child process."""
    if is_trusted(hashlib.sha256(data).hexdigest()):
        model = Model.from_bytes(data, name)
        return ModelTensors(model.inputs, model.outputs)
    return probe_model(data, name)


def probe_model(
    data: bytes,
    name: str,
    seconds: float = PROBE_SECONDS,
    threads: int = 1,
    delegate: str = "",
) -> ModelTensors:
    """Load the model and run it on zeros and noise in a child process.

    Args:
        data: the .tflite file's content.
        name: what errors call it.
        seconds: the child's time limit.
        threads, delegate: as for `load_model`.

    Raises:
        ViewfinderError: it was refused, crashed the child, or took too long.
    """
    key = (hashlib.sha256(data).hexdigest(), threads, delegate)
    if key in _went_well:
        return _went_well[key]
    report = _worker.report(data, seconds, threads, delegate)
    if "slow" in report:
        raise ViewfinderError(
            f"this model is refused: it hadn't run after {seconds:g} s", file=name
        )
    if "error" in report:
        raise ViewfinderError("this model can't be run", file=name, found=report["error"])
    if "death" in report:
        raise ViewfinderError(
            "this model is refused: it crashed the process that tried it",
            file=name, found=_death(report["death"]),
        )  # fmt: skip
    tensors = ModelTensors(_tensors(report["inputs"]), _tensors(report["outputs"]))
    _went_well[key] = tensors
    return tensors


def _tensors(rows: object) -> tuple[TensorInfo, ...]:
    assert isinstance(rows, list)
    return tuple(TensorInfo(name, tuple(shape), dtype) for name, shape, dtype in rows)


def _death(status: object) -> str:
    assert isinstance(status, int)
    if status < 0:
        return signal.Signals(-status).name
    return f"exit status {status}"
