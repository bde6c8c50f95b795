"""From a trained network to a `.task` bundle, checked against torch.

The tensors have MediaPipe's layouts. For the face: landmarks 1 x 1 x 1 x 1434 in input pixels and a
presence logit 1 x 1 x 1 x 1. For the hand: landmarks 1 x 63 in input pixels with z times 0.4,
presence and handedness (the person's right hand in an unmirrored picture) 1 x 1 as probabilities,
world 1 x 63 in metres. Beside the model a bundle holds the weights that `--from` starts from.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.metadata
import io
import logging
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bootstrap.metrics import Estimate
from bootstrap.networks import Network, fuse_batch_norms
from bootstrap.tflite_metadata import with_metadata
from runtime.bundle import read_bundle, write_bundle
from runtime.card import Card, CardInput, CardMetric, CardModel, CardOutput
from runtime.errors import ViewfinderError
from runtime.model import Model
from runtime.native_output import captured_stderr
from runtime.topology import topology

if TYPE_CHECKING:
    from bootstrap.training.batches import Batch
    from bootstrap.training.subjects import TrainingData

MAX_DIFFERENCE = 1e-5
"""Between torch and LiteRT: landmarks in input widths, probabilities, metres."""
SIGNATURE = "serving_default"
MEANINGS = {
    "face": {"landmarks": "landmarks", "presence": "presence_logit"},
    "hand": {
        "landmarks": "landmarks",
        "presence": "presence",
        "handedness": "handedness",
        "world": "world_landmarks",
    },
}
TITLES = {
    "face": "478 keypoints of the face in a crop.",
    "hand": "21 keypoints of the hand in a crop.",
}
DESCRIPTIONS = {
    "face": {
        "landmarks": "x, y, z of each keypoint in input pixels.",
        "presence": "Logit that a face is in the crop.",
    },
    "hand": {
        "landmarks": "x, y, z of each keypoint in input pixels, z times 0.4.",
        "presence": "Probability that a hand is in the crop.",
        "handedness": "Probability of a right hand in an unmirrored picture.",
        "world": "x, y, z of each keypoint in metres from their mean.",
    },
}
Z_SCALES = {"face": 1.0, "hand": 0.4}
"""Of z against x: MediaPipe's hand models have 0.4 (normalize_z of hand_landmark_cpu.pbtxt)."""
MODEL_FILES = {"face": "face_landmarks_detector.tflite", "hand": "hand_landmarks_detector.tflite"}
"""The names that MediaPipe Tasks looks for."""


@dataclass(frozen=True)
class Exported:
    """A written bundle.

    Attributes:
        sha256: of the bundle.
        difference: greatest between torch and LiteRT, in the unit of `MAX_DIFFERENCE`.
        xnnpack_partitions: into how many pieces XNNPACK took the model.
    """

    sha256: str
    difference: float
    xnnpack_partitions: int


@dataclass(frozen=True)
class Parent:
    """The bundle that a training started from: its SHA-256 and the licences it inherited."""

    sha256: str
    licences_inherited: tuple[str, ...]


class Deployed(nn.Module):
    """A network as it is exported: one picture, height x width x channels, MediaPipe's outputs.

    Batch norms are folded into convolutions, input pixels into the last layer.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval()
        self.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        fuse_batch_norms(self.network)
        scale = float(network.input_size) * torch.tensor([1.0, 1.0, Z_SCALES[network.name]])
        with torch.no_grad():
            basis = self.network.landmarks.basis
            rows = scale.repeat(basis.out_features // 3)
            basis.weight.mul_(rows[:, None])
            basis.bias.mul_(rows)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(1, S, S, 3) RGB 0..1 -> the outputs of `MEANINGS`."""
        outputs = self.network(image.permute(0, 3, 1, 2))
        if self.network.name == "face":
            return {
                "landmarks": outputs["landmarks"].reshape(1, 1, 1, -1),
                "presence": outputs["presence"].reshape(1, 1, 1, 1),
            }
        return {
            "landmarks": outputs["landmarks"],
            "presence": torch.sigmoid(outputs["presence"]),
            "handedness": torch.sigmoid(outputs["handedness"]),
            "world": outputs["world"],
        }


