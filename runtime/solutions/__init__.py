"""Solutions: what finds faces, hands and bodies in pictures, ready to run.

`open_solution` puts one together out of released models or of a bundle; its `process` takes
pictures. Importing this package loads neither NumPy nor OpenCV: the command line lists solutions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runtime.solutions.options import SolutionOptions
from runtime.solutions.registry import solution_entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from runtime.model import Model
    from runtime.results import Subject
    from runtime.solutions.solution import GraphSolution


class Solution(Protocol):
    """What the live loop needs of a solution."""

    @property
    def topology(self) -> str:
        """Id of the subjects' topology, "" for detections alone."""
        ...

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that run."""
        ...

    def process(
        self, rgb: NDArray[np.uint8], timestamp_us: int, focal_px: float | None = None
    ) -> list[Subject]:
        """The subjects in a (H, W, 3) uint8 picture; timestamps grow from call to call; the
        camera's focal length in pixels where it is known."""
        ...

    def reset(self) -> None:
        """Forget the last frame."""
        ...


def open_solution(solution: str, model: str | Path | None = None, **options: Any) -> GraphSolution:
    """Load a solution's models and put them together.

    Args:
        solution: one of `runtime.solutions.registry.solutions()`.
        model: a bundle or .tflite file, or the name of an added one.
        options: the other fields of `SolutionOptions`.

    Raises:
        ViewfinderError: unknown solution or variant, models that aren't there, are damaged or are
            for something else.
    """
    return solution_entry(solution).load()(SolutionOptions(model=model, **options))
