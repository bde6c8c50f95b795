"""A model on OpenVINO, which reads the same .tflite file; of the extra `openvino`."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from runtime.errors import ViewfinderError, missing_extra
from runtime.model import ForeignModel, Model, TensorInfo


class OpenVinoModel(ForeignModel):
    """A model that OpenVINO runs on the CPU, in float32.

    Args:
        data: the .tflite file's content.
        name: what errors call it.
        threads: OpenVINO's.

    Raises:
        ViewfinderError: OpenVINO isn't installed, or can't read the model (custom operators).
    """

    def __init__(self, data: bytes, name: str, threads: int = 1) -> None:
        super().__init__(Model(data, name))
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            # Processors with bfloat16 would use it unasked, and move landmarks by pixels.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            compiled = _core().compile_model(_read(data, self.inputs), "CPU", settings)
            self._request = compiled.create_infer_request()
            given = _by_name(compiled.inputs, self.inputs)
            told = _by_name(compiled.outputs, self.outputs)
        except (RuntimeError, ValueError, TypeError) as error:
            lines = [line for line in str(error).split("\n") if line.strip()]
            raise ViewfinderError(
                "OpenVINO can't run this model", file=name, found=lines[-1] if lines else ""
            ) from error
        get_input, get_output = self._request.get_input_tensor, self._request.get_output_tensor
        self._input_views = tuple(lambda i=index: get_input(i).data for index in given)
        self._output_views = tuple(lambda i=index: get_output(i).data for index in told)
        self._invoke = self._request.infer


def openvino_version() -> str:
    """The installed version.

    Raises:
        ViewfinderError: it isn't installed.
    """
    try:
        from openvino import __version__
    except ImportError as error:
        raise missing_extra("openvino", "openvino") from error
    return str(__version__).split("-")[0]


@cache
def _core() -> Any:
    openvino_version()
    from openvino import Core

    return Core()


def _read(data: bytes, inputs: tuple[TensorInfo, ...]) -> Any:
    # OpenVINO reads TFLite from files only.
    with tempfile.TemporaryDirectory(prefix="viewfinder-openvino-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(data)
        model = _core().read_model(path)
    # Some models leave the number of pictures open; we run one at a time.
    shapes = {place: inputs[at].shape for at, place in enumerate(_by_name(model.inputs, inputs))}
    model.reshape(shapes)
    return model


def _by_name(ports: list[Any], infos: tuple[TensorInfo, ...]) -> list[int]:
    """OpenVINO's index of each tensor."""
    names = [port.get_names() for port in ports]
    places = []
    for info in infos:
        fitting = [index for index, known in enumerate(names) if info.name in known]
        shape = ports[fitting[0]].get_partial_shape() if len(fitting) == 1 else ()
        sides = [None if side.is_dynamic else side.get_length() for side in shape]
        if len(sides) != len(info.shape) or any(
            side not in (None, own) for side, own in zip(sides, info.shape)
        ):
            raise ValueError(f"it sees another tensor {info.name} than LiteRT")
        places.append(fitting[0])
    return places
