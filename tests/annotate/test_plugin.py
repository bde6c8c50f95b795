"""What napari finds of us in its menus."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from annotate import plugin
from annotate.editing import px_from_rowcol
from annotate.plugin_writer import write_keypoints
from annotate.sample import SAMPLE_LAYER
from annotate.session import AnnotationSession
from bootstrap.dataset import Dataset
from runtime.errors import ViewfinderError


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
    assert contributions.writers
    (menu,) = contributions.menus
    from napari._app_model.constants._menus import is_menu_contributable

    assert is_menu_contributable(menu)


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


def opened(project):
    from napari.components import ViewerModel
    from npe2 import PluginManager

    PluginManager.instance().discover()
    viewer = ViewerModel()
    _, points = viewer.open(str(project), plugin="viewfinder-live")
    return viewer, points


def kinds(session):
    """What was done, but for where items started."""
    return [r.kind for r in session.store.revisions() if r.kind != "start"]


def row_of(points, picture, keypoint):
    features = points.features
    where = (points.data[:, 0] == picture) & (features["keypoint"] == keypoint).to_numpy()
    (row,) = np.flatnonzero(where)
    return row


def test_keypoints_moved_with_napari_s_tools_are_saved_as_an_annotator_s_work(project):
    _, points = opened(project)
    before = Dataset.open(project).labels(SAMPLE_LAYER)
    moved, gone = row_of(points, 3, 33), row_of(points, 1, 7)
    data = points.data.copy()
    data[moved, 1:] += [2.5, -4.0]
    points.data = data
    points.selected_data = {int(gone)}
    points.remove_selected()
    (folder,) = points.save(str(project / "kim.viewfinder"))
    assert folder == str(project / "labels" / "human" / "kim")
    assert not (project / "kim.viewfinder").exists()
    labels = {label.sample_id: label for label in Dataset.open(project).labels("human/kim")}
    assert sorted(labels) == ["00000001", "00000003"]  # what wasn't touched isn't exported
    shift = labels["00000003"].keypoints_px - before[3].keypoints_px
    np.testing.assert_allclose(shift[33], [-4.0, 2.5], atol=1e-3)
    assert np.abs(np.delete(shift, 33, axis=0)).max() < 1e-3
    assert labels["00000001"].visibility[7] == 0
    assert (np.delete(labels["00000001"].visibility, 7) == 2).all()
    with AnnotationSession.open(project, annotator="kim") as session:
        assert kinds(session) == ["edit", "edit"]  # one each, and undo takes them back
        session.undo()
        session.undo()
        assert session.progress().edited == 0
    points.save(str(project / "kim.viewfinder"))
    points.save(str(project / "kim.viewfinder"))
    with AnnotationSession.open(project, annotator="kim") as session:
        assert kinds(session) == [
            "edit",
            "edit",
            "undo",
            "undo",
            "edit",
            "edit",
        ]  # and then no more


def test_what_isn_t_a_data_set_s_is_refused(project, tmp_path):
    _, points = opened(project)
    with pytest.raises(ViewfinderError, match="isn't a data set"):
        points.save(str(tmp_path / "elsewhere" / "kim.viewfinder"))
    points.add([0.0, 3.0, 4.0])
    with pytest.raises(ViewfinderError, match="keypoint"):
        points.save(str(project / "kim.viewfinder"))
    _, others, kind = plugin.sample_face()[1]
    assert kind == "points"
    with pytest.raises(ViewfinderError, match="aren't a data set's"):
        write_keypoints(str(project / "kim.viewfinder"), np.zeros((1, 3)), others)
    assert "human/kim" not in Dataset.open(project).layers()


def test_the_menu_s_entry_opens_the_panel_and_that_a_project(project, display, request):
    request.getfixturevalue("qtbot")
    from napari._app_model import get_app_model

    from annotate.opening import make_viewer, prepare_qt

    prepare_qt()
    viewer = make_viewer("test", show=False)
    app = get_app_model()
    entries = [
        item.command.id
        for item in app.menus.get_menu("napari/layers/annotate")
        if hasattr(item, "command")
    ]
    assert "viewfinder-live.show_panel" in entries
    app.commands.execute_command("viewfinder-live.show_panel").result()
    (panel,) = [
        widget
        for name, widget in viewer.window.dock_widgets.items()
        if "Annotate keypoints" in name
    ]
    folder, _layer, annotator, start, message = panel
    folder.value, annotator.value = str(project), "ada"
    start.clicked.emit(True)  # in napari's own hands, which hold back what is private
    assert message.value == "5 items"
    assert [layer.name for layer in viewer.layers] == ["picture", "keypoints"]
    panel.annotation.close()
    panel.annotation.session.close()
    viewer.close()


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
    panel = plugin.AnnotatePanel(viewer)
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
