"""The file of keys: what it may say, what it is told, and that defaults give way."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.actions import Actions
from annotate.keys import (
    ACTIONS,
    Settings,
    key_name,
    key_text,
    place_for_people,
    read_settings,
    remember_looks,
    settings_path,
    write_settings_template,
)
from runtime.errors import ViewfinderError


@pytest.fixture
def file(tmp_path):
    return tmp_path / "annotate.yaml"


def test_every_action_has_a_key_of_its_own_and_something_that_runs():
    keys = [key for action in ACTIONS for key in action.keys]
    assert len(keys) == len(set(keys))
    assert all(key_name(key) == key for key in keys)
    assert all(callable(getattr(Actions, action.name)) for action in ACTIONS)
    assert len(Settings().by_key()) == len(keys)


def test_the_template_says_what_holds_without_it(file, tmp_path, monkeypatch):
    monkeypatch.setenv("VIEWFINDER_HOME", str(tmp_path / "home"))
    assert settings_path() == tmp_path / "home" / "config" / "annotate.yaml"
    assert read_settings(file) == Settings()
    assert write_settings_template(settings_path())
    found = read_settings(settings_path())
    assert dict(found.keys) == dict(Settings().keys)
    assert dict(found.box_keys) == dict(Settings().box_keys)
    settings_path().write_text("theme: light\n")
    assert not write_settings_template(settings_path())  # what is there stays
    assert read_settings(settings_path()).theme == "light"


@pytest.mark.parametrize(
    "before",
    [
        None,
        "",
        "theme: dark        # dark or light\nfont_scale: 1.0    # 0.7 to 2.0\nkeys:\n  flag: [B]\n",
        "# mine\nkeys: {flag: B}\n",
        "font_scale: 2\n",
    ],
)
def test_theme_and_text_size_are_remembered_and_all_else_stays(tmp_path, before):
    path = tmp_path / "config" / "annotate.yaml"
    if before is not None:
        path.parent.mkdir()
        path.write_text(before)
    keys = dict(read_settings(path).keys)
    for theme, scale in (("light", 1.21), ("dark", 0.7)):
        remember_looks(path, theme, scale)
        found = read_settings(path)
        assert (found.theme, found.font_scale) == (theme, scale)
        assert dict(found.keys) == keys
    assert sorted(re.findall("#.*", path.read_text())) == sorted(re.findall("#.*", before or ""))


def test_settings_that_can_t_be_remembered_are_left_alone(tmp_path):
    path = tmp_path / "annotate.yaml"
    path.write_text("{font_scale: 1.0}\n")
    with pytest.raises(ViewfinderError):
        remember_looks(path, "light", 1.0)
    assert path.read_text() == "{font_scale: 1.0}\n"


def test_places_are_shown_without_a_user_s_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert place_for_people(tmp_path / ".config" / "a.yaml") == "~/.config/a.yaml"
    assert place_for_people(tmp_path.parent / "a.yaml") == str(tmp_path.parent / "a.yaml")


def test_a_key_moves_and_the_default_on_it_gives_way(file):
    file.write_text("keys:\n  accept: [Space, ctrl+return]\n  flag: b\nfont_scale: 1.3\n")
    found = read_settings(file)
    assert found.keys["accept"] == ("Space", "Ctrl+Enter")
    assert found.keys["flag"] == ("B",)
    assert found.keys["right"] == ()  # it was on Space
    assert found.by_key()["Space"] == "accept"
    assert found.font_scale == 1.3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("keys: {accept: G, flag: g}", "one key on two actions"),
        ("keys: {acept: G}", "unknown action"),
        ("keys: {accept: Hyper+G}", "no such key"),
        ("keys: {accept: ''}", "no such key"),
        ("keys: [G]", "actions and their keys"),
        ("theme: pink", "unknown theme"),
        ("font_scale: 9", "no such size"),
        ("font_scale: yes", "no such size"),
        ("colour: red", "unknown setting"),
        ("- a\n- b", "unknown setting"),
        ("keys: {accept: [", "isn't YAML"),
        ("!!python/object/apply:os.system [ls]", "isn't YAML"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(file, text, told):
    file.write_text(text)
    with pytest.raises(ViewfinderError, match=told) as caught:
        read_settings(file)
    assert str(file) in str(caught.value)


def test_a_file_that_cannot_be_read_or_is_no_text_is_told(file, tmp_path):
    file.write_bytes(b"\xff\xfe\x00keys")
    with pytest.raises(ViewfinderError):
        read_settings(file)
    with pytest.raises(ViewfinderError, match="can't be read"):
        read_settings(tmp_path)


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="ignore")
    with contextlib.suppress(ViewfinderError):
        assert set(read_settings(path).keys) == {action.name for action in ACTIONS}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("g", "G"),
        ("shift+ctrl+z", "Ctrl+Shift+Z"),
        ("Return", "Enter"),
        ("shift+?", "?"),
        ("ctrl++", "Ctrl++"),
        ("Ctrl+-", "Ctrl+-"),
        ("f5", "F5"),
    ],
)
def test_keys_are_written_one_way(written, name):
    assert key_name(written) == name
    assert key_name(name) == name


@pytest.mark.parametrize("written", ["", "+", "Super+A", "ab", "Ctrl+"])
def test_what_is_no_key_is_refused(written):
    if written == "+":
        assert key_name(written) == "+"
    else:
        with pytest.raises(ValueError):  # noqa: PT011
            key_name(written)


def test_arrows_are_shown_as_arrows():
    assert key_text("Ctrl+Left") == "Ctrl+←"
    assert key_text("-") == "-"
