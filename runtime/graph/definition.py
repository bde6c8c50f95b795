"""A graph: calculators, joined by named streams that carry packets with rising timestamps.

A calculator is a function, or an object with a `process` method. Its annotations are its contract:

    class Follow:
        def process(self, picture: Picture, hands: Hands, last: Tracks | None) -> Tracks: ...

    graph = Graph("hands", {"picture": Picture})
    graph.add(Follow(), outputs="tracks", back={"last": "tracks"})

Each parameter is an input port and takes the stream of its own name unless told otherwise. A
parameter that may be None is handed None where its stream has no packet at a timestamp; where a
required one has none, the calculator isn't called and its own streams stay empty. A parameter
`timestamp_us` is handed the timestamp in microseconds. What is returned becomes the packet of the
output stream; None is no packet; a calculator with several outputs returns a tuple of as many.

Three kinds of input:

- default: the calculator waits until the stream is settled at the timestamp;
- back: the packet of the previous timestamp, which is what makes loops possible;
- immediate: whatever packet came last and wasn't handed over yet; it holds nothing up.

A sparse calculator works beside the others at its own pace: of the timestamps that come while it is
busy it takes the newest. Its streams have packets only now and then, so they are taken as immediate
inputs.

An object may also have `reset()` (forget earlier packets), `close()`, `models` (what it runs; those
that share one take turns) and `spans` (true where calculators that it calls are traced themselves).
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from runtime.errors import ViewfinderError
from runtime.graph.calculators import Recipe, type_name

TIMESTAMP = "timestamp_us"
InputKind = Literal["wait", "back", "immediate"]


@dataclass(frozen=True)
class Input:
    """An input port and the stream that feeds it."""

    parameter: str
    stream: str
    type: Any
    optional: bool
    kind: InputKind = "wait"


@dataclass(frozen=True)
class Node:
    """A calculator in its place.

    Attributes:
        name: unique in the graph.
        calculator: the object or function itself.
        call: what is called for every timestamp.
        inputs: in the order of its parameters.
        takes_timestamp: place of `timestamp_us` among the arguments, or None.
        outputs: its streams, in the order in which it returns them.
        output_types: theirs.
        sparse_hz: None for every timestamp, or at most so many a second beside the others.
        recipe: what the calculator was made from, if it was.
    """

    name: str
    calculator: Any
    call: Callable[..., Any]
    inputs: tuple[Input, ...]
    takes_timestamp: int | None
    outputs: tuple[str, ...]
    output_types: tuple[Any, ...]
    sparse_hz: float | None = None
    recipe: Recipe | None = None


class Graph:
    """Calculators and streams, put together one by one and then validated as a whole.

    Args:
        name: for people.
        inputs: stream -> type of the packets that come from outside.

    Attributes:
        where: what errors call it.
    """

    def __init__(self, name: str, inputs: Mapping[str, Any]) -> None:
        self.name = name
        self.where = f"graph {name}"
        self.inputs = dict(inputs)
        self.nodes: list[Node] = []

    def add(
        self,
        calculator: Any,
        outputs: str | Sequence[str] = (),
        inputs: Mapping[str, str] | None = None,
        back: Mapping[str, str] | None = None,
        immediate: Mapping[str, str] | None = None,
        name: str = "",
        sparse_hz: float | None = None,
    ) -> Node:
        """Put a calculator in.

        Args:
            calculator: an annotated function, an object with an annotated `process`, or the
                recipe of one.
            outputs: names of the streams it feeds.
            inputs: parameter -> stream, where the names differ.
            back: parameter -> stream whose packet of the previous timestamp it takes.
            immediate: parameter -> stream that doesn't hold it up.
            name: by default the calculator's own.
            sparse_hz: work beside the others, at most at so many timestamps a second; infinity
                for as many as it can.

        Raises:
            ViewfinderError: annotations are missing or don't fit, the name is taken.
        """
        recipe = calculator if isinstance(calculator, Recipe) else None
        if recipe is not None:
            calculator = recipe.make()
        chosen = name or _own_name(calculator)
        if any(node.name == chosen for node in self.nodes):
            raise self._error(chosen, "two calculators of one name", hint="give each its own name")
        call = getattr(calculator, "process", calculator)
        if not callable(call):
            raise self._error(chosen, "not a calculator", expected="a function or .process")
        if sparse_hz is not None and not sparse_hz > 0:
            raise self._error(chosen, "not a pace", expected="sparse_hz > 0", found=sparse_hz)
        streams = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        parameters, returned = self._annotations(chosen, call)
        ports = self._ports(chosen, parameters, inputs or {}, back or {}, immediate or {})
        names = list(parameters)
        node = Node(
            name=chosen,
            calculator=calculator,
            call=call,
            inputs=ports,
            takes_timestamp=names.index(TIMESTAMP) if TIMESTAMP in names else None,
            outputs=streams,
            output_types=self._output_types(chosen, streams, returned),
            sparse_hz=sparse_hz,
            recipe=recipe,
        )
        self.nodes.append(node)
        return node

    def validate(self, outputs: Sequence[str] = ()) -> tuple[Node, ...]:
        """Check the whole, and give the calculators in an order in which they can run.

        Args:
            outputs: the streams that are wanted.

        Raises:
            ViewfinderError: a stream nobody feeds or two feed, types that don't fit, a cycle
                without a back edge; it names calculator and stream.
        """
        produced = self._produced()
        for node in self.nodes:
            for port in node.inputs:
                self._check_input(node, port, produced)
        for stream in outputs:
            if stream not in produced:
                raise self._error("", "unknown stream", stream, expected=_listed(produced))
            if stream in self._sparse_streams():
                raise self._error("", "a sparse calculator feeds this stream", stream)
        return self._sorted(produced)

    def stream_type(self, stream: str) -> Any:
        """The type of a stream's packets; the stream must exist."""
        return self._produced()[stream][1]

    def _produced(self) -> dict[str, tuple[str, Any]]:
        # stream -> who feeds it ("" for the outside), and its type
        produced = {stream: ("", type_) for stream, type_ in self.inputs.items()}
        for node in self.nodes:
            for stream, type_ in zip(node.outputs, node.output_types):
                if stream in produced:
                    other = produced[stream][0] or "the graph's input"
                    raise self._error(node.name, f"{other} already feeds this stream", stream)
                produced[stream] = (node.name, type_)
        return produced

    def _sparse_streams(self) -> set[str]:
        sparse = (node for node in self.nodes if node.sparse_hz is not None)
        return {stream for node in sparse for stream in node.outputs}

    def _check_input(
        self, node: Node, port: Input, produced: Mapping[str, tuple[str, Any]]
    ) -> None:
        if port.stream not in produced:
            raise self._error(node.name, "unknown stream", port.stream, expected=_listed(produced))
        type_ = produced[port.stream][1]
        if not fits(type_, port.type):
            raise self._error(
                node.name, f"parameter {port.parameter} takes another type", port.stream,
                expected=type_name(port.type), found=type_name(type_),
            )  # fmt: skip
        if port.kind != "wait" and not port.optional:
            raise self._error(
                node.name, f"parameter {port.parameter} may be without a packet", port.stream,
                expected=f"{type_name(port.type)} | None", found=type_name(port.type),
            )  # fmt: skip

        if port.kind != "immediate" and port.stream in self._sparse_streams():
            raise self._error(
                node.name, f"parameter {port.parameter} would wait for a sparse calculator",
                port.stream, hint="take it as an immediate input",
            )  # fmt: skip

    def _sorted(self, produced: Mapping[str, tuple[str, Any]]) -> tuple[Node, ...]:
        done, order, waiting = {""}, [], list(self.nodes)
        while waiting:
            ready = next((node for node in waiting if not _needs(node, produced) - done), None)
            if ready is None:
                raise self._cycle(waiting, produced)
            waiting.remove(ready)
            order.append(ready)
            done.add(ready.name)
        return tuple(order)

    def _cycle(
        self, waiting: Sequence[Node], produced: Mapping[str, tuple[str, Any]]
    ) -> ViewfinderError:
        # Walk upstream among those that wait: sooner or later a calculator comes round again.
        stuck = {node.name: node for node in waiting}
        path, at = [], waiting[0]
        while at.name not in path:
            path.append(at.name)
            at = stuck[next(name for name in sorted(_needs(at, produced)) if name in stuck)]
        loop = path[path.index(at.name) :][::-1]
        port = next(
            port
            for port in stuck[loop[0]].inputs
            if port.kind != "back" and produced[port.stream][0] == loop[-1]
        )
        return self._error(
            loop[0], "cycle without a back edge", port.stream, found=" -> ".join([*loop, loop[0]]),
            hint="feed one of these inputs as a back edge",
        )  # fmt: skip

    def _annotations(self, name: str, call: Callable) -> tuple[dict[str, Any], Any]:
        target = call if inspect.isroutine(call) else type(call).__call__
        try:
            hints = typing.get_type_hints(target)
        except (NameError, TypeError, AttributeError) as error:
            raise self._error(
                name, "its annotations can't be resolved", found=str(error),
                hint="import their types outside TYPE_CHECKING",
            ) from error  # fmt: skip
        parameters = {}
        for parameter in inspect.signature(call).parameters.values():
            if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
                raise self._error(name, f"parameter {parameter.name} is not a plain one")
            if parameter.name not in hints:
                raise self._error(name, f"parameter {parameter.name} has no annotation")
            parameters[parameter.name] = hints[parameter.name]
        return parameters, hints.get("return", Any)

    def _ports(
        self,
        name: str,
        parameters: Mapping[str, Any],
        inputs: Mapping[str, str],
        back: Mapping[str, str],
        immediate: Mapping[str, str],
    ) -> tuple[Input, ...]:
        kinds: tuple[tuple[InputKind, Mapping[str, str]], ...] = (
            ("wait", inputs), ("back", back), ("immediate", immediate),
        )  # fmt: skip
        for _, named in kinds:
            for parameter in named:
                if parameter not in parameters or parameter == TIMESTAMP:
                    raise self._error(
                        name, f"no parameter {parameter}", expected=_listed(parameters)
                    )
        ports = []
        for parameter, annotation in parameters.items():
            if parameter == TIMESTAMP:
                continue
            given = [(kind, named[parameter]) for kind, named in kinds if parameter in named]
            if len(given) > 1:
                raise self._error(name, f"parameter {parameter} is fed twice", given[1][1])
            kind, stream = given[0] if given else ("wait", parameter)
            type_, optional = without_none(annotation)
            ports.append(Input(parameter, stream, type_, optional, kind))
        return tuple(ports)

    def _output_types(self, name: str, streams: tuple[str, ...], returned: Any) -> tuple[Any, ...]:
        type_, _ = without_none(returned)
        if not streams:
            return ()
        if len(streams) == 1:
            if type_ is type(None):
                raise self._error(name, "it returns nothing", streams[0])
            return (type_,)
        parts = typing.get_args(type_) if typing.get_origin(type_) is tuple else ()
        if len(parts) != len(streams):
            raise self._error(
                name, "it doesn't return as many packets as it has streams",
                expected=f"a tuple of {len(streams)}", found=type_name(type_),
            )  # fmt: skip
        return tuple(without_none(part)[0] for part in parts)

    def _error(
        self, calculator: str, problem: str, stream: str = "", **more: Any
    ) -> ViewfinderError:
        field = (f"calculator {calculator}" if calculator else "outputs") + (
            f", stream {stream}" if stream else ""
        )
        return ViewfinderError(problem, file=self.where, field=field, **more)


