"""The index of what can be downloaded, names and addresses, and the table of it."""

import re
from pathlib import Path

import pytest
from published import network
from test_cli import answer
from test_export_command import make

from pixace.checkpoints import load_config
from pixace.zoo import index
from pixace.zoo.download import network_files
from pixace.zoo.index import File, find_entry, folder_name, models


def test_names_of_folders_come_from_the_last_part():
    assert folder_name("hf:a/b.c@main") == "b.c" and folder_name("https://h/x/y/") == "y"
    assert folder_name("https://h/a%20b.safetensors") == "a b" and folder_name("vgg19") == "vgg19"
    assert find_entry("https://huggingface.co/a/b").source == "hf:a/b"
    slugs = [find_entry(f"https://h/{path}").name for path in ("a/b", "a-b", "ä", "../../x", "x" * 300)]
    assert len(set(slugs)) == 5 and all(re.fullmatch(r"[\w-][\w.-]{0,80}", slug, re.ASCII) for slug in slugs)


def test_the_index_is_sound():
    found = models()
    assert {"emoji", "animalfaces", "vgg19", "vgg16", "clip-vit-b32"} <= {entry.name for entry in found}
    assert len({entry.name for entry in found}) == len(found)
    for entry in found:
        assert entry.kind in ("model", "network") and entry.what and entry.licence, entry.name
        known = entry.source == "embedded" or entry.source.startswith("drive:") or index.HUB.fullmatch(entry.source)
        checked = entry.source.startswith("https://") and all(file.sha256 for file in entry.files or ())
        assert known or checked, entry.name
        assert entry.files or entry.source == "embedded"
        pinned = any(file.sha256 or file.size for file in entry.files or ()) or "@" in entry.source
        assert entry.seen or not pinned, f"{entry.name} pins what nobody is named to have seen"
        for file in entry.files or ():
            assert Path(file.name).name == file.name and (file.sha256 is None or index.SHA256.fullmatch(file.sha256))


def test_the_table_shows_name_size_licence_and_what_is_here(server, here, monkeypatch, capsys):
    code, out, _ = answer(capsys, "download", "--list")
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert code == 0 and all(entry.name in lines for entry in models())
    assert re.search(r" 575 MB +BSD-3-Clause +no +VGG19", lines["vgg19"]) and "--dataset=emoji" in lines
    make(here / "model-weights", "one")
    (here / "model-weights" / "one").rename(here / "model-weights" / "animalfaces")
    assert "model-weights/animalfaces" in answer(capsys, "download", "--list")[1]
    network(monkeypatch, server, File("w"))
    monkeypatch.setattr("pixace.zoo.listing.models", lambda: [find_entry("net")])
    server.put("/net/w", b"x")
    assert "in the cache" not in answer(capsys, "download", "--list")[1]
    network_files("net")
    assert "in the cache" in answer(capsys, "download", "--list")[1]


def test_an_embedded_model_is_copied_into_the_weights(here, monkeypatch, capsys):
    model = make(here / "package", "one", "base").rename(here / "package" / "emoji")
    monkeypatch.setattr("pixace.zoo.download.EMBEDDED", here / "nothing")
    code, _, err = answer(capsys, "download", "emoji")
    assert code == 1 and "comes without its model emoji" in err
    monkeypatch.setattr("pixace.zoo.download.EMBEDDED", here / "package")
    assert answer(capsys, "download", "emoji", "--offline")[0] == 0
    assert load_config(here / "model-weights" / "emoji") == load_config(model)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "which model?"),
        (["vgg19", "vgg16", "--model_name=x"], "one name for 2 models"),
        (["animalfaces", "--checkpoint=other"], "--checkpoint=other"),
        (["animalfaces", "--model_name=a/b"], "must be a plain name"),
        (["--dataset=emoji", "vgg19"], "it takes no model"),
        (["--dataset=faces"], "--dataset=faces is not known; there is emoji"),
        (["--dataset=emoji", "--weights_dir=x"], "none of --model_name"),
        (["https://[::1/m"], "no address of a model"),
        (["http://localhost:abc/m"], "no address of a model"),
        (["vgg19", "--archive=x.zip"], "--archive is for pictures"),
        (["vgg19", "--out=x"], "--out is for pictures"),
    ],
)
def test_flags_that_do_not_fit_are_told(here, capsys, flags, said):
    code, out, err = answer(capsys, "download", *flags)
    assert code == 2 and out == "" and said in err and not (here / "model-weights").exists()
