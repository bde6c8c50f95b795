"""A training as a picture: the validation error by minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bootstrap.chart import BOTTOM, HEIGHT, INK, MARK, Axes, path, pixels
from bootstrap.training.report import read_log
from runtime.graph.canvas import Box, Text

_MOST_MARKS = 12


def curve_path(out: Path) -> Path:
    """The picture beside a bundle."""
    return out.with_suffix(".curve.png")


def curve(log: Path, title: str) -> NDArray[np.uint8] | None:
    """(H, W, 3) uint8 RGB of a training's log; None where its error was measured less than twice.

    Args:
        log: as `bootstrap.training.report.Log` writes it.
        title: above the picture.
    """
    measured = [line for line in read_log(log) if line.get("validation_error") is not None]
    if len(measured) < 2:
        return None
    minutes = [line["elapsed_s"] / 60 for line in measured]
    errors = [100 * line["validation_error"] for line in measured]
    axes = Axes(max(minutes[-1], 1e-6), 1.1 * max(max(errors), 1e-6))
    places = [axes.at(*pair) for pair in zip(minutes, errors)]
    shapes = axes.frame(title) + path(places, MARK, 2.0)
    every = -(-len(places) // _MOST_MARKS)
    for number, (x, y) in enumerate(places):
        shapes.append(Box(x - 3, y - 3, 6, 6, 3, MARK))
        if (len(places) - 1 - number) % every == 0:
            shapes.append(Text(x + 4, y - 8, f"{errors[number]:.1f}", 11, INK))
            below = HEIGHT - BOTTOM + 18
            shapes.append(Text(x, below, f"{minutes[number]:.1f}", 11, INK, anchor="middle"))
    return pixels(shapes)
