"""`pixace doctor`"""

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pixace.cli.flags import FlagSet

if TYPE_CHECKING:
    from pixace.planning.device_speed import Speed
    from pixace.planning.doctor import Attention, Caches, Devices
    from pixace.planning.machine import MemoryFound

ABOUT = (
    "Tell what pixace finds on this machine: versions, devices, memory, speed, caches, and what each extra still "
    "lacks. What is broken is told, not raised. The speed is kept for `pixace plan`."
)


def make_flags() -> FlagSet:
    """The flags of this command."""
    flags = FlagSet("pixace doctor [--json]", ABOUT)
    flags.add("json", False, bool, "print one JSON object, for machines")
    return flags


def run(arguments: Sequence[str]) -> int:
    """Examine the machine; returns the exit code, 0 whatever is found."""
    given, _ = make_flags().parse(arguments)
    from pixace.planning.doctor import examine
    from pixace.progress import Bar

    with Bar("examining") as bar:
        found = examine(bar)
    print(json.dumps(found, default=dataclasses.asdict) if given.get("json") else "\n".join(_lines(found)))
    return 0


def _lines(found: dict[str, Any]) -> list[str]:
    """The findings for people, a heading and indented lines for each part."""
    from pixace.planning.doctor import Broken

    show = {
        "versions": _versions,
        "missing": _missing,
        "devices": _devices,
        "attention": _attention,
        "memory": _memory,
        "speed": _speed,
        "caches": _caches,
        "extras": _extras,
    }
    lines = []
    for name, show_part in show.items():
        part = found[name]
        text = [f"BROKEN: {part.error}"] if isinstance(part, Broken) else show_part(part)
        lines += [f"{name}:", *(f"  {line}" for line in text)] if text else []
    return lines


def _versions(part: dict[str, str | None]) -> list[str]:
    return [f"{name:22} {version or 'not installed'}" for name, version in part.items()]


def _missing(part: list[str]) -> list[str]:
    return [f"{', '.join(part)}: pip install . brings it"] if part else []


def _devices(part: "Devices") -> list[str]:
    lines = [part.says.removeprefix("device: ")]
    if part.memory_total is not None:
        lines.append(f"{_gb(part.memory_total)} of memory, {_gb(part.memory_used or 0)} in use")
    if part.gpus_not_used:
        lines.append(f"NVIDIA GPUs that JAX does not use: {part.gpus_not_used}; {part.why}")
    return lines


def _attention(part: "Attention") -> list[str]:
    return [f"float32 by {part.float32}, bfloat16 by {part.bfloat16}: {part.why}"]


def _memory(part: "MemoryFound | None") -> list[str]:
    return ["the system does not tell"] if part is None else [f"{part.kind}: {_gb(part.total)}, {_gb(part.free)} free"]


def _speed(part: "list[Speed]") -> list[str]:
    lines = []
    for speed in part:
        peak, sheet = speed.share_of_peak, speed.share_of_bandwidth
        of_peak = "" if peak is None else f" ({peak:.0%} of what its units allow at most)"
        of_sheet = "" if sheet is None else f" ({sheet:.0%} of the data sheet)"
        lines.append(
            f"{speed.machine}: matrix products {speed.gflops:,.0f} GFLOP/s{of_peak}, "
            f"memory {speed.bandwidth_gb:,.1f} GB/s{of_sheet}"
        )
    return lines


def _caches(part: "Caches") -> list[str]:
    sizes = [f"  {name:20} {_gb(size)}" for name, size in part.sizes.items()]
    return [part.folder + ("" if part.writable else " (cannot be written)"), *(sizes or ["  empty"])]


def _extras(part: dict[str, list[str]]) -> list[str]:
    return [
        f"{extra:8} " + (f"lacks {', '.join(lacks)}; pip install '.[{extra}]'" if lacks else "installed")
        for extra, lacks in part.items()
    ]


def _gb(size: int) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 1e7 else f"{size / 1e6:,.2f} MB"
