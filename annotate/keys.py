"""What a person can do, the keys it is on, and the file in which they may be changed.

No Qt. Keys are written as `Ctrl+Shift+Z`, `Enter`, `Left`, `[`; the file is YAML, in the user's
configuration folder:

    theme: dark
    font_scale: 1.0
    keys:
      accept: [Enter]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    _I("predict", "Predict again", ("R",), "Model", 1),
    _I("toggle_disagreement", "Disagreement", ("D",), "Model", 1),
    _I("predict_contour", "Predict the contour", ("Shift+R",), "Model"),
    _I("learn", "Learn from my items, stop", ("Ctrl+L",), "Model"),
    _I("choose_model", "Which model predicts", ("Ctrl+M",), "Model"),
    _I("next_contour", "Next unconfirmed contour", ("J", "Tab"), "Edits"),
    _I("previous_contour", "Previous unconfirmed", ("Shift+J",), "Edits"),
    _I("cycle_visibility", "Point visible, occluded, unlabelled", ("V",), "Edits"),
    _I("occlude_contour", "Contour occluded, visible", ("O",), "Edits"),
    _I("blink", "Laid over, blinked, hidden", ("B",), "Review"),
    _I("take_first", "Take the first one", ("1",), "Review"),
    _I("take_second", "Take the second one", ("2",), "Review"),
    _I("take_mean", "Take the mean", ("3",), "Review"),
    _I("contour_of_first", "Contour of the first", ("Ctrl+1",), "Review"),
    _I("contour_of_second", "Contour of the second", ("Ctrl+2",), "Review"),
    _I("softer", "Drag reaches farther", ("]",), "Dragging"),
    _I("harder", "Drag reaches less far", ("[",), "Dragging"),
    _I("toggle_magnet", "Magnet to edges", ("M",), "Dragging"),
    _I("toggle_symmetry", "Both sides at once", ("Y",), "Dragging"),
    _I("toggle_bones", "Bones keep lengths", ("L",), "Dragging"),
    _I("toggle_handedness", "Left hand, right hand", ("H",), "Edits"),
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
POINT_MOUSE = (("drag a point", "move it"), *MOUSE[2:])
"""Of subjects without contours."""


BOX_ACTIONS: tuple[ActionInfo, ...] = (
    _I("suggested", "Next suggested frame", ("Space",), "Frames", 2),
    _I("frame_back", "Frame back", ("Left", "A"), "Frames", 1),
    _I("frame_on", "Frame on", ("Right", "D"), "Frames", 1),
    _I("far_back", "A tenth back", ("Shift+Left", "PageUp"), "Frames"),
    _I("far_on", "A tenth on", ("Shift+Right", "PageDown"), "Frames"),
    _I("new_box", "New box", ("N",), "Boxes", 1),
    _I("next_box", "Next box", ("Tab",), "Boxes", 1),
    _I("propose", "Let a network propose one", ("G",), "Boxes"),
    _I("accept", "Accept, next box", ("Enter",), "Boxes", 2),
    _I("category", "Category", ("C",), "Boxes", 1),
    _I("flag", "Flag, why", ("X",), "Boxes", 1),
    _I("delete_box", "Take the box away", ("Shift+Delete",), "Boxes"),
    _I("export", "Export boxes and labels", ("Ctrl+E",), "Boxes"),
    _I("undo", "Undo", ("Ctrl+Z",), "Edits", 1),
    _I("redo", "Redo", ("Ctrl+Y", "Ctrl+Shift+Z"), "Edits", 1),
    _I("forget_frame", "Drop this frame's clicks", ("Delete", "Backspace"), "Edits"),
    _I("turn_front", "Turn which side is the front", ("R",), "Edits"),
    _I("square", "As wide as deep, or not", ("Q",), "Edits"),
    _I("next_plane", "Stand on the next plane, or none", ("P",), "Edits"),
    _I("drift_pictures", "Drift out by the pictures, and back", ("K",), "Edits"),
    _I("drift_clicks", "Drift out by the clicks, and back", ("Shift+K",), "Edits"),
    _I("leave", "Leave placing", ("Escape",), "Edits"),
    _I("fit", "Whole picture", ("F",), "View"),
    _I("zoom_box", "Zoom to the box", ("Z",), "View"),
    _I("look_along", "Space: as the camera looks", ("V",), "View"),
    _I("look_above", "Space: from above", ("Shift+V",), "View"),
    _I("toggle_space", "Space on, off", ("I",), "View"),
    _I("toggle_spread", "Uncertainty on, off", ("U",), "View"),
    _I("less_contrast", "Less contrast", (",",), "View"),
    _I("more_contrast", "More contrast", (".",), "View"),
    _I("switch_theme", "Dark, light", ("Ctrl+T",), "View"),
    _I("larger_text", "Larger text", ("Ctrl+=",), "View"),
    _I("smaller_text", "Smaller text", ("Ctrl+-",), "View"),
    _I("help", "These keys", ("?",), "View", 1),
)
"""Those of the window for AR recordings."""
BOX_MOUSE = (
    ("click, when placing", "what the panel asks for"),
    ("drag corner, edge", "to where this frame shows it"),
    ("drag a face", "outwards or inwards"),
    ("drag in space", "the faces that meet there"),
    ("click another box", "choose it"),
    ("wheel, drag beside", "zoom, pan; turn space"),
)


def _defaults(actions: tuple[ActionInfo, ...]) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({action.name: action.keys for action in actions})


@dataclass(frozen=True)
class Settings:
    """What the file says.

    Attributes:
        keys: action -> its keys, of the window for keypoints.
        theme: `dark` or `light`.
        font_scale: 0.7 to 2.
        box_keys: action -> its keys, of the window for AR recordings.
    """

    keys: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _defaults(ACTIONS))
    theme: str = "dark"
    font_scale: float = 1.0
    box_keys: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _defaults(BOX_ACTIONS))

    def for_boxes(self) -> Settings:
        """The same for the window for AR recordings: its keys in the place of the others."""
        return replace(self, keys=self.box_keys)

    def by_key(self) -> dict[str, str]:
        """Key -> the action on it."""
        return {key: name for name, keys in self.keys.items() for key in keys}


def settings_path() -> Path:
    """Where the file is looked for."""
    return config_folder() / FILE_NAME


def place_for_people(path: Path) -> str:
    """A path with `~` for the user's home, as people write it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def remember_looks(path: Path, theme: str, font_scale: float) -> None:
    """Put theme and text size into the settings file, which is made where there is none; all else
    in it stays as it is written.

    Raises:
        ViewfinderError: it can't be written.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise ViewfinderError("can't be read", file=path, found=error) from error
    text = "\n".join([*lines, ""])
    for name, value in (("font_scale", f"{font_scale:.2f}"), ("theme", theme)):
        text, found = re.subn(rf"(?m)^{name}:[^#\n]*?(?=\s*(#|$))", f"{name}: {value}", text)
        text = text if found else f"{name}: {value}\n{text}"
    if (kept := _parsed(path, text.encode())).theme != theme:
        raise ViewfinderError("the theme can't be put in", file=path, found=kept.theme)
    writable_folder(path.parent)
    write_bytes_durably(path, text.encode())


def read_settings(path: str | Path) -> Settings:
    """Settings from a file; the defaults where there is none.

    Raises:
        ViewfinderError: not such a file; an unknown action, theme or key; one key on two actions.
    """
    path = Path(path)
    try:
        data = path.read_bytes()[: _LARGEST_BYTES + 1]
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise ViewfinderError("can't be read", file=path, found=error.strerror) from error
    if len(data) > _LARGEST_BYTES:
        raise ViewfinderError("too large for settings", file=path, expected="1 MB at most")
    return _parsed(path, data)


def _parsed(path: Path, data: bytes) -> Settings:
    import yaml

    try:
        found = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        raise ViewfinderError(
            "this isn't YAML", file=path, found=f"line {where.line + 1}" if where else None
        ) from error
    return _checked(path, {} if found is None else found)


def _checked(path: Path, found: Any) -> Settings:
    fields = ("keys", "box_keys", "theme", "font_scale")
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
    keys = _checked_keys(path, "keys", found.get("keys") or {}, ACTIONS)
    box_keys = _checked_keys(path, "box_keys", found.get("box_keys") or {}, BOX_ACTIONS)
    return Settings(keys, theme, float(scale), box_keys)


def _checked_keys(
    path: Path, section: str, found: Any, actions: tuple[ActionInfo, ...]
) -> Mapping[str, tuple[str, ...]]:
    defaults = {action.name: action.keys for action in actions}
    if not isinstance(found, dict):
        raise ViewfinderError("actions and their keys", file=path, field=section, found=found)
    chosen: dict[str, tuple[str, ...]] = {}
    for name, keys in found.items():
        if name not in defaults:
            raise ViewfinderError(
                "unknown action",
                file=path,
                field=section,
                expected=" | ".join(defaults),
                found=name,
            )
        listed = keys if isinstance(keys, list) else [keys]
        chosen[name] = tuple(_key(path, f"{section}.{name}", key) for key in listed)
    taken: dict[str, str] = {}
    for name, keys in chosen.items():
        for key in keys:
            if taken.setdefault(key, name) != name:
                raise ViewfinderError(
                    "one key on two actions",
                    file=path,
                    field=f"{section}.{name}",
                    found=f"{key}, which is on {taken[key]}, too",
                )
    # A default gives way to a key that the file puts elsewhere.
    kept = {
        name: chosen.get(name, tuple(key for key in keys if key not in taken))
        for name, keys in defaults.items()
    }
    return MappingProxyType(kept)


def _key(path: Path, where: str, written: Any) -> str:
    try:
        return key_name(str(written))
    except ValueError:
        raise ViewfinderError(
            "no such key",
            file=path,
            field=where,
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
    ]
    for section, actions in (("keys:", ACTIONS), ("box_keys:", BOX_ACTIONS)):
        lines.append(section)
        for action in actions:
            keys = ", ".join(f'"{key}"' for key in action.keys)
            lines.append(f"  {action.name}: [{keys}]".ljust(44) + f"# {action.title}")
    write_bytes_durably(path, ("\n".join(lines) + "\n").encode())
    return True
