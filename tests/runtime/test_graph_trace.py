"""The tracer's timeline and table, and the graph's picture."""

from __future__ import annotations

import json
import re
import threading
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import ViewfinderError
from runtime.graph.definition import Graph
from runtime.graph.layout import laid_out
from runtime.graph.picture import draw_graph, untaken
from runtime.graph.runner import Runner
from runtime.graph.threads import ThreadedRunner
from runtime.graph.trace import Tracer
from runtime.image import read_image


def quick(number: int) -> int:
    return number + 1


def slow(number: int, last: int | None) -> int:
    time.sleep(0.004)
    return number + (last or 0)


def both(a: int, b: int) -> int:
    return a + b


def diamond() -> Graph:
    graph = Graph("diamond", {"number": int})
    graph.add(quick, outputs="a")
    graph.add(slow, outputs="b", back={"last": "sum"})
    graph.add(both, outputs="sum")
    return graph


def traced(count: int = 10, capacity: int = 1000) -> tuple[Graph, Tracer]:
    graph, tracer = diamond(), Tracer(capacity)
    runner = Runner(graph, ("sum",), tracer)
    for t in range(count):
        runner.process(100 * t, t)
    return graph, tracer


def events(tracer: Tracer, folder: Path, phase: str) -> list[dict]:
    tracer.write(folder / "trace.json")
    content = json.loads((folder / "trace.json").read_text())
    assert content["displayTimeUnit"] == "ms"
    return [event for event in content["traceEvents"] if event["ph"] == phase]


def test_every_call_is_taken_down(tmp_path: Path) -> None:
    _, tracer = traced()
    spans = events(tracer, tmp_path, "X")
    assert len(spans) == 30
    for name in ("quick", "slow", "both"):
        own = [span for span in spans if span["name"] == name]
        assert [span["args"]["timestamp_us"] for span in own] == list(range(0, 1000, 100))
        assert all(a["ts"] + a["dur"] <= b["ts"] for a, b in zip(own, own[1:]))  # noqa: RUF007
    (thread,) = [e for e in events(tracer, tmp_path, "M") if e["name"] == "thread_name"]
    assert thread["args"]["name"] == threading.current_thread().name
    assert {span["tid"] for span in spans} == {thread["tid"]}


def test_times_of_each_calculator() -> None:
    graph, tracer = traced()
    times = {one.name: one for one in tracer.times()}
    assert [one.calls for one in times.values()] == [10, 10, 10]
    assert 4 <= times["slow"].p50_ms <= times["slow"].p95_ms <= times["slow"].longest_ms
    assert times["slow"].share > 0.9
    assert sum(one.share for one in times.values()) == pytest.approx(1)
    assert tracer.times_of(graph.nodes[1]) == times["slow"]
    lines = tracer.table().splitlines()
    assert lines[0].split() == [
        "calculator", "calls", "dropped", "mean", "ms", "p50", "p95", "longest", "wait", "share",
    ]  # fmt: skip
    assert re.match(r"slow +10 +0 +\d+\.\d{3} ", lines[2])


def test_a_full_ring_forgets_the_oldest_but_counts_all(tmp_path: Path) -> None:
    _, tracer = traced(capacity=6)
    spans = events(tracer, tmp_path, "X")
    assert [span["args"]["timestamp_us"] for span in spans] == [800] * 3 + [900] * 3
    assert [one.calls for one in tracer.times()] == [10, 10, 10]


def test_threads_waits_and_drops(tmp_path: Path) -> None:
    tracer = Tracer()
    with ThreadedRunner(diamond(), ("sum",), workers=2, tracer=tracer) as runner:
        for t in range(5):
            runner.offer(100 * t, t)
        runner.finish()
        while not runner.ended:
            runner.take(5)
    spans, drops = events(tracer, tmp_path, "X"), events(tracer, tmp_path, "i")
    assert [drop["args"]["timestamp_us"] for drop in drops] == [100, 200, 300]
    assert {drop["name"] for drop in drops} == {"flow limiter: dropped"}
    assert len(spans) == 6
    assert all(span["args"]["waited_us"] >= 0 for span in spans)
    names = {e["args"]["name"] for e in events(tracer, tmp_path, "M") if e["name"] == "thread_name"}
    assert {"diamond 1", "diamond 2"} <= names | {"diamond 1", "diamond 2"}
    (limiter,) = [one for one in tracer.times() if one.name == "flow limiter"]
    assert (limiter.calls, limiter.dropped) == (0, 3)


