"""Folders: a write succeeds whole or leaves what was there; a model that is not found says what is."""

import os
import time

import pytest
from pictures import touch

from pixace.errors import ConfigError, PixaceError
from pixace.folders import LEFT_BEHIND_S, cache_folder, model_folder, name_folder, staging_folder, write_atomically


@pytest.fixture
def old(tmp_path):
    """A file that stands in a folder of its own."""
    path = tmp_path / "folder" / "a.txt"
    touch(tmp_path, "folder/a.txt")
    return path


def test_write_makes_folders_and_replaces_in_one_step(tmp_path, old):
    (tmp_path / "same file").hardlink_to(old)
    for path in (old, tmp_path / "new" / "folder" / "b.txt"):
        write_atomically(path, lambda beside: beside.write_text("new"))
        assert path.read_text() == "new"
        assert os.listdir(path.parent) == [path.name]
    assert (tmp_path / "same file").read_text() == "x"


def test_temporary_file_lies_beside_with_the_same_ending_and_is_hidden(old):
    seen = []
    write_atomically(old, lambda beside: seen.append(beside))
    assert (seen[0].parent, seen[0].suffix, seen[0].name[0]) == (old.parent, ".txt", ".")


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_rights_follow_the_umask(old, umask):
    before = os.umask(umask)
    try:
        write_atomically(old, lambda beside: beside.write_text("new"))
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert old.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(28, "No space left on device"), PixaceError, r"cannot write .*a\.txt: No space left on device"),
        (OSError("a format's own words"), PixaceError, r"cannot write .*a\.txt: a format's own words"),
        (ConfigError("my words"), ConfigError, "^my words$"),
        (ZeroDivisionError("a mistake"), ZeroDivisionError, "^a mistake$"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "^stop$"),
    ],
)
def test_failing_write_keeps_the_old_file_and_leaves_no_temporary(old, error, kind, words):
    def write(beside):
        beside.write_text("half")
        raise error

    with pytest.raises(kind, match=words):
        write_atomically(old, write)
    assert os.listdir(old.parent) == ["a.txt"] and old.read_text() == "x"


def test_unwritable_place_is_an_error(tmp_path, old):
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    for path in (old / "b.txt", tmp_path / "taken"):
        with pytest.raises(PixaceError, match="cannot write"):
            write_atomically(path, lambda beside: beside.write_text("new"))
    assert sorted(os.listdir(tmp_path)) == ["folder", "taken"]
    assert old.read_text() == "x"


def test_model_is_found_by_name_or_path(tmp_path, monkeypatch):
    touch(tmp_path, "weights/a/config.json", "a/config.json", "elsewhere/config.json")
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "weights"
    assert model_folder("a", weights) == weights / "a"  # in front of ./a
    assert model_folder("elsewhere", weights) == (tmp_path / "elsewhere").relative_to(tmp_path)
    assert model_folder(tmp_path / "a", weights) == tmp_path / "a"


def test_missing_model_names_what_is_there(tmp_path):
    touch(tmp_path, "weights/b/config.json", "weights/a/config.json", "weights/torn/weights.safetensors", "file")
    for name, words in (
        ("c", r"no model 'c' \(models in .*weights: a, b\)"),
        ("torn", r"torn has no config\.json"),
        (tmp_path / "file", r"file is no file of a model; one is a folder with"),
    ):
        with pytest.raises(PixaceError, match=words):
            model_folder(name, tmp_path / "weights")
    with pytest.raises(PixaceError, match=r"there is no model in .*none"):
        model_folder("c", tmp_path / "none")


def test_cache_honours_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PIXACE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / "home" / ".cache" / "pixace"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "pixace"
    monkeypatch.setenv("PIXACE_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


def test_a_staging_folder_lies_beside_and_is_gone_afterwards(tmp_path):
    target = tmp_path / "new" / "model"
    with staging_folder(target) as staging:
        assert staging.parent == target.parent and staging.name.startswith(".")
        (staging / "a").write_text("x")
        name_folder(staging, target)
    assert sorted(os.listdir(tmp_path / "new")) == ["model"] and (target / "a").read_text() == "x"
    with pytest.raises(KeyboardInterrupt), staging_folder(tmp_path / "other" / "model"):
        raise KeyboardInterrupt
    assert sorted(os.listdir(tmp_path)) == ["new"]


def test_errors_name_the_folder_and_not_where_it_was_filled(tmp_path):
    with pytest.raises(PixaceError) as caught, staging_folder(tmp_path / "model") as staging:
        write_atomically(staging / "taken" / ".." / "missing" / ("x" * 300), lambda path: None)
    assert str(tmp_path / "model") in str(caught.value) and ".pixace-" not in str(caught.value)


def test_what_a_killed_process_left_long_ago_is_removed(tmp_path):
    old, new = tmp_path / ".pixace-1-old", tmp_path / ".pixace-2-new"
    touch(tmp_path, ".pixace-1-old/weights", ".pixace-2-new/weights", ".other/weights", "model/weights")
    os.utime(old, (time.time() - LEFT_BEHIND_S - 60,) * 2)
    with staging_folder(tmp_path / "b"):
        assert not old.exists() and new.exists()
    assert sorted(os.listdir(tmp_path)) == [".other", ".pixace-2-new", "model"]
