"""What napari finds of us in its menus."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from annotate import plugin
from annotate.editing import px_from_rowcol
from annotate.sample import SAMPLE_LAYER
from bootstrap.dataset import Dataset


@pytest.fixture(scope="module")
def manifest():
    from npe2 import PluginManifest

    return PluginManifest.from_distribution("viewfinder-live")


def test_the_manifest_is_valid_and_all_it_names_exists(manifest):
    manifest.validate_imports()
    assert manifest.name == "viewfinder-live"
    contributions = manifest.contributions
    assert contributions.readers
    assert contributions.widgets
    assert contributions.sample_data


def test_the_reader_takes_data_sets_and_nothing_else(project, tmp_path):
    assert plugin.get_reader(str(project)) is plugin.read_dataset
    assert plugin.get_reader([str(project)]) is plugin.read_dataset
    assert plugin.get_reader(str(tmp_path)) is None
    assert plugin.get_reader(str(project / "dataset.json")) is None


def test_napari_reads_a_data_set_through_the_reader(project):
    from napari.components import ViewerModel
    from npe2 import PluginManager

    PluginManager.instance().discover()
    viewer = ViewerModel()
    image, points = viewer.open(str(project), plugin="viewfinder-live")
    dataset = Dataset.open(project)
    assert image.data.shape == (5, 240, 320, 3)
    np.testing.assert_array_equal(np.asarray(image.data[3]), dataset.read_image("00000003"))
    labels = dataset.labels(SAMPLE_LAYER)
    assert points.name == SAMPLE_LAYER
    mine = points.data[points.data[:, 0] == 3]
    np.testing.assert_allclose(px_from_rowcol(mine[:, 1:]), labels[3].keypoints_px, rtol=1e-6)
    assert (points.features["keypoint"][points.data[:, 0] == 3] == np.arange(478)).all()


def test_more_pictures_than_a_stack_should_hold_are_left_out_with_a_warning(project, monkeypatch):
    monkeypatch.setattr(plugin, "MAX_STACKED", 2)
    with pytest.warns(UserWarning, match="showing 2 of 5"):
        (stack, *_), (positions, *_) = plugin.read_dataset(str(project))
    assert len(stack) == 2
    assert set(positions[:, 0]) == {0, 1}


def test_the_sample_is_an_image_and_its_keypoints():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (image, image_options, kind), (points, options, points_kind) = plugin.sample_face()
    assert (kind, points_kind, image_options["rgb"]) == ("image", "points", True)
    assert points.shape == (478, 2)
    assert len(options["face_color"]) == 478
    assert (points >= 0).all()
    assert (points < np.array(image.shape[:2])).all()


def test_the_panel_opens_a_project_in_the_viewer(project, display, request):
    request.getfixturevalue("qtbot")
    from annotate.opening import make_viewer, prepare_qt

    prepare_qt()
    viewer = make_viewer("test", show=False)
    panel = plugin.annotate_panel(viewer)
    folder, _layer, annotator, start, message = panel
    folder.value = str(project / "labels")
    start.clicked.emit(True)
    assert "isn't a data set" in message.value
    folder.value, annotator.value = str(project), "ada"
    start.clicked.emit(True)
    assert message.value == "5 items"
    assert [layer.name for layer in viewer.layers] == ["picture", "keypoints"]
    panel.annotation.close()
    panel.annotation.session.close()
    viewer.close()