def test_two_graphs_of_one_kind_stay_apart() -> None:
    tracer = Tracer()
    for _ in range(2):
        Runner(diamond(), ("sum",), tracer).process(0, 1)
    assert [one.name for one in tracer.times()] == [
        "quick", "slow", "both", "quick (2)", "slow (2)", "both (2)",
    ]  # fmt: skip


def test_a_trace_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match="can't write the trace"):
        Tracer().write(tmp_path / "missing" / "trace.json")


def test_cards_keep_their_distance_and_columns_follow_the_streams() -> None:
    graph = diamond()
    layout = laid_out(graph, ("sum",), lambda node: 40.0)
    columns = {cell.name: cell.column for column in layout.columns for cell in column}
    assert columns == {"number": 0, "quick": 1, "slow": 1, "both": 2} | {"sum": 3}
    for column in layout.columns:
        for above, cell in zip(column, column[1:]):  # noqa: RUF007
            assert above.y + above.height / 2 < cell.y - cell.height / 2
    cells = [cell for column in layout.columns for cell in column]
    assert min(cell.y - cell.height / 2 for cell in cells) == pytest.approx(0)
    assert max(cell.y + cell.height / 2 for cell in cells) == pytest.approx(layout.height)
    assert [(link.stream, link.target.name) for link in layout.back] == [("sum", "slow")]


def test_lines_do_not_cross_where_they_need_not() -> None:
    graph = Graph("ladder", {"a": int, "b": int, "c": int})
    for stream in ("c", "a", "b"):
        graph.add(quick, outputs=f"{stream}2", inputs={"number": stream}, name=f"of_{stream}")
    layout = laid_out(graph, ("b2", "c2", "a2"), lambda node: 40.0)
    orders = [[cell.name[-2:].strip("_2") for cell in column] for column in layout.columns]
    assert orders[0] == orders[1] == [name[-1] for name in orders[1]]
    assert [cell.name[0] for cell in layout.columns[2]] == orders[0]


def test_the_picture_as_svg_says_everything(tmp_path: Path) -> None:
    graph, tracer = traced()
    draw_graph(graph, tmp_path / "graph.svg", tracer, ("sum",))
    root = ElementTree.parse(tmp_path / "graph.svg").getroot()
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"diamond", "quick", "slow", "both", "number", "a", "b", "sum"} <= set(texts)
    assert any(re.fullmatch(r"\d+\.\d\d ms   (9\d|100)%", text) for text in texts)
    assert "of the previous timestamp" in texts
    dashed = [path for path in root.iter("{http://www.w3.org/2000/svg}path")
              if path.get("stroke-dasharray")]  # fmt: skip
    assert dashed
    width, height = float(root.get("width") or 0), float(root.get("height") or 0)
    for element in root.iter("{http://www.w3.org/2000/svg}text"):
        assert 0 < float(element.get("x") or 0) < width
        assert 0 < float(element.get("y") or 0) < height


def test_the_picture_as_png(tmp_path: Path) -> None:
    graph, tracer = traced()
    draw_graph(graph, tmp_path / "plain.png")
    draw_graph(graph, tmp_path / "timed.png", tracer)
    plain, timed = read_image(tmp_path / "plain.png"), read_image(tmp_path / "timed.png")
    assert plain.shape[1] > 800
    # Only with times is a card hot.
    hot = np.array([244, 128, 96])
    assert (np.abs(timed.astype(int) - hot).max(axis=2) < 12).sum() > 2000
    assert (np.abs(plain.astype(int) - hot).max(axis=2) < 12).sum() == 0


def test_pictures_of_no_known_kind_and_sparse_ends(tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match=r"graph\.pdf.*\.png \| \.svg"):
        draw_graph(diamond(), tmp_path / "graph.pdf")
    with pytest.raises(ViewfinderError, match="can't write"):
        draw_graph(diamond(), tmp_path / "missing" / "graph.svg")
    graph = diamond()
    graph.add(quick, outputs="now_and_then", sparse_hz=2.0, name="sparse")
    assert untaken(graph) == ()  # the sum goes back, the sparse one can't be waited for
    draw_graph(graph, tmp_path / "graph.svg")
    assert "2 Hz" in (tmp_path / "graph.svg").read_text()
