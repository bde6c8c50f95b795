"""Smaller models from an exported one: fp16 weights, or int8 throughout with calibration.

Tensors that correlate well can still put keypoints elsewhere, so a smaller model is judged by its
keypoints, in pixels of its input, on validation pictures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.box_fields import KEYPOINTS as BOX_KEYPOINTS
from runtime.errors import ViewfinderError
from runtime.model import Model

PRECISIONS = ("fp16", "int8")
MAX_KEYPOINT_PX = 1.0
"""Mean keypoint difference from fp32 that the worst validation picture may have, input pixels."""

SIGNATURE = "serving_default"
_HALF = (("FULLY_CONNECTED", ".*"), ("CONV_2D", "_Heads_|_Fields_"))
_AS_IS = (
    "INPUT", "OUTPUT", "RESHAPE",
    "LOGISTIC", "MUL", "AVERAGE_POOL_2D", "MAXIMUM", "DIV",  # the means of the hand's maps
)  # fmt: skip
"""Operators that int8 leaves in float, the first with fp16 weights where their names have that in
them: the last layers, as a keypoint would have one of 256 places. XNNPACK takes the mixture whole.
"""

Pictures = Sequence[NDArray[np.float32]]


def shared_out(pictures: Pictures) -> tuple[Pictures, Pictures]:
    """Pictures to calibrate on, mirrored ones with them, and others to judge by: every fourth."""
    calibration = [one for place, one in enumerate(pictures) if place % 4]
    mirrored = [np.ascontiguousarray(one[:, :, ::-1]) for one in calibration]
    return [*calibration, *mirrored], pictures[::4]


def at_precision(tflite: bytes, precision: str, pictures: Pictures) -> bytes:
    """The model with smaller weights; inputs and outputs stay float32.

    Args:
        tflite: in fp32.
        precision: one of `PRECISIONS`.
        pictures: (1, S, S, 3) as the model takes them; int8 is calibrated on them.
    """
    from ai_edge_quantizer import (  # type: ignore[import-untyped]
        qtyping,
        quantizer,
        recipe,
    )

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(tflite)
        names = qtyping.TFLOperationName
        half = {
            "op_config": qtyping.OpQuantizationConfig(
                weight_tensor_config=qtyping.TensorQuantizationConfig(
                    num_bits=16, dtype=qtyping.TensorDataType.FLOAT
                ),
                compute_precision=qtyping.ComputePrecision.FLOAT,
            ),
            "algorithm_key": "float_casting",
        }
        if precision == "fp16":
            tool = quantizer.Quantizer(str(path))
            tool.update_quantization_recipe(".*", names.ALL_SUPPORTED, **half)
            return bytes(tool.quantize().quantized_model)
        tool = quantizer.Quantizer(str(path), recipe.static_wi8_ai8())
        for operation in _AS_IS:
            tool.update_quantization_recipe(".*", names[operation], algorithm_key="no_quantize")
        for operation, name in _HALF:
            tool.update_quantization_recipe(name, names[operation], **half)
        ranges = [tool.calibrate({SIGNATURE: [{"image": one}]}, num_threads=1) for one in pictures]
        return bytes(tool.quantize(_widest(ranges)).quantized_model)


def _widest(ranges: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Each tensor's range over all pictures. The quantiser's own moving average over them cuts off
    what few pictures reach: faces in profile came out 20 px away."""
    return {
        name: {
            **first,
            "min": np.min([one[name]["min"] for one in ranges], axis=0),
            "max": np.max([one[name]["max"] for one in ranges], axis=0),
        }
        for name, first in ranges[0].items()
    }


def keypoint_difference_px(
    exact: Model, smaller: Model, meanings: Sequence[str], pictures: Pictures
) -> float:
    """The greatest over some pictures of the mean distance between keypoints, input pixels.

    Of a detector, those of the anchor that is surest in fp32; of a box network, of that cell.

    Args:
        exact, smaller: with the same outputs; their names may differ.
        meanings: what a card calls each output.
        pictures: (1, S, S, 3) as the models take them.
    """
    worst = 0.0
    for picture in pictures:
        first = _by_meaning(exact, meanings, picture)
        second = _by_meaning(smaller, meanings, picture)
        for one, other in zip(_keypoints(first, first), _keypoints(second, first)):
            off = float(np.linalg.norm(one - other, axis=1).mean())
            worst = max(worst, off) if np.isfinite(off) else np.inf
    return worst


def _keypoints(
    answers: Mapping[str, NDArray[np.float32]], exact: Mapping[str, NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    """Sets of (N, 2) keypoints that each must stay: an iris isn't lost in the eye around it."""
    if "boxes" in answers:
        return [answers["boxes"][0, int(exact["scores"].argmax()), 4:].reshape(-1, 2)]
    if "centres" in answers:
        surest = int(exact["centres"].argmax())
        return [answers["keypoint_offsets"].reshape(-1, BOX_KEYPOINTS, 2)[surest]]
    if "landmarks_visibility" in answers:
        points = answers["landmarks_visibility"].reshape(-1, 5)
        return [points[:33, :2], points[33:35, :2]]
    sets = ("landmarks",) if "landmarks" in answers else ("eye", "iris")
    return [answers[name].reshape(-1, 3)[:, :2] for name in sets]


def _by_meaning(
    model: Model, meanings: Sequence[str], picture: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    answers = model.invoke(picture)
    return {m: answers[info.name] for m, info in zip(meanings, model.outputs)}


def check_smaller(model: Model, out: Path, difference_px: float) -> None:
    """Refuse a model whose keypoints moved or that XNNPACK breaks up.

    Raises:
        ViewfinderError: one of the two.
    """
    if not difference_px <= MAX_KEYPOINT_PX:
        raise ViewfinderError(
            "the smaller model's keypoints differ from fp32", file=out,
            expected=f"at most {MAX_KEYPOINT_PX:g} px of its input on the worst picture",
            found=f"{difference_px:.3g} px", hint="the fp32 bundle is written",
        )  # fmt: skip
    if not model.runs_whole_in_xnnpack():
        raise ViewfinderError(
            "XNNPACK doesn't take the smaller model whole", file=out,
            expected="1 partition from input to outputs", found=model.xnnpack_partitions(),
            hint="the fp32 bundle is written",
        )  # fmt: skip
