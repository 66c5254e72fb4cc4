"""Whether this computer has an NVIDIA GPU, and why JAX does not use it."""

import os
from pathlib import Path

from pixace.planning.installation import installed_version

NVIDIA = "0x10de"
DISPLAYS = ("0x0300", "0x0302")  # classes on the PCI bus: graphics card, accelerator
PLUGINS = ("jax-cuda13-plugin", "jax-cuda12-plugin")


def count_nvidia_gpus(bus: Path = Path("/sys/bus/pci/devices")) -> int:
    """NVIDIA GPUs on the PCI bus, whether or not a driver for them is loaded; 0 where the system does not tell."""
    count = 0
    for device in bus.glob("*"):
        try:
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
        except OSError:
            continue
        count += vendor == NVIDIA and kind.startswith(DISPLAYS)
    return count


def why_no_gpu(error: str = "") -> str:
    """The likeliest reason why JAX uses no NVIDIA GPU, and what to do about it, in one line.

    Args:
        error: what JAX said when it was asked for one.
    """
    return _hindrance() or (f"JAX says: {error.splitlines()[0][:300]}" if error else "JAX does not say why")


def jax_can_use_gpus() -> bool:
    """Whether nothing that can be known without loading JAX keeps it from using NVIDIA GPUs."""
    return _hindrance() is None


def _hindrance() -> str | None:
    allowed = os.environ.get("JAX_PLATFORMS", "")
    if allowed and not {"cuda", "gpu"} & set(allowed.split(",")):
        return f"the variable JAX_PLATFORMS={allowed} keeps JAX from it; unset it"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "the variable CUDA_VISIBLE_DEVICES hides it; unset it"
    if not Path("/proc/driver/nvidia/version").exists():
        return "NVIDIA's driver is not loaded (in a container: it was started without --gpus all)"
    plugin = next((name for name in PLUGINS if installed_version(name)), None)
    if plugin is None:
        return "JAX has no GPU support installed; pip install '.[cuda]' brings it"
    found, needed = installed_version(plugin), installed_version("jaxlib")
    if found != needed:
        return f"{plugin} {found} does not fit jaxlib {needed}; pip install -U '.[cuda]' puts that right"
    return None