def export_bundle(
    network: Network,
    out: Path,
    data: TrainingData,
    validation: Sequence[Batch],
    error: Estimate | None,
    parent: Parent | None,
) -> Exported:
    """Convert a network, compare it with torch, write its bundle with a card.

    Args:
        network: evaluated, with its averaged weights.
        out: the bundle.
        data: what it was trained on.
        validation: real crops to compare on.
        error: of the validation crops, as parts of the normalising length.
        parent: the bundle it was trained from.

    Raises:
        ViewfinderError: LiteRT and torch differ by more than `MAX_DIFFERENCE`, XNNPACK breaks the
            model up, or the bundle can't be written.
    """
    import safetensors.torch

    deployed = Deployed(network)
    tflite = convert(deployed)
    file = MODEL_FILES[network.name]
    model = Model.from_bytes(tflite, file)
    names = output_names(model, network.name)
    pictures = comparison_pictures(network.input_size, validation)
    difference = greatest_difference(deployed, model, pictures)
    partitions = model.xnnpack_partitions()
    _check_export(model, out, difference, partitions)
    size = network.input_size
    picture = CardInput(size, size)
    card_model = CardModel(
        file=file,
        role="landmarks",
        input=picture,
        outputs=tuple(
            CardOutput(info.name, info.shape, MEANINGS[network.name][names[info.name]])
            for info in model.outputs
        ),
        topology=network.topology_id,
    )
    weights_file = f"{network.name}.safetensors"
    weights = safetensors.torch.save(
        {k: v.contiguous() for k, v in network.state_dict().items()}, {"network": network.name}
    )
    card_weights = CardModel(weights_file, "weights", picture, (), network.topology_id)
    card = _card(network, (card_model, card_weights), data, error, parent, difference, partitions)
    sha256 = write_bundle(out, {file: tflite, weights_file: weights}, card)
    return Exported(sha256, difference, partitions)


def convert(deployed: Deployed) -> bytes:
    """The network as a TFLite model; equal weights give equal bytes."""
    with _quiet():
        import litert_torch

        size = deployed.network.input_size
        sample = {"image": torch.zeros(1, size, size, 3)}
        converted = litert_torch.signature(SIGNATURE, deployed.eval(), sample_kwargs=sample)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.tflite"
            converted.convert().export(str(path))
            tflite = path.read_bytes()
    name = deployed.network.name
    # The converter's input is 0..1, a picture's bytes 0..255: mean 0, standard deviation 255.
    return with_metadata(tflite, f"{name} landmarks", TITLES[name], DESCRIPTIONS[name], 0.0, 255.0)


def output_names(model: Model, network_name: str) -> dict[str, str]:
    """The name of each of the model's outputs -> the key of `MEANINGS` that it answers to."""
    keys = {f"{SIGNATURE}_{key}_output": key for key in MEANINGS[network_name]}
    found = [info.name for info in model.outputs]
    if found != list(keys):
        raise ViewfinderError(
            "the converter named or ordered the outputs otherwise",
            file=model.name,
            expected=", ".join(keys),
            found=", ".join(found),
        )
    return keys


def comparison_pictures(size: int, validation: Sequence[Batch]) -> list[NDArray[np.float32]]:
    """(1, S, S, 3) float32 0..1: noise, flat black and white, and up to 16 real crops."""
    rng = np.random.default_rng(0)
    noise = [rng.random((1, size, size, 3), dtype=np.float32) for _ in range(8)]
    flat = [np.full((1, size, size, 3), value, dtype=np.float32) for value in (0, 1)]
    crops = [image for batch in validation for image in batch.image][:16]
    return noise + flat + [image[None].astype(np.float32) / 255 for image in crops]


