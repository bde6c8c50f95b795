"""A model on LiteRT's GPU accelerator: WebGPU, over Vulkan, Metal or Direct3D."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.agreement import TOLERANCE, largest_difference
from runtime.errors import ViewfinderError
from runtime.model import ForeignModel, Model, TensorInfo
from runtime.native_output import captured_stderr, silent_stdout

_PROBLEM = "LiteRT's GPU accelerator can't run this model here"


class GpuModel(ForeignModel):
    """A model that the GPU runs in float32, but for operators that it lacks.

    Args:
        data: the .tflite file's content.
        name: what errors call it.

    Raises:
        ViewfinderError: there is no GPU for it, or what the GPU says isn't what LiteRT says on the
            CPU (with 2.3 so for every sparse model).
    """

    def __init__(self, data: bytes, name: str) -> None:
        plain = Model(data, name)
        super().__init__(plain)
        found, difference = "", 0.0
        with captured_stderr() as lines, silent_stdout():
            try:
                self._open(data)
                difference = largest_difference(plain, self)
            except (RuntimeError, ValueError, OSError, ImportError) as error:
                found = str(error).strip().split("\n")[-1]
        if any("No adapters found" in line for line in lines):
            found = "no GPU with a driver for Vulkan, Metal or Direct3D"
        if found:
            raise ViewfinderError(_PROBLEM, file=name, found=found)
        if not difference <= TOLERANCE:
            raise ViewfinderError(
                "the GPU's answers aren't this model's", file=name,
                expected=f"a difference of at most {TOLERANCE:g}", found=f"{difference:.2g}",
            )  # fmt: skip
        self.invoke_seconds, self.invocations = 0.0, 0

    def _open(self, data: bytes) -> None:
        self._compiled = _compiled(data)
        signature = self._compiled.get_signature_by_index(0)
        inputs = self._compiled.get_input_tensor_details(signature["key"])
        outputs = self._compiled.get_output_tensor_details(signature["key"])
        arrays = _arrays(self.inputs, signature["inputs"], inputs)
        results = _arrays(self.outputs, signature["outputs"], outputs)
        self._input_views = _views(self.inputs, arrays)
        self._output_views = _views(self.outputs, results)
        self._arrays = list(arrays.values())
        self._results = list(results.values())
        self._given = self._compiled.create_input_buffers(0)
        self._told = self._compiled.create_output_buffers(0)
        self._invoke = self._run_on_gpu

    def _run_on_gpu(self) -> None:
        for buffer, array in zip(self._given, self._arrays):
            buffer.write(array)
        self._compiled.run_by_index(0, self._given, self._told)
        for buffer, array in zip(self._told, self._results):
            array.reshape(-1)[...] = buffer.read(array.size, array.dtype.type)


def _arrays(
    infos: tuple[TensorInfo, ...], signature: list[str], details: Mapping[str, Any]
) -> dict[str, NDArray]:
    """Tensor name -> array, in the order of the signature, whose names may be others."""
    dtypes = {info.name: info.dtype for info in infos}
    tensors = [details[name] for name in signature]
    if {tensor["name"] for tensor in tensors} != set(dtypes):
        raise ValueError(f"it sees other tensors than LiteRT itself: {signature}")
    return {tensor["name"]: np.zeros(tensor["shape"], dtypes[tensor["name"]]) for tensor in tensors}


def _views(
    infos: tuple[TensorInfo, ...], arrays: Mapping[str, NDArray]
) -> tuple[Callable[[], NDArray], ...]:
    """Functions that give the arrays, in the model's own order."""
    return tuple(lambda array=arrays[info.name]: array for info in infos)


def _compiled(data: bytes) -> Any:
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator
    from ai_edge_litert.options import CpuOptions, GpuOptions, Options

    # With the CPU for operators that the GPU lacks; where there is no GPU it fails all the same.
    options = Options(
        HardwareAccelerator.GPU | HardwareAccelerator.CPU,
        cpu_options=CpuOptions(num_threads=1),
        gpu_options=GpuOptions(enforce_f32=True),
    )
    return CompiledModel.from_buffer(data, environment=_environment(), options=options)


@cache
def _environment() -> Any:
    """One for all models: each would open the GPU anew."""
    from ai_edge_litert import __file__ as package
    from ai_edge_litert.environment import Environment, EnvironmentOptions

    folder = str(Path(str(package)).parent)
    environment = Environment.create(options=EnvironmentOptions(runtime_path=folder))
    # When Python has ended, LiteRT's destructors print lines that nobody asked for.
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
    return environment
