"""README and guides say what is so: their commands have these flags, their links lead somewhere, their snippets run."""

import re
from pathlib import Path

import pytest
from runs import make_pictures

from pixace.cli.clip import COMMANDS as CLIP_COMMANDS
from pixace.cli.main import COMMANDS, command
from pixace.cli.style import COMMANDS as STYLE_COMMANDS

WORDS = {"style": STYLE_COMMANDS, "clip": CLIP_COMMANDS}  # of commands that are several
ROOT = Path(__file__).resolve().parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands_in(text: str) -> list[tuple[str, list[str]]]:
    """Each `pixace COMMAND` in code, with the names of the flags that follow it up to the end of that code."""
    code = [*re.findall(r"```sh\n(.*?)```", text, re.S), *re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    found = []
    for part in code:
        for line in re.sub(r"\\\n", " ", part).splitlines():
            line = line.partition(" #")[0]
            for name, rest in re.findall(r"\bpixace (\w+)([^;|&]*)", line):
                if name in COMMANDS:
                    word = rest.split()[0] if rest.split() else ""
                    name = WORDS.get(name, {}).get(word, name)
                    found.append((name, re.findall(r"(?<!\S)--(?:no)?([a-z_]+)", rest)))
    return found


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_commands_in_the_docs_have_the_flags_they_are_given(path):
    wrong = []
    for name, given in commands_in(path.read_text()):
        flags = command(name).make_flags()
        wrong += [f"pixace {name} --{flag}" for flag in given if flag != "help" and flag not in flags.values]
    assert not wrong


def test_commands_are_found_in_the_docs():
    """Else the test above could not fail."""
    found = [entry for path in DOCS for entry in commands_in(path.read_text())]
    known = {*COMMANDS, *STYLE_COMMANDS.values(), *CLIP_COMMANDS.values()} - {"clip"}
    assert len(found) > 25 and {name for name, _ in found} == known
    assert ("train", ["images", "model_name"]) in [(name, flags[:2]) for name, flags in found]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_and_pictures_lead_to_files(path):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    missing = [target for target in targets if "://" not in target and not (path.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "docs" / "python.md"], ids=lambda path: path.name)
def test_python_snippets_run_in_their_order(path, tmp_path, monkeypatch):
    import pixace

    monkeypatch.chdir(tmp_path)
    pictures = make_pictures(tmp_path / "my-pictures", 12)
    (pictures / "000.png").rename(pictures / "a.png")
    (tmp_path / "a.png").write_bytes((pictures / "a.png").read_bytes())
    size = dict(image_size=16, bitdepth=(4, 3, 3), model_type="transformer", d_model=16, n_layers=1, n_heads=1)
    if path.name == "python.md":
        pixace.train("mine", images="my-pictures", n_steps=1, batch_size=2, n_samples=0, say=lambda line: None, **size)
        pixace.export_model("mine", "given.safetensors")
    names: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", path.read_text(), re.S)
    assert blocks
    for block in blocks:
        small = "" if "d_model=" in block else ", d_model=16, n_layers=1, n_heads=1"
        block = re.sub(r"d_model=\d+, n_layers=\d+", "d_model=16, n_layers=1", block)
        block = block.replace("predict(batch_size=9", "predict(batch_size=2")
        block = re.sub(r"n_steps=\d+", f"n_steps=1, batch_size=2, n_samples=0{small}", block)
        block = block.replace('train("mine", images', 'train("other", images') if path.name == "python.md" else block
        block = block.replace(
            'import_model("model.pkl.gz", "old", n_heads=8)', 'import_model("given.safetensors", "old")'
        )
        exec(compile(block, str(path), "exec"), names)
