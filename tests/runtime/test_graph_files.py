"""Graphs in YAML, calculators by name, and what other packages bring."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import ViewfinderError
from runtime.graph import calculators
from runtime.graph.calculators import Recipe
from runtime.graph.definition import Graph
from runtime.graph.files import graph_to_yaml, load_graph, read_graph_file
from runtime.graph.runner import Runner
from runtime.image import write_image
from runtime.solutions import open_solution
from runtime.solutions.registry import solution_entry, solutions

ROOT = Path(__file__).parents[2]


class Scale:
    def __init__(self, factor: float = 2.0, kind: str = "") -> None:
        self.factor = factor

    def process(self, number: float, last: float | None) -> float:
        return self.factor * number + (last or 0.0)


class Word:
    def process(self, number: float) -> str:
        return str(number)


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two calculators of this test's own, and caches without them afterwards."""
    for name in ("Scale", "Word"):
        monkeypatch.setitem(calculators.CALCULATORS, name.lower(), f"{__name__}:{name}")
    yield
    calculators._factory.cache_clear()
    calculators._added.cache_clear()


TEXT = """
graph: numbers
inputs: [number]
outputs: [scaled]
calculators:
- calculator: scale
  options: {factor: 3}
  back: {last: scaled}
  outputs: scaled
"""


def test_a_graph_in_yaml_runs() -> None:
    runner = Runner(load_graph(TEXT), ("scaled",))
    assert [runner.process(t, 1.0) for t in range(3)] == [(3.0,), (6.0,), (9.0,)]
    assert read_graph_file(TEXT).outputs == ("scaled",)
    assert load_graph(TEXT).inputs == {"number": float}


def test_what_is_written_is_read_again() -> None:
    graph = Graph("numbers", {"number": float})
    graph.add(Recipe("scale", {"factor": 0.5}), "a", back={"last": "a"}, name="half")
    graph.add(Recipe("scale"), ("b",), {"number": "a"}, immediate={"last": "often"}, name="double")
    graph.add(Recipe("scale"), "often", immediate={"last": "a"}, name="often", sparse_hz=3.0)
    graph.add(Recipe("word"), "text", {"number": "b"})
    text = graph_to_yaml(graph, ("text",), "hand21@1")
    again = read_graph_file(text)
    assert graph_to_yaml(again.graph, again.outputs, again.topology) == text
    assert [node.inputs for node in again.graph.nodes] == [node.inputs for node in graph.nodes]
    runners = [Runner(one, ("text",)) for one in (graph, again.graph)]
    for t in range(4):
        first, second = (runner.process(t, float(t)) for runner in runners)
        assert first == second
    graph.add(Word(), "other", {"number": "b"}, name="by_hand")
    with pytest.raises(ViewfinderError, match=r"graph numbers \[calculator by_hand\]: .*Recipe"):
        graph_to_yaml(graph)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("inputs: [number]", "inputs: [number", r"g\.yaml \[line \d\]: this isn't YAML"),
        ("graph: numbers", "graph: 3", r"g\.yaml \[graph\]: wrong value; expected str; found 3"),
        ("inputs: [number]", "", r"g\.yaml \[inputs\]: this field is missing"),
        ("outputs: [scaled]", "output: [scaled]", r"\[output\]: unknown field"),
        ("outputs: scaled", "outputs: [3]", r"\[calculator scale, outputs\]: not a stream's name"),
        ("- calculator: scale", "- name: scale", r"calculators\[0\]\.calculator\]: .*missing"),
        ("calculator: scale", "calculator: shrink", r"\[calculator shrink\]: unknown calculator; "
         r"expected detect-subjects \| .*found 'shrink'"),
        ("factor: 3", "factr: 3", r"calculator scale\]: these options don't fit; expected factor, "
         "kind; found got an unexpected keyword argument 'factr'"),
        ("factor: 3", "factor: three", r"calculator scale, factor\]: this option has a wrong "
         "value; expected float; found 'three'"),
        ("last: scaled", "last: nothing", r"g\.yaml \[calculator scale, stream nothing\]: unknown"),
        ("back: {last", "inputs: {last", r"\[calculator scale, stream scaled\]: cycle without"),
        ("back: {last", "back: {lost", r"g\.yaml \[calculator scale\]: no parameter lost"),
        ("outputs: [scaled]", "outputs: [wrong]", r"g\.yaml \[outputs, stream wrong\]: unknown"),
        ("factor: 3}", "factor: 3}\n  sparse_hz: -1", r"\[calculator scale\]: not a pace"),
        ("- calculator: scale", "- 3\n- calculator: scale", r"calculators\[0\]\]: not a calcul"),
    ],
)  # fmt: skip
def test_errors_name_file_calculator_and_stream(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert old in TEXT
    (tmp_path / "g.yaml").write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ViewfinderError, match=message) as caught:
        load_graph(tmp_path / "g.yaml")
    assert "\n" not in str(caught.value)


def test_types_are_checked_as_in_python(tmp_path: Path) -> None:
    more = "- calculator: word\n  outputs: [word]\n- calculator: scale\n  name: wrong\n"
    (tmp_path / "g.yaml").write_text(TEXT + more + "  inputs: {number: word, last: scaled}\n")
    with pytest.raises(
        ViewfinderError,
        match=r"g\.yaml \[calculator wrong, stream word\]: parameter number takes another type; "
        "expected float; found str",
    ):
        load_graph(tmp_path / "g.yaml")