def greatest_difference(
    deployed: Deployed, model: Model, pictures: Sequence[NDArray[np.float32]]
) -> float:
    """Greatest difference between torch and LiteRT over some pictures, as in `MAX_DIFFERENCE`."""
    kind = deployed.network.name
    names = output_names(model, kind)
    worst = 0.0
    for picture in pictures:
        with torch.no_grad():
            expected = deployed(torch.from_numpy(picture))
        for name, value in model.invoke(picture).items():
            meaning = MEANINGS[kind][names[name]]
            found = _in_units(torch.from_numpy(value), meaning, deployed.network.input_size)
            right = _in_units(expected[names[name]], meaning, deployed.network.input_size)
            off = float((found - right).abs().max())
            if not math.isfinite(off):
                return math.inf
            worst = max(worst, off)
    return worst


def _in_units(output: Tensor, meaning: str, input_size: int) -> Tensor:
    """An output in the unit of `MAX_DIFFERENCE`, double precision."""
    if meaning == "landmarks":
        return output.double() / input_size
    return torch.sigmoid(output.double()) if meaning == "presence_logit" else output.double()


def load_parent(path: Path, network: Network) -> Parent:
    """Put the weights of a bundle into a network of the same kind.

    Raises:
        ViewfinderError: not a bundle that was trained here, or of another network.
    """
    import safetensors
    import safetensors.torch

    bundle = read_bundle(path)
    file = f"{network.name}.safetensors"
    if file not in bundle.members:
        raise ViewfinderError(
            "this bundle holds no weights to start from",
            file=path,
            expected=file,
            found=", ".join(sorted(bundle.members)),
            hint="--from takes a bundle that viewfinder train wrote for the same network",
        )
    try:
        network.load_state_dict(safetensors.torch.load(bundle.members[file]))
    except (safetensors.SafetensorError, RuntimeError, ValueError) as error:
        raise ViewfinderError(
            "the bundle's weights are of another network",
            file=path,
            field=file,
            found=str(error).splitlines()[0][:120],
        ) from error
    licences = bundle.card.licences_inherited if bundle.card else ()
    return Parent(bundle.sha256, licences)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converter's progress and its import's warnings off the terminal."""
    logging_before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            captured_stderr(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging_before)


def _check_export(model: Model, out: Path, difference: float, partitions: int) -> None:
    if not difference <= MAX_DIFFERENCE:
        raise ViewfinderError(
            "the exported model differs from torch",
            file=out,
            expected=f"at most {MAX_DIFFERENCE:g} of the input's width",
            found=f"{difference:.3g}",
            hint="the checkpoint is kept: --resume exports again",
        )
    if not model.runs_whole_in_xnnpack():
        raise ViewfinderError(
            "XNNPACK doesn't take the exported model whole",
            file=out,
            expected="1 partition from input to outputs",
            found=partitions,
        )


def _card(
    network: Network,
    models: tuple[CardModel, ...],
    data: TrainingData,
    error: Estimate | None,
    parent: Parent | None,
    difference: float,
    partitions: int,
) -> Card:
    metrics = [
        CardMetric("noise and crops", "greatest difference from torch", difference),
        CardMetric("this model", "XNNPACK partitions", float(partitions)),
    ]
    names = ", ".join(dataset.info.name for dataset in data.datasets)
    if error is not None:
        metric = f"mean error / {topology(network.topology_id).normaliser_name}"
        metrics.insert(0, CardMetric(f"{names} (val)", metric, error.mean, error.interval))
    inherited = {x for dataset in data.datasets for x in dataset.info.licences_inherited}
    inherited |= set(parent.licences_inherited if parent else ())
    versions = " ".join(
        f"{package} {importlib.metadata.version(package)}"
        for package in ("viewfinder-live", "torch", "litert-torch")
    )
    return Card(
        task=network.name,
        models=models,
        licences_inherited=tuple(sorted(inherited)),
        data=data.sources,
        metrics=tuple(metrics),
        parent=parent.sha256 if parent else "",
        tool=versions,
    )
