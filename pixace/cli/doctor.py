"""`pixace doctor`"""

import json
from collections.abc import Sequence
from typing import Any

from pixace.cli.flags import FlagSet

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
    print(json.dumps(found) if given.get("json") else "\n".join(_lines(found)))
    return 0


def _lines(found: dict[str, Any]) -> list[str]:
    """The findings for people, a heading and indented lines for each part."""
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
        broken = isinstance(part, dict) and "error" in part
        text = [f"BROKEN: {part['error']}"] if broken else show_part(part)
        lines += [f"{name}:", *(f"  {line}" for line in text)] if text else []
    return lines


def _versions(part: dict[str, str | None]) -> list[str]:
    return [f"{name:22} {version or 'not installed'}" for name, version in part.items()]


def _missing(part: list[str]) -> list[str]:
    return [f"{', '.join(part)}: pip install . brings it"] if part else []


def _devices(part: dict[str, Any]) -> list[str]:
    lines = [part["says"].removeprefix("device: ")]
    if "memory" in part:
        lines.append(f"{_gb(part['memory']['total'])} of memory, {_gb(part['memory']['used'])} in use")
    if "gpu_not_used" in part:
        unused = part["gpu_not_used"]
        lines.append(f"NVIDIA GPUs that JAX does not use: {unused['count']}; {unused['why']}")
    return lines


def _attention(part: dict[str, str]) -> list[str]:
    return [f"float32 by {part['float32']}, bfloat16 by {part['bfloat16']}: {part['why']}"]


def _memory(part: dict[str, Any]) -> list[str]:
    return [f"{part['of']}: {_gb(part['total'])}, {_gb(part['free'])} free"] if part else ["the system does not tell"]


def _speed(part: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for what in part.values():
        peak, sheet = what["share_of_peak"], what["share_of_bandwidth"]
        of_peak = "" if peak is None else f" ({peak:.0%} of what its units allow at most)"
        of_sheet = "" if sheet is None else f" ({sheet:.0%} of the data sheet)"
        lines.append(
            f"{what['machine']}: matrix products {what['gflops']:,.0f} GFLOP/s{of_peak}, "
            f"memory {what['bandwidth_gb']:,.1f} GB/s{of_sheet}"
        )
    return lines


def _caches(part: dict[str, Any]) -> list[str]:
    sizes = [f"  {name:20} {_gb(size)}" for name, size in part["bytes"].items()]
    return [part["folder"] + ("" if part["writable"] else " (cannot be written)"), *(sizes or ["  empty"])]


def _extras(part: dict[str, list[str]]) -> list[str]:
    return [
        f"{extra:8} " + (f"lacks {', '.join(lacks)}; pip install '.[{extra}]'" if lacks else "installed")
        for extra, lacks in part.items()
    ]


def _gb(size: int) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 1e7 else f"{size / 1e6:,.2f} MB"
