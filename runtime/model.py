"""A TFLite model in LiteRT: the only module that imports it.

A hostile or damaged file can crash LiteRT, so what comes from outside goes through
`runtime.trust.load_model`.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtime.errors import ViewfinderError
from runtime.native_output import captured_stderr


@dataclass(frozen=True)
class TensorInfo:
    """A model's input or output: its name, shape and NumPy type name."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class PixelScale:
    """Bytes to a model's range, rounded as OpenCV's convertTo does it.

    Args:
        low, high: what 0 and 255 become.

    Attributes:
        factor: by which a byte is multiplied, in float32, where that is all; else None.
    """

    def __init__(self, low: float, high: float) -> None:
        factor = np.float32((high - low) / 255.0)
        # x * factor + offset with one rounding, by table: multiplying and adding in float32 rounds
        # twice, which moves MediaPipe's face detections by 1e-4 and landmarks by 0.01 px.
        exact = np.arange(256) * np.float64(factor) + np.float64(np.float32(low))
        self._table = exact.astype(np.float32)
        self.factor = None if low != 0 else float(factor)

    def write(self, picture: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        """Scale (H, W, C) uint8 into a float32 array of the same shape."""
        if self.factor is None:
            cv2.LUT(picture, self._table, dst=out)
        else:
            # picture * factor + out * (1 - factor): in half the time of NumPy's multiply, which
            # converts piece by piece.
            out.fill(0)
            cv2.accumulateWeighted(picture, out, self.factor)


class Model:
    """A loaded model. Most have one input, a picture.

    Args:
        data: the .tflite file's content.
        name: what errors call it.
        threads: for XNNPACK.
        library: a TFLite delegate library that gets the model before XNNPACK does.

    Attributes:
        name: what errors call it.
        inputs, outputs: in the model's own order.
        invoke_seconds: time spent in LiteRT's invoke so far, and `invocations`, how often.
        clock: what that time is measured with; benchmarks set a CPU clock.
    """

    clock: Callable[[], float] = staticmethod(time.perf_counter)

    def __init__(
        self, data: bytes, name: str, threads: int = 1, library: Path | None = None
    ) -> None:
        # Imported here: the command line answers --help without LiteRT's 0.4 s.
        from ai_edge_litert.interpreter import Interpreter

        self.name = name
        self.invoke_seconds = 0.0
        self.invocations = 0
        delegates = [_delegate(library)] if library else None
        try:
            with captured_stderr():
                self._interpreter = Interpreter(
                    model_content=data, num_threads=threads, experimental_delegates=delegates
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ViewfinderError(
                "LiteRT can't load this model", file=name, found=str(error).split("\n")[0]
            ) from error
        self._invoke = self._interpreter.invoke
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        self.inputs = tuple(_info(detail) for detail in inputs)
        self.outputs = tuple(_info(detail) for detail in outputs)
        self._input_indices = tuple(int(detail["index"]) for detail in inputs)
        self._output_indices = tuple(int(detail["index"]) for detail in outputs)
        self._input_views = tuple(self._interpreter.tensor(i) for i in self._input_indices)
        self._output_views = tuple(self._interpreter.tensor(i) for i in self._output_indices)

    @classmethod
    def from_bytes(cls, data: bytes, name: str, threads: int = 1) -> Model:
        """Load a model; one with custom operators that are known is run in pieces, one of
        MediaPipe's with a mean in it as `runtime.mean_order` says.

        Args:
            data: the .tflite file's content.
            name: what errors call it.
            threads: for XNNPACK.

        Raises:
            ViewfinderError: LiteRT refuses it (an unknown operator, not a model).
        """
        from runtime.attention.model import SplitModel, needs_splitting
        from runtime.mean_order import is_reordered, with_reordered_means

        if is_reordered(data):
            data = with_reordered_means(data)
        return (SplitModel if needs_splitting(data) else cls)(data, name, threads)

    def __del__(self) -> None:
        # A model is many large blocks, which glibc likes to keep: without this a process that opens
        # and closes models swings by tens of MB.
        self.__dict__.clear()
        if _malloc_trim is not None:
            _malloc_trim(0)

    def invoke(self, *arrays: ArrayLike) -> dict[str, NDArray[np.float32]]:
        """Run the model on one array for each input.

        Returns:
            Output name -> a copy of the output.

        Raises:
            ViewfinderError: an array's shape is not its input's.
        """
        for index, (info, array) in enumerate(zip(self.inputs, arrays, strict=True)):
            given = np.asarray(array, dtype=info.dtype)
            if given.shape != info.shape:
                raise ViewfinderError(
                    "wrong input shape", file=self.name, field=info.name, expected=info.shape,
                    found=given.shape,
                )  # fmt: skip
            self.set_input(index, given)
        self.run()
        return {info.name: self.output(i) for i, info in enumerate(self.outputs)}

    def set_input(self, index: int, array: ArrayLike) -> None:
        """Write an array of that input's shape into it, in the order of `inputs`."""
        self._input_views[index]()[...] = array

    def fill(self, picture: NDArray[np.uint8], scale: PixelScale) -> None:
        """Write a picture into the input, without a copy in between.

        Args:
            picture: (H, W, C) uint8 of the input's size.
            scale: to the model's range.
        """
        scale.write(picture, self.picture_input())

    def picture_input(self) -> NDArray[np.float32]:
        """(H, W, C) the first input, to write to: let go of it before the model runs."""
        return self._input_views[0]()[0]

    def fill_zeros(self) -> None:
        """Write zeros into every input."""
        for view in self._input_views:
            view()[...] = 0

    def run(self) -> None:
        """Run on what is in the input.

        Raises:
            ViewfinderError: it fails, which happens with damaged models and broken drivers.
        """
        start = self.clock()
        try:
            self._invoke()
        except (RuntimeError, ValueError) as error:
            raise ViewfinderError(
                "this model can't be run", file=self.name, found=str(error).split("\n")[0]
            ) from error
        self.invoke_seconds += self.clock() - start
        self.invocations += 1

    def output(self, index: int) -> NDArray[np.float32]:
        """A copy of that output, in the order of `outputs`."""
        return self._output_views[index]().copy()

    def peek(self, index: int) -> NDArray[np.float32]:
        """That output without a copy: let go of it before the model runs again."""
        return self._output_views[index]()

    def output_index(self, name: str) -> int:
        """The place of that output in `outputs`.

        Raises:
            ViewfinderError: the model has no output of that name.
        """
        for index, info in enumerate(self.outputs):
            if info.name == name:
                return index
        raise ViewfinderError(
            "the model has no such output", file=self.name,
            expected=" | ".join(info.name for info in self.outputs), found=repr(name),
        )  # fmt: skip

    def xnnpack_partitions(self) -> int:
        """Into how many pieces XNNPACK took the model; 0 when it took nothing."""
        return len(self._delegates())

    def runs_whole_in_xnnpack(self) -> bool:
        """Whether one XNNPACK partition leads from every input to every output."""
        delegates = self._delegates()
        return (
            len(delegates) == 1
            and set(self._input_indices) <= {int(i) for i in delegates[0]["inputs"]}
            and set(self._output_indices) <= {int(i) for i in delegates[0]["outputs"]}
        )

    def outside_xnnpack(self) -> dict[str, int]:
        """Operators that LiteRT runs itself, because XNNPACK didn't take them: name -> how many."""
        producers = {
            int(tensor): operator
            for operator in self._interpreter._get_ops_details()  # delegates come last, and win
            for tensor in operator["outputs"]
        }
        wanted, outside = list(self._output_indices), {}
        while wanted:
            operator = producers.pop(wanted.pop(), None)
            if operator is not None:
                outside[int(operator["index"])] = operator["op_name"]
                wanted += [int(tensor) for tensor in operator["inputs"]]
        names = [name for name in outside.values() if name != "DELEGATE"]
        return {name: names.count(name) for name in sorted(set(names))}

    def _delegates(self) -> list[dict]:
        operators = self._interpreter._get_ops_details()
        return [operator for operator in operators if operator["op_name"] == "DELEGATE"]


class ForeignModel(Model):
    """The base of models that something else than LiteRT's interpreter runs.

    A subclass sets `_invoke`, and `_input_views` and `_output_views`: functions that give the
    arrays to write and to read.

    Args:
        plain: the same model in LiteRT, for its tensors' names, shapes and order.
    """

    def __init__(self, plain: Model) -> None:
        self.name = plain.name
        self.invoke_seconds = 0.0
        self.invocations = 0
        self.inputs = plain.inputs
        self.outputs = plain.outputs

    def outside_xnnpack(self) -> dict[str, int]:
        """Nothing: XNNPACK has no part in it."""
        return {}

    def _delegates(self) -> list[dict]:
        return []


def _find_malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None  # not glibc


_malloc_trim = _find_malloc_trim()


def _delegate(library: Path) -> Any:
    from ai_edge_litert.interpreter import load_delegate

    try:
        with captured_stderr():
            ctypes.CDLL(str(library))  # LiteRT's own complaint comes with a second one
            return load_delegate(str(library))
    except (OSError, ValueError, AttributeError, RuntimeError) as error:
        raise ViewfinderError(
            "can't load this TFLite delegate library", file=library,
            found=str(error).strip().split("\n")[-1],
        ) from error  # fmt: skip


def _info(detail: dict) -> TensorInfo:
    shape = tuple(int(side) for side in detail["shape"])
    return TensorInfo(detail["name"], shape, np.dtype(detail["dtype"]).name)
