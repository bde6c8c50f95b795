"""Graphs as YAML text.

    graph: hands
    inputs: [picture]
    outputs: [subjects]
    topology: hand21@1
    calculators:
    - calculator: detect-regions
      name: detect
      options: {model: palm_detection_full, kind: hand}
      outputs: [detected]
      back: {followed: followed}

`inputs`, `back` and `immediate` of a calculator are mappings parameter -> stream, as in
`Graph.add`; `sparse_hz` is a number. What type an input of the graph has, the calculators that take
it say. `outputs` and `topology` are for running the graph as a solution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from runtime.errors import ViewfinderError
from runtime.graph.calculators import Recipe
from runtime.graph.definition import Graph, Node

EXTENSIONS = (".yaml", ".yml")
_MOST_BYTES = 2**20
_GRAPH_FIELDS = {"graph": str, "inputs": list, "outputs": list, "topology": str,
                 "calculators": list}  # fmt: skip
_CALCULATOR_FIELDS = {
    "calculator": str, "name": str, "options": dict, "inputs": dict, "back": dict,
    "immediate": dict, "outputs": (list, str), "sparse_hz": (int, float),
}  # fmt: skip


@dataclass(frozen=True)
class GraphFile:
    """What a file says.

    Attributes:
        graph: validated.
        outputs: the streams that are wanted.
        topology: id of its subjects' keypoints; "" for none.
    """

    graph: Graph
    outputs: tuple[str, ...]
    topology: str


def load_graph(source: str | Path) -> Graph:
    """The graph in a YAML file, or in a text of several lines.

    Raises:
        ViewfinderError: it can't be read or isn't sound; it names the file, the calculator and the
            stream or option.
    """
    return read_graph_file(source).graph


def read_graph_file(source: str | Path) -> GraphFile:
    """Like `load_graph`, with all that the file says."""
    text, where = _text(source)
    content = _parsed(text, where)
    _check_fields(content, _GRAPH_FIELDS, ("graph", "inputs", "calculators"), where, "")
    graph = Graph(content["graph"], {})
    graph.where = where
    for number, entry in enumerate(content["calculators"]):
        place = f"calculators[{number}]"
        if not isinstance(entry, dict):
            raise _error(where, place, "not a calculator", expected="a mapping", found=entry)
        _check_fields(entry, _CALCULATOR_FIELDS, ("calculator",), where, place)
        _add(graph, entry, where)
    for stream in _names(content["inputs"], where, "inputs"):
        graph.inputs[stream] = _type_of(graph, stream)
    outputs = tuple(_names(content.get("outputs", []), where, "outputs"))
    graph.validate(outputs)
    return GraphFile(graph, outputs, content.get("topology", ""))


def graph_to_yaml(graph: Graph, outputs: tuple[str, ...] = (), topology: str = "") -> str:
    """A graph as text that `load_graph` reads.

    Args:
        graph: sound; every calculator was added as a `Recipe`.
        outputs: the streams that are wanted.
        topology: id of its subjects' keypoints.

    Raises:
        ViewfinderError: a calculator has no recipe.
    """
    content: dict[str, Any] = {"graph": graph.name, "inputs": list(graph.inputs)}
    if outputs:
        content["outputs"] = list(outputs)
    if topology:
        content["topology"] = topology
    content["calculators"] = [_entry(graph, node) for node in graph.nodes]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _text(source: str | Path) -> tuple[str, str]:
    if isinstance(source, str) and "\n" in source:
        return source, "graph text"
    path = Path(source)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ViewfinderError("this file is too large for a graph", file=path)
        return path.read_text(encoding="utf-8"), str(path)
    except OSError as error:
        raise ViewfinderError(f"can't read this graph: {error.strerror}", file=path) from error
    except UnicodeDecodeError as error:
        raise ViewfinderError("this graph isn't UTF-8 text", file=path) from error


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}" if mark is not None else None
        problem = getattr(error, "problem", None) or str(error)
        raise ViewfinderError(
            "this isn't YAML", file=where, field=line, found=str(problem)[:200]
        ) from error
    if not isinstance(content, dict):
        raise ViewfinderError("this isn't a graph", file=where, expected="a mapping")
    return content


def _check_fields(
    content: Mapping[Any, Any],
    known: Mapping[str, Any],
    needed: tuple[str, ...],
    where: str,
    place: str,
) -> None:
    prefix = f"{place}." if place else ""
    for name, value in content.items():
        if name not in known:
            raise _error(where, f"{prefix}{name}", "unknown field", expected=" | ".join(known))
        if not isinstance(value, known[name]) or isinstance(value, bool):
            kinds = known[name] if isinstance(known[name], tuple) else (known[name],)
            expected = " | ".join(kind.__name__ for kind in kinds)
            raise _error(where, f"{prefix}{name}", "wrong value", expected=expected, found=value)
    for name in needed:
        if name not in content:
            raise _error(where, f"{prefix}{name}", "this field is missing")


def _add(graph: Graph, entry: Mapping[str, Any], where: str) -> None:
    calculator = entry["calculator"]
    name = entry.get("name", calculator.replace("-", "_"))
    place = f"calculator {name}"
    ports = {
        kind: {
            str(parameter): _name(stream, where, f"{place}, {kind}")
            for parameter, stream in entry.get(kind, {}).items()
        }
        for kind in ("inputs", "back", "immediate")
    }
    outputs = entry.get("outputs", [])
    streams = [outputs] if isinstance(outputs, str) else _names(outputs, where, f"{place}, outputs")
    options = {str(option): value for option, value in entry.get("options", {}).items()}
    try:
        recipe = Recipe(calculator, options)
        graph.add(recipe, streams, **ports, name=name, sparse_hz=entry.get("sparse_hz"))
    except ViewfinderError as error:
        if error.file == where:
            raise
        about = error.field or ""
        if error.file:  # the model's, say
            about = f"{error.file} {about}".strip()
        raise ViewfinderError(
            error.problem, file=where, field=place if not about else f"{place}: {about}",
            expected=error.expected, found=error.found, hint=error.hint,
        ) from error  # fmt: skip


def _type_of(graph: Graph, stream: str) -> Any:
    ports = (port for node in graph.nodes for port in node.inputs)
    return next((port.type for port in ports if port.stream == stream), Any)


def _entry(graph: Graph, node: Node) -> dict[str, Any]:
    if node.recipe is None:
        raise ViewfinderError(
            "this calculator has no registered name", file=graph.where,
            field=f"calculator {node.name}", hint="add it to the graph as a Recipe",
        )  # fmt: skip
    entry: dict[str, Any] = {"calculator": node.recipe.calculator, "name": node.name}
    if node.recipe.options:
        entry["options"] = dict(node.recipe.options)
    for field, kind in (("inputs", "wait"), ("back", "back"), ("immediate", "immediate")):
        ports = {
            port.parameter: port.stream
            for port in node.inputs
            if port.kind == kind and (kind != "wait" or port.stream != port.parameter)
        }
        if ports:
            entry[field] = ports
    if node.outputs:
        entry["outputs"] = list(node.outputs)
    if node.sparse_hz is not None:
        entry["sparse_hz"] = math.inf if math.isinf(node.sparse_hz) else node.sparse_hz
    return entry


def _names(values: list[Any], where: str, place: str) -> list[str]:
    return [_name(value, where, place) for value in values]


def _name(value: Any, where: str, place: str) -> str:
    if not isinstance(value, str) or not value:
        raise _error(where, place, "not a stream's name", found=value)
    return value


def _error(where: str, place: str, problem: str, **more: Any) -> ViewfinderError:
    if "found" in more:
        more["found"] = repr(more["found"])[:100]
    return ViewfinderError(problem, file=where, field=place, **more)
