"""Run the example notebook as it stands and keep its outputs in it.

    python scripts/run_notebook.py [ARCHIVE]

ARCHIVE holds the Noto emoji where there is no network. It trains for a few minutes on two cores.
"""

import argparse
import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "pixace_demo.ipynb"


def main() -> None:
    """Run in an empty folder, so that only the notebook changes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, nargs="?")
    if archive := parser.parse_args().archive:
        os.environ["PIXACE_DEMO_ARCHIVE"] = str(archive.resolve())
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=None, coalesce_streams=True, resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when each cell ran: another file each time
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
