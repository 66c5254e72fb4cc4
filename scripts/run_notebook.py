"""Run the example notebook as it stands and keep its outputs in it.

    python scripts/run_notebook.py [ARCHIVE]

ARCHIVE holds the Noto emoji where there is no network. It trains for a few minutes on two cores.
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "pixace_demo.ipynb"


def main() -> None:
    """Run in an empty folder, so that only the notebook changes."""
    if len(sys.argv) > 1:
        os.environ["PIXACE_DEMO_ARCHIVE"] = str(Path(sys.argv[1]).resolve())
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=None, coalesce_streams=True, resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when each cell ran: another file each time
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
