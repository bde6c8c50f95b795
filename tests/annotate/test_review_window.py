"""A review in a real window, with real keys."""

from __future__ import annotations

import numpy as np
import pytest

from annotate.contours import contour_points
from annotate.editing import rowcol_from_px
from annotate.review import ReviewSession
from annotate.store import STORE_NAME, AnnotationStore
from annotate.theme import THEMES
from bootstrap.dataset import Dataset
from tests.annotate.hand import Hand
from tests.annotate.test_agreement import shifted_work


@pytest.fixture
def review(window, request, project):
    """Three items that ada and bob see up to 6 pixels apart."""
    shifted_work(project, "ada", 0.001, [0], range(3))
    for item, shift in ((0, 2.0), (1, 6.0), (2, 4.0)):
        shifted_work(project, "bob", shift, range(478), [item])
    bot = request.getfixturevalue("qtbot")
    with ReviewSession.open_review(project, "kim") as session:
        window.show_session(session)
        bot.wait(30)
        yield Hand(bot, window.viewer, window, session)
        window.reviewing.begin(None)


def stored(hand):
    path = hand.session.dataset.root / STORE_NAME
    with AnnotationStore.open(path, "kim", review=True) as store:
        return store.document(hand.session.item.key)


def seen(hand):
    hand.bot.wait(30)
    return hand.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


def test_a_review_by_keys_from_the_first_look_to_the_layer(review):
    (_, ada), (_, bob) = review.session.works
    review.key("2")
    np.testing.assert_array_equal(stored(review).keypoints_px, bob.keypoints_px)
    review.key("1", "Control")
    active = list(contour_points(bob.topology, review.window.canvas.active))
    np.testing.assert_array_equal(
        review.session.document.keypoints_px[active], ada.keypoints_px[active]
    )
    review.key("Z", "Control")
    np.testing.assert_array_equal(stored(review).keypoints_px, bob.keypoints_px)
    review.key("1")
    np.testing.assert_array_equal(review.drawn_px(), ada.keypoints_px)
    review.key("3")
    np.testing.assert_allclose(
        stored(review).keypoints_px, (ada.keypoints_px + bob.keypoints_px) / 2
    )
    assert stored(review).status == "open"
    first = review.session.item.key.sample_id
    review.key("Return")
    assert review.session.index == 1
    review.key("E", "Control")
    (label,) = Dataset.open(review.session.dataset.root).labels("consensus")
    assert (label.sample_id, label.attributes["status"]) == (first, "done")


def test_both_are_laid_over_in_their_colours_then_blinked_then_hidden(review):
    (_, ada), (_, bob) = review.session.works
    nose = 4
    laid = seen(review)

    def near(document, image):
        """Pixels around a keypoint of somebody's."""
        place = review.position(*document.keypoints_px[nose])
        scale = image.shape[1] / review.native.width()
        x, y = round(place.x() * scale), round(place.y() * scale)
        return image[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3)

    blue, orange = np.array([0x35, 0xD0, 0xFF]), np.array([0xFF, 0xA5, 0x3D])
    assert np.abs(near(ada, laid) - blue).sum(axis=1).min() < 60
    assert np.abs(near(bob, laid) - orange).sum(axis=1).min() < 60
    review.key("B")
    review.window.reviewing._timer.stop()  # a slow machine's clock must not blink in between
    assert review.window.reviewing.mode == "blinked"
    first = seen(review)
    review.window.reviewing.turn()
    second = seen(review)
    assert np.abs(near(ada, first) - blue).sum(axis=1).min() < 60
    assert np.abs(near(ada, second) - blue).sum(axis=1).min() > 60
    assert np.abs(near(bob, second) - orange).sum(axis=1).min() < 60
    assert not review.window.canvas.points.visible
    review.key("B")
    hidden = seen(review)
    assert review.window.canvas.points.visible
    assert np.abs(near(ada, hidden) - blue).sum(axis=1).min() > 60
    review.key("B")
    np.testing.assert_array_equal(seen(review), laid)


def test_the_panel_says_who_is_who_and_how_far_apart(review):
    text = review.window.reviewing.text(THEMES["dark"].muted)
    assert "1&nbsp;ada" in text
    assert "2&nbsp;bob" in text
    assert f"{100 * review.session.apart()['all']:.2f} % apart" in text
    assert review.window.panel._review.isVisible()


def test_without_a_review_its_keys_do_nothing(hand):
    before = rowcol_from_px(hand.session.document.keypoints_px)
    for key in "B123":
        hand.key(key)
    np.testing.assert_array_equal(hand.window.canvas.points.data, before)
    assert hand.session.store.revisions() == []
    assert not hand.window.panel._review.isVisible()