def test_files_that_are_no_graphs(tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match="can't read this graph"):
        load_graph(tmp_path / "missing.yaml")
    (tmp_path / "g.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ViewfinderError, match="isn't UTF-8"):
        load_graph(tmp_path / "g.yaml")
    (tmp_path / "g.yaml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(ViewfinderError, match="too large"):
        load_graph(tmp_path / "g.yaml")
    with pytest.raises(ViewfinderError, match="isn't YAML"):
        load_graph("graph: !!python/object/apply:os.system [echo]\ninputs: []\n")


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False)
    | st.text(max_size=8) | st.sampled_from(["scale", "number", "scaled"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["graph", "inputs", "outputs", "calculators", "calculator", "name", "back",
                         "options", "immediate", "sparse_hz", "factor", "last", "number"]),
        inner, max_size=5,
    ),
    max_leaves=14,
)  # fmt: skip


@given(junk, st.sampled_from(["graph", "inputs", "outputs", "calculators", "topology"]))
def test_whatever_stands_there_is_a_graph_or_one_line(value: object, field: str) -> None:
    content = yaml.safe_load(TEXT)
    content[field] = value
    text = yaml.safe_dump(content) + "\n"
    with contextlib.suppress(ViewfinderError):
        assert isinstance(load_graph(text), Graph)


def test_hands_in_yaml_are_the_hands_solution(mediapipe_models: None, real: Path) -> None:
    del mediapipe_models
    from runtime.image import read_image

    names = ("smp_hand_test.jpg", "tfjs_hands.jpg")
    pictures = [read_image(real / "images" / name) for name in names]
    ours = open_solution("hands", models="mediapipe", max_subjects=2)
    theirs = solution_entry(str(ROOT / "docs" / "hands.yaml")).load()(_options())
    assert theirs.topology == ours.topology
    for number, picture in enumerate([picture for picture in pictures for _ in range(3)]):
        first, second = (one.process(picture, 33_333 * number) for one in (ours, theirs))
        assert [one.to_json() for one in first] == [one.to_json() for one in second]
        assert first
        for a, b in zip(first, second):
            np.testing.assert_array_equal(a.keypoints, b.keypoints)


def test_our_own_models_in_yaml_look_twice(astronaut: np.ndarray, tmp_path: Path) -> None:
    graph = (ROOT / "docs" / "hands.yaml").read_text().replace("hand21", "face478")
    graph = graph.replace("palm_detection_full, kind: hand", "viewfinder_face_detector, kind: face")
    graph = graph.replace("hand_landmark_full", "viewfinder_face, look_again: face")
    (tmp_path / "face.yaml").write_text(graph.replace("kind: hand", "kind: face"))
    theirs = solution_entry(str(tmp_path / "face.yaml")).load()(_options())
    ours = open_solution("face", smoothing=False)
    for time in range(3):
        (first,), (second,) = (one.process(astronaut, time) for one in (ours, theirs))
        np.testing.assert_array_equal(first.keypoints, second.keypoints)


def _options() -> object:
    from runtime.solutions.options import SolutionOptions

    return SolutionOptions()


def test_a_graph_that_is_no_solution_says_why(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(TEXT)
    with pytest.raises(ViewfinderError, match=r"g\.yaml \[inputs\]: a solution takes pictures"):
        solution_entry(str(tmp_path / "g.yaml")).load()(_options())


def blocks(language: str) -> list[str]:
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of docs/extending.md, installed by pip into a folder."""
    folder = tmp_path_factory.mktemp("example")
    (folder / "pyproject.toml").write_text(blocks("toml")[0])
    (folder / "bright_spot.py").write_text(blocks("python")[0])
    target = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation",
               "--disable-pip-version-check", "--target", target, folder]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def viewfinder(*arguments: object, path: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys, viewfinder; sys.exit(viewfinder.main())"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}"}, check=False,
    )  # fmt: skip


def test_the_documented_example_is_short_and_runs(installed: Path, tmp_path: Path) -> None:
    lines = [line for block in (blocks("toml")[0], blocks("python")[0])
             for line in block.splitlines() if line.strip()]  # fmt: skip
    assert len(lines) < 40
    picture = np.zeros((50, 100, 3), dtype=np.uint8)
    picture[10, 80] = 255
    write_image(tmp_path / "a.png", picture)
    (tmp_path / "spot.yaml").write_text(blocks("yaml")[0])
    for name in ("bright-spot", tmp_path / "spot.yaml"):
        done = viewfinder("run", name, "--source", tmp_path / "a.png", "--json", path=installed)
        assert done.returncode == 0, done.stderr
        (subject,) = json.loads(done.stdout)["subjects"]
        assert subject["keypoints"] == [[0.805, 0.21]]
    listed = viewfinder("run", "--help", path=installed)
    assert "bright-spot" in listed.stdout


def plugin(folder: Path, code: str) -> None:
    (folder / "odd_plugin.py").write_text(code)
    info = folder / "odd_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[viewfinder.calculators]\nodd = odd_plugin:Odd\n"
        "[viewfinder.solutions]\nodd = odd_plugin:SOLUTION\n"
    )


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise OSError('no camera kit')", "OSError: no camera kit"),
        ("import surely_not_there", "ModuleNotFoundError"),
        ("Odd = 3\nSOLUTION = 3", "(TypeError|not a SolutionEntry but int)"),
    ],
)
def test_a_broken_plugin_is_one_clear_line_when_it_is_asked_for(
    code: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(tmp_path, code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_plugin", raising=False)
    solutions.cache_clear()
    try:
        assert "hands" in solutions()  # the others are as they were
        with pytest.raises(ViewfinderError, match=why):
            solution_entry("odd").load()
        with pytest.raises(ViewfinderError, match=rf"calculator odd\]: .*{why}"):
            load_graph(TEXT.replace("calculator: scale", "calculator: odd"))
        assert load_graph(TEXT).nodes[0].name == "scale"
    finally:
        monkeypatch.undo()
        solutions.cache_clear()
