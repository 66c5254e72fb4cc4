"""What is said where GPU support is installed and there is no GPU: a reason and a hint, not JAX's traceback."""

import os
import subprocess
import sys

import pytest

FIND = """
import sys
from pixace.devices import describe, find_devices, prepare
from pixace.errors import PixaceError
device = sys.argv[1]
prepare(device)
try:
    print(describe(find_devices(device)))
except PixaceError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def find(tmp_path):
    """Runs the search for devices where one of JAX's plugins fails as CUDA's does without a driver."""
    plugin = tmp_path / "jax_plugins/broken/__init__.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("def initialize():\n    raise RuntimeError('cuInit(0) failed: no driver\\nand much more')\n")
    environment = {key: value for key, value in os.environ.items() if key != "JAX_PLATFORMS"}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *sys.path])

    def run(device: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", FIND, device], env=environment, cwd=tmp_path, capture_output=True, text=True
        )

    return run


def test_a_plugin_that_fails_is_a_warning_of_one_line_and_the_cpu_is_named(find):
    done = find("auto")
    assert done.returncode == 0 and done.stdout.startswith("device: CPU")
    warnings = [line for line in done.stderr.splitlines() if "cuInit" in line]
    assert len(warnings) == 1 and warnings[0].startswith("warning: ")
    assert "cuInit(0) failed: no driver)" in warnings[0] and "--gpus all" in warnings[0]
    assert "Traceback" not in done.stderr and "much more" not in done.stderr


def test_a_gpu_that_was_asked_for_fails_with_the_plugins_reason(find):
    done = find("gpu")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "--device=gpu" in done.stderr and "cuInit(0) failed: no driver)" in done.stderr
    assert "--gpus all" in done.stderr and "pip install" not in done.stderr


def test_the_cpu_that_was_asked_for_brings_no_warning(find):
    done = find("cpu")
    assert done.stdout.startswith("device: CPU") and "cuInit" not in done.stderr
