"""What the runtime costs before it does anything: time to import it, room on disk.

    python benchmarks/footprint.py [--install] [--environments .envs] [--out footprint.json]

Imports are timed in processes of their own, the median of several, with everything a stream needs:
every module of the runtime, NumPy, OpenCV and LiteRT. --install makes a fresh environment, installs
the bare package into it (pip downloads about 120 MB) and says what is large in it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
REPEATS = 9
IMPORTS = {
    "runtime": "import runtime.solutions, runtime.live, runtime.sources, runtime.sinks, "
    "runtime.trust, runtime.viewing.viewer, ai_edge_litert.interpreter",
    "mediapipe": "import mediapipe",
}
_TIMED = """
import time
start, start_cpu = time.perf_counter(), time.process_time()
{imports}
print(time.perf_counter() - start, time.process_time() - start_cpu)
"""


def import_seconds(python: Path, imports: str, repeats: int = REPEATS) -> tuple[float, float]:
    """Median wall and CPU seconds that imports take in a fresh process."""
    times = []
    for _ in range(repeats + 1):
        done = subprocess.run(
            [python, "-c", _TIMED.format(imports=imports)], capture_output=True, text=True,
            check=True, cwd=ROOT,
        )  # fmt: skip
        wall, cpu = done.stdout.split()[-2:]
        times.append((float(wall), float(cpu)))
    del times[0]  # the disk's cache
    return median(wall for wall, _ in times), median(cpu for _, cpu in times)


def installed_bytes(packages: Path) -> dict[str, int]:
    """Folder or file in site-packages -> bytes on disk; pip and setuptools left out."""
    sizes = {}
    for path in packages.iterdir():
        if path.name.split("-")[0] in ("pip", "setuptools", "_distutils_hack", "wheel"):
            continue
        files = path.rglob("*") if path.is_dir() else [path]
        sizes[path.name] = sum(
            file.stat().st_size for file in files if file.is_file() and not file.is_symlink()
        )
    return sizes


def bare_install() -> dict[str, int]:
    """What a fresh environment holds after `pip install .`."""
    with tempfile.TemporaryDirectory(prefix="viewfinder-install-") as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "."]
        subprocess.run(command, check=True, cwd=ROOT)
        (packages,) = Path(folder).glob("lib/python*/site-packages")
        return installed_bytes(packages)


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--install", action="store_true", help="install into a fresh environment")
    parser.add_argument("--environments", type=Path, default=ROOT / ".envs")
    parser.add_argument("--out", type=Path, default=Path("footprint.json"))
    options = parser.parse_args()
    table = Table("", "import s", "CPU s", "MB on disk")
    facts: dict[str, object] = {"load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None}
    sizes = bare_install() if options.install else {}
    subjects = {"ours": (Path(sys.executable), "runtime", sum(sizes.values()))}
    for environment in sorted(options.environments.glob("mediapipe-*")):
        (packages,) = environment.glob("lib/python*/site-packages")
        size = sum(installed_bytes(packages).values())
        subjects[environment.name] = (environment / "bin" / "python", "mediapipe", size)
    for name, (python, what, size) in subjects.items():
        wall, cpu = import_seconds(python, IMPORTS[what])
        facts[name] = {"import_s": wall, "import_cpu_s": cpu, "bytes": size or None}
        table.add_row(name, f"{wall:.2f}", f"{cpu:.2f}", f"{size / 1e6:.0f}" if size else "-")
    console = Console()
    console.print(table)
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:8]
    if largest:
        console.print("; ".join(f"{name} {size / 1e6:.0f} MB" for name, size in largest))
        facts["largest"] = dict(largest)
    options.out.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
