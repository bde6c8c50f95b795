"""What the decoder, the focal loss and varied spectra give a detector: BlazePalm's table, small.

    python benchmarks/detector_ablation.py --data DIR [--data DIR ...] [--kind palm|face]
                                           [--steps 2000] [--seeds 2] [--out FILE]

Trains the detector as it is and with one thing changed, each with the same examples in the same
order, and prints average precision, recall at the runtime's threshold and keypoint error on the
val split: whole pictures and collages by turns.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bootstrap.networks import DETECTOR_NETWORKS, DetectorNetwork
from bootstrap.training import photometry
from bootstrap.training.detector import DetectorTeaching
from bootstrap.training.detector_losses import detector_losses, picture_tensor
from bootstrap.training.loop import Loop
from bootstrap.training.process import keep_large_blocks
from bootstrap.training.report import Log, Silent
from bootstrap.training.scenes import SceneBatch
from bootstrap.training.subjects import load_training_data
from runtime.topology import topology

VALIDATION = 512


@dataclass(frozen=True)
class Variant:
    """One thing changed, or none."""

    decoder: bool = True
    gamma: float = 2.0
    spectrum_share: float = photometry.SPECTRUM_SHARE


VARIANTS = {
    "as it is": Variant(),
    "without decoder": Variant(decoder=False),
    "cross entropy": Variant(gamma=0.0),
    "spectra as rendered": Variant(spectrum_share=0.0),
}


def without_decoder(network: DetectorNetwork) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The grids as the trunk leaves them, with the same blocks before the heads."""

    def grids(image: Tensor) -> tuple[Tensor, Tensor]:
        eighth = network.to_eighth(image)
        sixteenth = network.to_sixteenth(eighth)
        return network.mixed_eighth(eighth), network.mixed_sixteenth(sixteenth)

    return grids


class VariantTeaching(DetectorTeaching):
    """The usual teaching with the variant's loss."""

    gamma = 2.0

    def losses(self, network: DetectorNetwork, batch: SceneBatch) -> dict[str, Tensor]:
        """See bootstrap.training.detector_losses."""
        outputs = network(picture_tensor(batch.image, network))
        return detector_losses(outputs, batch, network.layout, self.gamma)


def trained(
    teaching: VariantTeaching, variant: Variant, steps: int, batch: int, seed: int
) -> dict[str, Any]:
    """Train one variant and judge it."""
    teaching.gamma = variant.gamma
    photometry.SPECTRUM_SHARE = variant.spectrum_share
    network = teaching.new_network(seed)
    assert isinstance(network, DetectorNetwork)
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(
            network=network, teaching=teaching, validation=[], batch=batch, steps=steps,
            seconds=None, settings={}, checkpoint=Path(folder) / "m.safetensors",
            reporter=Silent(), stop=lambda: False,
        )  # fmt: skip
        average = loop.average
        assert isinstance(average, DetectorNetwork)
        if not variant.decoder:
            for one in (network, average):
                one.grids = without_decoder(one)  # type: ignore[method-assign, assignment]
        begun = time.process_time()
        log = Log(Path(folder) / "log.jsonl", None)
        with closing(teaching.batches(batch, seed, 0)) as batches, closing(log):
            loop.run(batches, log)
        cpu_s = time.process_time() - begun
    photometry.SPECTRUM_SHARE = Variant().spectrum_share
    estimate, metrics = teaching.judged(average, teaching.validation(VALIDATION))
    found = {metric.metric: round(metric.value, 4) for metric in metrics}
    return {**found, "error": round(estimate.mean, 4), "cpu_s": round(cpu_s)}


def main() -> None:
    """Train every variant, print, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--kind", choices=("palm", "face"), default="palm")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("detector_ablation.json"))
    arguments = parser.parse_args()
    keep_large_blocks()
    torch.set_num_threads(1)
    name = f"{arguments.kind}-detector"
    data = load_training_data(arguments.data, topology(DETECTOR_NETWORKS[name].topology_id))
    teaching = VariantTeaching(name, data)
    figures: dict[str, Any] = {"kind": arguments.kind, "steps": arguments.steps}
    for title, variant in VARIANTS.items():
        runs = [
            trained(teaching, variant, arguments.steps, arguments.batch, seed)
            for seed in range(arguments.seeds)
        ]
        means = {key: round(float(np.mean([run[key] for run in runs])), 4) for key in runs[0]}
        figures[title] = {"mean": means, "runs": runs}
        sys.stdout.write(f"{title:22} {json.dumps(means)}\n")
        sys.stdout.flush()
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
