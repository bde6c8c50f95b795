"""The graph's definition and its synchronous run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runtime.errors import ViewfinderError
from runtime.graph.definition import Graph, fits
from runtime.graph.runner import Runner
from runtime.graph.types import Picture


def double(number: int) -> int:
    return 2 * number


def shout(text: str) -> str:
    return text.upper()


def only_odd(number: int) -> int | None:
    return number if number % 2 else None


def describe(number: int, odd: int | None) -> str:
    return f"{number} {odd}"


def split(number: int) -> tuple[int, int | None]:
    return number // 10, number % 10 or None


class Sum:
    """Adds what comes to what it said last."""

    def __init__(self) -> None:
        self.resets = self.closed = 0

    def process(self, number: int, last: int | None) -> int:
        return number + (last or 0)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed += 1


def numbers() -> Graph:
    return Graph("numbers", {"number": int})


def test_packets_flow_in_any_order_of_definition() -> None:
    graph = numbers()
    graph.add(double, outputs="eightfold", inputs={"number": "fourfold"}, name="third")
    graph.add(double, outputs="twofold", name="first")
    graph.add(double, outputs="fourfold", inputs={"number": "twofold"}, name="second")
    assert [node.name for node in graph.validate()] == ["first", "second", "third"]
    runner = Runner(graph, ("eightfold", "number"))
    assert [runner.process(t, t) for t in range(3)] == [(0, 0), (8, 1), (16, 2)]


def test_a_missing_packet_skips_who_needs_it() -> None:
    graph = numbers()
    graph.add(only_odd, outputs="odd")
    graph.add(double, outputs="doubled", inputs={"number": "odd"})
    graph.add(describe, outputs="text")
    runner = Runner(graph, ("doubled", "text"))
    assert [runner.process(t, t) for t in range(3)] == [
        (None, "0 None"),
        (2, "1 1"),
        (None, "2 None"),
    ]


def test_several_outputs_and_the_timestamp() -> None:
    def late(timestamp_us: int, ones: int) -> str:
        return f"{ones} at {timestamp_us}"

    graph = numbers()
    graph.add(split, outputs=("tens", "ones"))
    graph.add(late, outputs="text")
    runner = Runner(graph, ("tens", "text"))
    assert runner.process(5, 42) == (4, "2 at 5")
    assert runner.process(6, 40) == (4, None)


def test_back_edges_carry_the_previous_packet() -> None:
    graph = numbers()
    total = Sum()
    graph.add(total, outputs="total", back={"last": "total"})
    runner = Runner(graph, ("total",))
    assert [runner.process(t, 3)[0] for t in range(4)] == [3, 6, 9, 12]
    runner.reset()
    assert runner.process(0, 3) == (3,)
    runner.close()
    assert (total.resets, total.closed) == (1, 1)


def test_timestamps_must_rise() -> None:
    graph = numbers()
    graph.add(double, outputs="doubled")
    runner = Runner(graph, ("doubled",))
    runner.process(5, 1)
    for timestamp in (5, 4):
        with pytest.raises(ViewfinderError, match="timestamps must rise"):
            runner.process(timestamp, 1)
    assert runner.process(6, 1) == (2,)


def test_a_failing_calculator_is_named() -> None:
    def divide(number: int) -> int:
        return 1 // number

    graph = numbers()
    graph.add(divide, outputs="inverse")
    with pytest.raises(ZeroDivisionError) as failure:
        Runner(graph, ("inverse",)).process(7, 0)
    assert failure.value.__notes__ == ["in calculator divide at 7 us"]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([(double, {"outputs": "a", "inputs": {"number": "c"}})],
         r"calculator double, stream c\]: unknown stream; expected number \| a"),
        ([(double, {"outputs": "number"})],
         r"calculator double, stream number\]: the graph's input already feeds this stream"),
        ([(shout, {"outputs": "text", "inputs": {"text": "number"}})],
         r"calculator shout, stream number\]: .* takes another type; expected str; found int"),
        ([(double, {"outputs": "a", "inputs": {"number": "b"}, "name": "one"}),
          (double, {"outputs": "b", "inputs": {"number": "a"}, "name": "two"})],
         "calculator (one|two), stream [ab]\\]: cycle without a back edge; found (one|two) -> "),
        ([(double, {"outputs": "a", "back": {"number": "a"}})],
         r"calculator double, stream a\]: .* may be without a packet; expected int \| None"),
        ([(double, {"outputs": "a"}), (double, {"outputs": "b"})], "two calculators of one name"),
        ([(double, {"outputs": "a", "inputs": {"nombre": "number"}})], "no parameter nombre"),
        ([(split, {"outputs": ("a", "b", "c")})], "as many packets.*tuple of 3"),
        ([(lambda number: number, {"outputs": "a", "name": "bare"})], "has no annotation"),
    ],
)  # fmt: skip
def test_a_wrong_graph_is_refused(nodes: list[tuple[Any, dict]], message: str) -> None:
    def build() -> None:
        graph = numbers()
        for calculator, wiring in nodes:
            graph.add(calculator, **wiring)
        graph.validate()

    with pytest.raises(ViewfinderError, match=message):
        build()


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(ViewfinderError, match=r"outputs, stream nowhere\]: unknown stream"):
        Runner(numbers(), ("nowhere",))


@pytest.mark.parametrize(
    ("produced", "wanted", "fit"),
    [
        (int, int, True),
        (bool, int, True),
        (int, bool, False),
        (int, object, True),
        (Any, int, True),
        (list[int], list[int], True),
        (list[int], list[str], False),
        (list[int], list, True),
        (int, int | str, True),
        (int | str, int, False),
        (Picture, Picture, True),
        (Picture, np.ndarray, True),
        (np.ndarray[Any, np.dtype[np.float32]], Picture, False),
    ],
)
def test_types_fit(produced: Any, wanted: Any, fit: bool) -> None:
    assert fits(produced, wanted) is fit
