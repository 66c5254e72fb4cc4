"""Errors that a person can act on; the command line prints them without a traceback."""


class PixaceError(Exception):
    """Something outside the program is wrong: data, a file, a device, memory. Exit code 1."""

    exit_code = 1


class ConfigError(PixaceError):
    """A flag, argument or configuration value is wrong. Exit code 2."""

    exit_code = 2


def naming(name: str, why: str) -> str:
    """What is wrong with something, its name in front unless it is said already."""
    return why if name in why else f"{name}: {why}"
