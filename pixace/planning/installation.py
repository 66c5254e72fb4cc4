"""What is installed: versions, and what each extra still lacks, as the installed metadata says it."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

from pixace.errors import PixaceError

PACKAGE = "pixace"


def installed_version(name: str) -> str | None:
    """The version of a distribution, None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def installed_versions() -> dict[str, str | None]:
    """Python, pixace, JAX's native part, and all that the base install asks for."""
    asked = [Requirement(line) for line in _requires(PACKAGE)]
    base = [requirement.name for requirement in asked if requirement.marker is None]
    names = dict.fromkeys((PACKAGE, "jax", "jaxlib", *sorted(base, key=str.lower)))
    return {"Python": platform.python_version()} | {name: installed_version(name) for name in names}


def missing_by_extra() -> dict[str, list[str]]:
    """What each extra asks for that is not installed, or not in the version that it needs; [] where all is there.

    Raises:
        PixaceError: if pixace itself is not installed, so that nothing says what its extras are.
    """
    try:
        extras = metadata(PACKAGE).get_all("Provides-Extra") or []
    except PackageNotFoundError:
        raise PixaceError("pixace runs from its source and is not installed; pip install . makes it known") from None
    return {extra: list(dict.fromkeys(_missing(PACKAGE, {extra}))) for extra in sorted(extras)}


def missing_of_base() -> list[str]:
    """What the base install asks for and does not find."""
    return list(dict.fromkeys(_missing(PACKAGE, {""})))


def _missing(distribution: str, extras: set[str]) -> Iterator[str]:
    """What one distribution asks for under some of its extras only, and does not find; extras of extras too."""
    for line in _requires(distribution):
        asked = Requirement(line)
        applies = asked.marker is None or asked.marker.evaluate({"extra": ""})
        wanted = any(asked.marker is not None and asked.marker.evaluate({"extra": extra}) for extra in extras)
        if ("" in extras and applies) or (wanted and not applies):
            found = installed_version(asked.name)
            if found is None:
                yield f"{asked.name}{asked.specifier}"
            elif not asked.specifier.contains(found, prereleases=True):
                yield f"{asked.name}{asked.specifier} (found {found})"
            elif asked.extras:
                yield from _missing(asked.name, set(asked.extras))


def _requires(distribution: str) -> list[str]:
    try:
        return requires(distribution) or []
    except PackageNotFoundError:
        return []
