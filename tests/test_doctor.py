"""`pixace doctor`: what it tells, that broken parts are told, and that extras come from the metadata alone."""

import json
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_cli import answer

from pixace.planning import device_speed, doctor, gpu, installation, rates
from pixace.progress import silent


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(doctor, "LONG_SECONDS", 0.01)


def test_it_tells_all_its_parts_and_exits_0(capsys):
    code, out, _ = answer(capsys, "doctor", "--json")
    found = json.loads(out)
    assert code == 0 and not [name for name, part in found.items() if isinstance(part, dict) and "error" in part]
    assert found["versions"]["jax"] and found["devices"]["platform"] == "cpu"
    assert found["attention"]["float32"] == "blocks" and found["speed"][0]["gflops"] > 0
    assert found["memory"]["total"] >= found["memory"]["free"] > 0
    code, out, _ = answer(capsys, "doctor")
    assert code == 0 and "GFLOP/s" in out and "BROKEN" not in out
    assert rates.known_rates() is not None  # kept for plans


def test_a_cache_that_cannot_be_written_is_told(capsys, monkeypatch):
    monkeypatch.setenv("PIXACE_CACHE", "/proc/self/cache")
    code, out, _ = answer(capsys, "doctor")
    assert code == 0 and "/proc/self/cache (cannot be written)" in out


def test_a_broken_part_is_told_and_hides_nothing_else(capsys, monkeypatch):
    def broken():
        raise RuntimeError("no such driver\nand more")

    monkeypatch.setattr(doctor, "_devices", broken)
    code, out, err = answer(capsys, "doctor")
    assert code == 0 and "BROKEN: RuntimeError: no such driver" in out and "and more" not in out + err
    assert "GFLOP/s" in out and "extras:" in out


def test_extras_are_those_of_the_installed_metadata(monkeypatch):
    needs = {
        "pixace": [
            "here>=1",
            'lacking>=2; extra == "draw"',
            'here[fast]>=1; extra == "speed"',
            'old>=3; extra == "draw"',
        ],
        "here": ["unrelated", 'motor; extra == "fast"', 'sail; extra == "slow"'],
    }
    installed = {"pixace": "1", "here": "1.5", "old": "2.9"}

    def version(name):
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    class Metadata:
        def get_all(self, name):
            assert name == "Provides-Extra"
            return ["draw", "speed"]

    monkeypatch.setattr(installation, "requires", lambda name: needs.get(name))
    monkeypatch.setattr(installation, "version", version)
    monkeypatch.setattr(installation, "metadata", lambda name: Metadata())
    assert installation.missing_by_extra() == {"draw": ["lacking>=2", "old>=3 (found 2.9)"], "speed": ["motor"]}
    assert installation.missing_of_base() == []
    installed["here"] = "0.9"
    assert installation.missing_of_base() == ["here>=1 (found 0.9)"]


def test_the_command_that_brings_an_extra_is_told(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "missing_by_extra", lambda: {"tfds": ["tensorflow-datasets>=4"], "cuda": []})
    _, out, _ = answer(capsys, "doctor")
    assert re.search(r"tfds +lacks tensorflow-datasets>=4; pip install '\.\[tfds\]'", out)
    assert re.search(r"cuda +installed", out)


def test_a_gpu_on_the_bus_is_found_and_why_it_rests_is_told(tmp_path, monkeypatch):
    for name, vendor, kind in (("a", "0x10de", "0x030200"), ("b", "0x10de", "0x0c0330"), ("c", "0x8086", "0x030000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(vendor + "\n")
        (tmp_path / name / "class").write_text(kind + "\n")
    assert gpu.count_nvidia_gpus(tmp_path) == 1
    monkeypatch.setattr(doctor, "count_nvidia_gpus", lambda: gpu.count_nvidia_gpus(tmp_path))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    found = doctor.examine(silent)["devices"]
    assert found.gpus_not_used == 1 and "JAX_PLATFORMS=cpu" in found.why
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES" in gpu.why_no_gpu()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(Path, "exists", lambda path: True)  # a driver
    monkeypatch.setattr(gpu, "installed_version", lambda name: None)
    assert "pip install '.[cuda]'" in gpu.why_no_gpu()
    monkeypatch.setattr(gpu, "installed_version", lambda name: "0.10.2")
    assert "out of luck" in gpu.why_no_gpu("out of luck\nsecond line")


def test_a_device_is_looked_up_by_its_whole_name(monkeypatch):
    import jax

    for kind, known in (("NVIDIA L4", True), ("NVIDIA L40S", False), ("NVIDIA H100-80GB", True), ("GH200", False)):
        monkeypatch.setattr(jax, "devices", lambda kind=kind: [SimpleNamespace(device_kind=kind)])
        assert (device_speed.device_speed(edge=16, count=16).share_of_peak is not None) == known, kind


def test_the_devices_speed_is_measured():
    found = device_speed.device_speed(edge=64, count=1000)
    assert found.gflops > 0 and found.bandwidth_gb > 0 and found.share_of_peak is None
