"""Tests against Trax: scripts/test-trax makes the environment and runs them. On the CPU, in a cache of their own."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"

import pytest

from pixace.trax_engine.loading import load_trax


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Tests neither read nor fill the user's cache; compiled programs are shared within the session."""
    os.environ["PIXACE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def trax():
    """The modules of Trax; without Trax there is nothing to test, which is a failure."""
    return load_trax()
