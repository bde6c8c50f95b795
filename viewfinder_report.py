"""The demo's report: one HTML file beside its pictures, readable without a network."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #dcdfe4;
        --page: #fbfcfd; --accent: #0b68cb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #edeef0; --soft: #a0a6ad; --line: #32363b; --page: #15181b; --accent: #70b8ff; } }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.2rem 4rem; background: var(--page);
       color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.9rem; margin: 0 0 .2rem; } h2 { margin: 2.6rem 0 .4rem; font-size: 1.25rem; }
p { max-width: 46rem; } .soft { color: var(--soft); }
figure { margin: .8rem 0; } figcaption { color: var(--soft); font-size: .88rem; margin-top: .3rem; }
img, video { max-width: 100%; border-radius: 6px; display: block; }
.row { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .9rem .3rem 0; text-align: left; }
td.number, th.number { text-align: right; }
code, pre { font: .86rem/1.5 ui-monospace, monospace; }
pre { background: color-mix(in srgb, var(--ink) 6%, transparent); padding: .6rem .8rem;
      border-radius: 6px; overflow-x: auto; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
"""


@dataclass
class Report:
    """Collects sections in order and writes them as one page.

    Attributes:
        folder: where the page goes; pictures are linked relative to it.
        title: of the page.
        lead: the paragraph below the title.
    """

    folder: Path
    title: str
    lead: str
    _parts: list[str] = field(default_factory=list)

    def section(self, title: str, text: str = "") -> None:
        """A heading and a paragraph."""
        self._parts.append(f"<h2>{html.escape(title)}</h2>")
        if text:
            self.text(text)

    def text(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def command(self, *lines: str) -> None:
        """Commands a reader can type."""
        self._parts.append(f"<pre>{html.escape(chr(10).join(lines))}</pre>")

    def pictures(self, *pictures: tuple[Path, str]) -> None:
        """Pictures or clips with captions, side by side where there is room."""
        figures = []
        for path, caption in pictures:
            source = html.escape(path.relative_to(self.folder).as_posix())
            if path.suffix in (".webm", ".mp4"):
                shown = f'<video src="{source}" controls loop muted autoplay></video>'
            else:
                shown = f'<img src="{source}" alt="{html.escape(caption)}" loading="lazy">'
            figures.append(
                f"<figure>{shown}<figcaption>{html.escape(caption)}</figcaption></figure>"
            )
        row = ' class="row"' if len(figures) > 1 else ""
        self._parts.append(f"<div{row}>{''.join(figures)}</div>")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table; numbers are set to the right."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
        body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
        self._parts.append(f"<table><tr>{head}</tr>{body}</table>")

    def curve(self, points: Sequence[tuple[float, float]], x_name: str, y_name: str) -> None:
        """A line through (x, y), y on a logarithmic axis."""
        self._parts.append(curve_svg(points, x_name, y_name))

    def write(self) -> Path:
        """Write `report.html` and return its path."""
        page = (
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style>"
            f"<h1>{html.escape(self.title)}</h1><p class='soft'>{html.escape(self.lead)}</p>"
            + "\n".join(self._parts)
            + "</html>\n"
        )
        path = self.folder / "report.html"
        path.write_text(page, encoding="utf-8")
        return path


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'<td class="number">{value:.2f}</td>'
    number = ' class="number"' if isinstance(value, int) else ""
    return f"<td{number}>{html.escape(str(value))}</td>"


def curve_svg(
    points: Sequence[tuple[float, float]],
    x_name: str,
    y_name: str,
    size: tuple[int, int] = (720, 260),
) -> str:
    """An SVG line chart with a logarithmic y axis.

    Args:
        points: (x, y) with y > 0; others are left out.
        x_name: label below.
        y_name: label of the vertical axis.
        size: width and height in CSS pixels.
    """
    usable = [(x, y) for x, y in points if y > 0 and math.isfinite(y)]
    if len(usable) < 2:
        return "<p class='soft'>Too few points for a curve.</p>"
    width, height = size
    left, right, top, bottom = 56, width - 12, 14, height - 34
    xs, ys = zip(*usable, strict=True)
    x_span = (max(xs) - min(xs)) or 1.0
    low, high = math.log10(min(ys)), math.log10(max(ys))
    y_span = (high - low) or 1.0

    def place(x: float, y: float) -> str:
        px = left + (x - min(xs)) / x_span * (right - left)
        py = bottom - (math.log10(y) - low) / y_span * (bottom - top)
        return f"{px:.1f},{py:.1f}"

    ticks = []
    for k in range(4):
        value = 10 ** (low + y_span * k / 3)
        y = bottom - (bottom - top) * k / 3
        ticks.append(
            f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>'
            f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )
    for k in range(5):
        x = left + (right - left) * k / 4
        value = min(xs) + x_span * k / 4
        ticks.append(f'<text x="{x:.1f}" y="{height - 16}" text-anchor="middle">{value:.0f}</text>')
    line = " ".join(place(x, y) for x, y in usable)
    middle = (left + right) / 2
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" style="max-width:{width}px;width:100%">'
        + "".join(ticks)
        + f'<polyline points="{line}" fill="none" stroke="var(--accent)" stroke-width="1.8"/>'
        + f'<text x="{middle}" y="{height - 1}" text-anchor="middle">{html.escape(x_name)}</text>'
        + f'<text x="{left}" y="{top - 4}">{html.escape(y_name)}</text></svg>'
    )
