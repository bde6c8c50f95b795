"""An evaluation as a table in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def print_evaluation(result: dict[str, Any]) -> None:
    """Print what `Evaluation.to_json` gives: overall first, then parts or groups."""
    table = Table(title=result["metric"], title_justify="left")
    table.add_column("")
    for heading in ("mean", "95 % interval", "subjects"):
        table.add_column(heading, justify="right")
    table.add_row("all", *_cells(result), style="bold", end_section=True)
    for name, estimate in result["by"].items():
        table.add_row(name, *_cells(estimate))
    if "six_point" in result:
        table.add_section()
        table.add_row("six points by outer eye corners", *_cells(result["six_point"]))
    for name, estimate in result.get("boxes", {}).items():
        if isinstance(estimate, dict) and "interval" in estimate:
            table.add_row(name.replace("_", " "), *_cells(estimate, 3))
    if "against" in result:
        other = result["against"]
        table.add_section()
        table.add_row(f"against {Path(other['file']).name}", *_cells(other))
        table.add_row("difference (negative: better)", *_cells(other["difference"]))
    console = Console()
    console.print(table)
    judged = "crops around the truth" if result["crop"] == "truth" else "the whole pipeline"
    if "boxes" in result:
        precision = result["boxes"]["average_precision"]
        found = ", ".join(f"{value:.3f} at IoU {t}" for t, value in precision.items())
        console.print(f"average precision {found}")
    counts = {name: result[name] for name in ("missed", "rejected", "extra", "skipped")
              if name in result}  # fmt: skip
    rest = ", ".join(f"{name} {count}" for name, count in counts.items())
    if "average_precision" in result:
        rest = f"average precision {result['average_precision']:.3f} at IoU 0.5, {rest}"
    console.print(f"{judged}; {rest}")


def _cells(estimate: dict[str, Any], decimals: int = 2) -> tuple[str, str, str]:
    low, high = estimate["interval"]
    if estimate["mean"] is None:
        return "-", "-", "0"
    mean, low, high = (f"{value:.{decimals}f}" for value in (estimate["mean"], low, high))
    return mean, f"{low} to {high}", str(estimate["n"])
