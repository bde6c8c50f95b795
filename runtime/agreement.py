"""Whether another backend says of a model's inputs what LiteRT says, and for which it was shown.

OpenVINO may only be chosen for a model once `viewfinder models bench` has found that both agree;
<models folder>/openvino.json remembers for which models, and with which version.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.folders import models_folder
from runtime.model import Model, TensorInfo

TOLERANCE = 5e-4
"""The largest difference, as `largest_difference` counts it, that is float32's and not a mistake:
0.06 px root mean square in a crop of 256 px. Measured over the released models: at most 1.8e-4 with
OpenVINO 2026.4, at most 2.1e-4 on LiteRT's GPU accelerator where it is right, and above 1 where it
isn't."""

TRIALS = 6
_FILE = "openvino.json"


def largest_difference(litert: Model, other: Model) -> float:
    """How far the outputs of two backends lie apart, on noise and on blobs as pictures have them.

    Returns:
        The root mean square difference of an output over the root mean square of its values (over 1
        where that is smaller), the largest of all outputs and inputs; infinity where only one of
        the two gives a number.
    """
    largest = 0.0
    for arrays in _inputs(litert.inputs):
        for model in (litert, other):
            for place, array in enumerate(arrays):
                model.set_input(place, array)
            model.run()
        for place in range(len(litert.outputs)):
            difference = _difference(litert.output(place), other.output(place))
            largest = max(largest, difference)
    return largest


def _difference(ours: NDArray, theirs: NDArray) -> float:
    numbers = np.isfinite(ours)
    if not np.array_equal(numbers, np.isfinite(theirs)):
        return float("inf")
    one, other = ours[numbers].astype(np.float64), theirs[numbers].astype(np.float64)
    if not one.size:
        return 0.0
    scale = max(1.0, float(np.sqrt(np.mean(one**2))))
    return float(np.sqrt(np.mean((one - other) ** 2))) / scale


def _inputs(infos: tuple[TensorInfo, ...]) -> Iterator[list[NDArray]]:
    rng = np.random.default_rng(0)
    for trial in range(TRIALS):
        yield [_blobs(info, rng) if trial % 2 else _noise(info, rng) for info in infos]


def _noise(info: TensorInfo, rng: np.random.Generator) -> NDArray:
    return rng.random(info.shape).astype(info.dtype)


def _blobs(info: TensorInfo, rng: np.random.Generator) -> NDArray:
    if len(info.shape) != 4:
        return _noise(info, rng)
    _, height, width, channels = info.shape
    coarse = rng.random((6, 6, channels))
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return picture.reshape(info.shape).clip(0, 1).astype(info.dtype)


def remember_agreement(sha256: str, version: str, difference: float) -> None:
    """Note that a model may run on OpenVINO, or where the difference is too large, that not."""
    shown = _shown()
    shown[sha256] = {"openvino": version, "difference": difference}
    content = json.dumps(shown, indent=2).encode() + b"\n"
    write_bytes_durably(models_folder() / _FILE, content, shared=True)


def require_agreement(sha256: str, version: str, name: str) -> None:
    """Refuse a model for which OpenVINO hasn't been shown to agree with LiteRT.

    Raises:
        ViewfinderError: not shown, or shown not to agree.
    """
    row = _shown().get(sha256)
    hint = f"viewfinder models bench {name if ' ' not in name else 'FILE'}"
    if row is None or row["openvino"] != version:
        raise ViewfinderError(
            f"OpenVINO {version} hasn't been compared with LiteRT on this model yet",
            file=name, hint=hint,
        )  # fmt: skip
    if not row["difference"] <= TOLERANCE:
        raise ViewfinderError(
            "OpenVINO doesn't agree with LiteRT on this model", file=name,
            expected=f"a difference of at most {TOLERANCE:g}", found=f"{row['difference']:.2g}",
        )  # fmt: skip


def _shown() -> dict[str, dict]:
    path = models_folder() / _FILE
    try:
        stored = json.loads(path.read_bytes())
        return {
            str(sha256): {"openvino": str(row["openvino"]), "difference": float(row["difference"])}
            for sha256, row in stored.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ViewfinderError(
            "the list of models that OpenVINO may run can't be read", file=path, found=str(error),
            hint="delete it and bench your models again",
        ) from error  # fmt: skip
