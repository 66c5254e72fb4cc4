"""The example notebook: it runs as it stands, and what is committed shows pictures."""

import io
import zipfile
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from PIL import Image

from pixace.zoo.datasets import manifest
from pixace.zoo.emoji import is_held_out
from pixace.zoo.index import datasets

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "pixace_demo.ipynb"
SHEETS = 5  # cells that show a picture


def pictures_of(notebook) -> int:
    """The number of cells that show a picture."""
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    return sum(any("image/png" in output.get("data", {}) for output in of_cell) for of_cell in outputs)


def few_emoji(file: Path) -> Path:
    """An archive of forty pictures with names of emoji, on both sides of the split."""
    names = sorted(manifest(datasets()["emoji"]))
    held_out = [name for name in names if is_held_out(name)]
    chosen = [*[name for name in names if not is_held_out(name)][:30], *held_out[:: len(held_out) // 10][:10]]
    random = np.random.default_rng(0)
    with zipfile.ZipFile(file, "w") as archive:
        for name in chosen:
            content = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).resize((16, 16)).save(content, "PNG")
            archive.writestr(f"png/128/{name}", content.getvalue())
    return file


def test_the_notebook_runs_and_shows_its_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXACE_DEMO_SMALL", "1")
    monkeypatch.setenv("PIXACE_DEMO_ARCHIVE", str(few_emoji(tmp_path / "emoji.zip")))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert pictures_of(notebook) == SHEETS
    assert (tmp_path / "model-weights" / "my-emoji" / "weights.safetensors").is_file()


def test_the_committed_notebook_has_run_and_is_small():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    assert pictures_of(notebook) == SHEETS
    assert NOTEBOOK.stat().st_size < 500_000
    text = NOTEBOOK.read_text()
    assert "/home/" not in text and "/tmp/" not in text and "/root/" not in text
