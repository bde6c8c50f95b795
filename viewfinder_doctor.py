"""`viewfinder doctor`: what this installation can do."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from runtime.bundled import BUNDLED, bundled
from runtime.errors import ViewfinderError
from runtime.folders import cache_folder, models_folder
from runtime.model_store import missing_released
from runtime.oriented_crop import one_pass_crop
from runtime.released import RELEASED

# Extra -> the packages that it brings and that its commands can't do without.
_EXTRAS = {
    "data": ("pandas", "pyarrow"),
    "ar": ("scipy",),
    "train": ("torch", "litert_torch", "safetensors"),
    "render": ("bpy", "anny"),
    "cluster": ("distributed",),
    "annotate": ("napari", "PySide6"),
    "openvino": ("openvino",),
}


@dataclass(frozen=True)
class Check:
    """One line of the report; `remedy` is empty where all is well."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def diagnose() -> list[Check]:
    """Look at Python, packages, models, folders and display; changes nothing."""
    python = platform.python_version()
    checks = [
        Check(
            "python",
            sys.version_info[:2] == (3, 11),
            python,
            "" if python.startswith("3.11") else "use 3.11",
        ),
        Check("cores", True, str(len(os.sched_getaffinity(0)))),
    ]
    for package in ("numpy", "opencv-python", "ai-edge-litert"):
        checks.append(Check(package, True, metadata.version(package)))
    checks.append(_crop())
    checks += [_extra(extra, modules) for extra, modules in _EXTRAS.items()]
    checks.append(_bundled())
    absent = missing_released(*(model.name for model in RELEASED))
    checks.append(
        Check(
            "released models",
            not absent,
            f"{len(RELEASED) - len(absent)} of {len(RELEASED)} in {models_folder()}",
            "viewfinder models list tells how to get the others" if absent else "",
        )
    )
    free_gb = shutil.disk_usage(_existing(cache_folder())).free / 1e9
    checks.append(Check("cache folder", free_gb > 1, f"{cache_folder()}, {free_gb:.0f} GB free"))
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    checks.append(
        Check(
            "display",
            bool(display),
            display or "none",
            "" if display else "windows need one; xvfb-run gives one",
        )
    )
    return checks


def _crop() -> Check:
    if one_pass_crop() is None:
        return Check("crop", True, "by OpenCV (no compiler at installation, or no AVX2)")
    return Check("crop", True, "in one pass")


def _bundled() -> Check:
    try:
        here = list(bundled())
    except ViewfinderError as error:
        return Check("bundled models", False, str(error), "install viewfinder-live again")
    if not here:
        return Check("bundled models", True, "none in this release")
    size = sum(len(content) for bundle in here for content in bundle.members.values())
    found = f"{len(here)} of {len(BUNDLED)}, {size / 1e6:.1f} MB"
    whole = len(here) == len(BUNDLED)
    return Check("bundled models", whole, found, "" if whole else "install viewfinder-live again")


def _extra(extra: str, modules: tuple[str, ...]) -> Check:
    absent = [module for module in modules if find_spec(module) is None]
    found = ", ".join(absent) + " missing" if absent else ", ".join(modules)
    remedy = f"pip install 'viewfinder-live[{extra}]'" if absent else ""
    return Check(f"[{extra}]", not absent, found, remedy)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
