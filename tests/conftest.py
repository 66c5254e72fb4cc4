"""Every test runs on the CPU, as four devices where it asks for them, in a cache folder of its own."""

import os
import signal
import sys
from importlib.metadata import version

os.environ["JAX_PLATFORMS"] = "cpu"
# Compiling takes most of the suite's time, running what is compiled little, so machine code is not optimised, and
# made by the emitters of loops that are quicker to compile (JAX 0.10 alone has the choice and stops at flags that it
# does not know). The environment's own flags come last and win.
os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0",
        *(["--xla_cpu_use_fusion_emitters=false"] if version("jaxlib").startswith("0.10.") else []),
        os.environ.get("XLA_FLAGS", ""),
    ]
)

from pathlib import Path

import pytest
from guide_files import guide  # noqa: F401 (a fixture of several files)
from serving import server  # noqa: F401 (a fixture of several files)

# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Tests neither read nor fill the user's cache; compiled programs are shared within the session."""
    os.environ["PIXACE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module", autouse=True)
def own_programs():
    """Compiled programs go with the file that needed them: each takes maps of memory, and Linux allows 65,530."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture
def shared():
    """The folder of real pictures beside the checkout; the test is skipped, saying so, where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the pictures in {SHARED}")
    return SHARED


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder; pixace's cache is in it, as `cache`."""
    monkeypatch.setenv("PIXACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
