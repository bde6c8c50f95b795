"""What the runtime costs before it does anything, and what it must not do at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.footprint import IMPORTS, import_seconds, installed_bytes

ROOT = Path(__file__).parents[2]


def test_import_takes_less_than_half_a_second() -> None:
    wall, cpu = import_seconds(Path(sys.executable), IMPORTS["runtime"], repeats=3)
    assert cpu < 0.5
    assert wall >= 0.5 * cpu  # the clock that tells: other processes lengthen the other one


def test_what_lies_on_disk_is_counted(tmp_path: Path) -> None:
    (tmp_path / "package" / "inner").mkdir(parents=True)
    (tmp_path / "package" / "inner" / "a.so").write_bytes(bytes(1000))
    (tmp_path / "package" / "b.py").write_bytes(bytes(500))
    (tmp_path / "package" / "link.so").symlink_to(tmp_path / "package" / "inner" / "a.so")
    (tmp_path / "single.py").write_bytes(bytes(30))
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "c.py").write_bytes(bytes(7))
    assert installed_bytes(tmp_path) == {"package": 1500, "single.py": 30}


@pytest.mark.usefixtures("mediapipe_models")
def test_no_socket_is_opened_by_opening_and_running() -> None:
    code = (
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(event)"
        " if event.startswith(('socket.', 'urllib.')) else None)\n"
        "import numpy as np\n"
        "from runtime.solutions import open_solution\n"
        "for name in ('face', 'hands', 'face-detection', 'segmentation'):\n"
        "    solution = open_solution(name, models='mediapipe', static=True)\n"
        "    solution.process(np.zeros((120, 160, 3), np.uint8), 0)\n"
        "    solution.close()\n"
        "print(opened)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
