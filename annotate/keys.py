"""What a person can do, the keys it is on, and the file in which they may be changed.

No Qt. Keys are written as `Ctrl+Shift+Z`, `Enter`, `Left`, `[`; the file is YAML, in the user's
configuration folder:

    theme: dark
    font_scale: 1.0
    keys:
      accept: [Enter]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.folders import config_folder, writable_folder

FILE_NAME = "annotate.yaml"
THEMES = ("dark", "light")
FONT_SCALES = (0.7, 2.0)
_LARGEST_BYTES = 1 << 20
_MODIFIERS = ("Ctrl", "Alt", "Shift")
_NAMED = ("Enter", "Space", "Tab", "Backspace", "Delete", "Escape", "Home", "End", "PageUp")
_KEYS = (*_NAMED, "PageDown", "Left", "Right", "Up", "Down", *(f"F{n}" for n in range(1, 13)))


@dataclass(frozen=True)
class ActionInfo:
    """Something a person can do.

    Attributes:
        name: in the file, and the method of the window that does it.
        title: for people.
        keys: by default.
        group: what it stands under in the overview of keys.
        button: how wide its button in the panel is: 0 none, 1 half a row, 2 a row.
    """

    name: str
    title: str
    keys: tuple[str, ...]
    group: str
    button: int = 0


_I = ActionInfo
ACTIONS: tuple[ActionInfo, ...] = (
    _I("accept", "Accept, next", ("Enter",), "Items", 2),
    _I("previous", "Previous", ("P", "Left"), "Items", 1),
    _I("next", "Next", ("N", "Right"), "Items", 1),
    _I("skip", "Skip", ("S",), "Items", 1),
    _I("flag", "Flag, why", ("X",), "Items", 1),
    _I("filter", "Filter items", ("/",), "Items"),
    _I("export", "Export the layer", ("Ctrl+E",), "Items"),
    _I("undo", "Undo", ("Ctrl+Z",), "Edits", 1),
    _I("redo", "Redo", ("Ctrl+Y", "Ctrl+Shift+Z"), "Edits", 1),
    _I("guide", "Ask me point by point", ("G",), "Edits", 2),
    _I("right", "Right as it is, next", ("Space",), "Edits"),
    _I("next_contour", "Next unconfirmed contour", ("J", "Tab"), "Edits"),
    _I("previous_contour", "Previous unconfirmed", ("Shift+J",), "Edits"),
    _I("cycle_visibility", "Point visible, occluded, unlabelled", ("V",), "Edits"),
    _I("occlude_contour", "Contour occluded, visible", ("O",), "Edits"),
    _I("blink", "Laid over, blinked, hidden", ("B",), "Review"),
    _I("take_first", "Take the first's", ("1",), "Review"),
    _I("take_second", "Take the second's", ("2",), "Review"),
    _I("take_mean", "Take the mean", ("3",), "Review"),
    _I("contour_of_first", "Contour as the first's", ("Ctrl+1",), "Review"),
    _I("contour_of_second", "Contour as the second's", ("Ctrl+2",), "Review"),
    _I("softer", "Drag reaches farther", ("]",), "Dragging"),
    _I("harder", "Drag reaches less far", ("[",), "Dragging"),
    _I("toggle_magnet", "Magnet to edges", ("M",), "Dragging"),
    _I("toggle_symmetry", "Both sides at once", ("Y",), "Dragging"),
    _I("toggle_fit", "Fit subject, picture", ("F",), "View"),
    _I("zoom_contour", "Zoom to the contour", ("Z",), "View"),
    _I("toggle_contours", "Contours on, off", ("C",), "View"),
    _I("toggle_keypoints", "Keypoints on, off", ("K",), "View"),
    _I("toggle_insets", "Close views on, off", ("I",), "View"),
    _I("fainter", "Marks fainter", ("-",), "View"),
    _I("bolder", "Marks bolder", ("=",), "View"),
    _I("less_contrast", "Less contrast", (",",), "View"),
    _I("more_contrast", "More contrast", (".",), "View"),
    _I("switch_theme", "Dark, light", ("Ctrl+T",), "View"),
    _I("larger_text", "Larger text", ("Ctrl+=",), "View"),
    _I("smaller_text", "Smaller text", ("Ctrl+-",), "View"),
    _I("help", "These keys", ("?",), "View", 1),
)
MOUSE = (
    ("drag a large point", "bend its contour"),
    ("drag a small point", "move it alone"),
    ("Shift+drag", "draw what belongs along"),
    ("Ctrl+drag", "one point alone"),
    ("click, when asked", "place the asked point"),
    ("wheel, drag beside", "zoom, pan"),
)


@dataclass(frozen=True)
class Settings:
    """What the file says.

    Attributes:
        keys: action -> its keys.
        theme: `dark` or `light`.
        font_scale: 0.7 to 2.
    """

    keys: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: MappingProxyType({a.name: a.keys for a in ACTIONS})
    )
    theme: str = "dark"
    font_scale: float = 1.0

    def by_key(self) -> dict[str, str]:
        """Key -> the action on it."""
        return {key: name for name, keys in self.keys.items() for key in keys}


def settings_path() -> Path:
    """Where the file is looked for."""
    return config_folder() / FILE_NAME


def read_settings(path: str | Path) -> Settings:
    """Settings from a file; the defaults where there is none.

    Raises:
        ViewfinderError: not such a file; an unknown action, theme or key; one key on two actions.
    """
    import yaml

    path = Path(path)
    try:
        data = path.read_bytes()[: _LARGEST_BYTES + 1]
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise ViewfinderError("can't be read", file=path, found=error.strerror) from error
    if len(data) > _LARGEST_BYTES:
        raise ViewfinderError("too large for settings", file=path, expected="1 MB at most")
    try:
        found = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        raise ViewfinderError(
            "this isn't YAML", file=path, found=f"line {where.line + 1}" if where else None
        ) from error
    return _checked(path, {} if found is None else found)


def _checked(path: Path, found: Any) -> Settings:
    fields = ("keys", "theme", "font_scale")
    if not isinstance(found, dict) or not set(found) <= set(fields):
        extra = next((k for k in found if k not in fields), None) if isinstance(found, dict) else ""
        raise ViewfinderError(
            "unknown setting", file=path, expected=" | ".join(fields), found=extra or "no mapping"
        )
    theme, scale = found.get("theme", "dark"), found.get("font_scale", 1.0)
    if theme not in THEMES:
        raise ViewfinderError(
            "unknown theme", file=path, field="theme", expected=" | ".join(THEMES), found=theme
        )
    low, high = FONT_SCALES
    number = isinstance(scale, int | float) and not isinstance(scale, bool)
    if not number or not low <= scale <= high:
        raise ViewfinderError(
            "no such size", file=path, field="font_scale", expected=f"{low} to {high}", found=scale
        )
    return Settings(_checked_keys(path, found.get("keys") or {}), theme, float(scale))


def _checked_keys(path: Path, found: Any) -> Mapping[str, tuple[str, ...]]:
    defaults = {action.name: action.keys for action in ACTIONS}
    if not isinstance(found, dict):
        raise ViewfinderError("actions and their keys", file=path, field="keys", found=found)
    chosen: dict[str, tuple[str, ...]] = {}
    for name, keys in found.items():
        if name not in defaults:
            raise ViewfinderError(
                "unknown action", file=path, field="keys", expected=" | ".join(defaults), found=name
            )
        listed = keys if isinstance(keys, list) else [keys]
        chosen[name] = tuple(_key(path, name, key) for key in listed)
    taken: dict[str, str] = {}
    for name, keys in chosen.items():
        for key in keys:
            if taken.setdefault(key, name) != name:
                raise ViewfinderError(
                    "one key on two actions",
                    file=path,
                    field=f"keys.{name}",
                    found=f"{key}, which is on {taken[key]}, too",
                )
    # A default gives way to a key that the file puts elsewhere.
    kept = {
        name: chosen.get(name, tuple(key for key in keys if key not in taken))
        for name, keys in defaults.items()
    }
    return MappingProxyType(kept)


def _key(path: Path, action: str, written: Any) -> str:
    try:
        return key_name(str(written))
    except ValueError:
        raise ViewfinderError(
            "no such key",
            file=path,
            field=f"keys.{action}",
            expected="such as G, Ctrl+Z, Enter, Left, [",
            found=written,
        ) from None


def key_name(written: str) -> str:
    """A key as it is written everywhere: modifiers in order, letters large.

    Raises:
        ValueError: no key.
    """
    spelt = "plus" if written == "+" else written.replace("++", "+plus")
    *held, key = spelt.split("+")
    key = "+" if key == "plus" else key.strip()
    known = {name.lower(): name for name in _MODIFIERS}
    modifiers = {known.get(h.strip().lower(), "") for h in held}
    if "" in modifiers:
        raise ValueError(written)
    named = {name.lower(): name for name in _KEYS} | {"return": "Enter"}
    name = named.get(key.lower()) or (key.upper() if len(key) == 1 and key.isprintable() else "")
    if not name.strip():
        raise ValueError(written)
    if len(name) == 1 and not name.isalnum():
        modifiers.discard("Shift")  # it is part of the character: "?" is one key
    return "+".join([m for m in _MODIFIERS if m in modifiers] + [name])


def key_text(key: str) -> str:
    """A key as a person reads it."""
    arrows = {"Left": "←", "Right": "→", "Up": "↑", "Down": "↓"}
    return "+".join(arrows.get(part, part) for part in key.split("+")) if len(key) > 1 else key


def write_settings_template(path: Path) -> bool:
    """Write the defaults with a line on each, unless a file is there; whether it was written.

    Raises:
        ViewfinderError: it can't be written.
    """
    if path.exists():
        return False
    writable_folder(path.parent)
    lines = [
        "# Keys of `viewfinder annotate`. Change what you like, delete what you don't change.",
        f"theme: dark        # {' or '.join(THEMES)}",
        "font_scale: 1.0    # {} to {}".format(*FONT_SCALES),
        "keys:",
    ]
    for action in ACTIONS:
        keys = ", ".join(f'"{key}"' for key in action.keys)
        lines.append(f"  {action.name}: [{keys}]".ljust(44) + f"# {action.title}")
    write_bytes_durably(path, ("\n".join(lines) + "\n").encode())
    return True