def fits(produced: Any, wanted: Any) -> bool:
    """Whether a packet of one type may be handed to a parameter of another.

    Equal types, subclasses, members of a union, and generics whose arguments fit; Any fits all.
    """
    if produced is Any or wanted is Any or wanted is object or produced == wanted:
        return True
    if _is_union(produced):
        return all(fits(part, wanted) for part in typing.get_args(produced))
    if _is_union(wanted):
        return any(fits(produced, part) for part in typing.get_args(wanted))
    bare = [typing.get_origin(type_) or type_ for type_ in (produced, wanted)]
    if not all(isinstance(type_, type) for type_ in bare) or not issubclass(bare[0], bare[1]):
        return False
    ours, theirs = typing.get_args(produced), typing.get_args(wanted)
    if not ours or not theirs:
        return True
    return len(ours) == len(theirs) and all(fits(a, b) for a, b in zip(ours, theirs))


def without_none(annotation: Any) -> tuple[Any, bool]:
    """`X | None` as X and True; anything else as it is and False."""
    if not _is_union(annotation):
        return annotation, False
    parts = [part for part in typing.get_args(annotation) if part is not type(None)]
    if len(parts) == len(typing.get_args(annotation)):
        return annotation, False
    return typing.Union[tuple(parts)], True  # noqa: UP007 - built from a list


def _is_union(type_: Any) -> bool:
    return typing.get_origin(type_) in (typing.Union, types.UnionType)


def _needs(node: Node, produced: Mapping[str, tuple[str, Any]]) -> set[str]:
    """Names of the calculators that must run before this one at a timestamp."""
    return {produced[port.stream][0] for port in node.inputs if port.kind != "back"}


def _own_name(calculator: Any) -> str:
    name = getattr(calculator, "__name__", None) or type(calculator).__name__
    return name if name.islower() else "".join(
        ("_" if i and letter.isupper() else "") + letter.lower() for i, letter in enumerate(name)
    )  # fmt: skip


def _listed(names: Mapping[str, Any]) -> str:
    return " | ".join(names) or "nothing"
