"""What runs a model: XNNPACK, LiteRT's GPU accelerator, OpenVINO, or a TFLite delegate library.

Whichever it is, the outcome is a `Model`, and solutions don't know the difference.
"""

from __future__ import annotations

from pathlib import Path

from runtime.errors import ViewfinderError
from runtime.model import Model

XNNPACK = "xnnpack"
GPU = "gpu"
OPENVINO = "openvino"


def open_model(data: bytes, name: str, threads: int = 1, delegate: str = "") -> Model:
    """Load a model that is known to be harmless: see `runtime.trust.load_model`.

    Args:
        data: the .tflite file's content.
        name: what errors call it.
        threads: on the CPU.
        delegate: "" or "xnnpack", "gpu", "openvino", or the file of a TFLite delegate library,
            which is native code of the user's choice.

    Raises:
        ViewfinderError: the model or this machine doesn't suit the delegate; the reason is named.
    """
    if delegate in ("", XNNPACK):
        return Model.from_bytes(data, name, threads)
    if delegate == GPU:
        from runtime.gpu_model import GpuModel

        return GpuModel(data, name)
    if delegate == OPENVINO:
        from runtime.openvino_model import OpenVinoModel

        return OpenVinoModel(data, name, threads)
    return Model(data, name, threads, library=_library(delegate))


def _library(delegate: str) -> Path:
    path = Path(delegate)
    if not path.is_file():
        raise ViewfinderError(
            "no such delegate", field="--delegate", found=repr(delegate),
            expected=f"{XNNPACK} | {GPU} | {OPENVINO} | the file of a TFLite delegate library",
        )  # fmt: skip
    return path.resolve()  # with its folders, so that no other library of that name is found
