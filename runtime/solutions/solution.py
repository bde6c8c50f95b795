"""A graph that takes pictures and gives subjects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ViewfinderError
from runtime.graph.calculators import type_name
from runtime.graph.definition import Graph, fits
from runtime.graph.runner import Runner
from runtime.graph.threads import StepwiseRunner, gains_from_threads
from runtime.graph.trace import Tracer
from runtime.graph.types import Picture
from runtime.model import Model
from runtime.results import Subject
from runtime.solutions.options import SolutionOptions

INPUT = "picture"
FOCAL = "focal_px"
"""Input of graphs that measure depth: the camera's focal length in pixels, where it is known."""
OUTPUT = "subjects"


class GraphSolution:
    """A solution made of a graph with the input `picture`, perhaps `focal_px` beside it, and the
    output `subjects`.

    Args:
        graph: whose calculators run.
        topology: id of the subjects' topology; "" for none.
        static: every picture on its own: nothing is carried from one to the next.

    Raises:
        ViewfinderError: the graph isn't sound.
    """

    def __init__(self, graph: Graph, topology: str = "", static: bool = False) -> None:
        self.graph = graph
        self.topology = topology
        self.static = static
        self._runner: Runner | StepwiseRunner = Runner(graph, (OUTPUT,))
        self._size = (0, 0)
        self._takes_focal = FOCAL in graph.inputs

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that run, for benchmarks and for people."""
        return tuple(_models_of(self.graph))

    def process(
        self, rgb: NDArray[np.uint8], timestamp_us: int, focal_px: float | None = None
    ) -> list[Subject]:
        """The subjects in a picture.

        Args:
            rgb: (H, W, 3) uint8.
            timestamp_us: later than the last picture's, unless the solution is static.
            focal_px: of the camera that took it, where known; it matters to depths alone.

        Raises:
            ViewfinderError: the timestamp doesn't rise.
        """
        size = (rgb.shape[0], rgb.shape[1])
        if self.static or size != self._size:
            self.reset()
            self._size = size
        packets = (rgb, focal_px) if self._takes_focal else (rgb,)
        subjects = self._runner.process(timestamp_us, *packets)[0]
        return [] if subjects is None else subjects

    def prepare(self, tracer: Tracer | None = None, live: bool = False) -> None:
        """Choose how to run from now on.

        Args:
            tracer: takes every calculator's calls down.
            live: in threads, until `close`, where the graph gains by them: sparse calculators
                then work beside the others, and what they see depends on time.
        """
        if isinstance(self._runner, StepwiseRunner):
            self._runner.end_threads()
        threaded = live and gains_from_threads(self.graph)
        self._runner = (StepwiseRunner if threaded else Runner)(self.graph, (OUTPUT,), tracer)
        self._runner.reset()

    def reset(self) -> None:
        """Forget earlier pictures: the next timestamp may be any."""
        self._runner.reset()

    def close(self) -> None:
        """Let the calculators give back what they hold."""
        self._runner.close()


def open_graph_file(path: str | Path, options: SolutionOptions) -> GraphSolution:
    """The solution that a YAML file describes; of the options only `static` concerns it.

    Raises:
        ViewfinderError: it can't be read, isn't sound, or doesn't make subjects of pictures.
    """
    from runtime.graph.files import read_graph_file

    graph_file = read_graph_file(path)
    graph = graph_file.graph
    if list(graph.inputs) != [INPUT] or not fits(graph.inputs[INPUT], Picture):
        raise ViewfinderError(
            "a solution takes pictures", file=path, field="inputs", expected=f"[{INPUT}]",
            found=", ".join(graph.inputs),
        )  # fmt: skip
    graph.validate((OUTPUT,))
    if not fits(graph.stream_type(OUTPUT), list[Subject]):
        raise ViewfinderError(
            "a solution gives subjects", file=path, field=f"stream {OUTPUT}",
            expected="list[Subject]", found=type_name(graph.stream_type(OUTPUT)),
        )  # fmt: skip
    return GraphSolution(graph, graph_file.topology, options.static)


def _models_of(graph: Graph) -> Iterator[Any]:
    for node in graph.nodes:
        yield from getattr(node.calculator, "models", ())
