"""A small face network as a learner of benchmarks/active_loop.py."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from benchmarks.active_learners import FACE, SIDE, Image, Model, in_picture
from bootstrap.networks import FaceNetwork, Network, ShapeHead, fuse_batch_norms
from bootstrap.networks.blocks import ConvBN, stage
from bootstrap.training.batches import shape_models
from bootstrap.training.loop import Loop
from bootstrap.training.report import Log, Silent
from bootstrap.training.subjects import TrainingData
from bootstrap.training.teaching import LandmarkTeaching
from runtime.roi import Roi, warp_crop
from runtime.solutions.landmarks import CropLandmarks


class SmallFaceNetwork(FaceNetwork):
    """The face network's outputs from 64 pixels; 1 MMAC."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.size, self.input_size = "small", SIDE
        self.trunk = nn.Sequential(
            ConvBN(3, 16, kernel=3, stride=2),
            stage(16, 32, blocks=2),
            stage(32, 64, blocks=2),
            stage(64, 96, blocks=2),
            ConvBN(96, 32),
            nn.Flatten(),
        )
        self.landmarks = ShapeHead(512, coefficients=40, keypoints=478)
        self.contours = ShapeHead(512, coefficients=24, keypoints=155, axes=2)
        self.presence = nn.Linear(512, 1)


class SmallTeaching(LandmarkTeaching):
    """Teaches that network."""

    def __init__(self, data: TrainingData) -> None:
        super().__init__("face", data)
        self._side = SIDE

    def started(self, seed: int, draws: int) -> SmallFaceNetwork:
        """A network that answers with the data's mean shape."""
        torch.manual_seed(seed)
        network = SmallFaceNetwork()
        shapes = shape_models(self._data, FACE, seed, draws)
        network.set_shapes(
            {k: (torch.from_numpy(m), torch.from_numpy(c)) for k, (m, c) in shapes.items()}
        )
        return network


class TorchLandmarks:
    """A network as the queue asks it: what LiteRT would answer once it is exported."""

    def __init__(self, network: Network) -> None:
        self._network = copy.deepcopy(network).eval()
        fuse_batch_norms(self._network)

    def run(self, image: Image, roi: Roi, *, min_presence: float = 0.5) -> CropLandmarks | None:
        """Landmarks in that region of a picture."""
        crop = torch.from_numpy(warp_crop(image, roi, SIDE, SIDE))
        with torch.inference_mode():
            found = self._network(crop.permute(2, 0, 1)[None].float().div_(255.0))
        presence = float(torch.sigmoid(found["presence"])[0, 0])
        if presence <= min_presence:
            return None
        return in_picture(found["landmarks"].numpy().reshape(-1, 3), presence, image, roi)


@dataclass
class NetworkLearner:
    """A small face network, each time trained on from its last moving average.

    Attributes:
        seed: of weights and crops.
        folder: for checkpoints.
        first_steps, steps: of the first training and of each later one.
        batch: crops a step.
        draws: examples that the mean shape is of.
    """

    seed: int
    folder: Path
    first_steps: int = 400
    steps: int = 120
    batch: int = 32
    draws: int = 500
    _network: Network | None = None
    _trainings: int = 0

    def taught(self, data: TrainingData) -> Model:
        """See `Learner`."""
        teaching = SmallTeaching(replace(data, val=()))
        before, steps = self._network, self.steps
        if before is None:
            before, steps = teaching.started(self.seed, self.draws), self.first_steps
        network = copy.deepcopy(before).requires_grad_(True)
        loop = Loop(
            network=network, teaching=teaching, validation=(), batch=self.batch, steps=steps,
            seconds=None, settings={}, checkpoint=self.folder / "m.safetensors",
            reporter=Silent(), stop=lambda: False,
        )  # fmt: skip
        seed = self.seed + 1000 * self._trainings  # other crops each time
        log = Log(self.folder / "log.jsonl")
        with closing(teaching.batches(self.batch, seed, 0)) as batches, closing(log):
            loop.run(batches, log)
        self._network, self._trainings = loop.average, self._trainings + 1
        return Model(TorchLandmarks(loop.average), _sha(loop.average.state_dict().values()))


def _sha(tensors: Iterable[torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for value in tensors:
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
