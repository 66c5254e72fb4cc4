"""What the results of a guide are called, and the record that makes them again."""

import dataclasses
import io
import json
import sys
from pathlib import Path

import pytest
from guide_files import EVERYTHING, plain

from pixace.errors import ConfigError
from pixace.guide.outputs import record, unused
from pixace.guide.reading import read_again, read_guides


@pytest.mark.parametrize(
    ("named", "output", "name"),
    [
        (None, None, "./b.png"),
        ("here/", None, "here/b.png"),
        ("here/b", None, "here/b.png"),
        ("here/b.jpg", None, "here/b.jpg"),
        ("here/c.jpg", "there/", "there/c.jpg"),
        ("here/c.jpg", "foo", "foo.png"),
        (None, "there/", "there/b.png"),
        (None, "c.webp", "c.webp"),
        (5, None, "5.png"),
    ],
)
def test_outputs_are_named_after_the_last_file(guide, named, output, name):
    assert guide("output: other/", f"output: {named}" if named else "", output=output).base_name == name


def test_standard_input_is_a_file_named_dash(here, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"epochs: 5\n")))
    read = read_guides(["-"])
    assert (read.guide.epochs, read.base_name) == (5, "./output.png")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"epoch: 5\n")))
    with pytest.raises(ConfigError, match=r"^standard input: epoch: unknown key"):
        read_guides(["-"])


def test_outputs_with_an_unknown_ending_are_refused_before_any_work(guide):
    with pytest.raises(ConfigError, match=r"\.doc"):
        guide("", output="a.doc")
    assert guide("output: a.doc", overrides={"output": "a.webp"}).base_name == "a.webp"


def test_no_file_is_ever_overwritten(here):
    assert unused("demo.png") == here / "demo.png"
    Path("demo-1.png").touch()
    assert unused("demo.png") == here / "demo.png"
    Path("demo.png").touch()
    assert unused("demo.png") == here / "demo-2.png"
    Path("demo-7.txt").touch()
    assert unused("demo.png") == here / "demo-8.png"
    assert unused("demo-1.png") == here / "demo-8.png"
    assert unused("deep/demo.png") == here / "deep" / "demo.png"


def test_a_record_makes_the_same_run_again(guide, here):
    read = guide(EVERYTHING)
    text = record(read.document, {"made": "today", "epochs": "50 of 50", "table": "a\nb"}, here / "out.png")
    assert text.startswith("# made: today\n# epochs: 50 of 50\n# table: a\n# table: b\n")
    assert "image: start.png" in text and "- &" not in text
    Path("out.yaml").write_text(text)
    again = read_guides(["out.yaml"])
    assert plain(dataclasses.replace(again.guide, output=None)) == plain(read.guide)
    assert again.guide.output == again.base_name == str(here / "out.png")
    assert record(again.document, {}, here / "out.png") == record(read.document, {}, here / "out.png")
    assert again.warnings == []


def test_a_record_elsewhere_needs_leave_to_read_the_pictures(guide, here):
    text = record(guide(EVERYTHING).document, {}, here / "deep" / "out.png")
    (here / "deep").mkdir()
    Path("deep/out.yaml").write_text(text)
    with pytest.raises(ConfigError, match="outside"):
        read_guides(["deep/out.yaml"])
    assert read_guides(["deep/out.yaml"], folders=["."]).guide.init.image == str(here / "start.png")


def test_what_was_read_is_read_again_from_its_document(guide, here):
    read = guide(EVERYTHING)
    document = json.loads(json.dumps(read.document))
    assert plain(read_again(document, "out.png").guide) == plain(read.guide)
    changed = read_again(document, "out.png", {"epochs": "9", "targets.whole.batch_size": "2"})
    assert (changed.guide.epochs, changed.guide.targets[0].batch_size, changed.base_name) == (9, 2, "out.png")
    with pytest.raises(ConfigError, match="did you mean epochs"):
        read_again(document, "out.png", {"epoch": "9"})
