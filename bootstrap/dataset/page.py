"""The data card as a web page: distributions as bars, contact sheets, licences, settings.

One file without anything from elsewhere, pictures inside it; the same for the same data set.
"""

from __future__ import annotations

import base64
import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bootstrap.dataset.card import describe, flattened
from bootstrap.dataset.contact_sheet import contact_sheet
from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.measures import BLACK, WHITE, light, measures
from bootstrap.dataset.records import Label
from runtime.image import encode_image

SHEET_SAMPLES = 48
LIGHT_SAMPLES = 400
"""Pictures opened to measure light, spread evenly over the data set."""

LOST_SHARE = 20.0
"""A picture counts as lost when so many % of its subject's pixels are black or burnt out."""

_BINS = 24
_MOST_BARS = 45
_LONG_BARS = 15  # in a column; what is longer gets three columns
_MOST_GROUPS = 8

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #dcdfe4;
        --page: #fbfcfd; --bar: #3a82d0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #edeef0; --soft: #a0a6ad; --line: #32363b; --page: #15181b; --bar: #5fa5ee; } }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.2rem 4rem; background: var(--page);
       color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.9rem; margin: 0; } h2 { margin: 2.4rem 0 .6rem; font-size: 1.25rem; }
h3 { font-size: .95rem; margin: 0 0 .3rem; font-weight: 600; } .soft { color: var(--soft); }
img { max-width: 100%; border-radius: 6px; display: block; }
.grid { display: grid; gap: 1.6rem 2rem; align-items: start;
        grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
.wide { grid-column: 1 / -1; } .wide > .grid { gap: 0 2rem; }
table { border-collapse: collapse; font-size: .9rem; }
td { border-bottom: 1px solid var(--line); padding: .2rem 1rem .2rem 0; vertical-align: top; }
svg { width: 100%; display: block; overflow: visible; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; } svg rect { fill: var(--bar); }
"""


def data_page(ds: Dataset) -> str:
    """The whole page.

    Raises:
        ViewfinderError: a picture or table of the data set is damaged.
    """
    facts = describe(ds)
    parts = [
        f"<h1>{_text(facts['name'])}</h1><p class='soft'>{_text(facts['generator'])}, on "
        f"{_text(facts['device'])}: {facts['samples']:,} samples in {facts['shards']:,} shards, "
        f"{facts['bytes'] / 1e6:,.1f} MB.</p>",
        _pairs("Licences carried on", dict.fromkeys(facts["licences_inherited"], "")),
        '<p></p><div class="grid">',
        bars("Splits", facts["splits"]),
        bars("Picture sizes", facts["sizes"]),
        bars("Stored beside the pictures", facts["members"]),
        "</div>",
    ]
    samples = ds.samples()
    sizes = dict(zip(samples["sample_id"], zip(samples["width"], samples["height"])))
    for layer in ds.layers():
        parts += _layer(ds, layer, ds.labels(layer), sizes)
    parts.append(_pairs("Settings", flattened(facts["settings"])))
    parts.append(_pairs("Made with", facts["tool_versions"]))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(facts['name'])}</title><style>{_STYLE}</style>"
        + "\n".join(part for part in parts if part)
        + "</html>\n"
    )


def _layer(
    ds: Dataset, layer: str, labels: list[Label], sizes: Mapping[str, tuple[int, int]]
) -> list[str]:
    subjects = [label for label in labels if label.topology]
    counts = Counter(label.topology or "no subject" for label in labels)
    listed = ", ".join(f"{number:,} x {name}" for name, number in sorted(counts.items()))
    parts = [f"<h2>Layer {_text(layer)}</h2><p class='soft'>{_text(listed)}</p>"]
    shown = _spread_out(sorted({label.sample_id for label in labels}), SHEET_SAMPLES)
    if shown:
        jpeg = encode_image(contact_sheet(ds, layer, shown, columns=8, tile=160), ".jpg", 85)
        code = base64.b64encode(jpeg).decode()
        parts.append(f'<img alt="samples" src="data:image/jpeg;base64,{code}">')
    parts += _pictures(ds, labels)
    measured: dict[str, list[float]] = {}
    for label in subjects:
        for name, value in measures(label, *sizes[label.sample_id]).items():
            measured.setdefault(name, []).append(value)
    found = _light(ds, subjects)
    measured |= found
    if measured:
        charts = [histogram(name, values) for name, values in sorted(measured.items())]
        parts += ["<h2>Measured</h2>", _lost(found), _grid(charts)]
    parts += _charts("Attributes", _attributes(_facts(label) for label in subjects))
    return parts


def _pictures(ds: Dataset, labels: Sequence[Label]) -> list[str]:
    """How the pictures were taken, and what those without a subject show."""
    samples = ds.samples()
    wanted = {label.sample_id for label in labels}
    rows = [
        json.loads(text or "{}")
        for name, text in zip(samples["sample_id"], samples["attributes"])
        if name in wanted
    ]
    without = [dict(label.attributes) for label in labels if not label.topology]
    return _charts("Pictures", _attributes([*rows, *without]))


def _charts(title: str, attributes: Mapping[str, list[Any]]) -> list[str]:
    numbers = [name for name, values in attributes.items() if _are_measures(values)]
    groups = [_groups(name, attributes[name]) for name in attributes if name not in numbers]
    spreads = [histogram(name, attributes[name]) for name in numbers]
    if not attributes:
        return []
    return [f"<h2>{_text(title)}</h2>", _grid(groups), "<p></p>", _grid(spreads)]


def _light(ds: Dataset, subjects: Sequence[Label]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for label in _spread_out(subjects, LIGHT_SAMPLES):
        extras = ds.row(label.sample_id)["extras"] or ()
        masked = any(extra["member"].endswith(".seg.png") for extra in extras)
        shown = ds.read_segmentation(label.sample_id) > 0 if masked else None
        for name, value in light(ds.read_image(label.sample_id), label, shown).items():
            found.setdefault(name, []).append(value)
    return found


def _lost(found: Mapping[str, Sequence[float]]) -> str:
    if "black %" not in found:
        return ""
    lost = np.add(found["black %"], found["burnt out %"]) > LOST_SHARE
    return (
        f"<p class='soft'>Of {len(lost):,} subjects looked at, {int(lost.sum()):,} have more than "
        f"{LOST_SHARE:.0f} % of their pixels black (up to {BLACK} of 255) or burnt out "
        f"({WHITE} or more).</p>"
    )


def _facts(label: Label) -> dict[str, Any]:
    return {"handedness": label.handedness, "gesture": label.gesture, **label.attributes}


def _attributes(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in flattened(row).items():
            if value is not None:
                values.setdefault(name, []).append(value if value != "" else "none")
    return values


def _are_measures(values: Sequence[Any]) -> bool:
    """Whether they are numbers, other than a few whole ones that name groups."""
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        return False
    groups = len(set(values)) <= _MOST_GROUPS and all(v == round(v) for v in values)
    return not groups


def _groups(name: str, values: Sequence[Any]) -> str:
    if len(set(map(str, values))) == len(values) > _MOST_BARS:
        return ""  # one value each: a name, not a group
    return bars(name, dict(Counter(str(value) for value in values)))


def histogram(name: str, values: Sequence[float], bins: int = _BINS) -> str:
    """An SVG histogram with its least, median and greatest value.

    Args:
        name: title.
        values: at least one.
        bins: of equal width between the least and the greatest.
    """
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    if not len(array):
        return ""
    counts, _ = np.histogram(array, bins=bins)
    width, height = 300, 84
    step, top = width / bins, max(int(counts.max()), 1)
    shapes = "".join(
        f'<rect x="{i * step:.1f}" y="{height - height * count / top:.1f}" '
        f'width="{step - 1:.1f}" height="{height * count / top:.1f}">'
        f"<title>{count}</title></rect>"
        for i, count in enumerate(counts.tolist())
    )
    low, middle, high = np.percentile(array, [0, 50, 100])
    foot = height + 14
    return (
        f'<div><h3>{_text(name)}</h3><svg viewBox="0 0 {width} {height + 18}" role="img">{shapes}'
        f'<text x="0" y="{foot}">{low:.3g}</text>'
        f'<text x="{width / 2}" y="{foot}" text-anchor="middle">median {middle:.3g}</text>'
        f'<text x="{width}" y="{foot}" text-anchor="end">{high:.3g}</text></svg></div>'
    )


def bars(name: str, counts: Mapping[str, int]) -> str:
    """An SVG bar for each value, the commonest first; what is rare is summed up.

    Args:
        name: title.
        counts: value -> how often.
    """
    if not counts:
        return ""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = ranked[_MOST_BARS:]
    if rest:
        ranked = [*ranked[:_MOST_BARS], (f"{len(rest)} others", sum(n for _, n in rest))]
    top = max(number for _, number in ranked[:_MOST_BARS])
    if len(ranked) <= _LONG_BARS:
        return f"<div><h3>{_text(name)}</h3>{_column(ranked, top)}</div>"
    size = -(-len(ranked) // 3)
    columns = [_column(ranked[i : i + size], top) for i in range(0, len(ranked), size)]
    cells = "".join(f"<div>{column}</div>" for column in columns)
    return f'<div class="wide"><h3>{_text(name)}</h3><div class="grid">{cells}</div></div>'


def _column(ranked: Sequence[tuple[str, int]], top: int) -> str:
    row, width, label = 15, 300, 128
    shapes = []
    for place, (value, number) in enumerate(ranked):
        y, length = place * row, max((width - label - 44) * min(number / top, 1), 1)
        shapes.append(
            f'<text x="0" y="{y + 11}">{_text(_short(value))}</text>'
            f'<rect x="{label}" y="{y + 3}" width="{length:.1f}" height="{row - 5}"/>'
            f'<text x="{label + length + 5:.1f}" y="{y + 11}">{number:,}</text>'
        )
    drawn = "".join(shapes)
    return f'<svg viewBox="0 0 {width} {row * len(ranked)}" role="img">{drawn}</svg>'


def _pairs(title: str, values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    rows = "".join(
        f"<tr><td>{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in values.items()
    )
    return f"<h2>{_text(title)}</h2><table>{rows}</table>"


def _grid(charts: Sequence[str]) -> str:
    return '<div class="grid">' + "".join(charts) + "</div>"


def _spread_out(items: Sequence[Any], most: int) -> list[Any]:
    if len(items) <= most:
        return list(items)
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, most).round()]


def _short(value: str, letters: int = 19) -> str:
    return value if len(value) <= letters else value[: letters - 1] + "…"


def _text(value: object) -> str:
    return html.escape(str(value))
