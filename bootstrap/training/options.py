"""The options that the commands of `viewfinder train` share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    list[Path],
    typer.Option(help="Data set folder; give it again for more.", show_default=False),
]
Out = Annotated[Path, typer.Option(help="The bundle to write, NAME.task.", show_default=False)]
From = Annotated[
    Path | None,
    typer.Option("--from", help="Start from a bundle that was trained here."),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0.01, help="Train this long; 10 without this and --steps. Export comes on top."
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(min=1, help="Train this many steps instead; the same seed, the same weights."),
]
Seed = Annotated[int, typer.Option(min=0, help="Of weights, order and augmentation.")]
Batch = Annotated[int, typer.Option(min=2, help="Crops in a step.")]
Threads = Annotated[int, typer.Option(min=0, help="Of torch; 0: one a core, at most 8.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the training that was stopped here.")
]


class Precision(StrEnum):
    """What can be written beside the fp32 bundle."""

    fp16 = "fp16"
    int8 = "int8"


class NetworkSize(StrEnum):
    """How large a network is."""

    lite = "lite"
    full = "full"


Size = Annotated[
    NetworkSize | None,
    typer.Option(
        help="lite learns more in minutes, full in hours. That of --from, or lite; all "
        "but full poses may start from a lite one.",
    ),
]
Also = Annotated[
    list[Precision] | None,
    typer.Option(help="Write a smaller model, too, as NAME.fp16.task; may be given twice."),
]
FalseAlarmsOf = Annotated[
    Path | None,
    typer.Option(
        "--detector",
        help="The detector that will give this network its crops: where it is wrong on pictures "
        "whose labels or segmentation say so, the network learns to say no.",
    ),
]
Tensorboard = Annotated[
    Path | None, typer.Option(help="Also write curves for TensorBoard into this folder.")
]
Device = Annotated[
    str,
    typer.Option(
        help="auto (a GPU where there is one), cpu, cuda, cuda:N or mps.", show_default=True
    ),
]
Devices = Annotated[
    int,
    typer.Option(
        min=1,
        help="Share every batch among so many GPUs, or processes on a CPU; torchrun does, too.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
