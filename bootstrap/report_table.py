"""What was found as a table in the terminal: evaluations, the queue, rounds of the loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bootstrap.loop_ledger import Round
    from bootstrap.queueing import Queued


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
        for name, of in (("", ""), ("_up_to_scale", " up to scale")):
            precision = result["boxes"][f"average_precision{name}"]
            found = ", ".join(f"{value:.3f} at IoU {t}" for t, value in precision.items())
            console.print(f"average precision{of} {found}")
    if "pck" in result:
        shares = [
            f"{100 * v:.1f} % within {at} %" for at, v in result["pck"].items() if v is not None
        ]
        console.print("keypoints: " + ", ".join(shares))
    if (there := result.get("presence")) is not None:
        rates = [100 * there[name] for name in ("true_positive_rate", "false_positive_rate")]
        console.print(
            f"presence: area under the ROC {there['auc']:.4f}; above 0.5 are {rates[0]:.1f} % of "
            f"subjects and {rates[1]:.1f} % of {there['negatives']} empty crops"
        )
    if (fairness := result.get("fairness")) is not None:
        verdict = "less than" if fairness["within"] else "more than"
        console.print(
            f"groups differ by {fairness['spread']:.2f}, {verdict} annotators do "
            f"({fairness['annotators']:g})"
        )
    if (region := result.get("region")) is not None:
        off = {name: f"{at['median']:.3f} (p90 {at['p90']:.3f})" for name, at in region.items()}
        console.print(
            f"crops that follow, median: centre off by {off['centre']} of their side, size by "
            f"{off['size']}, turn by {off['angle_deg']} degrees"
        )
    counted = ("missed", "rejected", "extra", "skipped", "empty_pictures", "false_alarms")
    rest = ", ".join(f"{name.replace('_', ' ')} {result[name]}" for name in counted
                     if name in result)  # fmt: skip
    if "average_precision" in result:
        rest = f"average precision {result['average_precision']:.3f} at IoU 0.5, {rest}"
    console.print(f"{judged}; {rest}")


def _cells(estimate: dict[str, Any], decimals: int = 2) -> tuple[str, str, str]:
    low, high = estimate["interval"]
    if estimate["mean"] is None:
        return "-", "-", "0"
    mean, low, high = (f"{value:.{decimals}f}" for value in (estimate["mean"], low, high))
    return mean, f"{low} to {high}", str(estimate["n"])


def print_queue(ordered: Sequence[Queued]) -> None:
    """The head of a queue: gain, and each signal."""
    names = sorted({name for one in ordered for name in one.signals})
    table = Table(title="what to refine next", title_justify="left")
    table.add_column("sample")
    for heading in ("gain", *names):
        table.add_column(heading, justify="right")
    for one in ordered:
        values = [one.signals.get(name) for name in names]
        cells = ["-" if value is None else f"{value:.4f}" for value in values]
        table.add_row(one.sample_id, f"{one.gain:.3f}", *cells)
    Console().print(table)


def print_rounds(found: Sequence[Round]) -> None:
    """The rounds of a loop, oldest first."""
    table = Table(title="rounds of the loop", title_justify="left")
    for heading in ("round", "model", "from", "labelled", "minutes", "error %", "interval", "on"):
        table.add_column(heading, justify="left" if heading in ("model", "from", "on") else "right")
    for one in found:
        low, high = one.interval or (None, None)
        table.add_row(
            str(one.number), one.model, one.parent or "-", str(one.labelled),
            f"{one.human_minutes:.1f}", "-" if one.error is None else f"{one.error:.2f}",
            "-" if low is None else f"{low:.2f} to {high:.2f}", one.measured_on or "-",
        )  # fmt: skip
    Console().print(table)
