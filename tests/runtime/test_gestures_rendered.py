"""One's own gestures the whole way: rendered hands, found by MediaPipe's models, then learned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from runtime.model_commands import models_app

pytestmark = pytest.mark.long

WANTED = {
    "open": ("open_palm", "spread", "flat", "pairs"),
    "closed": ("fist", "fist_thumb_beside", "thumb_up", "point_bent"),
}
OF_EACH = 16


def render(folder: Path) -> None:
    """Hands seen from any side, of any size of person and tone of skin."""
    from render.hand_render import HandRenderer
    from render.settings import ONE_HAND, RenderSettings

    renderer = HandRenderer(RenderSettings(seed=11, size=224, shares=ONE_HAND), threads=0)
    done = dict.fromkeys(WANTED, 0)
    index = 0
    while min(done.values()) < OF_EACH:
        shape = renderer.draw(index)[0].pose.gesture
        for name, shapes in WANTED.items():
            if shape in shapes and done[name] < OF_EACH:
                (folder / name).mkdir(parents=True, exist_ok=True)
                (folder / name / f"{index}.jpg").write_bytes(renderer.render(index)[0].image)
                done[name] += 1
        index += 1
    renderer.close()


def test_rendered_hands_teach_gestures(tmp_path: Path, mediapipe_models: None) -> None:
    pytest.importorskip("bpy", reason="needs bpy to render hands")
    render(tmp_path / "mine")
    out = tmp_path / "mine.json"
    words = ["train-gestures", str(tmp_path / "mine"), "--out", str(out)]
    result = CliRunner().invoke(
        models_app, [*words, "--models", "mediapipe", "--json"], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0, (result.output, result.exception)
    facts = json.loads(result.stdout)
    # Hands seen end on or from their edge aren't all found.
    assert sum(facts["gestures"].values()) > 1.2 * OF_EACH
    assert facts["left_out_accuracy"] > 0.8
    assert facts["confusion"]["counts"][0][1] <= 1, "closed hands called open"
