"""Colours and sizes of our own widgets, dark and light."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """Colours as `#rrggbb`, for text on `ground`."""

    name: str
    ground: str
    raised: str
    text: str
    muted: str
    rule: str
    good: str
    bad: str
    accent: str


THEMES = {
    "dark": Theme(
        "dark",
        "#262930",
        "#363b45",
        "#e8eaed",
        "#a6adb7",
        "#4a4f57",
        "#81c995",
        "#f6aea9",
        "#8ab4f8",
    ),
    "light": Theme(
        "light",
        "#f3f4f6",
        "#e1e4e9",
        "#1f2328",
        "#57606a",
        "#c4c9d0",
        "#1a7f37",
        "#b42318",
        "#0a58ca",
    ),
}
STATUS_COLOURS = {
    "dark": {"open": "#8ab4f8", "done": "#81c995", "skipped": "#fdd663", "flagged": "#f6aea9"},
    "light": {"open": "#0a58ca", "done": "#1a7f37", "skipped": "#9a6700", "flagged": "#b42318"},
}
_TEXT_PT, _TITLE_PT = 9.5, 14.5


def style_sheet(theme: Theme, font_scale: float) -> str:
    """What Qt needs to draw our widgets in a theme at a text size."""
    text, title = _TEXT_PT * font_scale, _TITLE_PT * font_scale
    return f"""
QWidget {{ font-size: {text:.1f}pt; color: {theme.text}; background: {theme.ground}; }}
QLabel {{ background: transparent; }}
QLabel#title {{ font-size: {title:.1f}pt; font-weight: 600; }}
QLabel#muted {{ color: {theme.muted}; }}
QLabel#error {{ color: {theme.bad}; font-weight: 600; }}
QFrame#rule {{ background: {theme.rule}; max-height: 1px; border: none; }}
QProgressBar {{ border: none; border-radius: 3px; background: {theme.raised}; max-height: 6px; }}
QProgressBar::chunk {{ background: {theme.good}; border-radius: 3px; }}
QPushButton {{ padding: 4px 6px; background: {theme.raised}; border: none; border-radius: 3px; }}
QPushButton:hover {{ background: {theme.rule}; }}
QLineEdit {{ padding: 4px; background: {theme.raised}; border: 1px solid {theme.accent}; }}
"""
